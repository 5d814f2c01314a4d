//! Who has records of a collection, as a relay knows it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;

use atcomms_devnet::Devnet;
use atcomms_identity::Resolver;
use atcomms_lexicon::{Card, Did, Nsid, Record};
use atcomms_publish::{Publisher, Session};
use atcomms_subscribe::{DiscoverError, Discovery, Source, discover};
use serde_json::json;
use wiremock::matchers::{path, query_param, query_param_is_missing};
use wiremock::{Mock, MockServer, ResponseTemplate};

fn cards(plc: &str, host: &str) -> Discovery {
    let resolver = Resolver::builder()
        .plc(plc.parse().unwrap())
        .allow_loopback(true);
    let host = Source::firehose(host).unwrap();
    discover(
        &resolver.build(),
        &host,
        Card::NSID.parse::<Nsid>().unwrap(),
    )
    .unwrap()
}

#[tokio::test]
async fn agents_with_a_card_are_found_at_a_relay() {
    let net = Devnet::builder().pds(2).start().await.unwrap();
    let mut expected = BTreeSet::new();
    for name in ["alice", "bob", "nobody"] {
        let account = net.create_account(name).await.unwrap();
        if name == "nobody" {
            continue;
        }
        let password = account.password.into();
        let pds = account.pds.parse().unwrap();
        let session = Session::login(pds, account.handle.as_str(), password).await;
        let publisher = Publisher::temporary(session.unwrap()).unwrap();
        publisher.publish(Card::new()).await.unwrap();
        expected.insert(account.did);
    }
    let mut found = BTreeSet::new();
    let mut discovery = cards(net.plc_url(), net.relay().url());
    while let Some(did) = discovery.next().await.unwrap() {
        found.insert(did);
    }
    assert_eq!(found, expected);
    assert_eq!(discovery.next().await.unwrap(), None, "the end stays");

    let error = cards(net.plc_url(), net.pds()[0].url())
        .next()
        .await
        .unwrap_err();
    assert!(matches!(error, DiscoverError::NotThere { .. }), "{error}");
    assert!(error.to_string().contains("a relay"), "{error}");
}

async fn server(pages: &[(Option<&str>, ResponseTemplate)]) -> MockServer {
    let server = MockServer::start().await;
    for (cursor, page) in pages {
        let list = Mock::given(path("/xrpc/com.atproto.sync.listReposByCollection"))
            .and(query_param("collection", Card::NSID));
        let list = match cursor {
            Some(cursor) => list.and(query_param("cursor", *cursor)),
            None => list.and(query_param_is_missing("cursor")),
        };
        list.respond_with(page.clone()).mount(&server).await;
    }
    server
}

fn page(dids: &[&str], cursor: Option<&str>) -> ResponseTemplate {
    let repos: Vec<_> = dids.iter().map(|did| json!({ "did": did })).collect();
    let body = match cursor {
        Some(cursor) => json!({ "repos": repos, "cursor": cursor }),
        None => json!({ "repos": repos }),
    };
    ResponseTemplate::new(200).set_body_json(body)
}

async fn all(server: &MockServer) -> Result<Vec<Did>, DiscoverError> {
    let mut discovery = cards("https://plc.example", &server.uri());
    let mut all = Vec::new();
    while let Some(did) = discovery.next().await? {
        all.push(did);
    }
    Ok(all)
}

#[tokio::test]
async fn a_list_of_several_pages_is_read_to_its_end() {
    let pages = [
        (None, page(&["did:web:a.example", "no did"], Some("1"))),
        (Some("1"), page(&[], Some("2"))),
        (Some("2"), page(&["did:web:b.example"], None)),
    ];
    let found = all(&server(&pages).await).await.unwrap();
    let found: Vec<_> = found.iter().map(Did::as_str).collect();
    assert_eq!(found, ["did:web:a.example", "did:web:b.example"]);
}

#[tokio::test]
async fn what_is_no_list_or_has_no_end_is_an_error() {
    let endless = [
        (None, page(&[], Some("1"))),
        (Some("1"), page(&[], Some("1"))),
    ];
    let large = ResponseTemplate::new(200).set_body_string(" ".repeat(1_000_001));
    for (pages, word) in [
        (&endless[..], "one cursor"),
        (
            &[(None, ResponseTemplate::new(200).set_body_string("no"))],
            "no list",
        ),
        (&[(None, ResponseTemplate::new(503))], "503"),
        (&[(None, ResponseTemplate::new(501))], "does not list"),
        (&[(None, large)], "larger than"),
    ] {
        let error = all(&server(pages).await).await.unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
    let file = Source::file("x");
    let resolver = Resolver::builder().build();
    let error = discover(&resolver, &file, Card::NSID.parse().unwrap()).unwrap_err();
    assert!(matches!(error, DiscoverError::NoHost(_)), "{error}");
}
