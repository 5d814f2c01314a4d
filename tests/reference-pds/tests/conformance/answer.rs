//! What a server answered, and what a check may say of it.

use anyhow::{Context, Result, bail, ensure};
use reqwest::RequestBuilder;
use reqwest::header::HeaderMap;
use serde_json::Value;

/// An HTTP answer, read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) async fn of(request: RequestBuilder) -> Result<Self> {
        let response = request.send().await.context("no answer")?;
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let body = response
            .bytes()
            .await
            .context("the answer broke off")?
            .to_vec();
        Ok(Self {
            status,
            headers,
            body,
        })
    }

    /// The JSON of a 200.
    pub(crate) fn ok(&self) -> Result<Value> {
        ensure!(self.status == 200, "expected 200, got {}", self.shown());
        Ok(serde_json::from_slice(&self.body).unwrap_or(Value::Null))
    }

    /// The bytes of a 200 with that content type.
    pub(crate) fn bytes(&self, content_type: &str) -> Result<&[u8]> {
        ensure!(self.status == 200, "expected 200, got {}", self.shown());
        let got = self
            .header("content-type")?
            .split(';')
            .next()
            .unwrap_or_default();
        ensure!(got == content_type, "expected {content_type}, got {got}");
        Ok(&self.body)
    }

    /// An error of that status and name, with some message.
    pub(crate) fn refused(&self, status: u16, error: &str) -> Result<()> {
        let body: Value = serde_json::from_slice(&self.body).unwrap_or(Value::Null);
        if self.status != status || body["error"] != error || !body["message"].is_string() {
            bail!("expected {status} {error}, got {}", self.shown());
        }
        Ok(())
    }

    /// A header as text.
    pub(crate) fn header(&self, name: &str) -> Result<&str> {
        let value = self
            .headers
            .get(name)
            .with_context(|| format!("no {name} header"))?;
        Ok(value.to_str()?)
    }

    fn shown(&self) -> String {
        let text: String = String::from_utf8_lossy(&self.body)
            .chars()
            .take(300)
            .collect();
        format!("{} {text}", self.status)
    }
}

/// Fails unless two values are equal, and shows both.
macro_rules! same {
    ($got:expr, $expected:expr, $($what:tt)+) => {
        // A match keeps temporaries alive for as long as both are looked at.
        match (&$got, &$expected) {
            (got, expected) => anyhow::ensure!(
                got == expected,
                "{}: expected {expected:?}, got {got:?}",
                format!($($what)+)
            ),
        }
    };
}

pub(crate) use same;

/// A string in an answer.
pub(crate) fn text<'a>(value: &'a Value, field: &str) -> Result<&'a str> {
    value[field]
        .as_str()
        .with_context(|| format!("no {field} in {value}"))
}

/// The names of an object's fields, sorted.
pub(crate) fn fields(value: &Value) -> Vec<&str> {
    let mut names: Vec<&str> = value
        .as_object()
        .into_iter()
        .flatten()
        .map(|(k, _)| k.as_str())
        .collect();
    names.sort_unstable();
    names
}
