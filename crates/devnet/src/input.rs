//! A procedure's JSON input, checked as the method's lexicon says, refused in the reference PDS's words.

use std::str::FromStr;

use serde_json::{Map, Value};

use crate::xrpc::XrpcError;

/// The fields of one JSON object, and where it is in the body (`$`, `$.writes[3]`).
pub(crate) struct Input {
    path: String,
    fields: Map<String, Value>,
}

/// A field that may be absent, `null`, or there: the three mean different things to `swapRecord`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Nullable<T> {
    Absent,
    Null,
    Value(T),
}

impl Input {
    /// Parses a request's body.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, XrpcError> {
        let value = serde_json::from_slice(body)
            .map_err(|error| XrpcError::named("SyntaxError", error.to_string()))?;
        Self::from_value("$", value)
    }

    /// An object inside a body.
    pub(crate) fn from_value(path: &str, value: Value) -> Result<Self, XrpcError> {
        match value {
            Value::Object(fields) => Ok(Self {
                path: path.to_owned(),
                fields,
            }),
            other => Err(wrong_type("object", &other, path)),
        }
    }

    /// A required string.
    pub(crate) fn text(&self, name: &str) -> Result<&str, XrpcError> {
        self.optional_text(name)?.ok_or_else(|| self.missing(name))
    }

    /// An optional string; `null` is not one.
    pub(crate) fn optional_text(&self, name: &str) -> Result<Option<&str>, XrpcError> {
        match self.fields.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(wrong_type("string", other, &self.at(name))),
        }
    }

    /// A required string with a syntax, called `what` in the error.
    pub(crate) fn required<T: FromStr>(&self, name: &str, what: &str) -> Result<T, XrpcError> {
        self.optional(name, what)?.ok_or_else(|| self.missing(name))
    }

    /// An optional string with a syntax, called `what` in the error.
    pub(crate) fn optional<T: FromStr>(
        &self,
        name: &str,
        what: &str,
    ) -> Result<Option<T>, XrpcError> {
        self.optional_text(name)?
            .map(|text| {
                text.parse().map_err(|_| {
                    XrpcError::invalid(format!(
                        "Invalid {what} (got \"{text}\") at {}",
                        self.at(name)
                    ))
                })
            })
            .transpose()
    }

    /// A string with a syntax that may also be an explicit `null`.
    pub(crate) fn nullable<T: FromStr>(
        &self,
        name: &str,
        what: &str,
    ) -> Result<Nullable<T>, XrpcError> {
        if self.fields.get(name).is_some_and(Value::is_null) {
            return Ok(Nullable::Null);
        }
        Ok(match self.optional(name, what)? {
            Some(value) => Nullable::Value(value),
            None => Nullable::Absent,
        })
    }

    /// An optional boolean.
    pub(crate) fn flag(&self, name: &str) -> Result<Option<bool>, XrpcError> {
        match self.fields.get(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(other) => Err(wrong_type("boolean", other, &self.at(name))),
        }
    }

    /// Takes a required object out of the input.
    pub(crate) fn take_object(&mut self, name: &str) -> Result<Map<String, Value>, XrpcError> {
        match self.fields.remove(name) {
            Some(Value::Object(object)) => Ok(object),
            Some(other) => Err(wrong_type("object", &other, &self.at(name))),
            None => Err(self.missing(name)),
        }
    }

    /// Takes a required array out of the input.
    pub(crate) fn take_array(&mut self, name: &str) -> Result<Vec<Value>, XrpcError> {
        match self.fields.remove(name) {
            Some(Value::Array(array)) => Ok(array),
            Some(other) => Err(wrong_type("array", &other, &self.at(name))),
            None => Err(self.missing(name)),
        }
    }

    /// The path of a field.
    pub(crate) fn at(&self, name: &str) -> String {
        format!("{}.{name}", self.path)
    }

    fn missing(&self, name: &str) -> XrpcError {
        XrpcError::invalid(format!("Missing required key \"{name}\" at {}", self.path))
    }
}

fn wrong_type(expected: &str, got: &Value, path: &str) -> XrpcError {
    let got = match got {
        Value::Object(_) => "object".to_owned(),
        Value::Array(_) => "array".to_owned(),
        other => other.to_string(),
    };
    XrpcError::invalid(format!(
        "Expected {expected} value type (got {got}) at {path}"
    ))
}
