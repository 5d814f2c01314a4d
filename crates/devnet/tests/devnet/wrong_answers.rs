//! Answers that are not what was asked for: without an end, elsewhere, of another repository, of a directory
//! that is down.

use std::time::Duration;

use atcomms_devnet::{Account, Devnet, Fault, Plc};
use atcomms_repo::SignedCommit;
use atcomms_repo::car::Car;
use futures::StreamExt;

use crate::common::{Client, NOTE, alice, answer};

const GET_REPO: &str = "com.atproto.sync.getRepo";

#[tokio::test]
async fn an_endless_body_begins_as_the_answer_does() {
    let (devnet, alice, client) = alice().await;
    let did = [("did", alice.did.as_str())];
    let whole = client.get_bytes("sync.getRepo", &did).await;
    let faults = devnet.pds()[0].faults();
    faults.inject(GET_REPO, Fault::EndlessBody, 1);
    let request = client.request(reqwest::Method::GET, "sync.getRepo");
    let response = request.query(&did).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.content_length(), None);
    let mut stream = response.bytes_stream();
    let mut read = Vec::new();
    while read.len() < whole.len() + 10_000_000 {
        read.extend(stream.next().await.expect("there is no end").unwrap());
    }
    assert_eq!(read[..whole.len()], whole);
    assert!(read[whole.len()..].iter().all(|byte| *byte == 0));
    assert_eq!(faults.counts().bodies_endless, 1);
    let again = client.get_bytes("sync.getRepo", &did).await;
    assert_eq!(again, whole, "once");
}

#[tokio::test]
async fn a_redirect_goes_where_it_is_told() {
    let (devnet, alice, client) = alice().await;
    let faults = devnet.pds()[0].faults();
    let metadata = "http://169.254.169.254/latest/meta-data/";
    faults.inject(
        "com.atproto.sync.getBlob",
        Fault::Redirect(metadata.to_owned()),
        1,
    );
    let http = reqwest::Client::builder().use_preconfigured_tls(crate::common::tls());
    let http = http.redirect(reqwest::redirect::Policy::none());
    let http = http.no_proxy().build().unwrap();
    let client = Client { http, ..client };
    let request = client.request(reqwest::Method::GET, "sync.getBlob");
    let response = request.query(&[("did", &alice.did)]).send().await.unwrap();
    assert_eq!(response.status(), 302);
    assert_eq!(response.headers()["location"], metadata);
    assert_eq!(faults.counts().redirected, 1);
}

#[tokio::test]
async fn another_repository_comes_in_place_of_the_one_that_was_asked_for() {
    let builder = Devnet::builder().account("alice").account("bob");
    let devnet = builder.start().await.unwrap();
    let [alice, bob] = <[Account; 2]>::try_from(devnet.accounts()).unwrap();
    let client = Client::new(&alice.pds);
    let did = alice.did.as_str();
    let faults = devnet.pds()[0].faults();
    let key = [("did", did), ("collection", NOTE), ("rkey", "key")];
    for (method, query) in [("sync.getRepo", &key[..1]), ("sync.getRecord", &key)] {
        let fault = Fault::OtherRepository(bob.did.clone());
        faults.inject(&format!("com.atproto.{method}"), fault, 1);
        for expected in [&bob.did, &alice.did] {
            let bytes = client.get_bytes(method, query).await;
            let car = Car::read(&bytes).unwrap();
            let commit = car.get(&car.root()).unwrap().to_vec();
            assert_eq!(
                SignedCommit::decode(commit).unwrap().did(),
                expected,
                "{method}"
            );
        }
    }
    assert_eq!(faults.counts().repositories_swapped, 2);
}

#[tokio::test]
async fn a_directory_that_is_down_is_up_again_and_its_writers_do_not_notice() {
    let (devnet, alice, client) = alice().await;
    let plc = devnet.plc();
    let document = || {
        let url = format!("{}/{}", plc.url(), alice.did);
        client.http.get(url).timeout(Duration::from_secs(30))
    };
    answer(document()).await.ok();
    plc.faults().inject(Plc::RESOLVE, Fault::FailBefore(503), 2);
    for _ in 0..2 {
        assert_eq!(answer(document()).await.status, 503);
    }
    plc.faults()
        .inject(Plc::RESOLVE, Fault::RequestLost, u64::MAX);
    assert!(document().send().await.unwrap_err().is_request());
    assert!(document().send().await.unwrap_err().is_request());
    devnet.pds()[0].rotate_key(&alice.did).unwrap();
    plc.faults().clear();
    let slow = Fault::Slow(Duration::from_millis(50));
    plc.faults().inject(Plc::RESOLVE, slow, 1);
    answer(document()).await.ok();
    let counts = plc.faults().counts();
    assert_eq!((counts.failed_before, counts.slowed), (2, 1));
    assert!(
        counts.requests_lost >= 2,
        "a client may try again by itself"
    );
    plc.faults().inject(Plc::SUBMIT, Fault::FailBefore(503), 1);
    answer(document()).await.ok();
    let submit = client.http.post(format!("{}/{}", plc.url(), alice.did));
    assert_eq!(answer(submit).await.status, 503);
}
