//! An account of a check's own, and writing to it.

use anyhow::Result;
use serde_json::{Value, json};

use crate::answer::{Answer, text};
use crate::target::Target;

/// The collection that checks write to.
pub(crate) const NOTE: &str = "com.example.note";

/// An account with its first session.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub(crate) handle: String,
    pub(crate) did: String,
    pub(crate) email: String,
    pub(crate) password: String,
    pub(crate) access: String,
    pub(crate) refresh: String,
}

/// A record with one field.
pub(crate) fn note(text: &str) -> Value {
    json!({ "$type": NOTE, "text": text })
}

impl Account {
    pub(crate) async fn create(target: &Target, name: &str) -> Result<Self> {
        let (handle, email) = (format!("{name}.test"), format!("{name}@example.com"));
        let password = format!("password of {name}");
        let body = json!({ "handle": handle, "email": email, "password": password });
        let made = target
            .post(None, "com.atproto.server.createAccount", &body)
            .await?
            .ok()?;
        Ok(Self {
            did: text(&made, "did")?.to_owned(),
            access: text(&made, "accessJwt")?.to_owned(),
            refresh: text(&made, "refreshJwt")?.to_owned(),
            handle,
            email,
            password,
        })
    }

    /// A write to `com.atproto.repo`, with the repository and NOTE filled in where they are absent.
    pub(crate) async fn write(
        &self,
        target: &Target,
        method: &str,
        mut body: Value,
    ) -> Result<Answer> {
        let fields = body.as_object_mut().unwrap();
        fields
            .entry("repo")
            .or_insert_with(|| self.did.clone().into());
        if method != "applyWrites" {
            fields.entry("collection").or_insert_with(|| NOTE.into());
        }
        target
            .post(
                Some(&self.access),
                &format!("com.atproto.repo.{method}"),
                &body,
            )
            .await
    }

    /// Creates or replaces a record.
    pub(crate) async fn put(&self, target: &Target, rkey: &str, record: Value) -> Result<Value> {
        self.write(
            target,
            "putRecord",
            json!({ "rkey": rkey, "record": record }),
        )
        .await?
        .ok()
    }

    pub(crate) async fn delete(&self, target: &Target, rkey: &str) -> Result<Value> {
        self.write(target, "deleteRecord", json!({ "rkey": rkey }))
            .await?
            .ok()
    }

    pub(crate) async fn apply(&self, target: &Target, writes: Value) -> Result<Answer> {
        self.write(target, "applyWrites", json!({ "writes": writes }))
            .await
    }

    pub(crate) async fn get(&self, target: &Target, rkey: &str) -> Result<Answer> {
        let params = [("repo", &*self.did), ("collection", NOTE), ("rkey", rkey)];
        target.get("com.atproto.repo.getRecord", &params).await
    }

    /// The value of a record that must be there.
    pub(crate) async fn value(&self, target: &Target, rkey: &str) -> Result<Value> {
        Ok(self.get(target, rkey).await?.ok()?["value"].take())
    }

    /// The rev and CID of the latest commit.
    pub(crate) async fn latest(&self, target: &Target) -> Result<Value> {
        let params = [("did", &*self.did)];
        target
            .get("com.atproto.sync.getLatestCommit", &params)
            .await?
            .ok()
    }

    /// Stores a blob, and returns the server's reference to it.
    pub(crate) async fn upload(&self, target: &Target, bytes: &[u8], mime: &str) -> Result<Answer> {
        let url = format!("{}/xrpc/com.atproto.repo.uploadBlob", target.pds);
        let request = target.http.post(url).bearer_auth(&self.access);
        // reqwest says no length for an empty body.
        let request = request.header("content-length", bytes.len());
        Answer::of(request.header("content-type", mime).body(bytes.to_vec())).await
    }
}

/// A create for `applyWrites`.
pub(crate) fn create(rkey: &str, record: Value) -> Value {
    json!({ "$type": "com.atproto.repo.applyWrites#create", "collection": NOTE, "rkey": rkey, "value": record })
}

/// An update for `applyWrites`.
pub(crate) fn update(rkey: &str, record: Value) -> Value {
    json!({ "$type": "com.atproto.repo.applyWrites#update", "collection": NOTE, "rkey": rkey, "value": record })
}

/// A delete for `applyWrites`.
pub(crate) fn delete(rkey: &str) -> Value {
    json!({ "$type": "com.atproto.repo.applyWrites#delete", "collection": NOTE, "rkey": rkey })
}
