//! A repository behind the scripts: what was written, and how often.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::Value as Json;
use wiremock::{Request, Respond, ResponseTemplate};

use crate::pds::{
    APPLY, Broken, DELETE, GET, PUT, Pds, applied, batch, committed, error, found, not_found, ok,
    result, sent,
};

/// Alice's records, as a PDS keeps them. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Repository(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    records: BTreeMap<String, String>,
    /// The keys of what was written, in its order.
    written: Vec<String>,
}

impl Repository {
    /// Answers all methods as a PDS does, unless something else is mounted with a higher priority.
    pub(crate) async fn serve(&self, pds: &Pds) {
        let put = pds.post(PUT).respond_with(self.put());
        let apply = pds.post(APPLY).respond_with(self.apply());
        let delete = pds.post(DELETE).respond_with(self.delete());
        let get = pds.get(GET).respond_with(self.get());
        for mock in [put, apply, delete, get] {
            mock.with_priority(100).mount(&pds.server).await;
        }
    }

    /// Answers `odd` to whatever holds the message with this text until it is mended, and else as a PDS
    /// does.
    pub(crate) async fn serve_but(
        &self,
        pds: &Pds,
        culprit: &'static str,
        odd: ResponseTemplate,
        broken: &Broken,
    ) {
        self.serve(pds).await;
        let (good, answer) = (self.put(), odd.clone());
        let put = move |request: &Request| {
            let body: Json = request.body_json().unwrap();
            match text(&body["record"]) == culprit {
                true => answer.clone(),
                false => good.respond(request),
            }
        };
        pds.answers(pds.post(PUT), broken.answer(put, self.put()))
            .await;
        let good = self.apply();
        let apply = move |request: &Request| {
            let writes = batch(request);
            match writes.iter().any(|write| text(&write["value"]) == culprit) {
                true => odd.clone(),
                false => good.respond(request),
            }
        };
        pds.answers(pds.post(APPLY), broken.answer(apply, self.apply()))
            .await;
    }

    pub(crate) fn put(&self) -> impl Respond + 'static + use<> {
        let this = self.clone();
        move |request: &Request| {
            let (uri, cid) = sent(request);
            let body: Json = request.body_json().unwrap();
            let mut inner = this.lock();
            let absent = body.get("swapRecord") == Some(&Json::Null);
            if absent && inner.records.contains_key(&uri) {
                return error(400, "InvalidSwap", "Record was at another");
            }
            inner.write(uri, cid);
            committed(request)
        }
    }

    pub(crate) fn apply(&self) -> impl Respond + 'static + use<> {
        let this = self.clone();
        move |request: &Request| {
            let mut inner = this.lock();
            let writes: Vec<(String, Option<String>)> = batch(request).iter().map(place).collect();
            let taken = |(uri, cid): &(String, Option<String>)| {
                cid.is_some() == inner.records.contains_key(uri)
            };
            if writes.iter().any(taken) {
                return error(500, "InternalServerError", "Internal Server Error");
            }
            for (uri, cid) in writes {
                match cid {
                    Some(cid) => inner.write(uri, cid),
                    None => drop(inner.records.remove(&uri)),
                }
            }
            applied(request)
        }
    }

    pub(crate) fn delete(&self) -> impl Respond + 'static + use<> {
        let this = self.clone();
        move |request: &Request| {
            let body: Json = request.body_json().unwrap();
            let uri = uri(&body["repo"], &body);
            match this.lock().records.remove(&uri) {
                Some(_) => ok(serde_json::json!({"commit": {"cid": "x", "rev": crate::pds::REV}})),
                None => ok(serde_json::json!({})),
            }
        }
    }

    pub(crate) fn get(&self) -> impl Respond + 'static + use<> {
        let this = self.clone();
        move |request: &Request| {
            let query: BTreeMap<_, _> = request.url.query_pairs().into_owned().collect();
            let uri = format!(
                "at://{}/{}/{}",
                query["repo"], query["collection"], query["rkey"]
            );
            match this.lock().records.get(&uri) {
                Some(cid) => found(&uri, cid),
                None => not_found(),
            }
        }
    }

    /// Does what `write` does, and answers something else.
    pub(crate) fn but(
        write: impl Respond + 'static,
        answer: ResponseTemplate,
    ) -> impl Respond + 'static {
        move |request: &Request| {
            write.respond(request);
            answer.clone()
        }
    }

    /// How many records there are.
    pub(crate) fn len(&self) -> usize {
        self.lock().records.len()
    }

    pub(crate) fn has(&self, uri: &str) -> bool {
        self.lock().records.contains_key(uri)
    }

    /// What was written more than once.
    pub(crate) fn doubled(&self) -> Vec<String> {
        let mut written = self.lock().written.clone();
        written.sort();
        let pairs = written.windows(2).filter(|pair| pair[0] == pair[1]);
        pairs.map(|pair| pair[0].clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }
}

impl Inner {
    fn write(&mut self, uri: String, cid: String) {
        self.written.push(uri.clone());
        self.records.insert(uri, cid);
    }
}

/// The text of a message.
pub(crate) fn text(record: &Json) -> &str {
    record["content"]["text"].as_str().unwrap_or_default()
}

/// Where a write of a batch goes, and what it writes, if it does not delete.
fn place(write: &Json) -> (String, Option<String>) {
    let cid = result(write)
        .get("cid")
        .map(|cid| cid.as_str().unwrap().to_owned());
    (uri(&crate::pds::ALICE.into(), write), cid)
}

fn uri(repo: &Json, write: &Json) -> String {
    let text = |json: &Json| json.as_str().unwrap().to_owned();
    format!(
        "at://{}/{}/{}",
        text(repo),
        text(&write["collection"]),
        text(&write["rkey"])
    )
}
