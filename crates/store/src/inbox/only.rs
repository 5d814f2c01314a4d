//! The events of some collections, and not of the others.

use std::sync::Arc;

use rusqlite::types::Value;
use rusqlite::{ParamsFromIter, params_from_iter};

/// Which collections' events are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Only(Option<Arc<str>>);

impl Only {
    /// Those of all.
    pub fn all() -> Self {
        Self(None)
    }

    /// Those of these.
    pub fn collections<'a>(collections: impl IntoIterator<Item = &'a str>) -> Self {
        // No name of a collection has a comma.
        let mut list = String::from(",");
        for collection in collections {
            list.push_str(collection);
            list.push(',');
        }
        Self(Some(list.into()))
    }

    /// Whether those of this collection are asked for.
    pub fn includes(&self, collection: &str) -> bool {
        self.0
            .as_ref()
            .is_none_or(|list| list.split(',').any(|one| one == collection))
    }

    /// What is added to a question; its parameter is the one of this number.
    pub(super) fn condition(&self, parameter: usize) -> String {
        match self.0 {
            None => String::new(),
            Some(_) => format!("AND instr(?{parameter}, ',' || collection || ',') > 0"),
        }
    }

    /// The parameters of the question, and the one of the condition if it has one.
    pub(super) fn after<const N: usize>(&self, before: [i64; N]) -> ParamsFromIter<Vec<Value>> {
        let mut all: Vec<Value> = before.into_iter().map(Value::Integer).collect();
        all.extend(self.0.as_ref().map(|list| Value::Text(list.to_string())));
        params_from_iter(all)
    }
}
