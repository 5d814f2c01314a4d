//! The PDS: a login that works, and whatever else a test mounts.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use atcomms_lexicon::{AtUri, Did, Map, Message, RecordKey, Tid, Value, cid_for_cbor};
use atcomms_publish::{Publisher, SavedSession, Session, SessionBuilder, SessionStore, StoreError};
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use url::Url;
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockBuilder, MockServer, Request, Respond, ResponseTemplate};

pub(crate) const ALICE: &str = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";
pub(crate) const BOB: &str = "did:plc:44ybard66vv44zksje25o7dz";
pub(crate) const PASSWORD: &str = "hunter2-hunter2";
pub(crate) const REV: &str = "3n2yiron5vc23";

pub(crate) const CREATE_SESSION: &str = "com.atproto.server.createSession";
pub(crate) const REFRESH: &str = "com.atproto.server.refreshSession";
pub(crate) const PUT: &str = "com.atproto.repo.putRecord";
pub(crate) const GET: &str = "com.atproto.repo.getRecord";
pub(crate) const DELETE: &str = "com.atproto.repo.deleteRecord";
pub(crate) const UPLOAD: &str = "com.atproto.repo.uploadBlob";
pub(crate) const GET_BLOB: &str = "com.atproto.sync.getBlob";

/// A scripted PDS with Alice's account.
pub(crate) struct Pds {
    pub(crate) server: MockServer,
}

impl Pds {
    pub(crate) async fn start() -> Self {
        let server = MockServer::start().await;
        let pds = Self { server };
        let tokens = ok(tokens_for(ALICE, "first", 7200));
        pds.post(CREATE_SESSION)
            .respond_with(tokens)
            .with_priority(200)
            .mount(&pds.server)
            .await;
        pds
    }

    pub(crate) fn url(&self) -> Url {
        self.server.uri().parse().unwrap()
    }

    /// A method that does something, to be given its answer and mounted.
    pub(crate) fn post(&self, name: &str) -> MockBuilder {
        Mock::given(method("POST")).and(path(format!("/xrpc/{name}")))
    }

    /// A method that reads, to be given its answer and mounted.
    pub(crate) fn get(&self, name: &str) -> MockBuilder {
        Mock::given(method("GET")).and(path(format!("/xrpc/{name}")))
    }

    pub(crate) async fn answers(&self, mock: MockBuilder, answer: impl Respond + 'static) {
        mock.respond_with(answer).mount(&self.server).await;
    }

    /// Answers the first request to this so, and later ones as was or is mounted otherwise.
    pub(crate) async fn first(&self, mock: MockBuilder, answer: impl Respond + 'static) {
        mock.respond_with(answer)
            .up_to_n_times(1)
            .with_priority(1)
            .mount(&self.server)
            .await;
    }

    /// The first request is read, and the connection closed without an answer.
    pub(crate) async fn loses_first_answer(&self, mock: MockBuilder) {
        let lost = |_: &Request| std::io::Error::other("answer lost");
        mock.respond_with_err(lost)
            .up_to_n_times(1)
            .with_priority(1)
            .mount(&self.server)
            .await;
    }

    /// Answers putRecord as a PDS does that commits.
    pub(crate) async fn commits(&self) {
        self.answers(self.post(PUT), committed).await;
    }

    pub(crate) async fn requests(&self, name: &str) -> Vec<Request> {
        let all = self.server.received_requests().await.unwrap();
        all.into_iter()
            .filter(|request| request.url.path() == format!("/xrpc/{name}"))
            .collect()
    }

    pub(crate) async fn count(&self, name: &str) -> usize {
        self.requests(name).await.len()
    }

    /// How many requests came, apart from the login.
    pub(crate) async fn count_all(&self) -> usize {
        let all = self.server.received_requests().await.unwrap();
        all.iter()
            .filter(|request| !request.url.path().ends_with(CREATE_SESSION))
            .count()
    }

    pub(crate) async fn session(&self) -> Session {
        Session::login(self.url(), ALICE, PASSWORD.into())
            .await
            .unwrap()
    }

    pub(crate) async fn publisher(&self) -> Publisher {
        Publisher::temporary(self.session().await).unwrap()
    }

    /// A publisher that waits at most that long for an answer.
    pub(crate) async fn impatient(&self, timeout: Duration) -> Publisher {
        let builder = SessionBuilder::default().timeout(timeout);
        Publisher::temporary(
            builder
                .login(self.url(), ALICE, PASSWORD.into())
                .await
                .unwrap(),
        )
        .unwrap()
    }
}

pub(crate) fn ok(body: impl serde::Serialize) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(body)
}

pub(crate) fn error(status: u16, name: &str, message: &str) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_json(json!({"error": name, "message": message}))
}

/// A token as a PDS makes it; nobody here checks the signature.
pub(crate) fn jwt(name: &str, life: u64) -> String {
    let iat = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let claims = json!({"jti": name, "iat": iat, "exp": iat + life});
    format!(
        "e30.{}.{name}",
        BASE64URL_NOPAD.encode(claims.to_string().as_bytes())
    )
}

/// The answer to createSession or refreshSession.
pub(crate) fn tokens_for(did: &str, name: &str, life: u64) -> Json {
    json!({
        "accessJwt": jwt(&format!("access-{name}"), life),
        "refreshJwt": jwt(&format!("refresh-{name}"), 90 * 24 * 3600),
        "did": did, "handle": "alice.test", "active": true,
    })
}

/// What putRecord answers when it has written what it was sent.
pub(crate) fn committed(request: &Request) -> ResponseTemplate {
    let (uri, cid) = sent(request);
    ok(json!({
        "uri": uri, "cid": cid, "commit": {"cid": cid, "rev": REV}, "validationStatus": "unknown",
    }))
}

/// Where a putRecord writes, and the CID of what it writes, worked out from the bytes on the wire.
pub(crate) fn sent(request: &Request) -> (String, String) {
    let body: Json = request.body_json().unwrap();
    let text = |field: &str| body[field].as_str().unwrap().to_owned();
    let record = Value::from_json(body["record"].clone()).unwrap();
    let cid = cid_for_cbor(&record.to_cbor());
    (
        format!(
            "at://{}/{}/{}",
            text("repo"),
            text("collection"),
            text("rkey")
        ),
        cid.to_string(),
    )
}

/// What getRecord answers for a record of that CID.
pub(crate) fn found(uri: &str, cid: &str) -> ResponseTemplate {
    ok(json!({"uri": uri, "cid": cid, "value": {"$type": "agent.comms.message"}}))
}

pub(crate) fn not_found() -> ResponseTemplate {
    error(400, "RecordNotFound", "Could not locate record")
}

/// Remembers what was put, and answers getRecord with it.
#[derive(Clone, Default)]
pub(crate) struct Remembered(Arc<Mutex<Option<(String, String)>>>);

impl Remembered {
    pub(crate) fn put(&self, request: &Request) {
        *self.0.lock().unwrap() = Some(sent(request));
    }

    pub(crate) fn get(&self) -> impl Respond + 'static + use<> {
        let this = self.clone();
        move |_: &Request| match &*this.0.lock().unwrap() {
            Some((uri, cid)) => found(uri, cid),
            None => not_found(),
        }
    }
}

pub(crate) fn message(text: &str) -> Message {
    let (alice, bob): (Did, Did) = (ALICE.parse().unwrap(), BOB.parse().unwrap());
    let mut message = Message::new(alice, bob, text);
    // The same bytes in every run.
    message.created_at = "2026-01-02T03:04:05.678Z".parse().unwrap();
    message
}

pub(crate) fn tid_key() -> RecordKey {
    Tid::from_parts(1_767_323_045_678_000, 7)
        .to_string()
        .parse()
        .unwrap()
}

pub(crate) fn message_uri(key: &RecordKey) -> AtUri {
    format!("at://{ALICE}/agent.comms.message/{key}")
        .parse()
        .unwrap()
}

pub(crate) fn json_map(json: Json) -> Map {
    Value::from_json(json).unwrap().into_map().unwrap()
}

/// A store that a test can look into and break.
#[derive(Debug, Default)]
pub(crate) struct TestStore {
    pub(crate) saved: Mutex<Option<SavedSession>>,
    pub(crate) saves: AtomicUsize,
    pub(crate) broken: std::sync::atomic::AtomicBool,
}

impl SessionStore for TestStore {
    fn load(&self) -> Result<Option<SavedSession>, StoreError> {
        Ok(self.saved.lock().unwrap().clone())
    }

    fn save(&self, session: &SavedSession) -> Result<(), StoreError> {
        if self.broken.load(Ordering::SeqCst) {
            return Err(StoreError::new("the disk is full: make room"));
        }
        self.saves.fetch_add(1, Ordering::SeqCst);
        *self.saved.lock().unwrap() = Some(session.clone());
        Ok(())
    }
}

/// A server that speaks bytes, for what an HTTP library would not send.
pub(crate) struct Raw {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Raw {
    /// Serves each connection with `serve`, which gets it after the request's head was read.
    pub(crate) async fn start<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = std::io::Result<()>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            let mut serving = tokio::task::JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = Vec::new();
                while !head.windows(4).any(|end| end == b"\r\n\r\n") {
                    match stream.read_u8().await {
                        Ok(byte) => head.push(byte),
                        Err(_) => break,
                    }
                }
                serving.spawn(serve(stream));
            }
        });
        Self { address, task }
    }

    pub(crate) fn url(&self) -> Url {
        format!("http://{}", self.address).parse().unwrap()
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Sends `chunk` for ever, or until nobody reads any more.
pub(crate) async fn for_ever(
    mut stream: TcpStream,
    head: &str,
    chunk: &[u8],
) -> std::io::Result<()> {
    stream.write_all(head.as_bytes()).await?;
    loop {
        stream.write_all(chunk).await?;
    }
}

/// The whole of an error as a user or a log could see it.
pub(crate) fn shown(error: &(impl std::error::Error + 'static)) -> String {
    let mut text = format!("{error} {error:?} {error:#?}");
    let mut cause = std::error::Error::source(error);
    while let Some(below) = cause {
        text.push_str(&format!(" {below} {below:?}"));
        cause = below.source();
    }
    text
}

/// Asserts that no secret of the session or the login is in a text.
pub(crate) fn assert_no_secrets(text: &str) {
    for secret in [PASSWORD, "access-", "refresh-", "e30."] {
        assert!(!text.contains(secret), "{secret:?} is shown in {text}");
    }
}
