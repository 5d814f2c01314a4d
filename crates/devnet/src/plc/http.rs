//! The directory's HTTP: `GET /DID`, `/DID/data`, `/DID/log`, `/DID/log/last`, `/DID/log/audit`; `POST /DID`.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};

use super::{Directory, Plc};
use crate::Faults;
use crate::faults::meet_as;

/// The routes of a directory.
pub(crate) fn router(directory: Arc<Directory>, faults: Arc<Faults>) -> Router {
    Router::new()
        .route("/{did}", get(document).post(submit))
        .route("/{did}/data", get(data))
        .route("/{did}/log", get(log))
        .route("/{did}/log/last", get(last))
        .route("/{did}/log/audit", get(audit))
        .route_layer(from_fn_with_state(faults, meet_faults))
        .route("/_health", get(health))
        .with_state(directory)
}

async fn meet_faults(State(faults): State<Arc<Faults>>, request: Request, next: Next) -> Response {
    let method = if request.method() == Method::POST {
        Plc::SUBMIT
    } else {
        Plc::RESOLVE
    };
    meet_as(method, &faults, request, next).await
}

async fn health() -> Response {
    answer(StatusCode::OK, &json!({ "version": "local" }))
}

async fn document(State(directory): State<Arc<Directory>>, Path(did): Path<String>) -> Response {
    match directory.document(&did) {
        Some(document) => document_response(&document),
        None => absent(&directory, &did),
    }
}

async fn data(State(directory): State<Arc<Directory>>, Path(did): Path<String>) -> Response {
    let Some(operation) = directory.data(&did) else {
        return absent(&directory, &did);
    };
    let data = json!({
        "did": did,
        "verificationMethods": operation.verification_methods,
        "rotationKeys": operation.rotation_keys,
        "alsoKnownAs": operation.also_known_as,
        "services": operation.services,
    });
    answer(StatusCode::OK, &data)
}

async fn log(State(directory): State<Arc<Directory>>, Path(did): Path<String>) -> Response {
    found(directory.log(&did).map(Value::Array), &did)
}

async fn last(State(directory): State<Arc<Directory>>, Path(did): Path<String>) -> Response {
    found(directory.log(&did).and_then(|mut log| log.pop()), &did)
}

async fn audit(State(directory): State<Arc<Directory>>, Path(did): Path<String>) -> Response {
    found(directory.audit(&did).map(Value::Array), &did)
}

async fn submit(
    State(directory): State<Arc<Directory>>,
    Path(did): Path<String>,
    body: Bytes,
) -> Response {
    let submitted = serde_json::from_slice(&body)
        .map_err(|error| error.to_string())
        .and_then(|operation| {
            directory
                .submit(&did, operation)
                .map_err(|error| error.to_string())
        });
    match submitted {
        Ok(()) => (StatusCode::OK, "OK").into_response(),
        Err(message) => answer(StatusCode::BAD_REQUEST, &json!({ "message": message })),
    }
}

/// A document with the content type of DID documents.
pub(crate) fn document_response(document: &Value) -> Response {
    (
        [(header::CONTENT_TYPE, "application/did+ld+json")],
        document.to_string(),
    )
        .into_response()
}

/// 404 in the directory's words.
pub(crate) fn not_registered(did: &str) -> Response {
    let message = format!("DID not registered: {did}");
    answer(StatusCode::NOT_FOUND, &json!({ "message": message }))
}

fn absent(directory: &Directory, did: &str) -> Response {
    if directory.log(did).is_none() {
        return not_registered(did);
    }
    let message = format!("DID not available: {did}");
    answer(StatusCode::NOT_FOUND, &json!({ "message": message }))
}

fn found(value: Option<Value>, did: &str) -> Response {
    value.map_or_else(
        || not_registered(did),
        |value| answer(StatusCode::OK, &value),
    )
}

fn answer(status: StatusCode, body: &Value) -> Response {
    (
        status,
        [(header::CONTENT_TYPE, "application/json")],
        body.to_string(),
    )
        .into_response()
}
