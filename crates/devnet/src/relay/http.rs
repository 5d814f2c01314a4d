//! A relay's HTTP: its stream, and the methods that it has.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::intake::Intake;
use super::methods;
use crate::faults::meet;
use crate::firehose::{SUBSCRIBE_REPOS, subscribe};
use crate::params::Params;

/// The routes of a relay.
pub(crate) fn router(intake: Arc<Intake>) -> Router {
    let faults = intake.stream.faults.clone();
    Router::new()
        .route("/xrpc/{method}", get(dispatch))
        .route_layer(from_fn_with_state(faults, meet))
        .route("/", get(index))
        .with_state(intake)
}

async fn dispatch(
    State(intake): State<Arc<Intake>>,
    Path(name): Path<String>,
    request: Request,
) -> Response {
    if name == SUBSCRIBE_REPOS {
        return subscribe(&intake.stream, request);
    }
    let params = Params::new(&name, request.uri());
    methods::answer(&intake, &name, &params).unwrap_or_else(IntoResponse::into_response)
}

async fn index() -> &'static str {
    "An atcomms devnet: an AT Protocol relay for development, on this machine only.\n\nIts stream is at /xrpc/com.atproto.sync.subscribeRepos\n"
}
