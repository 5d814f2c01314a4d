//! Blobs: up, into a record, down again.

use std::time::Duration;

use atcomms_lexicon::{BlobRef, Message, cid_for_raw};
use atcomms_publish::{Attachment, Downloader, ErrorKind, Publisher, Session, UploadError};

use crate::cutting::Cutting;
use crate::network::{Network, message};

/// A black pixel. A PDS knows it as a PNG whatever it is called, if it is complete.
fn png() -> Vec<u8> {
    let text = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg==";
    data_encoding::BASE64.decode(text.as_bytes()).unwrap()
}

/// Bytes that do not repeat.
fn noise(size: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    std::iter::repeat_with(next).take(size).collect()
}

async fn download(publisher: &Publisher, blob: &BlobRef) -> Result<Vec<u8>, String> {
    let session = publisher.session();
    let mut into = Vec::new();
    let downloader = Downloader::new(true);
    let done = downloader
        .download(session.pds(), session.did(), blob, &mut into)
        .await;
    done.map(|()| into).map_err(|error| error.to_string())
}

pub(crate) async fn attachments_go_up_and_come_down_the_same(network: &Network) {
    let publisher = network.publisher().await;
    let folder = tempfile::tempdir().unwrap();
    let (png, big) = (png(), noise(3_000_000));
    let path = folder.path().join("noise.bin");
    std::fs::write(&path, &big).unwrap();
    let receipt = publisher
        .publish(message(&publisher, "three attachments"))
        .attach(
            Attachment::bytes("a,b\n1,2\n")
                .name("table.csv")
                .role("output"),
        )
        .attach(
            Attachment::bytes(png.clone())
                .name("picture.txt")
                .mime_type("text/plain"),
        )
        .attach(Attachment::file(&path).description("Noise"))
        .await
        .unwrap();

    let stored = publisher.get_record(&receipt.uri).await.unwrap().unwrap();
    let attachments = stored.decode::<Message>().unwrap().attachments;
    let names: Vec<_> = attachments
        .iter()
        .map(|a| a.name.as_deref().unwrap())
        .collect();
    assert_eq!(names, ["table.csv", "picture.txt", "noise.bin"]);
    assert_eq!(attachments[0].blob.mime_type, "text/csv");
    assert_eq!(
        attachments[1].blob.mime_type, "image/png",
        "the PDS looks at the bytes"
    );
    assert_eq!(attachments[2].blob.cid, cid_for_raw(&big));
    for (artifact, expected) in attachments
        .iter()
        .zip([b"a,b\n1,2\n".as_slice(), &png, &big])
    {
        assert_eq!(
            download(&publisher, &artifact.blob).await.unwrap(),
            expected
        );
    }

    let mut lie = attachments[0].blob.clone();
    lie.size += 1;
    let refused = download(&publisher, &lie).await.unwrap_err();
    assert!(refused.contains("throw it away"), "{refused}");
    publisher.delete(&receipt.uri).await.unwrap();
    let gone = download(&publisher, &attachments[0].blob)
        .await
        .unwrap_err();
    assert!(gone.contains("was not fetched"), "{gone}");
}

pub(crate) async fn the_same_bytes_attached_again_are_fine(network: &Network) {
    let publisher = network.publisher().await;
    for mime_type in ["text/plain", "text/markdown", "text/plain"] {
        let attachment = Attachment::bytes("the same bytes").mime_type(mime_type);
        let publish = publisher
            .publish(message(&publisher, mime_type))
            .attach(attachment);
        publish
            .await
            .unwrap_or_else(|error| panic!("{mime_type}: {error}"));
    }
    let twice = Attachment::bytes("twice");
    let publish = publisher
        .publish(message(&publisher, "twice"))
        .attach(twice);
    publish.attach(Attachment::bytes("twice")).await.unwrap();
}

pub(crate) async fn an_attachment_over_the_servers_limit_says_so(network: &Network) {
    let publisher = network.publisher().await;
    let size = 6 << 20; // Both PDSs take 5 MiB.
    let big = || Attachment::bytes(vec![0; size]).name("big");
    let error = publisher
        .publish(message(&publisher, "big"))
        .attach(big())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error:?}");
    assert!(error.to_string().contains("send less"), "{error}");
    let again = publisher.upload_blob(big()).await.unwrap_err();
    assert!(matches!(again, UploadError::TooLarge { .. }), "{again:?}");

    let unknown = Attachment::reader(std::io::Cursor::new(vec![0; size]), None);
    let error = publisher.upload_blob(unknown).await.unwrap_err();
    assert!(
        matches!(error, UploadError::TooLarge { .. }),
        "without a size, too: {error:?}"
    );

    // The reference PDS stops reading on the connection of a blob that it refused.
    let small = publisher.publish(message(&publisher, "small"));
    let small = small.attach(Attachment::bytes("small")).into_future();
    let small = tokio::time::timeout(Duration::from_secs(20), small).await;
    small
        .expect("nothing waits behind the refused ones")
        .unwrap();
}

pub(crate) async fn a_lost_answer_to_an_upload_is_made_good(network: &Network) {
    let account = network.account().await;
    let cutting = Cutting::before(&account.pds, "uploadBlob", 1).await;
    let password = account.password.clone().into();
    let session = Session::login(cutting.url(), &account.handle, password)
        .await
        .unwrap();
    let publisher = Publisher::temporary(session).unwrap();
    let attachment = Attachment::bytes(noise(300_000));
    publisher
        .publish(message(&publisher, "hi"))
        .attach(attachment)
        .await
        .unwrap();
    assert_eq!(cutting.lost(), 1, "the answer was lost");
}
