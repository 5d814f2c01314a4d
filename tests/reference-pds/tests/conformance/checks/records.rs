//! Single writes: create, put, delete, and their swaps.

use anyhow::{Result, ensure};
use atcomms_lexicon::{Tid, Value as Data, cid_for_cbor};
use serde_json::{Value, json};

use crate::account::{NOTE, note};
use crate::answer::{fields, same, text};
use crate::check::checks;
use crate::target::Target;

checks![
    a_created_record_has_uri_cid_and_commit,
    a_record_may_be_written_by_handle,
    a_create_on_a_taken_key_is_an_opaque_500,
    a_put_with_null_swap_creates_only_if_absent,
    a_race_for_a_key_has_one_winner,
    a_put_without_swap_replaces,
    a_put_with_a_swap_replaces_only_that,
    an_identical_put_makes_no_commit,
    every_write_may_be_guarded_by_the_commit,
    a_delete_answers_with_its_commit,
    a_delete_of_what_is_absent_does_nothing,
    a_delete_may_be_guarded_by_the_record,
    the_repository_of_somebody_else_is_401,
    revs_grow,
];

/// The CID that a record should have, worked out here.
fn cid(record: &Value) -> Result<String> {
    Ok(cid_for_cbor(&Data::from_json(record.clone())?.to_cbor()).to_string())
}

async fn a_created_record_has_uri_cid_and_commit(target: &Target) -> Result<()> {
    let account = target.account().await?;
    let body = json!({ "record": note("hello") });
    let made = account.write(target, "createRecord", body).await?.ok()?;
    same!(
        fields(&made),
        ["cid", "commit", "uri", "validationStatus"],
        "fields"
    );
    same!(
        fields(&made["commit"]),
        ["cid", "rev"],
        "fields of the commit"
    );
    same!(
        made["commit"],
        account.latest(target).await?,
        "latest commit"
    );
    same!(text(&made, "cid")?, cid(&note("hello"))?, "cid");
    same!(made["validationStatus"], "unknown", "validationStatus");
    let prefix = format!("at://{}/{NOTE}/", account.did);
    let key: Tid = text(&made, "uri")?
        .strip_prefix(&prefix)
        .unwrap_or_default()
        .parse()?;
    same!(
        account.value(target, &key.to_string()).await?,
        note("hello"),
        "value"
    );

    let body = json!({ "rkey": "a-key", "record": note("hello") });
    let keyed = account.write(target, "createRecord", body).await?.ok()?;
    same!(text(&keyed, "uri")?, format!("{prefix}a-key"), "uri");
    same!(keyed["cid"], made["cid"], "cid of the same value");
    Ok(())
}

async fn a_record_may_be_written_by_handle(target: &Target) -> Result<()> {
    let account = target.account().await?;
    let body = json!({ "repo": account.handle, "rkey": "k", "record": note("x") });
    let made = account.write(target, "createRecord", body).await?.ok()?;
    same!(
        text(&made, "uri")?,
        format!("at://{}/{NOTE}/k", account.did),
        "uri"
    );
    Ok(())
}

/// Wherefore a create is never sent again: whether it is there already can't be seen from this.
async fn a_create_on_a_taken_key_is_an_opaque_500(target: &Target) -> Result<()> {
    let account = target.account().await?;
    account.put(target, "k", note("1")).await?;
    let before = account.latest(target).await?;
    for record in [note("1"), note("2")] {
        let body = json!({ "rkey": "k", "record": record });
        let answer = account.write(target, "createRecord", body).await?;
        answer.refused(500, "InternalServerError")?;
    }
    same!(account.latest(target).await?, before, "latest commit");
    same!(account.value(target, "k").await?, note("1"), "value");
    Ok(())
}

async fn a_put_with_null_swap_creates_only_if_absent(target: &Target) -> Result<()> {
    let account = target.account().await?;
    let put = async |record| {
        let body = json!({ "rkey": "k", "record": record, "swapRecord": null });
        account.write(target, "putRecord", body).await
    };
    let made = put(note("1")).await?.ok()?;
    same!(
        made["commit"],
        account.latest(target).await?,
        "latest commit"
    );
    same!(made["validationStatus"], "unknown", "validationStatus");

    let again = put(note("1")).await?.ok()?;
    same!(
        fields(&again),
        ["cid", "uri", "validationStatus"],
        "fields of the identical retry"
    );
    same!(again["cid"], made["cid"], "cid of the identical retry");
    same!(again["uri"], made["uri"], "uri of the identical retry");

    put(note("2")).await?.refused(400, "InvalidSwap")?;
    same!(account.value(target, "k").await?, note("1"), "value");
    same!(
        account.latest(target).await?,
        made["commit"],
        "latest commit in the end"
    );
    Ok(())
}

async fn a_race_for_a_key_has_one_winner(target: &Target) -> Result<()> {
    let account = target.account().await?;
    let racers = (0..10).map(|n| {
        let body = json!({ "rkey": "k", "record": note(&n.to_string()), "swapRecord": null });
        account.write(target, "putRecord", body)
    });
    let mut winners = Vec::new();
    for (n, outcome) in futures::future::join_all(racers)
        .await
        .into_iter()
        .enumerate()
    {
        let outcome = outcome?;
        match outcome.status {
            200 => winners.push(n),
            _ => outcome.refused(400, "InvalidSwap")?,
        }
    }
    same!(winners.len(), 1, "winners");
    same!(
        account.value(target, "k").await?,
        note(&winners[0].to_string()),
        "value"
    );
    Ok(())
}

async fn a_put_without_swap_replaces(target: &Target) -> Result<()> {
    let account = target.account().await?;
    let first = account.put(target, "k", note("1")).await?;
    let second = account.put(target, "k", note("2")).await?;
    same!(
        fields(&second),
        ["cid", "commit", "uri", "validationStatus"],
        "fields"
    );
    ensure!(first["cid"] != second["cid"], "another cid");
    same!(text(&second, "cid")?, cid(&note("2"))?, "cid");
    same!(account.value(target, "k").await?, note("2"), "value");
    let no_key = json!({ "record": note("x") });
    account
        .write(target, "putRecord", no_key)
        .await?
        .refused(400, "InvalidRequest")
}

async fn a_put_with_a_swap_replaces_only_that(target: &Target) -> Result<()> {
    let account = target.account().await?;
    let first = account.put(target, "k", note("1")).await?;
    let put = async |rkey: &str, record, swap: &Value| {
        let body = json!({ "rkey": rkey, "record": record, "swapRecord": swap });
        account.write(target, "putRecord", body).await
    };
    put("k", note("2"), &first["cid"]).await?.ok()?;
    put("k", note("3"), &first["cid"])
        .await?
        .refused(400, "InvalidSwap")?;
    put("absent", note("3"), &first["cid"])
        .await?
        .refused(400, "InvalidSwap")?;
    put("k", note("3"), &json!("not a cid"))
        .await?
        .refused(400, "InvalidRequest")?;
    same!(account.value(target, "k").await?, note("2"), "value");
    Ok(())
}

async fn an_identical_put_makes_no_commit(target: &Target) -> Result<()> {
    let account = target.account().await?;
    let first = account.put(target, "k", note("1")).await?;
    let again = account.put(target, "k", note("1")).await?;
    same!(fields(&again), ["cid", "uri", "validationStatus"], "fields");
    same!(
        account.latest(target).await?,
        first["commit"],
        "latest commit"
    );
    Ok(())
}

async fn every_write_may_be_guarded_by_the_commit(target: &Target) -> Result<()> {
    let account = target.account().await?;
    let old = account.put(target, "k", note("1")).await?["commit"]["cid"].take();
    account.put(target, "other", note("1")).await?;
    let write = json!({ "$type": "com.atproto.repo.applyWrites#create", "collection": NOTE, "value": note("x") });
    let bodies = [
        ("createRecord", json!({ "record": note("x") })),
        ("putRecord", json!({ "rkey": "k", "record": note("x") })),
        ("deleteRecord", json!({ "rkey": "k" })),
        ("applyWrites", json!({ "writes": [write] })),
    ];
    for (method, mut body) in bodies {
        body["swapCommit"] = old.clone();
        account
            .write(target, method, body.clone())
            .await?
            .refused(400, "InvalidSwap")?;
        body["swapCommit"] = account.latest(target).await?["cid"].take();
        account.write(target, method, body).await?.ok()?;
    }
    Ok(())
}

async fn a_delete_answers_with_its_commit(target: &Target) -> Result<()> {
    let account = target.account().await?;
    account.put(target, "k", note("1")).await?;
    let deleted = account.delete(target, "k").await?;
    same!(fields(&deleted), ["commit"], "fields");
    same!(
        deleted["commit"],
        account.latest(target).await?,
        "latest commit"
    );
    account
        .get(target, "k")
        .await?
        .refused(400, "RecordNotFound")
}

async fn a_delete_of_what_is_absent_does_nothing(target: &Target) -> Result<()> {
    let account = target.account().await?;
    let before = account.latest(target).await?;
    same!(account.delete(target, "absent").await?, json!({}), "answer");
    same!(account.latest(target).await?, before, "latest commit");
    Ok(())
}

async fn a_delete_may_be_guarded_by_the_record(target: &Target) -> Result<()> {
    let account = target.account().await?;
    let first = account.put(target, "k", note("1")).await?["cid"].take();
    let second = account.put(target, "k", note("2")).await?["cid"].take();
    let delete = async |swap: &Value| {
        account
            .write(
                target,
                "deleteRecord",
                json!({ "rkey": "k", "swapRecord": swap }),
            )
            .await
    };
    delete(&first).await?.refused(400, "InvalidSwap")?;
    delete(&second).await?.ok()?;
    same!(
        delete(&second).await?.ok()?,
        json!({}),
        "answer when it is gone"
    );
    Ok(())
}

async fn the_repository_of_somebody_else_is_401(target: &Target) -> Result<()> {
    let (alice, bob) = (target.account().await?, target.account().await?);
    for (method, mut body) in [
        ("createRecord", json!({ "record": note("x") })),
        ("putRecord", json!({ "rkey": "k", "record": note("x") })),
        ("deleteRecord", json!({ "rkey": "k" })),
        ("applyWrites", json!({ "writes": [] })),
    ] {
        body["repo"] = json!(bob.did);
        let answer = alice.write(target, method, body).await?;
        answer.refused(401, "AuthenticationRequired")?;
    }
    Ok(())
}

async fn revs_grow(target: &Target) -> Result<()> {
    let account = target.account().await?;
    let mut last: Tid = text(&account.latest(target).await?, "rev")?.parse()?;
    for n in 0..10 {
        let made = account.put(target, "k", note(&n.to_string())).await?;
        let rev: Tid = text(&made["commit"], "rev")?.parse()?;
        ensure!(rev > last, "{rev} comes after {last}");
        last = rev;
    }
    Ok(())
}
