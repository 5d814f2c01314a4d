//! Blobs of others, whose PDS may be anyone's.

use std::time::Duration;

use atcomms_lexicon::{BlobRef, Did, cid_for_cbor};
use atcomms_publish::{DownloadError, Downloader, ErrorKind};
use tokio::io::AsyncWriteExt;
use wiremock::ResponseTemplate;

use crate::pds::{BOB, GET_BLOB, Pds, error};
use crate::raw::{Raw, for_ever};

fn bob() -> Did {
    BOB.parse().unwrap()
}

fn reference(bytes: &[u8]) -> BlobRef {
    BlobRef::of(bytes, "image/png")
}

fn bytes(body: impl Into<Vec<u8>>) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_raw(body, "application/octet-stream")
}

async fn fetch(pds: &Pds, blob: &BlobRef) -> Result<Vec<u8>, DownloadError> {
    let mut into = Vec::new();
    Downloader::new(true)
        .download(&pds.url(), &bob(), blob, &mut into)
        .await
        .map(|()| into)
}

#[tokio::test]
async fn a_blob_arrives_whole() {
    for size in [0, 1, 65_536, 3_000_000] {
        let pds = Pds::start().await;
        let body = vec![b'x'; size];
        pds.answers(pds.get(GET_BLOB), bytes(body.clone())).await;
        assert_eq!(fetch(&pds, &reference(&body)).await.unwrap(), body);
        let request = pds.requests(GET_BLOB).await.remove(0);
        let query: Vec<(String, String)> = request.url.query_pairs().into_owned().collect();
        let cid = reference(&body).cid.to_string();
        assert_eq!(query, [("did".into(), BOB.to_owned()), ("cid".into(), cid)]);
        assert!(
            !request.headers.contains_key("authorization"),
            "our token is not Bob's PDS's"
        );
    }
}

/// A PDS may keep its blobs elsewhere.
#[tokio::test]
async fn a_redirect_is_followed_and_what_comes_is_checked_all_the_same() {
    let (pds, elsewhere) = (Pds::start().await, Pds::start().await);
    let to = format!("{}xrpc/{GET_BLOB}", elsewhere.url());
    let redirect = ResponseTemplate::new(302).insert_header("location", to.as_str());
    pds.answers(pds.get(GET_BLOB), redirect).await;
    elsewhere
        .first(elsewhere.get(GET_BLOB), bytes("good"))
        .await;
    assert_eq!(fetch(&pds, &reference(b"good")).await.unwrap(), b"good");
    elsewhere
        .first(elsewhere.get(GET_BLOB), bytes("evil"))
        .await;
    let wrong = fetch(&pds, &reference(b"good")).await.unwrap_err();
    assert!(matches!(wrong, DownloadError::WrongCid { .. }), "{wrong:?}");
}

#[tokio::test]
async fn other_bytes_than_the_record_names_are_refused() {
    let pds = Pds::start().await;
    pds.first(pds.get(GET_BLOB), bytes("evil")).await;
    let wrong = fetch(&pds, &reference(b"good")).await.unwrap_err();
    assert!(matches!(wrong, DownloadError::WrongCid { .. }), "{wrong:?}");
    for body in ["goo", "goods", ""] {
        pds.first(pds.get(GET_BLOB), bytes(body)).await;
        let wrong = fetch(&pds, &reference(b"good")).await.unwrap_err();
        assert!(
            matches!(wrong, DownloadError::WrongSize { .. }),
            "{body:?}: {wrong:?}"
        );
        assert_eq!(wrong.kind(), ErrorKind::Failed);
    }
}

#[tokio::test]
async fn a_blob_without_end_stops_at_its_size() {
    const HEAD: &str = "HTTP/1.1 200 OK\r\n\r\n";
    let endless = Raw::start(|stream| for_ever(stream, HEAD, &[b'x'; 4096])).await;
    let mut into = Vec::new();
    let blob = reference(&[b'x'; 10_000]);
    let downloader = Downloader::new(true);
    let wrong = downloader
        .download(&endless.url(), &bob(), &blob, &mut into)
        .await
        .unwrap_err();
    assert!(
        matches!(wrong, DownloadError::WrongSize { .. }),
        "{wrong:?}"
    );
    assert!(into.len() <= 10_000, "{} bytes were written", into.len());
}

#[tokio::test]
async fn a_blob_that_stands_still_is_given_up() {
    let stuck = Raw::start(|mut stream| async move {
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nxxx")
            .await?;
        std::future::pending().await
    })
    .await;
    let downloader = Downloader::new(true).patience(Duration::from_millis(200));
    let blob = reference(b"xxxxxxxxxx");
    let slow = downloader
        .download(&stuck.url(), &bob(), &blob, &mut Vec::new())
        .await
        .unwrap_err();
    assert_eq!(slow.kind(), ErrorKind::TimedOut, "{slow:?}");
    assert!(slow.is_transient());
}

#[tokio::test]
async fn what_is_too_large_or_cannot_be_checked_is_not_asked_for() {
    let pds = Pds::start().await;
    let mut huge = reference(b"x");
    huge.size = u64::MAX;
    let refused = fetch(&pds, &huge).await.unwrap_err();
    assert!(
        matches!(refused, DownloadError::TooLarge { .. }),
        "{refused:?}"
    );

    let mut no_blob = reference(b"x");
    no_blob.cid = cid_for_cbor(b"x");
    let refused = fetch(&pds, &no_blob).await.unwrap_err();
    assert!(
        matches!(refused, DownloadError::Unsupported { .. }),
        "{refused:?}"
    );

    let mut into = Vec::new();
    let blob = reference(b"x");
    let strict = Downloader::new(false);
    let refused = strict
        .download(&pds.url(), &bob(), &blob, &mut into)
        .await
        .unwrap_err();
    assert!(
        matches!(refused, DownloadError::Guard(_)),
        "loopback is not public: {refused:?}"
    );
    assert_eq!(pds.count(GET_BLOB).await, 0);
}

#[tokio::test]
async fn a_refusal_is_told_in_words() {
    let pds = Pds::start().await;
    pds.first(
        pds.get(GET_BLOB),
        error(400, "BlobNotFound", "Blob not found"),
    )
    .await;
    let refused = fetch(&pds, &reference(b"x")).await.unwrap_err();
    assert!(refused.to_string().contains("BlobNotFound"), "{refused}");
    pds.first(
        pds.get(GET_BLOB),
        ResponseTemplate::new(404).set_body_raw("<html>", "text/html"),
    )
    .await;
    let refused = fetch(&pds, &reference(b"x")).await.unwrap_err();
    assert!(refused.to_string().contains("HTML"), "{refused}");
}

#[tokio::test]
async fn a_writer_that_fails_ends_the_download() {
    let pds = Pds::start().await;
    pds.answers(pds.get(GET_BLOB), bytes("data")).await;
    let (mut into, other_end) = tokio::io::duplex(1);
    drop(other_end);
    let blob = reference(b"data");
    let failed = Downloader::new(true)
        .download(&pds.url(), &bob(), &blob, &mut into)
        .await;
    let failed = failed.unwrap_err();
    assert!(matches!(failed, DownloadError::Write { .. }), "{failed:?}");
}
