//! A recorded or hand-made network: frames as they are, and the DID documents that go with them.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use atcomms_lexicon::Did;
use atcomms_repo::frame::peek;
use axum::Router;
use axum::extract::{Path as Segment, Query, Request, State};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::faults::{Faults, meet};
use crate::firehose::{EventLog, Stream, StreamLimits, subscribe};
use crate::net::{Listener, Server, Tasks};
use crate::plc::{document_response, not_registered};
use crate::xrpc::{Reply, XrpcError};
use crate::{Recording, StartError};

/// A network that only plays back: it serves given frames as `com.atproto.sync.subscribeRepos`, broken ones
/// too, and given DID documents as a PLC directory and as `com.atproto.identity.resolveHandle`.
///
/// A subscriber with a cursor gets the frames with a higher `seq`, and those without one that come after;
/// one without a cursor gets only what is pushed later. Dropping it closes everything.
///
/// ```
/// use std::collections::HashMap;
/// use atcomms_devnet::Replay;
///
/// # tokio::runtime::Runtime::new()?.block_on(async {
/// let replay = Replay::start(vec![b"not a frame".to_vec().into()], HashMap::new()).await?;
/// println!("watch {}, with {} as its PLC", replay.ws_url(), replay.plc_url());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Replay {
    stream: Arc<Stream>,
    server: Server,
    url: String,
    ws_url: String,
}

/// How a replay's DID documents give the address of the PDS.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum PdsUrl {
    /// As in the document: where the network was when it was recorded.
    #[default]
    AsRecorded,
    /// The replay's own address. It has no repositories, but it answers `resolveHandle`.
    Replay,
}

/// Options of a [`Replay`].
#[derive(Debug, Default)]
#[must_use]
pub struct ReplayBuilder {
    frames: Vec<Bytes>,
    documents: HashMap<Did, Value>,
    pds_url: PdsUrl,
    port: u16,
}

impl ReplayBuilder {
    /// Adds frames.
    pub fn frames(mut self, frames: impl IntoIterator<Item = Bytes>) -> Self {
        self.frames.extend(frames);
        self
    }

    /// Adds DID documents.
    pub fn documents(mut self, documents: impl IntoIterator<Item = (Did, Value)>) -> Self {
        self.documents.extend(documents);
        self
    }

    /// Adds a recording's frames and documents.
    pub fn recording(self, recording: Recording) -> Self {
        self.frames(recording.frames).documents(recording.documents)
    }

    /// How the documents give the address of the PDS.
    pub fn pds_url(mut self, pds_url: PdsUrl) -> Self {
        self.pds_url = pds_url;
        self
    }

    /// The port on 127.0.0.1; 0, the default, takes a free one.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Starts it. Cancel safe: a start that is dropped leaves nothing behind.
    ///
    /// # Errors
    /// [`StartError`] if the port cannot be bound.
    pub async fn start(self) -> Result<Replay, StartError> {
        let listener = Listener::bind(self.port).await?;
        let url = listener.url();
        let mut documents: HashMap<String, Value> = self
            .documents
            .into_iter()
            .map(|(did, document)| (did.to_string(), document))
            .collect();
        if self.pds_url == PdsUrl::Replay {
            for document in documents.values_mut() {
                move_pds(document, &url);
            }
        }
        let now = SystemTime::now();
        let frames = self
            .frames
            .into_iter()
            .map(|frame| (seq(&frame), now, frame))
            .collect();
        let (stop, stopped) = watch::channel(false);
        let tasks = Tasks::default();
        let faults = Arc::new(Faults::new());
        let stream = Arc::new(Stream {
            log: Arc::new(EventLog::new(frames, None, Some(faults.clone()))),
            limits: LIMITS,
            faults,
            tasks: tasks.clone(),
            stop: stopped,
        });
        let router = router(stream.clone(), documents);
        let server = Server::spawn(listener, router, tasks, stop);
        let ws_url = url.replacen("http", "ws", 1);
        Ok(Replay {
            stream,
            server,
            url,
            ws_url,
        })
    }
}

impl Replay {
    /// Starts a replay on a free port. Cancel safe: a start that is dropped leaves nothing behind.
    ///
    /// # Errors
    /// [`StartError`] if no port can be bound.
    pub async fn start(
        frames: Vec<Bytes>,
        documents: HashMap<Did, Value>,
    ) -> Result<Self, StartError> {
        Self::builder()
            .frames(frames)
            .documents(documents)
            .start()
            .await
    }

    /// Starts a replay of a recording. Cancel safe: a start that is dropped leaves nothing behind.
    ///
    /// # Errors
    /// [`StartError`] if the recording cannot be read or no port can be bound.
    pub async fn from_recording(folder: impl AsRef<Path>) -> Result<Self, StartError> {
        let recording = Recording::read(folder)?;
        Self::builder().recording(recording).start().await
    }

    /// A replay with options.
    pub fn builder() -> ReplayBuilder {
        ReplayBuilder::default()
    }

    /// The address of the stream, `ws://localhost:PORT`.
    pub fn ws_url(&self) -> &str {
        &self.ws_url
    }

    /// The address of the DID documents, `http://localhost:PORT`.
    pub fn plc_url(&self) -> &str {
        &self.url
    }

    /// Adds a frame, for subscribers that are there and for later ones.
    pub fn push(&self, frame: impl Into<Bytes>) {
        let frame = frame.into();
        self.stream.log.push(seq(&frame), SystemTime::now(), frame);
    }

    /// Faults of the stream and of `resolveHandle`.
    pub fn faults(&self) -> &Faults {
        &self.stream.faults
    }

    /// Lets every subscriber get what there is, then closes. Not cancel safe: dropped halfway, it closes at
    /// once.
    pub async fn shutdown(self) {
        self.server.shutdown().await;
    }
}

struct Served {
    stream: Arc<Stream>,
    documents: HashMap<String, Value>,
}

fn router(stream: Arc<Stream>, documents: HashMap<String, Value>) -> Router {
    Router::new()
        .route("/xrpc/com.atproto.sync.subscribeRepos", get(frames))
        .route(
            "/xrpc/com.atproto.identity.resolveHandle",
            get(resolve_handle),
        )
        .route_layer(from_fn_with_state(stream.faults.clone(), meet))
        .route("/{did}", get(document))
        .with_state(Arc::new(Served { stream, documents }))
}

async fn frames(State(served): State<Arc<Served>>, request: Request) -> Response {
    subscribe(&served.stream, request)
}

async fn document(State(served): State<Arc<Served>>, Segment(did): Segment<String>) -> Response {
    match served.documents.get(&did) {
        Some(document) => document_response(document),
        None => not_registered(&did),
    }
}

async fn resolve_handle(
    State(served): State<Arc<Served>>,
    Query(params): Query<HashMap<String, String>>,
) -> Response {
    let name = format!("at://{}", params.get("handle").map_or("", String::as_str));
    let found = served.documents.iter().find(|(_, document)| {
        document["alsoKnownAs"]
            .as_array()
            .is_some_and(|names| names.iter().any(|known| *known == *name))
    });
    match found {
        Some((did, _)) => Reply::json(&json!({ "did": did })).into_response(),
        None => XrpcError::named("HandleNotFound", "Unable to resolve handle").into_response(),
    }
}

/// The number of a frame that can be read.
fn seq(frame: &[u8]) -> Option<i64> {
    peek(frame).ok()?.seq()
}

fn move_pds(document: &mut Value, url: &str) {
    let services = document.get_mut("service").and_then(Value::as_array_mut);
    for service in services.into_iter().flatten() {
        if service["type"] == "AtprotoPersonalDataServer" {
            service["serviceEndpoint"] = url.into();
        }
    }
}

/// A replay forgets nothing, and bears any reader: what it plays is all there from the start.
const LIMITS: StreamLimits = StreamLimits {
    backfill: Duration::MAX,
    lag: usize::MAX,
};
