//! Attachments on their way.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use atcomms_lexicon::{Cid, cid_for_raw};
use atcomms_publish::{Attachment, ErrorKind, PublishError, Publisher, Session, UploadError};
use serde_json::{Value as Json, json};
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use wiremock::{Request, ResponseTemplate};

use crate::pds::{
    ALICE, BOB, PUT, Pds, REFRESH, assert_no_secrets, error, message, ok, shown, tokens_for,
};
use crate::raw::Raw;

/// What uploadBlob answers when it has stored what it was sent.
pub(crate) fn stored(request: &Request) -> ResponseTemplate {
    blob(
        cid_for_raw(&request.body),
        request.body.len(),
        "text/x-sniffed",
    )
}

pub(crate) fn blob(cid: Cid, size: usize, mime_type: &str) -> ResponseTemplate {
    let reference = json!({"$link": cid.to_string()});
    ok(json!({"blob": {"$type": "blob", "ref": reference, "mimeType": mime_type, "size": size}}))
}

const UPLOAD: &str = crate::pds::UPLOAD;

#[tokio::test]
async fn an_attachment_is_uploaded_and_the_servers_word_goes_into_the_record() {
    let pds = Pds::start().await;
    pds.answers(pds.post(UPLOAD), stored).await;
    pds.commits().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.md");
    std::fs::write(&path, "# All is well").unwrap();
    let file = Attachment::file(&path)
        .description("The report")
        .role("output");
    let bytes = Attachment::bytes(vec![7; 200_000])
        .name("seven")
        .mime_type("application/x-seven");
    let publisher = pds.publisher().await;
    publisher
        .publish(message("see attached"))
        .attach(file)
        .attach(bytes)
        .await
        .unwrap();

    let mut uploads = pds.requests(UPLOAD).await;
    uploads.sort_by_key(|upload| upload.body.len());
    let [file, bytes] = uploads.as_slice() else {
        panic!("{uploads:?}")
    };
    assert_eq!(file.body, b"# All is well");
    assert_eq!(file.headers["content-type"], "text/markdown");
    assert_eq!(
        file.headers["content-length"], "13",
        "the server can refuse it by its size"
    );
    assert_eq!(bytes.body, vec![7; 200_000]);
    assert_eq!(bytes.headers["content-type"], "application/x-seven");

    let body: Json = pds.requests(PUT).await[0].body_json().unwrap();
    let first = json!({
        "name": "report.md", "description": "The report", "role": "output",
        "blob": {
            "$type": "blob", "mimeType": "text/x-sniffed", "size": 13,
            "ref": {"$link": cid_for_raw(b"# All is well").to_string()},
        },
    });
    assert_eq!(body["record"]["attachments"][0], first);
    assert_eq!(body["record"]["attachments"][1]["name"], "seven");
}

#[tokio::test]
async fn what_is_wrong_with_an_attachment_is_found_before_anything_is_sent() {
    let pds = Pds::start().await;
    pds.answers(pds.post(UPLOAD), stored).await;
    let publisher = pds.publisher().await;
    let folder = tempfile::tempdir().unwrap();
    let good = || Attachment::bytes("good").name("good");
    let missing = folder.path().join("missing.txt");

    let publish = publisher.publish(message("hi")).attach(good());
    let error = publish
        .attach(Attachment::file(&missing))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("missing.txt"), "{error}");
    assert_eq!(error.kind(), ErrorKind::Invalid);

    let publish = publisher.publish(message("hi")).attach(good());
    let error = publish
        .attach(Attachment::file(folder.path()))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("not a file"), "{error}");

    let mut publish = publisher.publish(message("hi"));
    for _ in 0..17 {
        publish = publish.attach(good());
    }
    let error = publish.await.unwrap_err();
    assert!(error.to_string().contains("attachments"), "{error}");

    let long = Attachment::bytes("x").name("n".repeat(256));
    let error = publisher
        .publish(message("hi"))
        .attach(long)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("attachments[0].name"), "{error}");

    let odd = good().mime_type("not a type\r\nx: y");
    let error = publisher
        .publish(message("hi"))
        .attach(odd)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("MIME type"), "{error}");

    let mut forged = message("hi");
    forged.sender = BOB.parse().unwrap();
    let error = publisher.publish(forged).attach(good()).await.unwrap_err();
    assert!(
        matches!(error, PublishError::ForeignSender { .. }),
        "{error}"
    );

    assert_eq!(pds.count_all().await, 0, "nothing was sent");
}

#[tokio::test]
async fn a_blob_that_was_collected_is_uploaded_again() {
    let pds = Pds::start().await;
    pds.answers(pds.post(UPLOAD), stored).await;
    pds.first(
        pds.post(PUT),
        error(400, "BlobNotFound", "Could not find blob: bafk"),
    )
    .await;
    pds.commits().await;
    let publish = pds.publisher().await.publish(message("hi"));
    publish.attach(Attachment::bytes("x")).await.unwrap();
    assert_eq!((pds.count(UPLOAD).await, pds.count(PUT).await), (2, 2));
}

#[tokio::test]
async fn a_limit_that_the_pds_has_shown_is_known_from_then_on() {
    let pds = Pds::start().await;
    pds.answers(
        pds.post(UPLOAD),
        error(413, "PayloadTooLarge", "request entity too large"),
    )
    .await;
    let publisher = pds.publisher().await;
    let upload = |size| publisher.upload_blob(Attachment::bytes(vec![0; size]).name("big"));
    let refused = upload(1000).await.unwrap_err();
    assert!(
        matches!(refused, UploadError::TooLarge { size: 1000, .. }),
        "{refused:?}"
    );
    assert_eq!(refused.kind(), ErrorKind::Invalid);
    let again = upload(1000).await.unwrap_err();
    assert!(
        matches!(again, UploadError::TooLarge { limit: 999, .. }),
        "{again:?}"
    );
    let publish = publisher
        .publish(message("hi"))
        .attach(Attachment::bytes(vec![0; 2000]));
    assert!(publish.await.is_err());
    assert_eq!(
        pds.count(UPLOAD).await,
        1,
        "what is known to be too large is not sent"
    );
    assert!(upload(999).await.is_err());
    assert_eq!(pds.count(UPLOAD).await, 2, "what may fit is");
}

#[tokio::test]
async fn a_proxy_that_refuses_by_size_is_understood() {
    let pds = Pds::start().await;
    let page = ResponseTemplate::new(413).set_body_raw("<html>Too Large", "text/html");
    pds.answers(pds.post(UPLOAD), page).await;
    let upload = pds.publisher().await;
    let refused = upload.upload_blob(Attachment::bytes("big")).await;
    assert!(
        matches!(refused, Err(UploadError::TooLarge { .. })),
        "{refused:?}"
    );
}

/// How long anything may take that answers at once.
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_blob_that_arrives_as_another_is_an_error() {
    let pds = Pds::start().await;
    pds.first(
        pds.post(UPLOAD),
        blob(cid_for_raw(b"damaged"), 4, "text/plain"),
    )
    .await;
    pds.answers(
        pds.post(UPLOAD),
        blob(cid_for_raw(b"sent"), 5, "text/plain"),
    )
    .await;
    let publisher = pds.publisher().await;
    for what in ["another CID", "another size"] {
        let publishing = publisher
            .publish(message("hi"))
            .attach(Attachment::bytes("sent"));
        let published = tokio::time::timeout(PATIENCE, publishing).await;
        let error = published.expect("it is told, not waited out").unwrap_err();
        let PublishError::Attachment { reason, .. } = error else {
            panic!("{what}: {error:?}")
        };
        assert!(reason.contains("alters blobs"), "{what}: {reason}");
    }
    assert_eq!(
        pds.count(PUT).await,
        0,
        "no record refers to a blob that is wrong"
    );
}

#[tokio::test]
async fn a_transfer_that_broke_is_made_again() {
    let pds = Pds::start().await;
    pds.loses_first_answer(pds.post(UPLOAD)).await;
    pds.answers(pds.post(UPLOAD), stored).await;
    let blob = pds
        .publisher()
        .await
        .upload_blob(Attachment::bytes("twice"))
        .await
        .unwrap();
    assert_eq!(blob.cid, cid_for_raw(b"twice"));

    let pds = Pds::start().await;
    pds.loses_first_answer(pds.post(UPLOAD)).await;
    let reader = Attachment::reader(&b"once"[..], Some(4));
    let lost = pds.publisher().await.upload_blob(reader).await.unwrap_err();
    assert!(lost.is_transient(), "{lost}");
    assert_eq!(pds.count(UPLOAD).await, 1, "a reader can be read only once");
}

#[tokio::test]
async fn a_token_that_expires_is_renewed_for_an_upload_too() {
    let pds = Pds::start().await;
    pds.first(
        pds.post(UPLOAD),
        error(400, "ExpiredToken", "Token has expired"),
    )
    .await;
    pds.answers(pds.post(UPLOAD), stored).await;
    pds.answers(pds.post(REFRESH), ok(tokens_for(ALICE, "second", 7200)))
        .await;
    pds.publisher()
        .await
        .upload_blob(Attachment::bytes("x"))
        .await
        .unwrap();
    let uploads = pds.requests(UPLOAD).await;
    assert!(
        uploads[1].headers["authorization"]
            .to_str()
            .unwrap()
            .ends_with("access-second")
    );
}

#[tokio::test]
async fn a_reader_without_a_size_is_sent_in_chunks() {
    let pds = Pds::start().await;
    pds.answers(pds.post(UPLOAD), stored).await;
    let bytes = vec![3_u8; 300_000];
    let reader = Attachment::reader(std::io::Cursor::new(bytes.clone()), None);
    let blob = pds.publisher().await.upload_blob(reader).await.unwrap();
    assert_eq!((blob.cid, blob.size), (cid_for_raw(&bytes), 300_000));
    assert_eq!(pds.requests(UPLOAD).await[0].body, bytes);
}

#[tokio::test]
async fn what_changes_while_it_is_sent_is_not_sent() {
    let pds = Pds::start().await;
    pds.answers(pds.post(UPLOAD), stored).await;
    let publisher = pds.publisher().await;
    for (announced, there) in [
        (5, 9),
        (9, 5),
        (100_000, 65_536),
        (65_536, 100_000),
        (65_536, 65_537),
    ] {
        let reader = std::io::Cursor::new(vec![1; there]);
        let size = Some(u64::try_from(announced).unwrap());
        let error = publisher
            .upload_blob(Attachment::reader(reader, size))
            .await
            .unwrap_err();
        let changed = matches!(error, UploadError::Changed { .. });
        assert!(changed, "{there} instead of {announced}: {error:?}");
    }
}

#[tokio::test]
async fn a_file_without_a_size_is_read_to_its_end() {
    let pds = Pds::start().await;
    pds.answers(pds.post(UPLOAD), stored).await;
    let publisher = pds.publisher().await;
    let said_to_be_empty = Attachment::reader(&b"not empty"[..], Some(0));
    assert_eq!(
        publisher.upload_blob(said_to_be_empty).await.unwrap().size,
        9
    );
    let empty = publisher.upload_blob(Attachment::bytes("")).await.unwrap();
    assert_eq!((empty.cid, empty.size), (cid_for_raw(b""), 0));
}

#[tokio::test]
async fn a_source_that_fails_is_named() {
    struct Broken;
    impl AsyncRead for Broken {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &mut ReadBuf<'_>,
        ) -> Poll<std::io::Result<()>> {
            Poll::Ready(Err(std::io::Error::other("the disk is gone")))
        }
    }
    let pds = Pds::start().await;
    pds.answers(pds.post(UPLOAD), stored).await;
    let broken = Attachment::reader(Broken, Some(10)).name("tape");
    let error = pds.publisher().await.upload_blob(broken).await.unwrap_err();
    assert!(matches!(error, UploadError::Unreadable { .. }), "{error:?}");
    assert!(error.to_string().contains("the disk is gone"), "{error}");
}

/// A source without end, which counts what was taken from it.
struct Endless(Arc<AtomicUsize>);

impl AsyncRead for Endless {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        self.0.fetch_add(into.remaining(), Ordering::SeqCst);
        into.put_slice(&vec![0; into.remaining()]);
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn a_transfer_that_stands_still_is_given_up_and_holds_little_memory() {
    // Logs in somewhere else, since this one reads nothing and says nothing.
    let pds = Pds::start().await;
    let silent = Raw::start(|stream| async move {
        let _held = stream;
        std::future::pending().await
    })
    .await;
    let mut saved = pds.session().await.saved();
    saved.pds = silent.url();
    let builder = Session::builder().timeout(Duration::from_millis(300));
    let publisher = Publisher::temporary(builder.resume(saved).unwrap()).unwrap();
    let taken = Arc::new(AtomicUsize::new(0));
    let big = Attachment::reader(Endless(taken.clone()), Some(10 << 30));
    let error = publisher.upload_blob(big).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error:?}");
    assert_no_secrets(&shown(&error));
    // The system's socket buffers grow to some megabytes on loopback; ours hold a few pieces.
    let taken = taken.load(Ordering::SeqCst);
    assert!(
        taken < 64 << 20,
        "{taken} bytes were read although nobody took them"
    );
}

#[tokio::test]
async fn a_slow_transfer_that_moves_is_not_given_up() {
    let pds = Pds::start().await;
    pds.answers(pds.post(UPLOAD), stored).await;
    let patience = Duration::from_millis(400);
    let publisher = pds.impatient(patience).await;
    let (mut source, reader) = tokio::io::duplex(1);
    let writer = tokio::spawn(async move {
        for _ in 0..10 {
            tokio::time::sleep(patience / 4).await; // The slowness that is being tested.
            source.write_all(b"x").await.unwrap();
        }
    });
    let started = std::time::Instant::now();
    let blob = publisher
        .upload_blob(Attachment::reader(reader, Some(10)))
        .await
        .unwrap();
    assert!(
        started.elapsed() > 2 * patience,
        "it took longer than the patience"
    );
    assert_eq!(blob.size, 10);
    writer.await.unwrap();
}
