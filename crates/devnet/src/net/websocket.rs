//! The server's side of a WebSocket handshake (RFC 6455, section 4.2) on a hyper connection.
//!
//! axum has one too, but it would bring a second copy of tokio-tungstenite into the build.

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::Response;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use crate::xrpc::XrpcError;

/// A WebSocket that a client opened.
pub(crate) type WebSocket = WebSocketStream<TokioIo<Upgraded>>;

/// An accepted handshake whose connection is not a WebSocket until the response is on its way.
pub(crate) struct Upgrade(OnUpgrade);

impl Upgrade {
    /// The WebSocket, which takes messages of so many bytes, or nothing if the client went away first.
    pub(crate) async fn websocket(self, max_message: usize) -> Option<WebSocket> {
        let upgraded = self.0.await.ok()?;
        let config = WebSocketConfig::default()
            .max_message_size(Some(max_message))
            .max_frame_size(Some(max_message));
        let socket = TokioIo::new(upgraded);
        Some(WebSocketStream::from_raw_socket(socket, Role::Server, Some(config)).await)
    }
}

/// Checks a request for a WebSocket handshake and answers it; `None` if it does not ask for one.
pub(crate) fn upgrade(request: &mut Request) -> Result<Option<(Response, Upgrade)>, XrpcError> {
    let headers = request.headers();
    if !has_token(headers, &header::UPGRADE, "websocket") {
        return Ok(None);
    }
    if headers
        .get(header::SEC_WEBSOCKET_VERSION)
        .is_none_or(|version| version != "13")
    {
        return Err(XrpcError::invalid("WebSocket version 13 is required"));
    }
    let Some(key) = headers.get(header::SEC_WEBSOCKET_KEY) else {
        return Err(XrpcError::invalid("Sec-WebSocket-Key is required"));
    };
    let response = Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "websocket")
        .header(
            header::SEC_WEBSOCKET_ACCEPT,
            derive_accept_key(key.as_bytes()),
        )
        .body(Body::empty())
        .map_err(XrpcError::internal)?;
    let upgrade = Upgrade(hyper::upgrade::on(request));
    Ok(Some((response, upgrade)))
}

fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    headers.get_all(name).iter().any(|value| {
        value.to_str().is_ok_and(|text| {
            text.split(',')
                .any(|part| part.trim().eq_ignore_ascii_case(token))
        })
    })
}
