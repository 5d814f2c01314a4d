//! What a user of the records sees: round trips, unknown fields, older forms, refusals, keys, authors, types of one's own.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

mod instances;

use std::collections::BTreeMap;

use atcomms_lexicon::value::{from_value, to_value};
use atcomms_lexicon::{
    Ack, AnyRecord, Award, BlobRef, Cancel, Card, CidLink, Content, DecodeError, EncodeError,
    Handoff, KeyType, Lease, MAX_RECORD_BYTES, Map, Message, Payload, Proposal, Record, RecordKey,
    Request, Response, ResponseStatus, Status, Value, cid_for_cbor, claimed_author, decode,
    derived_key, derived_key_for_name, encode,
};
use instances::{alice, bob, nsid, subject, uri};
use serde_json::json;

fn cbor(json: serde_json::Value) -> Vec<u8> {
    Value::from_json(json).unwrap().to_cbor()
}

fn all() -> Vec<AnyRecord> {
    instances::full()
        .into_iter()
        .chain(instances::minimal())
        .collect()
}

#[test]
fn every_record_comes_back_from_bytes_and_from_json() {
    let records = all();
    assert_eq!(records.len(), 24);
    for record in records {
        let collection = nsid(record.nsid());
        let map = record.to_map();
        assert_eq!(map["$type"], Value::from(record.nsid()));
        let cbor = Value::Map(map.clone()).to_cbor();
        assert_eq!(AnyRecord::decode(&collection, &cbor).unwrap(), record);
        let json = serde_json::to_value(&record).unwrap();
        assert_eq!(Value::from_json(json).unwrap(), Value::Map(map));
    }
}

/// The path that `publish` and `watch` take, for one type in full: bytes, CID, serde in JSON and in another CBOR library.
#[test]
fn a_typed_record_is_the_same_on_every_way() {
    let message = Message::new(alice(), bob(), Content::json(vec![1, 2]))
        .subject(subject())
        .context([uri()]);
    let encoded = encode(&message).unwrap();
    assert_eq!(encoded.cid, cid_for_cbor(&encoded.cbor));
    assert_eq!(
        Value::from_cbor(&encoded.cbor).unwrap(),
        Value::Map(encoded.value)
    );
    assert_eq!(decode::<Message>(&encoded.cbor).unwrap(), message);
    let json = serde_json::to_string(&message).unwrap();
    assert_eq!(serde_json::from_str::<Message>(&json).unwrap(), message);
    let bytes = serde_ipld_dagcbor::to_vec(&message).unwrap();
    assert_eq!(
        serde_ipld_dagcbor::from_slice::<Message>(&bytes).unwrap(),
        message
    );
    assert_eq!(
        from_value::<Message>(to_value(&message).unwrap()).unwrap(),
        message
    );
}

#[test]
fn unknown_fields_survive_at_every_depth() {
    let link = cid_for_cbor(b"linked").to_string();
    let json = json!({
        "$type": "agent.comms.message",
        "sender": alice(), "recipient": bob(), "createdAt": "2026-01-31T12:00:00+01:00",
        "content": { "$type": "agent.comms.defs#content", "kind": "hologram", "text": "Hi.", "depth": 3, "at": { "$link": link } },
        "attachments": [{ "blob": BlobRef::of(b"x", "a/b"), "licence": { "$bytes": "AQID" } }],
        "mood": { "a": [null, true, { "$link": link }] },
    });
    let bytes = cbor(json.clone());
    let mut message: Message = decode(&bytes).unwrap();
    assert_eq!(
        encode(&message).unwrap().cbor,
        bytes,
        "nothing was lost, nothing added"
    );
    message = message.priority(2);
    let encoded = encode(&message).unwrap();
    assert_eq!(
        encoded.value["mood"],
        Value::from_json(json["mood"].clone()).unwrap()
    );
    assert_eq!(
        Value::Map(encoded.value).to_json()["content"],
        json["content"]
    );
}

#[test]
fn older_requests_are_read() {
    let request: Request = decode(&cbor(json!({
        "$type": "agent.comms.task",
        "sender": alice(), "recipient": bob(), "task": "summarise", "params": { "length": "short" },
        "replyTo": alice(), "createdAt": "2026-01-31T12:00:00Z",
    })))
    .unwrap();
    assert_eq!(request.assignee, Some(bob()));
    let params = request.params.clone().unwrap();
    assert_eq!(
        (params.schema.as_str(), &params.data["length"]),
        (Payload::UNTYPED, &"short".into())
    );
    assert_eq!(request.extra["replyTo"], alice().as_str().into());
    let written = encode(&request).unwrap().value;
    assert_eq!(written["$type"], "agent.comms.request".into());
    assert!(written.contains_key("assignee") && !written.contains_key("recipient"));
    let any = AnyRecord::decode(
        &nsid("agent.comms.task"),
        &cbor(json!({
            "$type": "agent.comms.task", "sender": alice(), "task": "x", "createdAt": "2026-01-31T12:00:00Z",
        })),
    );
    assert!(matches!(any, Ok(AnyRecord::Request(_))), "{any:?}");
}

#[test]
fn older_responses_are_read() {
    for (old, new) in [
        ("completed", ResponseStatus::Ok),
        ("failed", ResponseStatus::Error),
    ] {
        let response: Response = decode(&cbor(json!({
            "$type": "agent.comms.response",
            "sender": bob(), "recipient": alice(), "requestUri": uri(), "status": old, "error": "The disk is full.",
            "result": "done", "createdAt": "2026-01-31T12:00:00Z",
        })))
        .unwrap();
        assert_eq!((&response.request, &response.status), (&uri(), &new));
        assert_eq!(
            response.error.clone().unwrap().message.unwrap(),
            "The disk is full."
        );
        assert_eq!(response.result.clone().unwrap().value(), "done".into());
        assert_eq!(
            (response.subject.clone(), response.derived_key()),
            (None, None),
            "without a CID it resolves nothing"
        );
        let written = encode(&response).unwrap().value;
        assert_eq!(
            (&written["status"], &written["request"]),
            (&new.as_str().into(), &uri().as_str().into())
        );
    }
}

#[test]
fn older_contents_are_read() {
    let message: Message = decode(&cbor(json!({
        "$type": "agent.comms.message", "sender": alice(), "recipient": bob(), "createdAt": "2026-01-31T12:00:00Z",
        "content": { "kind": "ref", "uri": uri() },
    })))
    .unwrap();
    assert_eq!(message.content.reference(), Some(uri().as_str()));
    assert_eq!(
        encode(&message).unwrap().value["content"].get("uri"),
        Some(&uri().as_str().into())
    );
}

/// A name of today wins over an older one, which then is only an unknown field.
#[test]
fn an_older_name_beside_todays_is_an_unknown_field() {
    let request: Request = decode(&cbor(json!({
        "$type": "agent.comms.request", "sender": alice(), "assignee": bob(), "recipient": "nobody", "task": "x",
        "createdAt": "2026-01-31T12:00:00Z",
    })))
    .unwrap();
    assert_eq!(
        (request.assignee, &request.extra["recipient"]),
        (Some(bob()), &"nobody".into())
    );
}

#[test]
fn a_float_is_refused_with_its_path() {
    let error = Value::from_json(json!({ "scores": [{ "a": 1.0 }, { "a": 0.5 }] })).unwrap_err();
    assert_eq!(error.path(), "scores[1].a");
    assert!(
        error
            .to_string()
            .starts_with("scores[1].a is a float (0.5)"),
        "{error}"
    );

    #[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
    struct Reading {
        celsius: Vec<f64>,
    }
    impl Record for Reading {
        const NSID: &'static str = "com.example.reading";
    }
    let error = encode(&Reading {
        celsius: vec![20.5],
    })
    .unwrap_err();
    assert_eq!(
        error.to_string(),
        "this com.example.reading cannot be written: celsius[0] is a float (20.5); records hold no floats: \
         write it as a text, or scale it to an integer"
    );
}

#[test]
fn what_breaks_a_limit_is_not_written() {
    let error = encode(&Message::new(alice(), bob(), "x".repeat(10_001))).unwrap_err();
    assert!(matches!(error, EncodeError::Invalid { .. }), "{error:?}");
    assert!(
        error
            .to_string()
            .ends_with("content.text: has 10001 bytes, more than 10000"),
        "{error}"
    );
    let error = encode(&Request::new(alice(), "x").priority(6)).unwrap_err();
    assert!(
        error.to_string().ends_with("priority: is 6, more than 5"),
        "{error}"
    );
}

#[test]
fn what_no_record_can_hold_is_not_written() {
    let mut message = Message::new(alice(), bob(), "x");
    message.extra.insert("big".to_owned(), Value::Int(1 << 53));
    assert!(
        matches!(encode(&message), Err(EncodeError::Value { error, .. }) if error.path() == "big")
    );
    message.extra = Map::from([("$link".to_owned(), "x".into())]);
    assert!(matches!(encode(&message), Err(EncodeError::Value { .. })));
    let nested = (0..70).fold(Value::Null, |value, _| vec![value].into());
    message.extra = Map::from([("deep".to_owned(), nested)]);
    assert!(matches!(encode(&message), Err(EncodeError::Value { .. })));
    message.extra = Map::from([("$type".to_owned(), "agent.comms.card".into())]);
    assert!(
        matches!(encode(&message), Err(EncodeError::WrongType { found, .. }) if found == "\"agent.comms.card\"")
    );
}

#[test]
fn a_record_of_a_megabyte_is_written_and_one_byte_more_is_not() {
    let of_size = |size: usize| {
        let mut message = Message::new(alice(), bob(), "x");
        message
            .extra
            .insert("filler".to_owned(), Value::Text("x".repeat(size)));
        message
    };
    let filler = 900_000;
    let overhead = encode(&of_size(filler)).unwrap().cbor.len() - filler;
    assert_eq!(
        encode(&of_size(MAX_RECORD_BYTES - overhead))
            .unwrap()
            .cbor
            .len(),
        MAX_RECORD_BYTES
    );
    let error = encode(&of_size(MAX_RECORD_BYTES - overhead + 1)).unwrap_err();
    assert!(
        matches!(
            error,
            EncodeError::TooLarge {
                size: 1_000_001,
                ..
            }
        ),
        "{error}"
    );
    assert!(
        error
            .to_string()
            .contains("attach the bulk of it as a blob"),
        "{error}"
    );
}

#[test]
fn bytes_that_are_not_the_record_say_why() {
    let card = encode(&Card::new()).unwrap().cbor;
    let error = decode::<Message>(&card).unwrap_err();
    assert!(
        matches!(&error, DecodeError::WrongType { found: Some(found), .. } if found == "agent.comms.card")
    );
    assert_eq!(
        error.to_string(),
        "this record cannot be read as agent.comms.message: its $type is agent.comms.card"
    );
    let error = decode::<Message>(&cbor(json!({ "sender": alice() }))).unwrap_err();
    assert!(
        error.to_string().ends_with("its $type is missing"),
        "{error}"
    );
    assert!(matches!(
        decode::<Message>(&cbor(json!([1]))),
        Err(DecodeError::NotAnObject("a list"))
    ));
    assert!(matches!(
        decode::<Message>(b"\xff"),
        Err(DecodeError::Value(_))
    ));
    let error = decode::<Message>(&cbor(
        json!({ "$type": "agent.comms.message", "sender": "alice" }),
    ))
    .unwrap_err();
    let message = "this agent.comms.message cannot be read: sender: \"alice\" is not a valid DID: it must start with did:";
    assert_eq!(error.to_string(), message);
    let wrong_collection = AnyRecord::decode(&nsid("agent.comms.lease"), &card);
    assert!(matches!(
        wrong_collection,
        Err(DecodeError::WrongType { .. })
    ));
}

#[test]
fn a_record_of_another_lexicon_is_data() {
    let json = json!({ "$type": "com.example.note", "sender": "me", "at": { "$link": cid_for_cbor(b"x").to_string() } });
    let record = AnyRecord::decode(&nsid("com.example.note"), &cbor(json.clone())).unwrap();
    assert!(matches!(record, AnyRecord::Other { .. }));
    assert_eq!(
        (record.nsid(), record.claimed_author()),
        ("com.example.note", None)
    );
    assert_eq!(Value::Map(record.to_map()).to_json(), json);
}

#[test]
fn keys_follow_from_what_a_record_is_about() {
    let subject = subject();
    let derived = Some(derived_key(&subject));
    let of_request = subject.uri.rkey();
    assert!(of_request.is_some() && derived != of_request);
    assert_eq!(
        derived,
        Some(derived_key_for_name(&format!(
            "{}#{}",
            subject.uri, subject.cid
        )))
    );
    assert_eq!(
        Status::new(bob(), &subject, "working", 1).derived_key(),
        derived
    );
    assert_eq!(Response::new(bob(), &subject, "ok").derived_key(), derived);
    assert_eq!(
        Ack::new(bob(), &subject, "delivered").derived_key(),
        derived
    );
    assert_eq!(Proposal::new(bob(), &subject).derived_key(), derived);
    assert_eq!(Cancel::new(alice(), &subject).derived_key(), of_request);
    assert_eq!(
        Award::new(alice(), &subject, bob(), 1).derived_key(),
        of_request
    );
    let lease = Lease::new("printer/3", bob(), 1, instances::time());
    assert_eq!(lease.derived_key(), Some(derived_key_for_name("printer/3")));
    assert_eq!(
        Card::new().derived_key().as_ref().map(RecordKey::as_str),
        Some("self")
    );
    assert_eq!(Message::new(alice(), bob(), "x").derived_key(), None);
    assert_eq!(
        (Message::KEY, Status::KEY, Card::KEY),
        (KeyType::Tid, KeyType::Any, KeyType::LiteralSelf)
    );
}

#[test]
fn the_claimed_author_is_found_in_the_type_and_in_the_data() {
    let authors: BTreeMap<String, String> = instances::full()
        .iter()
        .filter_map(|record| {
            let claimed = record.claimed_author().map(ToString::to_string);
            assert_eq!(
                claimed_author(record.nsid(), &record.to_map()),
                claimed.as_deref(),
                "{}",
                record.nsid()
            );
            Some((record.nsid().to_owned(), claimed?))
        })
        .collect();
    assert_eq!(authors.len(), 10, "a card and a lease name nobody");
    assert_eq!(
        Handoff::new(alice(), bob(), "x").claimed_author(),
        Some(&alice())
    );
    let future = Map::from([("sender".to_owned(), alice().as_str().into())]);
    assert_eq!(
        claimed_author("agent.comms.requestV2", &future),
        Some(alice().as_str())
    );
    assert_eq!(claimed_author("com.example.note", &future), None);
    for nsid in ["agent.comms.card", "agent.comms.lease"] {
        assert_eq!(
            claimed_author(nsid, &future),
            None,
            "{nsid} has no such field"
        );
    }
}

/// A type of one's own, with what serde has to offer: links, bytes, flattened and untagged data.
#[test]
fn a_type_of_ones_own_is_a_record() {
    #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Observation {
        station: String,
        raw_data: CidLink,
        photo: Option<BlobRef>,
        author: atcomms_lexicon::Did,
        weather: Weather,
        checks: Vec<Check>,
        anything: serde_json::Value,
        #[serde(flatten)]
        extra: Map,
    }
    #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
    enum Weather {
        Clear,
        Rain { millimetres: u8 },
        Wind(i32, i32),
        Other(String),
    }
    #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
    #[serde(untagged)]
    enum Check {
        Link(CidLink),
        Number(i64),
    }
    impl Record for Observation {
        const NSID: &'static str = "com.example.observation";
        fn claimed_author(&self) -> Option<&atcomms_lexicon::Did> {
            Some(&self.author)
        }
    }

    let link = CidLink(cid_for_cbor(b"raw"));
    for weather in [
        Weather::Clear,
        Weather::Rain { millimetres: 3 },
        Weather::Wind(-1, 2),
        Weather::Other("Hail".to_owned()),
    ] {
        let observation = Observation {
            station: "roof".to_owned(),
            raw_data: link,
            photo: Some(BlobRef::of(b"photo", "image/png")),
            author: alice(),
            weather,
            checks: vec![Check::Link(link), Check::Number(-4)],
            anything: json!({ "link": { "$link": link.to_string() }, "n": [1, null] }),
            extra: Map::from([
                ("seen".to_owned(), Value::Link(link.0)),
                ("raw".to_owned(), Value::Bytes(vec![7])),
            ]),
        };
        let encoded = encode(&observation).unwrap();
        assert_eq!(encoded.value["rawData"], Value::Link(link.0));
        assert_eq!(
            encoded.value["anything"].get("link"),
            Some(&Value::Link(link.0))
        );
        assert_eq!(encoded.value["seen"], Value::Link(link.0));
        assert_eq!(encoded.value["raw"], Value::Bytes(vec![7]));
        assert_eq!(decode::<Observation>(&encoded.cbor).unwrap(), observation);
        let json = serde_json::to_value(&observation).unwrap();
        let mut data = encoded.value.clone();
        data.remove("$type");
        assert_eq!(
            Value::Map(data).to_json(),
            json,
            "a record and its JSON say the same"
        );
    }
    let error = decode::<Observation>(&cbor(json!({
        "$type": "com.example.observation", "station": "roof", "rawData": { "$link": link.to_string() },
        "photo": null, "author": alice(), "weather": "Clear", "checks": [1, "two"], "anything": 1,
    })));
    assert!(
        error
            .unwrap_err()
            .to_string()
            .contains("checks[1]: does not fit")
    );
}
