//! Blobs: stored first, public once a record refers to them.

use anyhow::{Result, ensure};
use atcomms_lexicon::cid_for_raw;
use serde_json::{Value, json};

use crate::account::{Account, NOTE, create, delete, note, update};
use crate::answer::{Answer, same, text};
use crate::check::checks;
use crate::target::Target;

const GET: &str = "com.atproto.sync.getBlob";

checks![
    an_upload_gives_a_reference,
    the_type_is_sniffed,
    an_upload_needs_a_type_and_a_token,
    an_upload_needs_a_length,
    an_upload_has_a_limit,
    a_blob_is_public_while_a_record_refers_to_it,
    a_blob_goes_with_the_record_s_update,
    a_blob_that_changes_hands_stays,
    a_wrong_reference_is_refused,
    a_blob_that_is_gone_must_be_uploaded_again,
    a_blob_of_nobody,
];

fn with(blob: &Value) -> Value {
    json!({ "$type": NOTE, "file": blob })
}

async fn get(target: &Target, account: &Account, blob: &Value) -> Result<Answer> {
    let cid = text(&blob["ref"], "$link")?;
    target
        .get(GET, &[("did", &account.did), ("cid", cid)])
        .await
}

async fn uploaded(target: &Target, account: &Account, bytes: &[u8], mime: &str) -> Result<Value> {
    Ok(account.upload(target, bytes, mime).await?.ok()?["blob"].take())
}

async fn an_upload_gives_a_reference(target: &Target) -> Result<()> {
    let account = target.account().await?;
    for (bytes, mime) in [
        (&b"hello"[..], "text/plain"),
        (b"{\"a\":1}", "application/json"),
        (b"", "text/plain"),
        (&[0, 159, 146, 150], "application/octet-stream"),
    ] {
        let answer = account.upload(target, bytes, mime).await?.ok()?;
        let reference = json!({ "$link": cid_for_raw(bytes).to_string() });
        let blob =
            json!({ "$type": "blob", "ref": reference, "mimeType": mime, "size": bytes.len() });
        same!(answer, json!({ "blob": blob }), "answer");
    }
    Ok(())
}

async fn the_type_is_sniffed(target: &Target) -> Result<()> {
    const PNG: &[u8] =
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89\
        \0\0\0\rIDATx\x9cc`\0\0\0\x02\0\x01\xe2!\xbc3\0\0\0\0IEND\xaeB`\x82";
    let account = target.account().await?;
    for (bytes, declared, expected) in [
        (PNG, "text/plain", "image/png"),
        (PNG, "image/png", "image/png"),
        (
            b"\x1f\x8b\x08\0\0\0\0\0\0\x03",
            "application/zip",
            "application/gzip",
        ),
        (
            b"\xff\xd8\xff\xe0\0\x10JFIF\0",
            "application/octet-stream",
            "image/jpeg",
        ),
        (b"GIF89a\x01\0\x01\0\0\0\0;", "text/plain", "image/gif"),
        (b"%PDF-1.7\n", "text/plain", "application/pdf"),
        (b"PK\x03\x04\x14\0\0\0\0\0", "text/plain", "application/zip"),
        (b"just text", "text/plain", "text/plain"),
        (b"just text", "text/markdown", "text/markdown"),
        (b"just text", "*/*", "*/*"),
    ] {
        let blob = uploaded(target, &account, bytes, declared).await?;
        same!(
            blob["mimeType"],
            expected,
            "type of {:?}",
            String::from_utf8_lossy(bytes)
        );
    }
    Ok(())
}

async fn an_upload_needs_a_type_and_a_token(target: &Target) -> Result<()> {
    let account = target.account().await?;
    let url = format!("{}/xrpc/com.atproto.repo.uploadBlob", target.pds);
    let typeless = target
        .http
        .post(&url)
        .bearer_auth(&account.access)
        .body("x");
    Answer::of(typeless).await?.refused(400, "InvalidRequest")?;
    let anonymous = target
        .http
        .post(&url)
        .header("content-type", "text/plain")
        .body("x");
    Answer::of(anonymous).await?.refused(401, "AuthMissing")
}

/// An empty one too: a request that says neither a length nor that it comes in chunks has no body.
async fn an_upload_needs_a_length(target: &Target) -> Result<()> {
    let account = target.account().await?;
    let url = format!("{}/xrpc/com.atproto.repo.uploadBlob", target.pds);
    let request = target
        .http
        .post(url)
        .bearer_auth(&account.access)
        .header("content-type", "text/plain");
    Answer::of(request).await?.refused(400, "InvalidRequest")
}

async fn an_upload_has_a_limit(target: &Target) -> Result<()> {
    const LIMIT: usize = 5 * 1024 * 1024;
    let account = target.account().await?;
    let blob = uploaded(
        target,
        &account,
        &vec![1; LIMIT],
        "application/octet-stream",
    )
    .await?;
    same!(blob["size"], LIMIT, "size");
    let answer = account
        .upload(target, &vec![1; LIMIT + 1], "application/octet-stream")
        .await?;
    answer.refused(413, "PayloadTooLarge")
}

async fn a_blob_is_public_while_a_record_refers_to_it(target: &Target) -> Result<()> {
    let account = target.account().await?;
    let blob = uploaded(target, &account, b"hello", "text/plain").await?;
    get(target, &account, &blob)
        .await?
        .refused(400, "InvalidRequest")?;
    account.put(target, "one", with(&blob)).await?;
    same!(
        get(target, &account, &blob).await?.bytes("text/plain")?,
        b"hello",
        "content"
    );
    same!(
        account.value(target, "one").await?,
        with(&blob),
        "the record"
    );
    account
        .put(
            target,
            "two",
            json!({ "$type": NOTE, "deep": [{ "file": blob }] }),
        )
        .await?;
    account.delete(target, "one").await?;
    same!(
        get(target, &account, &blob).await?.bytes("text/plain")?,
        b"hello",
        "content, still"
    );
    account.delete(target, "two").await?;
    get(target, &account, &blob)
        .await?
        .refused(400, "InvalidRequest")
}

async fn a_blob_goes_with_the_record_s_update(target: &Target) -> Result<()> {
    let account = target.account().await?;
    let blob = uploaded(target, &account, b"first", "text/plain").await?;
    account.put(target, "k", with(&blob)).await?;
    account
        .put(
            target,
            "k",
            json!({ "$type": NOTE, "file": blob, "more": true }),
        )
        .await?;
    get(target, &account, &blob).await?.bytes("text/plain")?;
    account.put(target, "k", note("no file")).await?;
    get(target, &account, &blob)
        .await?
        .refused(400, "InvalidRequest")
}

/// One record lets go of it, and another takes it up in the same commit.
async fn a_blob_that_changes_hands_stays(target: &Target) -> Result<()> {
    let account = target.account().await?;
    let blob = uploaded(target, &account, b"handed on", "text/plain").await?;
    account.put(target, "one", with(&blob)).await?;
    let writes = json!([delete("one"), create("two", with(&blob))]);
    account.apply(target, writes).await?.ok()?;
    let answer = get(target, &account, &blob).await?;
    same!(answer.bytes("text/plain")?, b"handed on", "content");
    account.put(target, "other", note("no file")).await?;
    let writes = json!([
        update("two", note("no file any more")),
        update("other", with(&blob))
    ]);
    account.apply(target, writes).await?.ok()?;
    let answer = get(target, &account, &blob).await?;
    same!(answer.bytes("text/plain")?, b"handed on", "content, still");
    Ok(())
}

async fn a_wrong_reference_is_refused(target: &Target) -> Result<()> {
    let account = target.account().await?;
    let blob = uploaded(target, &account, b"hello", "text/plain").await?;
    let before = account.latest(target).await?;
    let refused = async |field: &str, value: Value, error: &str| -> Result<()> {
        let mut wrong = blob.clone();
        wrong[field] = value;
        let body = json!({ "rkey": "k", "record": with(&wrong) });
        account
            .write(target, "putRecord", body.clone())
            .await?
            .refused(400, error)?;
        account
            .write(target, "createRecord", body)
            .await?
            .refused(400, error)
    };
    refused("mimeType", json!("image/png"), "InvalidMimeType").await?;
    refused("size", json!(6), "InvalidSize").await?;
    let never = json!({ "$link": cid_for_raw(b"never uploaded").to_string() });
    refused("ref", never, "BlobNotFound").await?;
    same!(account.latest(target).await?, before, "latest commit");
    account
        .get(target, "k")
        .await?
        .refused(400, "RecordNotFound")
}

async fn a_blob_that_is_gone_must_be_uploaded_again(target: &Target) -> Result<()> {
    let account = target.account().await?;
    let blob = uploaded(target, &account, b"hello", "text/plain").await?;
    account.put(target, "k", with(&blob)).await?;
    account.delete(target, "k").await?;
    let body = json!({ "rkey": "k", "record": with(&blob) });
    account
        .write(target, "putRecord", body.clone())
        .await?
        .refused(400, "BlobNotFound")?;
    ensure!(
        uploaded(target, &account, b"hello", "text/plain").await? == blob,
        "another reference"
    );
    account.write(target, "putRecord", body).await?.ok()?;
    get(target, &account, &blob).await?.bytes("text/plain")?;
    Ok(())
}

async fn a_blob_of_nobody(target: &Target) -> Result<()> {
    let cid = cid_for_raw(b"x").to_string();
    let nobody = [("did", "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa"), ("cid", &*cid)];
    target
        .get(GET, &nobody)
        .await?
        .refused(400, "RepoNotFound")?;
    let account = target.account().await?;
    let other = target.account().await?;
    let blob = uploaded(target, &account, b"mine", "text/plain").await?;
    account.put(target, "k", with(&blob)).await?;
    get(target, &other, &blob)
        .await?
        .refused(400, "InvalidRequest")?;
    let malformed = [("did", &*account.did), ("cid", "no")];
    target
        .get(GET, &malformed)
        .await?
        .refused(400, "InvalidRequest")
}
