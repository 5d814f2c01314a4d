//! A PDS's HTTP: XRPC methods, the stream, and the two pages beside them.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State as Shared};
use axum::http::{HeaderMap, Method as Verb, StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use serde_json::json;

use super::State;
use super::call::Call;
use super::methods::{self, Kind, Method};
use crate::faults::meet;
use crate::firehose::{SUBSCRIBE_REPOS, subscribe};
use crate::xrpc::{XrpcError, json_response};

/// The routes of a PDS.
pub(crate) fn router(pds: Arc<State>) -> Router {
    let faults = pds.stream.faults.clone();
    Router::new()
        .route("/xrpc/_health", get(health))
        .route("/xrpc/{method}", any(dispatch))
        .route_layer(from_fn_with_state(faults, meet))
        .route("/", get(index))
        .route("/.well-known/atproto-did", get(atproto_did))
        .with_state(pds)
}

async fn dispatch(
    Shared(pds): Shared<Arc<State>>,
    Path(name): Path<String>,
    request: Request,
) -> Response {
    if name == SUBSCRIBE_REPOS {
        return subscribe(&pds.stream, request);
    }
    let method = methods::find(&name);
    if let Err(error) = check_verb(&method, request.method()) {
        return error.into_response();
    }
    let (parts, body) = request.into_parts();
    let body = read_body(&method, &parts.headers, body, pds.limits.blob_bytes).await;
    let call = Call::new(&pds, &name, &parts, body);
    let mut response = match (method.run)(&call) {
        Ok(reply) => reply.into_response(),
        Err(error) => error.into_response(),
    };
    if let Some(status) = call.rate_limit() {
        status.write(response.headers_mut());
    }
    response
}

fn check_verb(method: &Method, verb: &Verb) -> Result<(), XrpcError> {
    let expected = match method.kind {
        Kind::Query => Verb::GET,
        Kind::Procedure | Kind::Upload => Verb::POST,
        Kind::Unknown => return Ok(()),
    };
    if *verb == expected || (*verb == Verb::HEAD && expected == Verb::GET) {
        return Ok(());
    }
    Err(XrpcError::invalid(format!(
        "Incorrect HTTP method ({verb}) expected {expected}"
    )))
}

/// Reads a body up to the limit of its kind. What is beyond it is read too, up to [`DRAINED`], and thrown
/// away: a client that is still sending would not see the answer.
async fn read_body(
    method: &Method,
    headers: &HeaderMap,
    body: Body,
    blob_limit: usize,
) -> Result<Bytes, XrpcError> {
    let limit = match method.kind {
        Kind::Query | Kind::Unknown => 0,
        Kind::Procedure => JSON_LIMIT,
        Kind::Upload => blob_limit,
    };
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse().ok())
        .unwrap_or(0);
    let mut stream = body.into_data_stream();
    let mut bytes = BytesMut::with_capacity(limit.min(announced));
    let mut read = 0;
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|error| XrpcError::invalid(error.to_string()))?;
        read += chunk.len();
        if read <= limit {
            bytes.extend_from_slice(&chunk);
        } else if read > DRAINED {
            break;
        }
    }
    match method.kind {
        _ if read <= limit => Ok(bytes.freeze()),
        Kind::Query | Kind::Unknown => Ok(Bytes::new()),
        Kind::Procedure => Err(XrpcError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "PayloadTooLargeError",
            "request entity too large",
        )),
        Kind::Upload => Err(XrpcError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "PayloadTooLarge",
            "request entity too large",
        )),
    }
}

async fn index() -> &'static str {
    "An atcomms devnet: an AT Protocol PDS for development, on this machine only.\n\nMost API routes are under /xrpc/\n"
}

async fn health() -> Response {
    json_response(
        StatusCode::OK,
        &json!({ "version": env!("CARGO_PKG_VERSION") }),
    )
}

async fn atproto_did(Shared(pds): Shared<Arc<State>>, headers: HeaderMap) -> Response {
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .map(|host| host.split(':').next().unwrap_or(host).to_ascii_lowercase());
    let account = host.and_then(|host| pds.registry().by_handle(&host));
    match account.filter(|account| account.is_active()) {
        Some(account) => account.did.to_string().into_response(),
        None => (StatusCode::NOT_FOUND, "User not found").into_response(),
    }
}

/// Bytes of a JSON input, of the reference PDS.
const JSON_LIMIT: usize = 1_000_000;

/// Bytes of a body over its limit that are still read before the connection is given up.
const DRAINED: usize = 64 * 1024 * 1024;
