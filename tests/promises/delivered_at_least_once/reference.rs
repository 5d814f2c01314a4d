//! The same on the PDS that the network runs.

use atcomms::lexicon::Message;
use atcomms::publish::{Publisher, Session};
use atcomms::store::Store;
use atcomms::subscribe::{From, Source, Subscriber};
use atcomms_reference_pds::{Options, ReferencePds, http_client};
use serde_json::{Value, json};

use super::scene::Consumer;

struct Reference {
    pds: ReferencePds,
    alice: atcomms_reference_pds::Account,
    publisher: Publisher,
    folder: tempfile::TempDir,
}

impl Reference {
    async fn new() -> Self {
        let pds = ReferencePds::start(Options::default()).await;
        let pds = pds.expect("the reference PDS starts");
        let alice = pds.create_account("alice").await.expect("an account");
        let password = alice.password.clone().into();
        let session = Session::login(pds.url().clone(), &alice.handle, password);
        let publisher = Publisher::temporary(session.await.expect("she logs in"));
        Self {
            publisher: publisher.expect("a store"),
            pds,
            alice,
            folder: tempfile::tempdir().expect("a folder"),
        }
    }

    async fn write(&self, text: &str) -> atcomms::lexicon::AtUri {
        let did = self.publisher.session().did().clone();
        let message = Message::new(did.clone(), did, text);
        let receipt = self
            .publisher
            .publish(message)
            .await
            .expect("it is written");
        receipt.uri
    }

    /// Alice does something to her account.
    async fn account(&self, method: &str, body: Option<Value>) {
        let url = |method: &str| {
            self.pds
                .url()
                .join(&format!("/xrpc/{method}"))
                .expect("a URL")
        };
        let login = json!({ "identifier": self.alice.handle, "password": self.alice.password });
        let request = http_client().post(url("com.atproto.server.createSession"));
        let session: Value = request
            .json(&login)
            .send()
            .await
            .expect("an answer")
            .json()
            .await
            .expect("JSON");
        let token = session["accessJwt"].as_str().expect("a token");
        let request = http_client().post(url(method)).bearer_auth(token);
        // One of them wants a body, the other none.
        let request = match body {
            Some(body) => request.json(&body),
            None => request,
        };
        let answer = request.send().await.expect("an answer");
        assert!(
            answer.status().is_success(),
            "{method}: {}",
            answer.status()
        );
    }

    async fn consumer(&self) -> Consumer {
        let resolver = atcomms::resolver(self.pds.plc_url().clone()).build();
        let store = Store::open(self.folder.path().join("store.sqlite3")).expect("a store");
        let source = Source::firehose(self.pds.url().as_str()).expect("a source");
        let did = self.publisher.session().did().clone();
        let subscriber = Subscriber::new(resolver).peers([did]).source(source);
        let inbox = subscriber.from(From::Start).durable(store, "tests").start();
        Consumer {
            inbox: inbox.await.expect("something to watch"),
        }
    }
}

#[tokio::test]
#[cfg_attr(
    not(has_reference_pds),
    ignore = "set ATCOMMS_REFERENCE_PDS to the folder of an installed reference PDS"
)]
async fn an_account_is_followed_through_all_that_happens_to_it() {
    let scene = Reference::new().await;
    let gone = scene.write("one").await;
    let mut consumer = scene.consumer().await;
    assert_eq!(consumer.next().await.0, "one");
    consumer.resynced(1).await;
    consumer.end().await;

    scene.publisher.delete(&gone).await.expect("it is deleted");
    scene.write("two").await;
    let mut consumer = scene.consumer().await;
    let delete = format!("delete {}", gone.rkey().expect("a key"));
    assert_eq!(consumer.next().await, (delete, true));
    assert_eq!(consumer.next().await, ("two".to_owned(), true));

    scene.write("three").await;
    consumer.waits(1).await;
    scene
        .account("com.atproto.server.deactivateAccount", Some(json!({})))
        .await;
    consumer.waits(0).await;
    assert_eq!(consumer.paused().await.len(), 1);
    scene
        .account("com.atproto.server.activateAccount", None)
        .await;
    assert_eq!(consumer.next().await.0, "three");
    scene.write("four").await;
    assert_eq!(consumer.next().await.0, "four");
}
