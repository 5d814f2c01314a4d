//! Blobs: uploaded, referred to, fetched, let go.

use serde_json::json;

use crate::common::{Client, NOTE, alice};

#[tokio::test]
async fn a_blob_is_served_while_a_record_refers_to_it_and_only_then() {
    let (_devnet, alice, client) = alice().await;
    let did = alice.did.as_str();
    let blob = client.upload("text/plain", "hello, agents").await.ok()["blob"].clone();
    assert_eq!(blob["$type"], "blob");
    assert_eq!(
        (&blob["mimeType"], &blob["size"]),
        (&json!("text/plain"), &json!(13))
    );
    let cid = blob["ref"]["$link"].as_str().unwrap();
    let query = [("did", did), ("cid", cid)];
    let stranger = Client {
        token: None,
        ..client.clone()
    };
    assert_eq!(
        stranger.get("sync.getBlob", &query).await.error(),
        (400, "InvalidRequest")
    );

    for rkey in ["one", "two"] {
        let body =
            json!({ "repo": did, "collection": NOTE, "rkey": rkey, "record": { "file": blob } });
        client.post("repo.createRecord", body).await.ok();
    }
    let response = stranger
        .request(reqwest::Method::GET, "sync.getBlob")
        .query(&query);
    let response = response.send().await.unwrap();
    let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header("content-type"), "text/plain; charset=utf-8");
    assert_eq!(header("content-length"), "13");
    assert_eq!(header("x-content-type-options"), "nosniff");
    assert_eq!(response.bytes().await.unwrap(), "hello, agents");
    let listed = stranger.get("sync.listBlobs", &[("did", did)]).await.ok();
    assert_eq!(listed["cids"], json!([cid]));

    client.put(&alice.did, "one", "no file any more").await;
    assert_eq!(
        stranger.get_bytes("sync.getBlob", &query).await,
        b"hello, agents"
    );
    let body = json!({ "repo": did, "collection": NOTE, "rkey": "two" });
    client.post("repo.deleteRecord", body).await.ok();
    assert_eq!(
        stranger.get("sync.getBlob", &query).await.error(),
        (400, "InvalidRequest")
    );
    let body = json!({ "repo": did, "collection": NOTE, "record": { "file": blob } });
    let answer = client.post("repo.createRecord", body).await;
    assert_eq!(
        answer.error(),
        (400, "BlobNotFound"),
        "it has to be uploaded again"
    );
}

#[tokio::test]
async fn a_reference_that_does_not_fit_the_blob_is_refused_and_nothing_is_written() {
    let (_devnet, alice, client) = alice().await;
    let blob = client.upload("text/plain", "hello").await.ok()["blob"].clone();
    let changed = |field: &str, value: serde_json::Value| {
        let mut blob = blob.clone();
        blob[field] = value;
        blob
    };
    let absent = json!({ "$link": "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy" });
    for (blob, error) in [
        (changed("size", json!(4)), "InvalidSize"),
        (changed("mimeType", json!("image/png")), "InvalidMimeType"),
        (changed("ref", absent), "BlobNotFound"),
    ] {
        let record = json!({ "deep": [{ "file": blob }] });
        let body = json!({ "repo": alice.did, "collection": NOTE, "record": record });
        assert_eq!(
            client.post("repo.createRecord", body).await.error(),
            (400, error)
        );
    }
    let query = [("repo", "alice.test"), ("collection", NOTE)];
    assert_eq!(
        client.get("repo.listRecords", &query).await.ok(),
        json!({ "records": [] })
    );
}

#[tokio::test]
async fn the_type_that_the_bytes_show_wins_over_what_the_uploader_says() {
    let (_devnet, _, client) = alice().await;
    let png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
    let blob = client.upload("text/plain", png).await.ok();
    assert_eq!(blob["blob"]["mimeType"], "image/png");
    let blob = client
        .upload("application/json; charset=utf-8", "{}")
        .await
        .ok();
    assert_eq!(blob["blob"]["mimeType"], "application/json");
    let none = client
        .request(reqwest::Method::POST, "repo.uploadBlob")
        .body("x");
    let answer = crate::common::answer(none).await;
    assert_eq!(
        answer.error(),
        (400, "InvalidRequest"),
        "without a content type"
    );
}
