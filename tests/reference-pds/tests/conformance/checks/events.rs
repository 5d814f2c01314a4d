//! What the firehose says of an account, and that it can be verified.

use anyhow::{Context, Result, bail, ensure};
use atcomms_lexicon::{Value as Data, cid_for_cbor};
use atcomms_repo::VerifyingKey;
use atcomms_repo::car::Car;
use atcomms_repo::frame::{Action, CommitFrame, Frame, decode};
use atcomms_repo::verify::{Limits, VerifiedCommit, verify_commit};
use serde_json::{Value, json};

use crate::account::{Account, NOTE, create, delete, note, update};
use crate::answer::{same, text};
use crate::check::checks;
use crate::frames::{Subscription, kind, seq};
use crate::target::{Target, now_micros};

checks![
    a_new_account_has_four_events,
    every_write_is_a_commit_that_verifies,
    a_large_repository_s_commits_verify,
    a_commit_without_operations_carries_only_itself,
    a_commit_carries_what_the_write_answered,
    what_changes_nothing_has_no_event,
    a_frame_has_the_reference_s_bytes,
    a_change_of_handle_is_an_identity_event,
    deactivation_and_activation_have_events,
];

fn verified(frame: &[u8], key: &VerifyingKey) -> Result<VerifiedCommit> {
    Ok(verify_commit(
        &commit(frame)?,
        key,
        now_micros(),
        &Limits::default(),
    )?)
}

fn commit(frame: &[u8]) -> Result<CommitFrame<'_>> {
    match decode(frame)? {
        Frame::Commit(commit) => Ok(commit),
        other => bail!("expected a commit, got {:?}", other.kind()),
    }
}

async fn a_new_account_has_four_events(target: &Target) -> Result<()> {
    let mut stream = Subscription::open(target, None).await?;
    stream.ping().await?; // from here on it is live
    let account = target.account().await?;
    let key = target.key(&account.did).await?;
    let mut frames = Vec::new();
    for expected in ["#identity", "#account", "#commit", "#sync"] {
        let frame = stream.frame_of(&account.did).await?;
        same!(
            kind(&frame)?,
            expected,
            "kind of event {}",
            frames.len() + 1
        );
        frames.push(frame);
    }
    ensure!(
        frames.is_sorted_by(|a, b| seq(a).ok() < seq(b).ok()),
        "seq grows"
    );

    let (Frame::Identity(identity), Frame::Account(status)) =
        (decode(&frames[0])?, decode(&frames[1])?)
    else {
        bail!("an identity and an account event")
    };
    same!(identity.handle, Some(&*account.handle), "handle");
    same!((status.active, status.status), (true, None), "status");

    let first = commit(&frames[2])?;
    same!(first.since, None, "since of the first commit");
    same!(first.prev_data, None, "prevData of the first commit");
    same!(first.ops.len(), 0, "ops of the first commit");
    let first = verified(&frames[2], &key)?;

    let Frame::Sync(sync) = decode(&frames[3])? else {
        bail!("a sync event")
    };
    same!(sync.rev, first.rev().to_string(), "rev of #sync");
    let car = Car::read(sync.blocks)?;
    same!(car.root(), first.commit(), "root of #sync");
    same!(car.len(), 1, "blocks of #sync");
    Ok(())
}

/// Writes of every kind, each with the operations that its event must have.
async fn writes(target: &Target, account: &Account) -> Result<Vec<Vec<(Action, &'static str)>>> {
    use Action::{Create, Delete, Update};
    account.put(target, "a", note("1")).await?;
    account
        .write(
            target,
            "createRecord",
            json!({ "rkey": "b", "record": note("1") }),
        )
        .await?
        .ok()?;
    account.put(target, "a", note("2")).await?;
    account.delete(target, "b").await?;
    let batch = json!([
        create("c", note("1")),
        create("d", note("1")),
        update("a", note("3"))
    ]);
    account.apply(target, batch).await?.ok()?;
    account.apply(target, json!([])).await?.ok()?;
    account
        .apply(target, json!([delete("a"), delete("c"), delete("d")]))
        .await?
        .ok()?;
    Ok(vec![
        vec![(Create, "a")],
        vec![(Create, "b")],
        vec![(Update, "a")],
        vec![(Delete, "b")],
        vec![(Create, "c"), (Create, "d"), (Update, "a")],
        vec![],
        vec![(Delete, "a"), (Delete, "c"), (Delete, "d")],
    ])
}

async fn every_write_is_a_commit_that_verifies(target: &Target) -> Result<()> {
    let account = target.account().await?;
    let key = target.key(&account.did).await?;
    let mut stream = Subscription::open(target, Some("0")).await?;
    let frame = stream.commit_of(&account.did).await?;
    let mut before = verified(&frame, &key)?;
    for expected in writes(target, &account).await? {
        // Between the first commit and the writes comes the account's #sync.
        let frame = stream.commit_of(&account.did).await?;
        let after =
            verified(&frame, &key).with_context(|| format!("the commit of {expected:?}"))?;
        same!(after.since(), Some(before.rev()), "since");
        same!(after.prev_data(), Some(before.data()), "prevData");
        let mut ops: Vec<_> = after
            .ops()
            .iter()
            .map(|op| (op.action(), op.rkey().to_string()))
            .collect();
        ops.sort_by(|a, b| a.1.cmp(&b.1));
        let mut expected: Vec<_> = expected
            .iter()
            .map(|(action, rkey)| (*action, (*rkey).to_owned()))
            .collect();
        expected.sort_by(|a, b| a.1.cmp(&b.1));
        same!(ops, expected, "operations");
        for op in after.ops() {
            same!(op.collection().as_str(), NOTE, "collection");
            same!(
                op.prev().is_some(),
                op.action() != Action::Create,
                "prev of {:?}",
                op.action()
            );
            same!(
                op.cid().is_some(),
                op.action() != Action::Delete,
                "cid of {:?}",
                op.action()
            );
        }
        before = after;
    }
    Ok(())
}

async fn a_large_repository_s_commits_verify(target: &Target) -> Result<()> {
    let account = target.account().await?;
    let key = target.key(&account.did).await?;
    let mut stream = Subscription::open(target, Some("0")).await?;
    let many: Value = (0..200)
        .map(|n| create(&format!("n{n}"), note(&n.to_string())))
        .collect();
    account.apply(target, many).await?.ok()?;
    for n in (0..200).step_by(20) {
        account
            .put(target, &format!("n{n}"), note("changed"))
            .await?;
        account.delete(target, &format!("n{}", n + 1)).await?;
        account.put(target, &format!("m{n}"), note("new")).await?;
    }
    let mut before = verified(&stream.commit_of(&account.did).await?, &key)?;
    for n in 0..31 {
        let frame = stream.commit_of(&account.did).await?;
        let after = verified(&frame, &key).with_context(|| format!("commit {n}"))?;
        same!(
            after.prev_data(),
            Some(before.data()),
            "prevData of commit {n}"
        );
        before = after;
    }
    same!(
        before.rev().to_string(),
        text(&account.latest(target).await?, "rev")?,
        "the last rev"
    );
    Ok(())
}

/// No part of the tree: that it is the same as before is in the signed root.
async fn a_commit_without_operations_carries_only_itself(target: &Target) -> Result<()> {
    let account = target.account().await?;
    let key = target.key(&account.did).await?;
    account.put(target, "k", note("1")).await?;
    account.apply(target, json!([])).await?.ok()?;
    let mut stream = Subscription::open(target, Some("0")).await?;
    stream.commit_of(&account.did).await?;
    stream.commit_of(&account.did).await?;
    let frame = stream.commit_of(&account.did).await?;
    let empty = commit(&frame)?;
    same!(empty.ops.len(), 0, "operations");
    same!(Car::read(empty.blocks)?.len(), 1, "blocks");
    let empty = verified(&frame, &key)?;
    same!(Some(empty.data()), empty.prev_data(), "the tree");
    Ok(())
}

async fn a_commit_carries_what_the_write_answered(target: &Target) -> Result<()> {
    let account = target.account().await?;
    let key = target.key(&account.did).await?;
    let record = json!({ "$type": NOTE, "text": "grüße", "list": [1, null, { "a": true }] });
    let made = account.put(target, "k", record.clone()).await?;
    let mut stream = Subscription::open(target, Some("0")).await?;
    stream.commit_of(&account.did).await?;
    let frame = stream.commit_of(&account.did).await?;
    let commit = verified(&frame, &key)?;
    same!(
        commit.commit().to_string(),
        text(&made["commit"], "cid")?,
        "commit"
    );
    same!(
        commit.rev().to_string(),
        text(&made["commit"], "rev")?,
        "rev"
    );
    let op = commit.ops().first().context("an operation")?;
    same!(
        op.cid().map(|cid| cid.to_string()).as_deref(),
        Some(text(&made, "cid")?),
        "cid"
    );
    let bytes = op.record().context("the record")?;
    same!(
        cid_for_cbor(bytes).to_string(),
        text(&made, "cid")?,
        "cid of the bytes"
    );
    same!(Data::from_cbor(bytes)?.to_json(), record, "record");
    Ok(())
}

async fn what_changes_nothing_has_no_event(target: &Target) -> Result<()> {
    let account = target.account().await?;
    let mut stream = Subscription::open(target, Some("0")).await?;
    stream.commit_of(&account.did).await?;
    account.put(target, "k", note("1")).await?;
    account.put(target, "k", note("1")).await?;
    account.delete(target, "absent").await?;
    account
        .write(
            target,
            "createRecord",
            json!({ "rkey": "k", "record": note("2") }),
        )
        .await?;
    let last = account.put(target, "k", note("3")).await?;
    stream.commit_of(&account.did).await?;
    let frame = stream.commit_of(&account.did).await?;
    same!(
        commit(&frame)?.rev,
        text(&last["commit"], "rev")?,
        "rev of the next commit"
    );
    Ok(())
}

/// Our encoder is the oracle: it writes every field in the reference's order.
async fn a_frame_has_the_reference_s_bytes(target: &Target) -> Result<()> {
    let account = target.account().await?;
    writes(target, &account).await?;
    let handle = json!({ "handle": format!("{}.test", target.new_name()) });
    target
        .post(
            Some(&account.access),
            "com.atproto.identity.updateHandle",
            &handle,
        )
        .await?
        .ok()?;
    let mut stream = Subscription::open(target, Some("0")).await?;
    let mut kinds = Vec::new();
    // Four of the account's creation, seven of the writes, one of the handle.
    for _ in 0..12 {
        let frame = stream.frame_of(&account.did).await?;
        let again = decode(&frame)?.encode();
        ensure!(
            again == frame,
            "{} is written in another way: {again:02x?} and {frame:02x?}",
            kind(&frame)?
        );
        kinds.push(kind(&frame)?);
    }
    same!(
        kinds.iter().filter(|kind| **kind == "#commit").count(),
        8,
        "commits"
    );
    same!(kinds.last(), Some(&"#identity"), "the last event");
    Ok(())
}

async fn a_change_of_handle_is_an_identity_event(target: &Target) -> Result<()> {
    let account = target.account().await?;
    let mut stream = Subscription::open(target, Some("0")).await?;
    while kind(&stream.frame_of(&account.did).await?)? != "#sync" {}
    for handle in [
        format!("{}.test", target.new_name()),
        account.handle.clone(),
        account.handle.clone(),
    ] {
        let body = json!({ "handle": handle });
        target
            .post(
                Some(&account.access),
                "com.atproto.identity.updateHandle",
                &body,
            )
            .await?
            .ok()?;
        let frame = stream.frame_of(&account.did).await?;
        let Frame::Identity(identity) = decode(&frame)? else {
            bail!("a {} event", kind(&frame)?)
        };
        same!(identity.handle, Some(&*handle), "handle");
    }
    Ok(())
}

async fn deactivation_and_activation_have_events(target: &Target) -> Result<()> {
    let account = target.account().await?;
    let rev = account.latest(target).await?["rev"].take();
    let mut stream = Subscription::open(target, Some("0")).await?;
    while kind(&stream.frame_of(&account.did).await?)? != "#sync" {}
    let token = Some(&*account.access);

    target
        .post(token, "com.atproto.server.deactivateAccount", &json!({}))
        .await?
        .ok()?;
    let frame = stream.frame_of(&account.did).await?;
    let Frame::Account(status) = decode(&frame)? else {
        bail!("a {} event", kind(&frame)?)
    };
    same!(
        (status.active, status.status),
        (false, Some("deactivated")),
        "status"
    );

    target
        .post_empty(token, "com.atproto.server.activateAccount")
        .await?
        .ok()?;
    let frame = stream.frame_of(&account.did).await?;
    let Frame::Account(status) = decode(&frame)? else {
        bail!("a {} event", kind(&frame)?)
    };
    same!((status.active, status.status), (true, None), "status");
    let frame = stream.frame_of(&account.did).await?;
    same!(kind(&frame)?, "#identity", "kind");
    let frame = stream.frame_of(&account.did).await?;
    let Frame::Sync(sync) = decode(&frame)? else {
        bail!("a {} event", kind(&frame)?)
    };
    same!(Value::from(sync.rev), rev, "rev of #sync");
    Ok(())
}
