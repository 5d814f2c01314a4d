//! A query's parameters, checked as the method's lexicon says, refused in the reference PDS's words.

use std::str::FromStr;

use axum::extract::Query;
use axum::http::Uri;

use crate::xrpc::XrpcError;

/// The parameters of one request to one method.
pub(crate) struct Params<'a> {
    method: &'a str,
    pairs: Vec<(String, String)>,
}

impl<'a> Params<'a> {
    /// Reads the query string. One that is not URL-encoded text counts as empty.
    pub(crate) fn new(method: &'a str, uri: &Uri) -> Self {
        let pairs = Query::try_from_uri(uri).map_or_else(|_| Vec::new(), |Query(pairs)| pairs);
        Self { method, pairs }
    }

    /// A required parameter with a syntax, called `what` in the error.
    pub(crate) fn required<T: FromStr>(&self, name: &str, what: &str) -> Result<T, XrpcError> {
        match self.optional(name, what)? {
            Some(value) => Ok(value),
            None => Err(self.refuse(format!("Missing required key \"{name}\""))),
        }
    }

    /// An optional parameter with a syntax, called `what` in the error.
    pub(crate) fn optional<T: FromStr>(
        &self,
        name: &str,
        what: &str,
    ) -> Result<Option<T>, XrpcError> {
        self.text(name)
            .map(|text| {
                text.parse()
                    .map_err(|_| self.refuse(format!("Invalid {what} (got \"{text}\")")))
            })
            .transpose()
    }

    /// A parameter as it was given.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.pairs
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// An integer between 1 and `maximum`, or `default` if it is absent.
    pub(crate) fn limit(&self, default: usize, maximum: usize) -> Result<usize, XrpcError> {
        let Some(given) = self.integer("limit")? else {
            return Ok(default);
        };
        if given < 1 {
            return Err(self.refuse(format!("integer too small (minimum 1, got {given})")));
        }
        match usize::try_from(given) {
            Ok(limit) if limit <= maximum => Ok(limit),
            _ => Err(self.refuse(format!("integer too big (maximum {maximum}, got {given})"))),
        }
    }

    /// An integer; an empty one counts as absent, as it does there.
    pub(crate) fn integer(&self, name: &str) -> Result<Option<i64>, XrpcError> {
        self.text(name)
            .filter(|text| !text.is_empty())
            .map(|text| {
                text.parse().map_err(|_| {
                    self.refuse(format!("Expected integer value type (got \"{text}\")"))
                })
            })
            .transpose()
    }

    /// `true` or `false`; false if absent.
    pub(crate) fn flag(&self, name: &str) -> Result<bool, XrpcError> {
        match self.text(name) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(other) => {
                Err(self.refuse(format!("Expected boolean value type (got \"{other}\")")))
            }
        }
    }

    fn refuse(&self, why: String) -> XrpcError {
        XrpcError::invalid(format!("Invalid {} params: {why}", self.method))
    }
}
