//! What an XRPC method answers: a reply, or an error with the status, the name and the words of the
//! reference PDS, since clients branch on the first two and people read the third.

use axum::body::Body;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Serialize;
use serde_json::json;

/// An XRPC error: `{"error": NAME, "message": WORDS}` under an HTTP status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct XrpcError {
    pub(crate) status: StatusCode,
    pub(crate) error: &'static str,
    pub(crate) message: String,
}

impl XrpcError {
    /// 400 `InvalidRequest`.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::named("InvalidRequest", message)
    }

    /// 400 with a name of its own.
    pub(crate) fn named(error: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error, message)
    }

    /// 401 `AuthenticationRequired`.
    pub(crate) fn unauthorized(message: impl Into<String>) -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "AuthenticationRequired",
            message.into(),
        )
    }

    /// 401 `AuthMissing`: no token was sent.
    pub(crate) fn auth_missing() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "AuthMissing",
            "Authentication Required",
        )
    }

    /// 500; the reference PDS says nothing of the cause, so neither do we to the client.
    pub(crate) fn internal(cause: impl std::fmt::Display) -> Self {
        tracing::warn!(%cause, "answered 500 InternalServerError");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "InternalServerError",
            "Internal Server Error",
        )
    }

    pub(crate) fn new(status: StatusCode, error: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            error,
            message: message.into(),
        }
    }
}

impl IntoResponse for XrpcError {
    fn into_response(self) -> Response {
        let body = json!({ "error": self.error, "message": self.message });
        json_response(self.status, &body)
    }
}

/// What a method answers when it succeeds, always with status 200.
pub(crate) enum Reply {
    /// A JSON body, already serialised.
    Json(Vec<u8>),
    /// No body at all, as the reference PDS answers a procedure without output.
    Empty,
    /// An `application/vnd.ipld.car`.
    Car(Vec<u8>),
    /// A blob, with the headers that keep a browser from running it.
    Blob {
        mime_type: String,
        cid: String,
        bytes: Bytes,
    },
}

impl Reply {
    /// A JSON reply.
    pub(crate) fn json(body: &impl Serialize) -> Result<Self, XrpcError> {
        serde_json::to_vec(body)
            .map(Self::Json)
            .map_err(XrpcError::internal)
    }
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        match self {
            Self::Json(body) => ([(header::CONTENT_TYPE, JSON)], body).into_response(),
            Self::Empty => StatusCode::OK.into_response(),
            Self::Car(body) => {
                ([(header::CONTENT_TYPE, "application/vnd.ipld.car")], body).into_response()
            }
            Self::Blob {
                mime_type,
                cid,
                bytes,
            } => Response::builder()
                .header(header::CONTENT_TYPE, with_charset(mime_type))
                .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
                .header(
                    header::CONTENT_DISPOSITION,
                    format!("attachment; filename=\"{cid}\""),
                )
                .header(
                    header::CONTENT_SECURITY_POLICY,
                    "default-src 'none'; sandbox",
                )
                .body(Body::from(bytes))
                .unwrap_or_else(|error| XrpcError::internal(error).into_response()),
        }
    }
}

/// Text gets a character set, as the reference PDS's framework adds one.
fn with_charset(mime_type: String) -> String {
    if mime_type.starts_with("text/") {
        format!("{mime_type}; charset=utf-8")
    } else {
        mime_type
    }
}

/// A JSON response with the content type that the reference PDS writes.
pub(crate) fn json_response(status: StatusCode, body: &serde_json::Value) -> Response {
    (status, [(header::CONTENT_TYPE, JSON)], body.to_string()).into_response()
}

/// Content type of every JSON answer.
pub(crate) const JSON: &str = "application/json; charset=utf-8";
