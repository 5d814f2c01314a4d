//! The PDS: a login that works, and whatever else a test mounts.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use atcomms_lexicon::{AtUri, Did, Map, Message, RecordKey, Tid, Value, cid_for_cbor};
use atcomms_publish::{
    Accepted, Pending, Progress, Publisher, SavedSession, Session, SessionBuilder, SessionStore,
    SessionStoreError,
};
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value as Json, json};
use tokio::sync::Notify;
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
pub(crate) const APPLY: &str = "com.atproto.repo.applyWrites";
pub(crate) const LIST: &str = "com.atproto.repo.listRecords";
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
        self.first_few(1, mock, answer).await;
    }

    /// The same for the first so many.
    pub(crate) async fn first_few(
        &self,
        how_many: u64,
        mock: MockBuilder,
        answer: impl Respond + 'static,
    ) {
        mock.respond_with(answer)
            .up_to_n_times(how_many)
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

    /// Answers putRecord and applyWrites as a PDS does that commits.
    pub(crate) async fn commits(&self) {
        self.answers(self.post(PUT), committed).await;
        self.answers(self.post(APPLY), applied).await;
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

/// Answers in an odd way until it is mended.
#[derive(Clone, Default)]
pub(crate) struct Broken(Arc<AtomicBool>);

impl Broken {
    pub(crate) fn mend(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Answers `odd` first and `good` after it was mended.
    pub(crate) fn answer(
        &self,
        odd: impl Respond + 'static,
        good: impl Respond + 'static,
    ) -> impl Respond + 'static {
        let mended = self.0.clone();
        move |request: &Request| match mended.load(Ordering::SeqCst) {
            true => good.respond(request),
            false => odd.respond(request),
        }
    }
}

/// Holds an answer back until it is opened.
#[derive(Clone, Default)]
pub(crate) struct Gate {
    open: Arc<(Mutex<bool>, Condvar)>,
    arrived: Arc<Notify>,
}

impl Gate {
    /// Waits until a request has come to it.
    pub(crate) async fn arrived(&self) {
        let arrived = tokio::time::timeout(Duration::from_secs(20), self.arrived.notified());
        arrived.await.expect("no request came");
    }

    pub(crate) fn open(&self) {
        let (open, opened) = &*self.open;
        *open.lock().unwrap() = true;
        opened.notify_all();
    }

    /// The server does nothing else meanwhile: it is about requests that come one after the other.
    pub(crate) fn before(&self, answer: impl Respond + 'static) -> impl Respond + 'static {
        let gate = self.clone();
        move |request: &Request| {
            gate.arrived.notify_one();
            let (open, opened) = &*gate.open;
            let closed = open.lock().unwrap();
            let patience = Duration::from_secs(20);
            let waited = opened.wait_timeout_while(closed, patience, |open| !*open);
            assert!(!waited.unwrap().1.timed_out(), "nobody opened the gate");
            answer.respond(request)
        }
    }
}

/// Waits until what was accepted is shown to wait in such a way; an outcome is a failure of the test.
pub(crate) async fn waits<T>(accepted: &mut Accepted<T>, so: impl Fn(&Pending) -> bool) -> Pending {
    let waiting = async {
        loop {
            match accepted.progress() {
                Progress::Pending(pending) if so(&pending) => return pending,
                Progress::Pending(_) => drop(accepted.changed().await),
                over => panic!("{} does not wait any more: {over:?}", accepted.uri()),
            }
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(20), waiting).await;
    waited.unwrap_or_else(|_| panic!("{:?}", accepted.progress()))
}

/// Waits until it is shown why it waits.
pub(crate) async fn waits_because<T>(accepted: &mut Accepted<T>, reason: &str) -> Pending {
    let because = |pending: &Pending| {
        let why = pending.reason.as_deref();
        why.is_some_and(|why| why.contains(reason))
    };
    waits(accepted, because).await
}

/// Waits for its outcome, also where somebody has to do something first.
pub(crate) async fn waits_no_more<T>(accepted: &mut Accepted<T>) {
    while let Progress::Pending(_) = accepted.progress() {
        accepted.changed().await.unwrap();
    }
}

/// For tests that let time pass, which is everybody's.
pub(crate) async fn one_by_one(all: impl Iterator<Item = impl Future<Output = ()>>) {
    for one in all {
        one.await;
    }
}

/// Lets the pauses be over of whoever waits for the clock.
pub(crate) async fn pass_time(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
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

/// What applyWrites answers when it has done what it was sent.
pub(crate) fn applied(request: &Request) -> ResponseTemplate {
    let results: Vec<Json> = batch(request).iter().map(result).collect();
    ok(
        json!({"commit": {"cid": cid_for_cbor(b"commit").to_string(), "rev": REV}, "results": results}),
    )
}

/// What applyWrites answers to one of its writes.
pub(crate) fn result(write: &Json) -> Json {
    let kind = write["$type"].as_str().unwrap();
    match kind.strip_prefix("com.atproto.repo.applyWrites#") {
        Some("create") => {
            let record = Value::from_json(write["value"].clone()).unwrap();
            json!({
                "$type": format!("{kind}Result"),
                "uri": format!("at://{ALICE}/{}/{}", write["collection"].as_str().unwrap(), write["rkey"].as_str().unwrap()),
                "cid": cid_for_cbor(&record.to_cbor()).to_string(),
            })
        }
        Some("delete") => json!({"$type": format!("{kind}Result")}),
        _ => panic!("{write}"),
    }
}

/// The writes of an applyWrites.
pub(crate) fn batch(request: &Request) -> Vec<Json> {
    let body: Json = request.body_json().unwrap();
    body["writes"].as_array().unwrap().clone()
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
    fn load(&self) -> Result<Option<SavedSession>, SessionStoreError> {
        Ok(self.saved.lock().unwrap().clone())
    }

    fn save(&self, session: &SavedSession) -> Result<(), SessionStoreError> {
        if self.broken.load(Ordering::SeqCst) {
            return Err(SessionStoreError::new("the disk is full: make room"));
        }
        self.saves.fetch_add(1, Ordering::SeqCst);
        *self.saved.lock().unwrap() = Some(session.clone());
        Ok(())
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
