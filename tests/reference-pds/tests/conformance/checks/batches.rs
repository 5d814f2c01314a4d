//! `applyWrites`.

use anyhow::Result;
use serde_json::{Value, json};

use crate::account::{NOTE, create, delete, note, update};
use crate::answer::{fields, same, text};
use crate::check::checks;
use crate::target::Target;

checks![
    a_batch_has_a_result_for_each_write,
    a_batch_chooses_keys,
    a_batch_is_all_or_nothing,
    a_batch_of_200_is_the_largest,
    an_empty_batch_makes_a_commit,
    an_update_to_the_same_value_makes_a_commit,
    a_batch_may_create_and_delete_one_key,
    a_value_that_a_batch_removes_twice_and_adds_once_is_lost,
    a_write_of_unknown_type_is_400,
];

async fn a_batch_has_a_result_for_each_write(target: &Target) -> Result<()> {
    let account = target.account().await?;
    account.put(target, "old", note("old")).await?;
    account.put(target, "gone", note("gone")).await?;
    let writes = json!([
        create("new", note("1")),
        update("old", note("2")),
        delete("gone")
    ]);
    let done = account.apply(target, writes).await?.ok()?;
    same!(
        done["commit"],
        account.latest(target).await?,
        "latest commit"
    );
    let results = &done["results"];
    for (n, kind) in ["createResult", "updateResult"].into_iter().enumerate() {
        let result = &results[n];
        same!(
            result["$type"],
            format!("com.atproto.repo.applyWrites#{kind}"),
            "type"
        );
        same!(
            fields(result),
            ["$type", "cid", "uri", "validationStatus"],
            "fields of a {kind}"
        );
    }
    same!(
        results[2],
        json!({ "$type": "com.atproto.repo.applyWrites#deleteResult" }),
        "delete"
    );
    same!(
        results[0]["uri"],
        format!("at://{}/{NOTE}/new", account.did),
        "uri"
    );
    same!(
        account.value(target, "new").await?,
        note("1"),
        "the created record"
    );
    same!(
        account.value(target, "old").await?,
        note("2"),
        "the updated record"
    );
    account
        .get(target, "gone")
        .await?
        .refused(400, "RecordNotFound")
}

async fn a_batch_chooses_keys(target: &Target) -> Result<()> {
    let account = target.account().await?;
    let write = json!({ "$type": "com.atproto.repo.applyWrites#create", "collection": NOTE, "value": note("x") });
    let done = account
        .apply(target, json!([write, write, write]))
        .await?
        .ok()?;
    let results = done["results"].as_array().cloned().unwrap_or_default();
    let mut uris: Vec<&str> = results
        .iter()
        .filter_map(|result| result["uri"].as_str())
        .collect();
    uris.dedup();
    same!(uris.len(), 3, "distinct keys");
    Ok(())
}

async fn a_batch_is_all_or_nothing(target: &Target) -> Result<()> {
    let account = target.account().await?;
    account.put(target, "taken", note("1")).await?;
    let before = account.latest(target).await?;
    for impossible in [
        create("taken", note("2")),
        update("absent", note("2")),
        delete("absent"),
    ] {
        let writes = json!([create("new", note("1")), impossible, delete("taken")]);
        account
            .apply(target, writes)
            .await?
            .refused(500, "InternalServerError")?;
    }
    let twice = json!([create("new", note("1")), create("new", note("2"))]);
    account
        .apply(target, twice)
        .await?
        .refused(500, "InternalServerError")?;
    account
        .get(target, "new")
        .await?
        .refused(400, "RecordNotFound")?;
    same!(account.value(target, "taken").await?, note("1"), "value");
    same!(account.latest(target).await?, before, "latest commit");
    Ok(())
}

async fn a_batch_of_200_is_the_largest(target: &Target) -> Result<()> {
    let account = target.account().await?;
    let writes = |count: usize| -> Value {
        (0..count)
            .map(|n| create(&format!("n{n}"), note("x")))
            .collect()
    };
    account
        .apply(target, writes(201))
        .await?
        .refused(400, "InvalidRequest")?;
    let done = account.apply(target, writes(200)).await?.ok()?;
    same!(
        done["results"].as_array().map(Vec::len),
        Some(200),
        "results"
    );
    Ok(())
}

async fn an_empty_batch_makes_a_commit(target: &Target) -> Result<()> {
    let account = target.account().await?;
    let before = account.latest(target).await?;
    let done = account.apply(target, json!([])).await?.ok()?;
    same!(done["results"], json!([]), "results");
    same!(
        done["commit"],
        account.latest(target).await?,
        "latest commit"
    );
    same!(
        text(&done["commit"], "rev")? > text(&before, "rev")?,
        true,
        "a later rev"
    );
    Ok(())
}

async fn an_update_to_the_same_value_makes_a_commit(target: &Target) -> Result<()> {
    let account = target.account().await?;
    let first = account.put(target, "k", note("1")).await?;
    let done = account
        .apply(target, json!([update("k", note("1"))]))
        .await?
        .ok()?;
    same!(done["results"][0]["cid"], first["cid"], "cid");
    same!(
        done["commit"],
        account.latest(target).await?,
        "latest commit"
    );
    same!(done["commit"] != first["commit"], true, "another commit");
    Ok(())
}

async fn a_batch_may_create_and_delete_one_key(target: &Target) -> Result<()> {
    let account = target.account().await?;
    let writes = json!([create("k", note("1")), delete("k")]);
    account.apply(target, writes).await?.ok()?;
    account
        .get(target, "k")
        .await?
        .refused(400, "RecordNotFound")
}

/// An error of the reference: the record is in the tree and in the firehose, but its block is gone.
/// A value that a batch writes should not be one that it removes elsewhere.
async fn a_value_that_a_batch_removes_twice_and_adds_once_is_lost(target: &Target) -> Result<()> {
    let account = target.account().await?;
    account.put(target, "one", note("same")).await?;
    account.put(target, "two", note("same")).await?;
    let writes = json!([create("three", note("same")), delete("one"), delete("two")]);
    account.apply(target, writes).await?.ok()?;
    account
        .get(target, "three")
        .await?
        .refused(400, "RecordNotFound")
}

async fn a_write_of_unknown_type_is_400(target: &Target) -> Result<()> {
    let account = target.account().await?;
    for kind in [json!("com.atproto.repo.applyWrites#replace"), Value::Null] {
        let write = json!({ "$type": kind, "collection": NOTE, "rkey": "k", "value": note("x") });
        account
            .apply(target, json!([write]))
            .await?
            .refused(400, "InvalidRequest")?;
    }
    Ok(())
}
