//! How the type of a field is read from data, written to it, and checked: the work that the `object!` macro hands out.

use unicode_segmentation::UnicodeSegmentation;

use crate::schema::{Field, Kind, Limits};
use crate::value::{Map, Value};
use crate::{AtUri, Cid, Datetime, Did, Handle, Invalid, Nsid, Tid, Uri};

/// A type that a field may have.
pub(crate) trait Shape: Sized {
    /// What a lexicon calls it.
    const KIND: Kind;

    fn read(value: Value) -> Result<Self, Invalid>;

    fn write(&self) -> Value;

    fn check(&self, limits: &Limits) -> Result<(), Invalid>;
}

/// Takes a field out of an object, under its name or an older one.
fn take(map: &mut Map, names: &[&str]) -> Option<Value> {
    let value = names.iter().find_map(|name| map.remove(*name))?;
    // Writers in some languages say null where they mean that there is nothing.
    (value != Value::Null).then_some(value)
}

pub(crate) fn required<T: Shape>(
    map: &mut Map,
    names: &'static [&'static str],
) -> Result<T, Invalid> {
    let name = names.first().copied().unwrap_or_default();
    let value = take(map, names).ok_or_else(|| Invalid::new("is missing").in_field(name))?;
    T::read(value).map_err(|invalid| invalid.in_field(name))
}

pub(crate) fn optional<T: Shape>(
    map: &mut Map,
    names: &'static [&'static str],
) -> Result<Option<T>, Invalid> {
    let name = names.first().copied().unwrap_or_default();
    let value = take(map, names).map(T::read).transpose();
    value.map_err(|invalid| invalid.in_field(name))
}

pub(crate) fn list<T: Shape>(
    map: &mut Map,
    names: &'static [&'static str],
) -> Result<Vec<T>, Invalid> {
    let name = names.first().copied().unwrap_or_default();
    let items = match take(map, names) {
        None => return Ok(Vec::new()),
        Some(Value::List(items)) => items.into_iter().enumerate(),
        Some(other) => return Err(Invalid::expected("a list", &other).in_field(name)),
    };
    let read =
        |(index, item)| T::read(item).map_err(|invalid| invalid.in_item(index).in_field(name));
    items.map(read).collect()
}

pub(crate) fn check<T: Shape>(value: &T, name: &str, limits: &Limits) -> Result<(), Invalid> {
    value
        .check(limits)
        .map_err(|invalid| invalid.in_field(name))
}

pub(crate) fn check_list<T: Shape>(
    values: &[T],
    name: &str,
    limits: &Limits,
) -> Result<(), Invalid> {
    if let Some(max) = limits.max_items.filter(|max| values.len() > *max) {
        let reason = format!("has {} items, more than {max}", values.len());
        return Err(Invalid::new(reason).in_field(name));
    }
    values.iter().enumerate().try_for_each(|(index, value)| {
        let checked = value.check(limits);
        checked.map_err(|invalid| invalid.in_item(index).in_field(name))
    })
}

/// The entry of a required field in `FIELDS`; the macro turns it into an optional one or a list.
pub(crate) const fn field<T: Shape>(name: &'static str, limits: Limits) -> Field {
    Field {
        name,
        required: true,
        list: false,
        kind: T::KIND,
        limits,
    }
}

impl Field {
    pub(crate) const fn as_optional(self) -> Field {
        Field {
            required: false,
            ..self
        }
    }

    pub(crate) const fn as_list(self) -> Field {
        Field {
            required: false,
            list: true,
            ..self
        }
    }
}

pub(crate) fn check_text(text: &str, limits: &Limits) -> Result<(), Invalid> {
    if let Some(max) = limits.max_bytes.filter(|max| text.len() > *max) {
        return Err(Invalid::new(format!(
            "has {} bytes, more than {max}",
            text.len()
        )));
    }
    // A text never has more graphemes than bytes: most need no counting.
    if let Some(max) = limits.max_graphemes.filter(|max| text.len() > *max) {
        let graphemes = text.graphemes(true).count();
        if graphemes > max {
            return Err(Invalid::new(format!(
                "has {graphemes} characters, more than {max}"
            )));
        }
    }
    Ok(())
}

impl Shape for String {
    const KIND: Kind = Kind::TEXT;

    fn read(value: Value) -> Result<Self, Invalid> {
        match value {
            Value::Text(text) => Ok(text),
            other => Err(Invalid::expected("a text", &other)),
        }
    }

    fn write(&self) -> Value {
        Value::Text(self.clone())
    }

    fn check(&self, limits: &Limits) -> Result<(), Invalid> {
        check_text(self, limits)
    }
}

impl Shape for bool {
    const KIND: Kind = Kind::Boolean;

    fn read(value: Value) -> Result<Self, Invalid> {
        value
            .as_bool()
            .ok_or_else(|| Invalid::expected("a boolean", &value))
    }

    fn write(&self) -> Value {
        Value::Bool(*self)
    }

    fn check(&self, _: &Limits) -> Result<(), Invalid> {
        Ok(())
    }
}

impl Shape for i64 {
    const KIND: Kind = Kind::Integer;

    fn read(value: Value) -> Result<Self, Invalid> {
        value
            .as_int()
            .ok_or_else(|| Invalid::expected("an integer", &value))
    }

    fn write(&self) -> Value {
        Value::Int(*self)
    }

    fn check(&self, limits: &Limits) -> Result<(), Invalid> {
        if let Some(minimum) = limits.minimum.filter(|minimum| self < minimum) {
            return Err(Invalid::new(format!("is {self}, less than {minimum}")));
        }
        if let Some(maximum) = limits.maximum.filter(|maximum| self > maximum) {
            return Err(Invalid::new(format!("is {self}, more than {maximum}")));
        }
        Ok(())
    }
}

/// Any object (`unknown`).
impl Shape for Map {
    const KIND: Kind = Kind::Unknown;

    fn read(value: Value) -> Result<Self, Invalid> {
        value
            .into_map()
            .map_err(|other| Invalid::expected("an object", &other))
    }

    fn write(&self) -> Value {
        Value::Map(self.clone())
    }

    fn check(&self, _: &Limits) -> Result<(), Invalid> {
        Ok(())
    }
}

macro_rules! text_with_syntax {
    ($($type:ident: $format:literal),*) => {$(
        impl Shape for $type {
            const KIND: Kind = Kind::format($format);

            fn read(value: Value) -> Result<Self, Invalid> {
                match &value {
                    Value::Text(text) => text.parse().map_err(Invalid::new),
                    other => Err(Invalid::expected("a text", other)),
                }
            }

            fn write(&self) -> Value {
                Value::Text(self.to_string())
            }

            fn check(&self, limits: &Limits) -> Result<(), Invalid> {
                match limits.max_bytes {
                    Some(_) => check_text(&self.to_string(), limits),
                    None => Ok(()),
                }
            }
        }
    )*};
}
text_with_syntax!(
    AtUri: "at-uri",
    Datetime: "datetime",
    Did: "did",
    Handle: "handle",
    Nsid: "nsid",
    Tid: "tid",
    Uri: "uri"
);

impl Shape for Cid {
    const KIND: Kind = Kind::format("cid");

    fn read(value: Value) -> Result<Self, Invalid> {
        match &value {
            Value::Text(text) => crate::cid::parse(text).map_err(Invalid::new),
            other => Err(Invalid::expected("a text", other)),
        }
    }

    fn write(&self) -> Value {
        Value::Text(self.to_string())
    }

    fn check(&self, _: &Limits) -> Result<(), Invalid> {
        Ok(())
    }
}
