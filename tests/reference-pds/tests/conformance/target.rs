//! What the checks run on: a PDS and its directory, by their addresses.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use atcomms_devnet::{Devnet, RateLimits};
use atcomms_reference_pds::{Options, ReferencePds, http_client};
use atcomms_repo::VerifyingKey;
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::account::Account;
use crate::answer::Answer;

/// How a target is set up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Setup {
    /// How long events are replayed.
    pub(crate) backfill: Option<Duration>,
    /// Whether requests are counted.
    pub(crate) rate_limits: bool,
}

/// A running PDS with its directory.
pub(crate) struct Target {
    pub(crate) name: &'static str,
    /// `http://localhost:PORT`
    pub(crate) pds: String,
    /// `ws://localhost:PORT`
    pub(crate) ws: String,
    /// `http://localhost:PORT`
    pub(crate) plc: String,
    pub(crate) http: reqwest::Client,
    server: Server,
    accounts: AtomicU32,
}

/// Keeps the servers alive.
enum Server {
    Reference(Box<ReferencePds>),
    Devnet(Devnet),
}

impl Target {
    pub(crate) async fn reference(setup: Setup) -> Self {
        let mut options = Options {
            rate_limits: setup.rate_limits,
            ..Options::default()
        };
        if let Some(window) = setup.backfill {
            let millis = u64::try_from(window.as_millis()).unwrap();
            options
                .settings
                .insert("repoBackfillLimitMs".into(), json!(millis));
        }
        let pds = ReferencePds::start(options).await.unwrap();
        let [http, ws, plc] = [pds.url(), pds.ws_url(), pds.plc_url()]
            .map(|url| url.as_str().trim_end_matches('/').to_owned());
        Self::new("reference", http, ws, plc, Server::Reference(Box::new(pds)))
    }

    pub(crate) async fn devnet(setup: Setup) -> Self {
        let mut builder = Devnet::builder();
        if let Some(window) = setup.backfill {
            builder = builder.backfill_window(window);
        }
        if setup.rate_limits {
            builder = builder.rate_limits(RateLimits::default());
        }
        let devnet = builder.start().await.unwrap();
        let pds = &devnet.pds()[0];
        let (http, ws) = (pds.url().to_owned(), pds.ws_url().to_owned());
        let plc = devnet.plc_url().to_owned();
        Self::new("devnet", http, ws, plc, Server::Devnet(devnet))
    }

    fn new(name: &'static str, pds: String, ws: String, plc: String, server: Server) -> Self {
        Self {
            name,
            pds,
            ws,
            plc,
            http: http_client(),
            server,
            accounts: AtomicU32::new(0),
        }
    }

    /// A name that no account has yet.
    pub(crate) fn new_name(&self) -> String {
        format!("agent-{}", self.accounts.fetch_add(1, Ordering::SeqCst))
    }

    /// A new account with a session.
    pub(crate) async fn account(&self) -> Result<Account> {
        Account::create(self, &self.new_name()).await
    }

    /// An access token of the account's that has expired: for the devnet, by a fault on the next
    /// request, wherefore nothing else may run on the target.
    pub(crate) fn expired_token(&self, account: &Account) -> String {
        match &self.server {
            Server::Reference(pds) => expired_token(pds.jwt_secret(), &account.did),
            Server::Devnet(devnet) => {
                devnet.pds()[0].faults().expire_tokens(1);
                account.access.clone()
            }
        }
    }

    /// A query.
    pub(crate) async fn get(&self, nsid: &str, params: &[(&str, &str)]) -> Result<Answer> {
        let url = format!("{}/xrpc/{nsid}", self.pds);
        Answer::of(self.http.get(url).query(params)).await
    }

    /// A query with a token.
    pub(crate) async fn get_with(&self, token: &str, nsid: &str) -> Result<Answer> {
        let url = format!("{}/xrpc/{nsid}", self.pds);
        Answer::of(self.http.get(url).bearer_auth(token)).await
    }

    /// A procedure, with a token if there is one.
    pub(crate) async fn post(
        &self,
        token: Option<&str>,
        nsid: &str,
        body: &Value,
    ) -> Result<Answer> {
        let mut request = self
            .http
            .post(format!("{}/xrpc/{nsid}", self.pds))
            .json(body);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        Answer::of(request).await
    }

    /// A procedure without a body.
    pub(crate) async fn post_empty(&self, token: Option<&str>, nsid: &str) -> Result<Answer> {
        let mut request = self.http.post(format!("{}/xrpc/{nsid}", self.pds));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        Answer::of(request).await
    }

    /// The document that the directory has for a DID.
    pub(crate) async fn document(&self, did: &str) -> Result<Value> {
        Answer::of(self.http.get(format!("{}/{did}", self.plc)))
            .await?
            .ok()
    }

    /// The key that signs an account's commits, by its document.
    pub(crate) async fn key(&self, did: &str) -> Result<VerifyingKey> {
        let document = self.document(did).await?;
        let method = &document["verificationMethod"][0];
        let kind = method["type"].as_str().context("no type of key")?;
        let multibase = method["publicKeyMultibase"].as_str().context("no key")?;
        Ok(VerifyingKey::from_multibase(kind, multibase)?)
    }
}

/// Microseconds since 1970, as verification takes them.
pub(crate) fn now_micros() -> u64 {
    u64::try_from(
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_micros(),
    )
    .unwrap()
}

fn expired_token(secret: &str, did: &str) -> String {
    let now = now_micros() / 1_000_000;
    let part = |json: Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let signed = format!(
        "{}.{}",
        part(json!({ "typ": "at+jwt", "alg": "HS256" })),
        part(json!({
            "scope": "com.atproto.access",
            "aud": "did:web:localhost",
            "sub": did,
            "iat": now - 7_200,
            "exp": now - 60,
        }))
    );
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let signature = hmac::sign(&key, signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
}
