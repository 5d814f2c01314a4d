//! The end of a connection in place of an answer, as when a server crashes.
//!
//! A handler can only answer, so it answers with a mark, and the connection's task does the rest.

use axum::body::Body;
use axum::response::Response;

/// A response that is never written: its connection is closed instead.
pub(crate) fn hang_up() -> Response {
    let mut response = Response::new(Body::empty());
    response.extensions_mut().insert(Mark);
    response
}

/// Whether a response stands for the end of its connection.
pub(super) fn is_hang_up(response: &Response) -> bool {
    response.extensions().get::<Mark>().is_some()
}

/// Why a connection ended without an answer.
#[derive(Debug, thiserror::Error)]
#[error("hung up without an answer, by a fault")]
pub(super) struct HungUp;

#[derive(Clone, Copy)]
struct Mark;
