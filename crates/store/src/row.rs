//! From columns to types with a syntax. What does not parse is damage.

use std::error::Error;
use std::str::FromStr;

use rusqlite::Row;
use rusqlite::types::Type;

/// A column's text as a `T`.
pub(crate) fn parsed<T: FromStr>(row: &Row<'_>, column: &str) -> rusqlite::Result<T>
where
    T::Err: Error + Send + Sync + 'static,
{
    parse(row, column, &row.get::<_, String>(column)?)
}

/// A column's text as a `T`, if it is not null.
pub(crate) fn parsed_or_none<T: FromStr>(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<T>>
where
    T::Err: Error + Send + Sync + 'static,
{
    let text: Option<String> = row.get(column)?;
    text.map(|text| parse(row, column, &text)).transpose()
}

fn parse<T: FromStr>(row: &Row<'_>, column: &str, text: &str) -> rusqlite::Result<T>
where
    T::Err: Error + Send + Sync + 'static,
{
    text.parse().map_err(|error| {
        let index = row.as_ref().column_index(column).unwrap_or(0);
        rusqlite::Error::FromSqlConversionFailure(index, Type::Text, Box::new(error))
    })
}
