//! The PLC directory: operations, their signatures, and what follows from them.

use atcomms_devnet::{Account, Devnet};
use atcomms_lexicon::Value;
use atcomms_repo::{Curve, SigningKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value as Json, json};

use crate::common::{Answer, Client, answer, document};

fn operation(rotation: &[&SigningKey], signing: &SigningKey, handle: &str, prev: Json) -> Json {
    let keys: Vec<String> = rotation
        .iter()
        .map(|key| key.public().to_did_key())
        .collect();
    json!({
        "type": "plc_operation",
        "rotationKeys": keys,
        "verificationMethods": { "atproto": signing.public().to_did_key() },
        "alsoKnownAs": [format!("at://{handle}")],
        "services": { "atproto_pds": { "type": "AtprotoPersonalDataServer", "endpoint": "http://localhost:1" } },
        "prev": prev,
    })
}

fn cbor(json: &Json) -> Vec<u8> {
    Value::from_json(json.clone()).unwrap().to_cbor()
}

fn sign(mut operation: Json, key: &SigningKey) -> Json {
    operation["sig"] = URL_SAFE_NO_PAD.encode(key.sign(&cbor(&operation))).into();
    operation
}

fn cid(operation: &Json) -> Json {
    atcomms_lexicon::cid_for_cbor(&cbor(operation))
        .to_string()
        .into()
}

fn did(genesis: &Json) -> String {
    // The CID's digest in base32, of which a did:plc is the beginning.
    use std::str::FromStr;
    let cid = atcomms_lexicon::Cid::from_str(cid(genesis).as_str().unwrap()).unwrap();
    let text = data_encoding::BASE32_NOPAD
        .encode(cid.hash().digest())
        .to_lowercase();
    format!("did:plc:{}", &text[..24])
}

async fn submit(plc: &Client, did: &str, operation: &Json) -> Answer {
    answer(plc.http.post(format!("{}/{did}", plc.url)).json(operation)).await
}

#[tokio::test]
async fn operations_are_taken_when_they_are_signed_and_chained_and_refused_otherwise() {
    let devnet = Devnet::start().await.unwrap();
    let plc = Client::new(devnet.plc_url());
    let [strong, weak, repo, stranger] = [(); 4].map(|()| SigningKey::generate(Curve::K256));
    let genesis = sign(
        operation(&[&strong, &weak], &repo, "carol.test", Json::Null),
        &weak,
    );
    let did = did(&genesis);
    let other = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa";
    assert_eq!(
        submit(&plc, other, &genesis).await.status,
        400,
        "the DID is the hash"
    );
    let forged = sign(
        operation(&[&strong, &weak], &repo, "carol.test", Json::Null),
        &stranger,
    );
    assert_eq!(
        submit(&plc, &did, &forged).await.status,
        400,
        "not a rotation key"
    );
    assert_eq!(submit(&plc, &did, &genesis).await.status, 200);
    assert_eq!(
        document(&plc, &did).await["alsoKnownAs"][0],
        "at://carol.test"
    );

    let next = |handle: &str, prev: Json, key: &SigningKey| {
        sign(operation(&[&strong, &weak], &repo, handle, prev), key)
    };
    let second = next("caroline.test", cid(&genesis), &weak);
    let unsigned = operation(&[&strong, &weak], &repo, "x.test", cid(&genesis));
    for (bad, why) in [
        (
            next("x.test", cid(&genesis), &stranger),
            "another's signature",
        ),
        (next("x.test", cid(&second), &weak), "prev is not there"),
        (next("x.test", Json::Null, &weak), "no prev"),
        (unsigned, "no signature"),
        (json!({}), "nothing"),
    ] {
        assert_eq!(submit(&plc, &did, &bad).await.status, 400, "{why}");
    }
    assert_eq!(submit(&plc, &did, &second).await.status, 200);
    assert_eq!(
        document(&plc, &did).await["alsoKnownAs"][0],
        "at://caroline.test"
    );

    let weaker = next("x.test", cid(&genesis), &weak);
    assert_eq!(
        submit(&plc, &did, &weaker).await.status,
        400,
        "a fork needs a stronger key"
    );
    let recovery = next("mine.test", cid(&genesis), &strong);
    assert_eq!(submit(&plc, &did, &recovery).await.status, 200);
    assert_eq!(
        document(&plc, &did).await["alsoKnownAs"][0],
        "at://mine.test"
    );
    let page = |what: &str| answer(plc.http.get(format!("{}/{did}/{what}", plc.url)));
    assert_eq!(page("log").await.ok(), json!([genesis, recovery]));
    let audit = page("log/audit").await.ok();
    let nullified: Vec<bool> = audit
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["nullified"].as_bool().unwrap())
        .collect();
    assert_eq!(nullified, [false, true, false]);
    assert_eq!(page("data").await.ok()["alsoKnownAs"][0], "at://mine.test");

    let tombstone = sign(
        json!({ "type": "plc_tombstone", "prev": cid(&recovery) }),
        &weak,
    );
    assert_eq!(submit(&plc, &did, &tombstone).await.status, 200);
    assert_eq!(
        answer(plc.http.get(format!("{}/{did}", plc.url)))
            .await
            .status,
        404
    );
}

#[tokio::test]
async fn an_accounts_did_is_the_hash_of_its_first_operation_and_a_new_handle_is_the_second() {
    let devnet = Devnet::builder().account("alice").start().await.unwrap();
    let plc = Client::new(devnet.plc_url());
    let alice: Account = devnet.accounts().remove(0);
    let client = Client::log_in(&alice).await;
    client
        .post("identity.updateHandle", json!({ "handle": "alicia.test" }))
        .await
        .ok();
    let log = answer(plc.http.get(format!("{}/{}/log", plc.url, alice.did)))
        .await
        .ok();
    assert_eq!(did(&log[0]), alice.did.as_str());
    assert_eq!(log[1]["prev"], cid(&log[0]));
    assert_eq!(
        document(&plc, alice.did.as_str()).await["alsoKnownAs"][0],
        "at://alicia.test"
    );
    let absent = answer(
        plc.http
            .get(format!("{}/did:plc:aaaaaaaaaaaaaaaaaaaaaaaa", plc.url)),
    )
    .await;
    assert_eq!(absent.status, 404);
}
