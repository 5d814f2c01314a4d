//! A client that shares nothing with the devnet: reqwest, tokio-tungstenite, and atcomms-repo to verify.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use atcomms_devnet::{Account, Devnet};
use atcomms_lexicon::Did;
use atcomms_repo::VerifyingKey;
use atcomms_repo::frame::{Frame, decode};
use atcomms_repo::verify::{Limits, VerifiedCommit, verify_commit};
use bytes::Bytes;
use futures::StreamExt;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// The collection of most records here.
pub(crate) const NOTE: &str = "com.example.note";

/// Longest wait for what must come: a loaded machine is slow, a broken devnet is silent.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// What an XRPC method answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl Answer {
    /// The body of a success.
    #[track_caller]
    pub(crate) fn ok(self) -> Value {
        assert_eq!(self.status, 200, "{}", self.body);
        self.body
    }

    /// Status and error name of a failure.
    pub(crate) fn error(&self) -> (u16, &str) {
        (
            self.status,
            self.body["error"].as_str().unwrap_or("no error name"),
        )
    }
}

/// XRPC calls to one server.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) http: reqwest::Client,
    pub(crate) url: String,
    pub(crate) token: Option<String>,
}

impl Client {
    pub(crate) fn new(url: &str) -> Self {
        let http = reqwest::Client::builder()
            .use_preconfigured_tls(tls())
            .no_proxy();
        Self {
            http: http.build().unwrap(),
            url: url.to_owned(),
            token: None,
        }
    }

    /// A client that is logged in.
    pub(crate) async fn log_in(account: &Account) -> Self {
        let mut client = Self::new(&account.pds);
        let session = client
            .post(
                "server.createSession",
                json!({ "identifier": account.handle, "password": account.password }),
            )
            .await
            .ok();
        client.token = session["accessJwt"].as_str().map(str::to_owned);
        client
    }

    pub(crate) fn with_token(&self, token: &Value) -> Self {
        Self {
            token: token.as_str().map(str::to_owned),
            ..self.clone()
        }
    }

    pub(crate) async fn get(&self, method: &str, query: &[(&str, &str)]) -> Answer {
        answer(self.request(reqwest::Method::GET, method).query(query)).await
    }

    pub(crate) async fn get_bytes(&self, method: &str, query: &[(&str, &str)]) -> Vec<u8> {
        let request = self.request(reqwest::Method::GET, method).query(query);
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200, "{method} {query:?}");
        response.bytes().await.unwrap().to_vec()
    }

    pub(crate) async fn post(&self, method: &str, body: Value) -> Answer {
        answer(self.request(reqwest::Method::POST, method).json(&body)).await
    }

    pub(crate) async fn post_nothing(&self, method: &str) -> Answer {
        answer(self.request(reqwest::Method::POST, method)).await
    }

    pub(crate) async fn upload(&self, mime_type: &str, bytes: impl Into<reqwest::Body>) -> Answer {
        let request = self.request(reqwest::Method::POST, "repo.uploadBlob");
        answer(request.header("content-type", mime_type).body(bytes)).await
    }

    /// Writes a note at a key, and gives what the server says of it.
    pub(crate) async fn put(&self, did: &Did, rkey: &str, text: &str) -> Value {
        let record = json!({ "text": text });
        let body = json!({ "repo": did, "collection": NOTE, "rkey": rkey, "record": record });
        self.post("repo.putRecord", body).await.ok()
    }

    pub(crate) fn request(&self, verb: reqwest::Method, method: &str) -> reqwest::RequestBuilder {
        let request = self
            .http
            .request(verb, format!("{}/xrpc/com.atproto.{method}", self.url));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }
}

/// A TLS that is never used: everything here is on this machine.
pub(crate) fn tls() -> rustls::ClientConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth()
}

pub(crate) async fn answer(request: reqwest::RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let body = response.bytes().await.unwrap();
    Answer {
        status,
        body: serde_json::from_slice(&body).unwrap_or(Value::Null),
    }
}

/// A subscription to a stream.
pub(crate) struct Firehose(pub(crate) WebSocketStream<MaybeTlsStream<tokio::net::TcpStream>>);

impl Firehose {
    pub(crate) async fn open(ws_url: &str, cursor: Option<i64>) -> Self {
        let cursor = cursor.map_or(String::new(), |cursor| format!("?cursor={cursor}"));
        let url = format!("{ws_url}/xrpc/com.atproto.sync.subscribeRepos{cursor}");
        Self(connect_async(url).await.unwrap().0)
    }

    /// The next frame.
    pub(crate) async fn next(&mut self) -> Bytes {
        match self.message().await {
            Some(Message::Binary(frame)) => frame,
            other => panic!("not a frame: {other:?}"),
        }
    }

    /// The next frames.
    pub(crate) async fn take(&mut self, count: usize) -> Vec<Bytes> {
        let mut frames = Vec::new();
        while frames.len() < count {
            frames.push(self.next().await);
        }
        frames
    }

    /// The next message, or nothing at the end of the stream.
    pub(crate) async fn message(&mut self) -> Option<Message> {
        let next = tokio::time::timeout(PATIENCE, self.0.next());
        let next = next.await.expect("the stream is silent");
        next.and_then(Result::ok)
    }
}

pub(crate) fn seq(frame: &[u8]) -> i64 {
    decode(frame).unwrap().seq().unwrap()
}

pub(crate) fn seqs(frames: &[Bytes]) -> Vec<i64> {
    frames.iter().map(|frame| seq(frame)).collect()
}

/// `identity`, `commit`, …
pub(crate) fn kinds(frames: &[Bytes]) -> Vec<String> {
    let kind = |frame: &Bytes| format!("{:?}", decode(frame).unwrap().kind());
    frames.iter().map(kind).collect()
}

/// Verifies commits with the keys that the PLC directory gives.
pub(crate) struct Verifier {
    client: Client,
    keys: HashMap<String, VerifyingKey>,
}

impl Verifier {
    pub(crate) fn new(plc_url: &str) -> Self {
        Self {
            client: Client::new(plc_url),
            keys: HashMap::new(),
        }
    }

    /// Verifies a `#commit` frame in full.
    pub(crate) async fn verify(&mut self, frame: &[u8]) -> VerifiedCommit {
        let Frame::Commit(commit) = decode(frame).unwrap() else {
            panic!("not a commit");
        };
        let key = self.key(commit.repo).await;
        verify_commit(&commit, &key, now_micros(), &Limits::default()).unwrap()
    }

    pub(crate) async fn key(&mut self, did: &str) -> VerifyingKey {
        if let Some(key) = self.keys.get(did) {
            return key.clone();
        }
        let document = document(&self.client, did).await;
        let method = &document["verificationMethod"][0];
        let text = |name: &str| method[name].as_str().unwrap().to_owned();
        assert_eq!(text("id"), format!("{did}#atproto"));
        let key = VerifyingKey::from_multibase(&text("type"), &text("publicKeyMultibase")).unwrap();
        self.keys.insert(did.to_owned(), key.clone());
        key
    }
}

/// A DID document of a PLC directory.
pub(crate) async fn document(plc: &Client, did: &str) -> Value {
    answer(plc.http.get(format!("{}/{did}", plc.url)))
        .await
        .ok()
}

pub(crate) fn now_micros() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(now.as_micros()).unwrap()
}

/// A devnet with alice, logged in.
pub(crate) async fn alice() -> (Devnet, Account, Client) {
    let devnet = Devnet::builder().account("alice").start().await.unwrap();
    let alice = devnet.accounts().remove(0);
    let client = Client::log_in(&alice).await;
    (devnet, alice, client)
}
