//! A Jetstream's HTTP: `/subscribe`, and nothing else.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Query, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::options::Options;
use super::subscriber::Subscriber;
use crate::firehose::Stream;
use crate::net::upgrade;

/// The routes of a Jetstream.
pub(crate) fn router(stream: Arc<Stream>) -> Router {
    Router::new()
        .route("/subscribe", get(subscribe))
        .route("/", get(index))
        .with_state(stream)
}

async fn subscribe(State(stream): State<Arc<Stream>>, mut request: Request) -> Response {
    let subscriber = match read_query(&stream, &request) {
        Ok(subscriber) => subscriber,
        Err(why) => return (StatusCode::BAD_REQUEST, why).into_response(),
    };
    match upgrade(&mut request) {
        Ok(Some((response, upgrade))) => {
            stream.tasks.spawn(async move {
                if let Some(socket) = upgrade.websocket(MAX_CLIENT_MESSAGE).await {
                    subscriber.serve(socket).await;
                }
            });
            response
        }
        Ok(None) => {
            let why = "a WebSocket is served here, and the request does not ask for one";
            (StatusCode::BAD_REQUEST, why).into_response()
        }
        Err(error) => error.into_response(),
    }
}

fn read_query(stream: &Arc<Stream>, request: &Request) -> Result<Subscriber, String> {
    let pairs = Query::<Vec<(String, String)>>::try_from_uri(request.uri());
    let pairs = pairs.map_or_else(|_| Vec::new(), |Query(pairs)| pairs);
    let all = |name: &'static str| {
        let named = pairs.iter().filter(move |(key, _)| key == name);
        named.map(|(_, value)| value.as_str())
    };
    let one = |name| all(name).next().filter(|value| !value.is_empty());
    let encoding = request.headers().get("socket-encoding");
    let encoding = encoding.and_then(|value| value.to_str().ok());
    if one("compress") == Some("true") || encoding.is_some_and(|names| names.contains("zstd")) {
        return Err(
            "a devnet's Jetstream does not compress: leave out compress and Socket-Encoding"
                .to_owned(),
        );
    }
    let cursor = one("cursor")
        .map(|text| text.parse().map_err(|_| format!("invalid cursor: {text}")))
        .transpose()?;
    // What is not a number is no limit, as it is there.
    let max_bytes = one("maxMessageSizeBytes").and_then(|text| text.parse().ok());
    let options = Options::new(
        all("wantedCollections"),
        all("wantedDids"),
        max_bytes.unwrap_or(0),
    )?;
    let hello = one("requireHello") == Some("true");
    Ok(Subscriber::new(stream.clone(), options, cursor, hello))
}

async fn index() -> &'static str {
    "An atcomms devnet: a Jetstream for development, on this machine only.\n\nIts stream is at /subscribe\n"
}

/// Bytes of a subscriber's message, as there: ten thousand DIDs are in it with room to spare.
const MAX_CLIENT_MESSAGE: usize = 10_000_000;
