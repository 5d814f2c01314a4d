//! What a PDS's answer says: the JSON of a success, or an error with its name. What a proxy, a
//! login page or a broken server sends instead becomes an error in words.

use http::{Response, StatusCode, header};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::RateLimit;
use crate::error::XrpcError;
use crate::xrpc::Answer;

/// How much of a server's own words is shown, in characters: enough for a sentence or two.
const MAX_SHOWN: usize = 300;

/// The body of every XRPC error. Other fields are ignored.
#[derive(Deserialize)]
struct ErrorBody {
    error: Option<String>,
    message: Option<String>,
}

/// Reads an answer. `secrets` are what the request held and an error might repeat.
pub(crate) fn read<T: DeserializeOwned>(
    pds: &str,
    method: &str,
    response: Response<Vec<u8>>,
    secrets: &[Option<&str>],
) -> Result<Answer<T>, XrpcError> {
    let status = response.status();
    if !status.is_success() {
        return Err(refusal(pds, method, &response, secrets));
    }
    let (parts, body) = response.into_parts();
    match serde_json::from_slice(&body) {
        Ok(body) => Ok(Answer {
            body,
            headers: parts.headers,
        }),
        // The error's own text may quote the answer, and the answer may hold a token.
        Err(error) => {
            let what = match (body.is_empty(), error.is_data()) {
                (true, _) => "nothing".to_owned(),
                (false, true) => "JSON of another shape".to_owned(),
                (false, false) => page(&parts.headers),
            };
            Err(XrpcError::NotXrpc {
                pds: pds.to_owned(),
                method: method.to_owned(),
                found: what,
            })
        }
    }
}

/// What an answer that is no success means.
pub(crate) fn refusal(
    pds: &str,
    method: &str,
    response: &Response<Vec<u8>>,
    secrets: &[Option<&str>],
) -> XrpcError {
    let status = response.status();
    let headers = response.headers();
    let (pds, method) = (pds.to_owned(), method.to_owned());
    if status.is_redirection() {
        let to = headers
            .get(header::LOCATION)
            .and_then(|to| to.to_str().ok());
        let to = clean(to.unwrap_or("an unnamed place"), secrets);
        return XrpcError::Redirected { pds, method, to };
    }
    if status == StatusCode::TOO_MANY_REQUESTS {
        return XrpcError::RateLimited {
            pds,
            method,
            limit: RateLimit::from_headers(headers).map(Box::new),
        };
    }
    let body = serde_json::from_slice::<ErrorBody>(response.body()).ok();
    let known = body.is_some();
    let (name, message) = body.map_or((None, None), |body| (body.error, body.message));
    let name = clean(&name.unwrap_or_default(), secrets);
    let message = clean(&message.unwrap_or_default(), secrets);
    let number = status.as_u16();
    match () {
        // 501 says that the method does not exist: trying again changes nothing.
        () if status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED => {
            XrpcError::Unavailable {
                pds,
                method,
                status: number,
                name,
                message,
            }
        }
        () if known => XrpcError::Refused {
            pds,
            method,
            status: number,
            name,
            message,
        },
        // What stands before the PDS refuses by size in words of its own.
        () if status == StatusCode::PAYLOAD_TOO_LARGE => XrpcError::Refused {
            pds,
            method,
            status: number,
            name: "PayloadTooLarge".to_owned(),
            message,
        },
        () => {
            let found = format!("status {number} and {}", page(headers));
            XrpcError::NotXrpc { pds, method, found }
        }
    }
}

/// What kind of page stands where JSON should.
fn page(headers: &http::HeaderMap) -> String {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    match kind.map(|kind| kind.split(';').next().unwrap_or(kind).trim()) {
        Some("application/json") => "broken JSON".to_owned(),
        Some("text/html") => "an HTML page".to_owned(),
        Some(kind) => format!("a body of type {}", clean(kind, &[])),
        None => "a body without a type".to_owned(),
    }
}

/// A server's words made fit to be shown: without our secrets, without control characters (which
/// could rewrite a terminal), and short.
pub(crate) fn clean(text: &str, secrets: &[Option<&str>]) -> String {
    let mut text = text.to_owned();
    for secret in secrets.iter().flatten().filter(|secret| !secret.is_empty()) {
        text = text.replace(secret, "[secret]");
    }
    let mut shown: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(MAX_SHOWN)
        .collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, kind: &str, body: &str) -> Response<Vec<u8>> {
        Response::builder()
            .status(status)
            .header("content-type", kind)
            .body(body.as_bytes().to_vec())
            .unwrap()
    }

    fn error(status: u16, kind: &str, body: &str) -> XrpcError {
        match read::<serde_json::Map<String, serde_json::Value>>(
            "https://pds.example",
            "m",
            answer(status, kind, body),
            &[Some("hunter2"), None],
        ) {
            Ok(_) => panic!("{status} {body:?} must be an error"),
            Err(error) => error,
        }
    }

    #[test]
    fn each_kind_of_answer_has_its_error() {
        let refused = error(
            400,
            "application/json",
            r#"{"error":"InvalidSwap","message":"at x"}"#,
        );
        assert!(
            matches!(&refused, XrpcError::Refused { status: 400, name, .. } if name == "InvalidSwap")
        );
        let html = error(200, "text/html; charset=utf-8", "<html>");
        assert!(html.to_string().contains("an HTML page"), "{html}");
        assert!(
            error(404, "text/html", "<html>")
                .to_string()
                .contains("status 404")
        );
        assert!(
            error(200, "application/json", "")
                .to_string()
                .contains("with nothing")
        );
        assert!(
            error(200, "application/json", "{\"a\":")
                .to_string()
                .contains("broken JSON")
        );
        assert!(
            error(200, "application/json", "[]")
                .to_string()
                .contains("another shape")
        );
        assert!(matches!(
            error(502, "text/html", "<html>"),
            XrpcError::Unavailable { status: 502, .. }
        ));
        assert!(matches!(
            error(302, "text/html", ""),
            XrpcError::Redirected { .. }
        ));
        assert!(matches!(
            error(429, "text/html", ""),
            XrpcError::RateLimited { .. }
        ));
        let large = error(413, "text/html", "<html>");
        assert_eq!(large.name(), Some("PayloadTooLarge"), "a proxy's: {large}");
        let missing = error(
            501,
            "application/json",
            r#"{"error":"MethodNotImplemented"}"#,
        );
        assert!(
            !missing.is_transient(),
            "a method that is not there will not come back: {missing}"
        );
    }

    #[test]
    fn a_secret_that_the_server_repeats_is_not_shown() {
        let body = r#"{"error":"Bad hunter2","message":"no hunter2 here"}"#;
        let text = format!("{0} {0:?}", error(401, "application/json", body));
        assert!(
            !text.contains("hunter2") && text.contains("[secret]"),
            "{text}"
        );
    }

    #[test]
    fn a_servers_words_cannot_rewrite_the_terminal_or_fill_it() {
        let long = format!("\u{1b}[2J{}", "x".repeat(10_000));
        let shown = clean(&long, &[]);
        assert!(
            !shown.contains('\u{1b}') && shown.chars().count() <= MAX_SHOWN + 1,
            "{shown}"
        );
    }

    #[test]
    fn nesting_without_end_is_an_error() {
        let deep = "[".repeat(1_000_000);
        assert!(matches!(
            error(200, "application/json", &deep),
            XrpcError::NotXrpc { .. }
        ));
        assert!(matches!(
            error(400, "application/json", &deep),
            XrpcError::NotXrpc { .. }
        ));
    }
}
