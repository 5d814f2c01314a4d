//! From columns to types with a syntax. What does not parse is damage.

use std::error::Error;
use std::str::FromStr;

use rusqlite::types::Type;
use rusqlite::{Row, RowIndex};

/// A column's text as a `T`. The column by its number, or by its name, which is looked for in every row.
pub(crate) fn parsed<T: FromStr>(row: &Row<'_>, column: impl RowIndex) -> rusqlite::Result<T>
where
    T::Err: Error + Send + Sync + 'static,
{
    let index = column.idx(row.as_ref())?;
    parse(index, row.get_ref(index)?.as_str()?)
}

/// A column's text as a `T`, if it is not null.
pub(crate) fn parsed_or_none<T: FromStr>(
    row: &Row<'_>,
    column: impl RowIndex,
) -> rusqlite::Result<Option<T>>
where
    T::Err: Error + Send + Sync + 'static,
{
    let index = column.idx(row.as_ref())?;
    let text = row.get_ref(index)?.as_str_or_null()?;
    text.map(|text| parse(index, text)).transpose()
}

fn parse<T: FromStr>(index: usize, text: &str) -> rusqlite::Result<T>
where
    T::Err: Error + Send + Sync + 'static,
{
    text.parse().map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(index, Type::Text, Box::new(error))
    })
}
