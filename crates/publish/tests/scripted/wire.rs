//! The bytes that reach the PDS.

use atcomms_lexicon::{Card, Cid, Content, Record, Value, cid_for_raw};
use atcomms_publish::ErrorKind;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use crate::pds::{
    ALICE, BOB, DELETE, GET, PUT, Pds, REV, error, found, json_map, message, message_uri, ok,
    tid_key,
};

#[tokio::test]
async fn a_new_record_is_sent_with_an_explicit_null_swap() {
    let pds = Pds::start().await;
    pds.commits().await;
    let receipt = pds
        .publisher()
        .await
        .publish(message("hi"))
        .key(tid_key())
        .await
        .unwrap();
    assert_eq!(receipt.uri, message_uri(&tid_key()));
    assert_eq!(receipt.rev.unwrap().to_string(), REV);

    let request = pds.requests(PUT).await.remove(0);
    let text = String::from_utf8(request.body.clone()).unwrap();
    assert!(
        text.contains(r#""swapRecord":null"#),
        "without it a put is an upsert: {text}"
    );
    assert!(
        !text.contains("validate"),
        "unset, unknown lexicons are taken: {text}"
    );
    let body: Json = request.body_json().unwrap();
    assert_eq!(
        body,
        json!({
            "repo": ALICE,
            "collection": "agent.comms.message",
            "rkey": tid_key().as_str(),
            "swapRecord": null,
            "record": {
                "$type": "agent.comms.message",
                "sender": ALICE,
                "recipient": BOB,
                "content": {"kind": "text", "text": "hi"},
                "createdAt": "2026-01-02T03:04:05.678Z",
            },
        })
    );
    assert_eq!(request.headers["content-type"], "application/json");
    assert!(
        request.headers["authorization"]
            .to_str()
            .unwrap()
            .starts_with("Bearer e30.")
    );
}

#[tokio::test]
async fn an_update_has_no_swap_and_a_compare_and_swap_has_its_cid() {
    let pds = Pds::start().await;
    pds.commits().await;
    let publisher = pds.publisher().await;
    publisher.put(message("one")).key(tid_key()).await.unwrap();
    let expected = cid_for_raw(b"what was read");
    publisher
        .put(message("two"))
        .key(tid_key())
        .swap(expected)
        .await
        .unwrap();

    let requests = pds.requests(PUT).await;
    let bodies: Vec<Json> = requests
        .iter()
        .map(|request| request.body_json().unwrap())
        .collect();
    assert!(bodies[0].get("swapRecord").is_none(), "{}", bodies[0]);
    assert_eq!(bodies[1]["swapRecord"], expected.to_string());
}

#[tokio::test]
async fn bytes_and_links_keep_their_form() {
    let pds = Pds::start().await;
    pds.commits().await;
    let link = cid_for_raw(b"linked");
    let data = json!({"hash": {"$bytes": "AAEC"}, "of": {"$link": link.to_string()}, "n": 7});
    let mut message = message("");
    message.content = Content::json(Value::Map(json_map(data.clone())));
    // `committed` reads the wire and hashes it: a form that loses a type would change the CID, and
    // publish would see that.
    pds.publisher().await.publish(message).await.unwrap();
    let body: Json = pds.requests(PUT).await[0].body_json().unwrap();
    assert_eq!(body["record"]["content"]["data"], data);
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
struct Observation {
    station: String,
    millikelvin: i64,
}

impl Record for Observation {
    const NSID: &'static str = "com.example.observation";
}

#[tokio::test]
async fn a_record_type_of_ones_own_is_published() {
    let pds = Pds::start().await;
    pds.commits().await;
    let observation = Observation {
        station: "roof".into(),
        millikelvin: 281_150,
    };
    let receipt = pds.publisher().await.publish(observation).await.unwrap();
    let body: Json = pds.requests(PUT).await[0].body_json().unwrap();
    assert_eq!(body["collection"], "com.example.observation");
    let sent =
        json!({"$type": "com.example.observation", "station": "roof", "millikelvin": 281_150});
    assert_eq!(body["record"], sent);
    assert!(
        receipt
            .uri
            .as_str()
            .starts_with(&format!("at://{ALICE}/com.example.observation/3"))
    );
}

#[tokio::test]
async fn keys_grow_within_one_publisher_and_are_fixed_where_the_lexicon_fixes_them() {
    let pds = Pds::start().await;
    pds.commits().await;
    let publisher = pds.publisher().await;
    let mut last = String::new();
    for _ in 0..20 {
        let receipt = publisher.clone().publish(message("hi")).await.unwrap();
        let key = receipt.uri.rkey().unwrap().to_string();
        assert!(key > last, "{key} after {last}");
        last = key;
    }
    let receipt = publisher.put(Card::new()).await.unwrap();
    assert_eq!(receipt.uri.rkey().unwrap(), "self");
}

#[tokio::test]
async fn a_key_that_the_collection_does_not_have_is_refused_unsent() {
    let pds = Pds::start().await;
    let publisher = pds.publisher().await;
    let odd = "no-tid".parse().unwrap();
    let wrong = publisher.publish(message("hi")).key(odd).await.unwrap_err();
    assert!(wrong.to_string().contains("keys are tid"), "{wrong}");
    let wrong = publisher
        .publish(Card::new())
        .key(tid_key())
        .await
        .unwrap_err();
    assert!(wrong.to_string().contains("literal:self"), "{wrong}");
    let wrong = publisher.put(message("which one?")).await.unwrap_err();
    assert!(wrong.to_string().contains("key"), "{wrong}");
    assert_eq!(pds.count_all().await, 0, "nothing was sent");
}

/// P6: what a record says of its sender is checked before anything is sent.
#[tokio::test]
async fn a_record_that_names_another_sender_is_refused_unsent() {
    let pds = Pds::start().await;
    let publisher = pds.publisher().await;
    let mut forged = message("from Bob, honestly");
    forged.sender = BOB.parse().unwrap();
    let refused = publisher.publish(forged).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid);
    assert!(
        refused.to_string().contains(BOB) && refused.to_string().contains(ALICE),
        "{refused}"
    );

    // A type of one's own in the same collection does not get around it.
    #[derive(Clone, Debug, Deserialize, Serialize)]
    struct Sneaky {
        sender: String,
    }
    impl Record for Sneaky {
        const NSID: &'static str = "agent.comms.message";
    }
    let sneaky = Sneaky { sender: BOB.into() };
    assert!(publisher.publish(sneaky.clone()).await.is_err());
    assert!(publisher.put(sneaky).key(tid_key()).await.is_err());
    assert_eq!(pds.count_all().await, 0, "nothing was sent");
}

#[tokio::test]
async fn a_record_over_its_limits_or_with_a_float_is_refused_unsent() {
    #[derive(Clone, Debug, Deserialize, Serialize)]
    struct Reading {
        kelvin: f64,
    }
    impl Record for Reading {
        const NSID: &'static str = "com.example.reading";
    }
    let pds = Pds::start().await;
    let publisher = pds.publisher().await;
    let float = publisher
        .publish(Reading { kelvin: 281.15 })
        .await
        .unwrap_err();
    assert!(
        float.to_string().contains("kelvin"),
        "the field is named: {float}"
    );
    let long = publisher
        .publish(message(&"x".repeat(10_001)))
        .await
        .unwrap_err();
    assert_eq!(long.kind(), ErrorKind::Invalid, "{long}");
    let urgent = message("hi").priority(6);
    assert!(
        publisher
            .publish(urgent)
            .await
            .unwrap_err()
            .to_string()
            .contains("priority")
    );
    assert_eq!(pds.count_all().await, 0, "nothing was sent");
}

#[tokio::test]
async fn a_delete_names_the_record_and_may_find_nothing() {
    let pds = Pds::start().await;
    pds.first(
        pds.post(DELETE),
        ok(json!({"commit": {"cid": "x", "rev": REV}})),
    )
    .await;
    pds.answers(pds.post(DELETE), ok(json!({}))).await;
    let publisher = pds.publisher().await;
    let uri = message_uri(&tid_key());
    assert_eq!(
        publisher
            .delete(&uri)
            .await
            .unwrap()
            .rev
            .unwrap()
            .to_string(),
        REV
    );
    assert_eq!(
        publisher.delete(&uri).await.unwrap().rev,
        None,
        "there was nothing any more"
    );
    let body: Json = pds.requests(DELETE).await[0].body_json().unwrap();
    let key = tid_key();
    let expected =
        json!({"repo": ALICE, "collection": "agent.comms.message", "rkey": key.as_str()});
    assert_eq!(body, expected);
}

#[tokio::test]
async fn records_of_others_are_not_touched() {
    let pds = Pds::start().await;
    let publisher = pds.publisher().await;
    for uri in [
        format!("at://{BOB}/agent.comms.message/x"),
        format!("at://{ALICE}/agent.comms.message"),
    ] {
        let uri = uri.parse().unwrap();
        assert_eq!(
            publisher.delete(&uri).await.unwrap_err().kind(),
            ErrorKind::Invalid
        );
        assert_eq!(
            publisher.get_record(&uri).await.unwrap_err().kind(),
            ErrorKind::Invalid
        );
    }
    assert_eq!(pds.count_all().await, 0, "nothing was sent");
}

#[tokio::test]
async fn a_record_is_read_back_and_its_bytes_are_checked() {
    let pds = Pds::start().await;
    let publisher = pds.publisher().await;
    let encoded = atcomms_lexicon::encode(&message("hi")).unwrap();
    let value = Value::Map(encoded.value.clone()).to_json();
    let uri = message_uri(&tid_key());
    let honest = json!({"uri": uri.as_str(), "cid": encoded.cid.to_string(), "value": value});
    pds.first(pds.get(GET), ok(&honest)).await;
    let read = publisher.get_record(&uri).await.unwrap().unwrap();
    assert_eq!(
        read.decode::<atcomms_lexicon::Message>().unwrap(),
        message("hi")
    );

    pds.first(pds.get(GET), found(uri.as_str(), &encoded.cid.to_string()))
        .await;
    let lie = publisher.get_record(&uri).await.unwrap_err();
    assert!(lie.to_string().contains(&encoded.cid.to_string()), "{lie}");

    pds.first(pds.get(GET), error(400, "RecordNotFound", ""))
        .await;
    assert_eq!(publisher.get_record(&uri).await.unwrap(), None);

    let absurd = Cid::default().to_string();
    pds.first(
        pds.get(GET),
        ok(json!({"uri": uri.as_str(), "cid": absurd, "value": {"f": 1.5}})),
    )
    .await;
    assert!(
        publisher.get_record(&uri).await.is_err(),
        "a float is an error, not a panic"
    );
}
