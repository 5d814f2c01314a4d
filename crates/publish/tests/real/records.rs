//! Records: written once, found again, replaced, deleted.

use std::collections::BTreeSet;

use atcomms_lexicon::{
    Card, Content, Map, Message, Record, RecordKey, Tid, Value, cid_for_raw, encode,
};
use atcomms_publish::{ErrorKind, PublishError, Publisher, Session};
use futures::future::join_all;
use serde::{Deserialize, Serialize};

use crate::cutting::Cutting;
use crate::network::{Network, message};

fn key() -> RecordKey {
    Tid::from_parts(1_767_323_045_678_000, 7)
        .to_string()
        .parse()
        .unwrap()
}

pub(crate) async fn a_record_is_written_found_and_deleted(network: &Network) {
    let publisher = network.publisher().await;
    let hello = message(&publisher, "hello").priority(4);
    let receipt = publisher.publish(hello.clone()).await.unwrap();
    assert_eq!(receipt.cid, encode(&hello).unwrap().cid);
    let rev = receipt.rev.expect("a fresh commit has a rev");
    assert_eq!(receipt.uri.did().as_ref(), Some(publisher.session().did()));

    let read = publisher.get_record(&receipt.uri).await.unwrap().unwrap();
    assert_eq!(read.cid, receipt.cid);
    assert_eq!(read.decode::<Message>().unwrap(), hello);
    let rkey = receipt.uri.rkey().unwrap();
    assert!(publisher.exists::<Message>(&rkey).await.unwrap());

    let deleted = publisher.delete(&receipt.uri).await.unwrap();
    assert!(deleted.rev.unwrap() > rev, "a delete is a later commit");
    assert_eq!(publisher.get_record(&receipt.uri).await.unwrap(), None);
    assert!(!publisher.exists::<Message>(&rkey).await.unwrap());
    assert_eq!(publisher.delete(&receipt.uri).await.unwrap().rev, None);
}

pub(crate) async fn a_key_holds_one_record(network: &Network) {
    let publisher = network.publisher().await;
    let (one, two) = (message(&publisher, "one"), message(&publisher, "two"));
    let first = publisher.publish(one.clone()).key(key()).await.unwrap();
    let again = publisher.publish(one).key(key()).await.unwrap();
    assert_eq!(
        (&again.uri, again.cid, again.rev),
        (&first.uri, first.cid, None)
    );

    let taken = publisher.publish(two.clone()).key(key()).await.unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::KeyTaken, "{taken}");
    assert!(matches!(taken, PublishError::KeyTaken { found, .. } if *found == first.cid));

    let stale = publisher
        .put(two.clone())
        .key(key())
        .swap(cid_for_raw(b"stale"))
        .await;
    assert!(
        matches!(stale, Err(PublishError::SwapFailed { .. })),
        "{stale:?}"
    );
    let replaced = publisher.put(two).key(key()).swap(first.cid).await.unwrap();
    assert!(replaced.rev > first.rev && replaced.cid != first.cid);
    let three = message(&publisher, "three");
    publisher.put(three.clone()).key(key()).await.unwrap();
    let read = publisher.get_record(&first.uri).await.unwrap().unwrap();
    assert_eq!(read.decode::<Message>().unwrap(), three);
}

pub(crate) async fn ten_at_once_for_one_key_have_one_winner(network: &Network) {
    let publisher = network.publisher().await;
    let messages = (0..10).map(|i| message(&publisher, &format!("candidate {i}")));
    let race = messages.map(|message| publisher.publish(message).key(key()).into_future());
    let outcomes = join_all(race).await;
    let winners = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    assert_eq!(winners, 1, "{outcomes:?}");
    for error in outcomes.into_iter().filter_map(Result::err) {
        assert_eq!(error.kind(), ErrorKind::KeyTaken, "{error}");
    }

    let same = message(&publisher, "all the same");
    let key: RecordKey = Tid::from_parts(1_767_323_045_678_001, 7)
        .to_string()
        .parse()
        .unwrap();
    let race = (0..10).map(|_| {
        publisher
            .publish(same.clone())
            .key(key.clone())
            .into_future()
    });
    for outcome in join_all(race).await {
        let receipt = outcome.expect("the same record under its key is success");
        assert_eq!(receipt.uri.rkey().as_ref(), Some(&key));
    }
}

pub(crate) async fn many_at_once_are_all_there(network: &Network) {
    let publisher = network.publisher().await;
    let messages = (0..32).map(|i| message(&publisher, &format!("number {i}")));
    let all = join_all(messages.map(|message| publisher.publish(message).into_future())).await;
    let mut uris = BTreeSet::new();
    for receipt in all {
        let receipt = receipt.unwrap();
        let read = publisher.get_record(&receipt.uri).await.unwrap().unwrap();
        assert_eq!(read.cid, receipt.cid);
        uris.insert(receipt.uri);
    }
    assert_eq!(uris.len(), 32, "each under its own key");
}

pub(crate) async fn a_card_is_replaced_in_its_place(network: &Network) {
    let publisher = network.publisher().await;
    let first = publisher.put(Card::new().name("Alice")).await.unwrap();
    let second = publisher.put(Card::new().name("Alice II")).await.unwrap();
    assert_eq!(first.uri, second.uri);
    assert_eq!(first.uri.rkey().unwrap(), "self");
    let taken = publisher
        .publish(Card::new().name("Alice III"))
        .await
        .unwrap_err();
    assert_eq!(
        taken.kind(),
        ErrorKind::KeyTaken,
        "publish does not replace"
    );
}

/// All that the data model has, and a CID that shows that none of it was altered on the way.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Everything {
    title: String,
    data: Map,
}

impl Record for Everything {
    const NSID: &'static str = "com.example.everything";
}

pub(crate) async fn a_record_of_ones_own_with_every_kind_of_data(network: &Network) {
    let publisher = network.publisher().await;
    let link = Value::Link(cid_for_raw(b"linked"));
    let list = Value::List(vec![
        Value::Null,
        Value::Bool(true),
        Value::Int(-(1 << 53) + 1),
    ]);
    let nested = Map::from([(
        "ünï".to_owned(),
        Value::Text("\u{0}\u{7f}🦀\u{202e}".to_owned()),
    )]);
    let data = Map::from([
        ("bytes".to_owned(), Value::Bytes((0..=255).collect())),
        ("link".to_owned(), link),
        ("list".to_owned(), list),
        ("map".to_owned(), Value::Map(nested)),
        ("empty".to_owned(), Value::Map(Map::new())),
        ("big".to_owned(), Value::Int((1 << 53) - 1)),
    ]);
    let everything = Everything {
        title: "…".to_owned(),
        data: data.clone(),
    };
    let receipt = publisher.publish(everything.clone()).await.unwrap();
    let read = publisher.get_record(&receipt.uri).await.unwrap().unwrap();
    assert_eq!(read.decode::<Everything>().unwrap(), everything);

    let mut message = message(&publisher, "");
    message.content = Content::json(Value::Map(data));
    publisher
        .publish(message)
        .await
        .expect("the PDS's CID is ours");
}

pub(crate) async fn a_record_over_the_servers_limit_says_so(network: &Network) {
    let publisher = network.publisher().await;
    // Below the limit of a record, above that of a request: JSON escapes make it longer.
    let long = Everything {
        title: "\"".repeat(600_000),
        data: Map::new(),
    };
    let error = publisher.publish(long).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    assert!(
        error.to_string().contains("larger than this PDS accepts"),
        "{error}"
    );
    publisher
        .publish(message(&publisher, "still here"))
        .await
        .unwrap();
}

pub(crate) async fn a_lost_answer_does_not_double_the_record(network: &Network) {
    let account = network.account().await;
    let cutting = Cutting::before(&account.pds, "putRecord", 1).await;
    let password = account.password.clone().into();
    let session = Session::login(cutting.url(), &account.handle, password)
        .await
        .unwrap();
    let publisher = Publisher::temporary(session).unwrap();
    let receipt = publisher
        .publish(message(&publisher, "once"))
        .await
        .unwrap();
    assert_eq!(cutting.lost(), 1, "the answer was lost");
    assert_eq!(receipt.rev, None, "it was found by reading back");
    let read = publisher.get_record(&receipt.uri).await.unwrap().unwrap();
    assert_eq!(read.cid, receipt.cid);

    let cutting = Cutting::before(&account.pds, "deleteRecord", 1).await;
    let password = account.password.clone().into();
    let session = Session::login(cutting.url(), &account.handle, password)
        .await
        .unwrap();
    let publisher = Publisher::temporary(session).unwrap();
    assert_eq!(publisher.delete(&receipt.uri).await.unwrap().rev, None);
    assert_eq!(cutting.lost(), 1, "the answer was lost");
    assert_eq!(publisher.get_record(&receipt.uri).await.unwrap(), None);
}
