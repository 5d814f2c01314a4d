//! The process itself: it starts, serves, keeps its data, and ends.

use atcomms_reference_pds::{Options, ReferencePds, http_client};
use serde_json::{Value, json};

#[tokio::test]
#[cfg_attr(
    not(has_reference_pds),
    ignore = "set ATCOMMS_REFERENCE_PDS to the folder that tests/reference-pds/setup.sh installed to"
)]
async fn it_starts_serves_and_ends() {
    let pds = ReferencePds::start(Options::default()).await.unwrap();
    let alice = pds.create_account("alice").await.unwrap();
    let document = format!("{}{}", pds.plc_url(), alice.did);
    let document: Value = http_client()
        .get(document)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(document["alsoKnownAs"], json!(["at://alice.test"]));
    assert_eq!(
        document["service"][0]["serviceEndpoint"],
        pds.url().as_str().trim_end_matches('/')
    );

    let taken = pds.create_account("alice").await.unwrap_err();
    assert!(
        taken.to_string().contains("Handle already taken"),
        "{taken}"
    );

    let health = pds.url().join("/xrpc/_health").unwrap();
    assert!(
        pds.stop().await.unwrap().success(),
        "it ends cleanly when its standard input ends"
    );
    assert!(
        http_client().get(health).send().await.is_err(),
        "nobody answers afterwards"
    );
}

#[tokio::test]
#[cfg_attr(
    not(has_reference_pds),
    ignore = "set ATCOMMS_REFERENCE_PDS to the folder that tests/reference-pds/setup.sh installed to"
)]
async fn a_second_one_joins_the_directory_of_the_first() {
    let first = ReferencePds::start(Options::default()).await.unwrap();
    let joining = Options {
        plc: Some(first.plc_url().clone()),
        ..Options::default()
    };
    let second = ReferencePds::start(joining).await.unwrap();
    let bob = second.create_account("bob").await.unwrap();
    let document = format!("{}{}", first.plc_url(), bob.did);
    assert!(
        http_client()
            .get(document)
            .send()
            .await
            .unwrap()
            .status()
            .is_success()
    );
}

#[tokio::test]
#[cfg_attr(
    not(has_reference_pds),
    ignore = "set ATCOMMS_REFERENCE_PDS to the folder that tests/reference-pds/setup.sh installed to"
)]
async fn mails_are_handed_over() {
    let pds = ReferencePds::start(Options::default()).await.unwrap();
    let alice = pds.create_account("alice").await.unwrap();
    let url = pds
        .url()
        .join("/xrpc/com.atproto.server.requestAccountDelete")
        .unwrap();
    let sent = http_client()
        .post(url)
        .bearer_auth(&alice.access_jwt)
        .send()
        .await
        .unwrap();
    assert!(sent.status().is_success());
    // The line is written before the answer, but read by another task.
    let token = tokio::time::timeout(std::time::Duration::from_secs(10), async {
        loop {
            if let Some(mail) = pds.mails().pop() {
                assert_eq!(mail.to, alice.email);
                break mail.token.unwrap();
            }
            tokio::task::yield_now().await;
        }
    });
    assert_eq!(token.await.unwrap().len(), 11, "a code such as ABCDE-FGHIJ");
}
