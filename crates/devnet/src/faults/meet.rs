//! What a request that meets a fault is answered, if anything.

use std::sync::Arc;
use std::time::Duration;

use atcomms_lexicon::Did;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::{StreamExt, stream};

use super::{Fault, Faults};
use crate::net::hang_up;
use crate::rate_limit::{Limit, Status, exceeded};
use crate::session::{expired, unverified};
use crate::xrpc::XrpcError;

/// A layer over every XRPC method.
pub(crate) async fn meet(
    State(faults): State<Arc<Faults>>,
    request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path().to_owned();
    let method = path.strip_prefix("/xrpc/").unwrap_or_default();
    meet_as(method, &faults, request, next).await
}

/// Lets a request meet what is queued for a method.
pub(crate) async fn meet_as(
    method: &str,
    faults: &Faults,
    request: Request,
    next: Next,
) -> Response {
    let Some((fault, meeting)) = faults.take(method) else {
        return next.run(request).await;
    };
    match fault {
        Fault::AnswerLost => {
            next.run(request).await;
            meeting.fire();
            hang_up()
        }
        Fault::FailAfter(status) => {
            next.run(request).await;
            meeting.fire();
            failure(status)
        }
        Fault::Slow(time) => {
            let response = next.run(request).await;
            meeting.fire();
            tokio::time::sleep(time).await;
            response
        }
        Fault::EndlessBody => {
            let response = next.run(request).await;
            meeting.fire();
            endless(response)
        }
        Fault::OtherRepository(other) => {
            let changed = with_repository(request.uri(), &other);
            let mut request = request;
            let fires = changed.is_some();
            if let Some(changed) = changed {
                *request.uri_mut() = changed;
            }
            let response = next.run(request).await;
            if fires {
                meeting.fire();
            }
            response
        }
        fault => {
            let bytes = match fault {
                Fault::CutUpload { after } => after,
                _ => u64::MAX,
            };
            if read(request.into_body(), bytes).await.is_err() {
                // The client broke off before all of it was there: the fault waits for the next request.
                return hang_up();
            }
            meeting.fire();
            instead(&fault)
        }
    }
}

/// The answer in place of a method that is not carried out.
fn instead(fault: &Fault) -> Response {
    match fault {
        Fault::FailBefore(status) => failure(*status),
        Fault::RateLimited { retry_after } => rate_limited(*retry_after),
        Fault::Redirect(url) => redirect(url),
        Fault::ExpiredToken => expired().into_response(),
        Fault::RevokedToken => unverified().into_response(),
        _ => hang_up(),
    }
}

/// The answer, and after it zeros for as long as the client reads.
fn endless(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    let zeros = stream::repeat_with(|| Ok(Bytes::from_static(&ZEROS)));
    Response::from_parts(
        parts,
        Body::from_stream(body.into_data_stream().chain(zeros)),
    )
}

fn redirect(url: &str) -> Response {
    (StatusCode::FOUND, [(header::LOCATION, url.to_owned())]).into_response()
}

/// A query with another repository in its `did` or `repo`; `None` if it has neither.
fn with_repository(uri: &Uri, other: &Did) -> Option<Uri> {
    let mut named = false;
    let pairs: Vec<String> = uri
        .query()?
        .split('&')
        .map(|pair| match pair.split_once('=') {
            Some((name @ ("did" | "repo"), _)) => {
                named = true;
                format!("{name}={other}")
            }
            _ => pair.to_owned(),
        })
        .collect();
    let changed = format!("{}?{}", uri.path(), pairs.join("&"));
    changed.parse().ok().filter(|_| named)
}

/// Reads a body up to a number of bytes.
async fn read(body: Body, bytes: u64) -> Result<(), axum::Error> {
    let mut body = body.into_data_stream();
    let mut read = 0;
    while read < bytes
        && let Some(chunk) = body.next().await
    {
        read += chunk?.len() as u64;
    }
    Ok(())
}

/// A 5xx with the error name that the reference PDS gives to the status.
fn failure(status: u16) -> Response {
    let status = StatusCode::from_u16(status)
        .ok()
        .filter(StatusCode::is_server_error)
        .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let (error, message) = match status {
        StatusCode::NOT_IMPLEMENTED => ("MethodNotImplemented", "Method Not Implemented"),
        StatusCode::BAD_GATEWAY => ("UpstreamFailure", "Upstream Failure"),
        StatusCode::SERVICE_UNAVAILABLE => ("NotEnoughResources", "Not Enough Resources"),
        StatusCode::GATEWAY_TIMEOUT => ("UpstreamTimeout", "Upstream Timeout"),
        _ => ("InternalServerError", "Internal Server Error"),
    };
    XrpcError::new(status, error, message).into_response()
}

fn rate_limited(retry_after: Option<u64>) -> Response {
    let mut response = exceeded().into_response();
    if let Some(seconds) = retry_after {
        let status = Status {
            limit: SPENT,
            left: 0,
            resets_in: Duration::from_secs(seconds),
            refused: true,
        };
        status.write(response.headers_mut());
    }
    response
}

/// What an endless body is made of, a piece at a time.
static ZEROS: [u8; 16 * 1024] = [0; 16 * 1024];

/// The limit that an injected 429 speaks of: the one that a writer meets first.
const SPENT: Limit = Limit::new(5_000, Duration::from_secs(3_600));
