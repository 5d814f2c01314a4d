//! The subscription itself: cursors, replay, errors.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use atcomms_repo::frame::{Frame, decode};

use crate::account::note;
use crate::answer::same;
use crate::check::checks;
use crate::frames::{Arrival, Subscription, kind, seq};
use crate::target::{Setup, Target};

/// How long events are replayed in the check of an outdated cursor: long enough that a new account's
/// events are still replayed on a busy machine.
const WINDOW: Duration = Duration::from_secs(3);

checks![
    without_a_cursor_only_what_is_new_comes,
    cursor_zero_replays_everything_in_order,
    a_cursor_is_the_last_event_seen,
    a_replay_goes_on_live,
    a_cursor_in_the_future_is_an_error,
    a_malformed_cursor_is_an_error,
    a_ping_is_answered,
    a_plain_request_is_refused,
    an_outdated_cursor_is_a_notice in Setup { backfill: Some(WINDOW), ..Setup::default() },
];

async fn without_a_cursor_only_what_is_new_comes(target: &Target) -> Result<()> {
    let account = target.account().await?;
    account.put(target, "old", note("old")).await?;
    let mut replay = Subscription::open(target, Some("0")).await?;
    let mut last = 0;
    for _ in 0..5 {
        last = seq(&replay.frame_of(&account.did).await?)?;
    }
    let mut live = Subscription::open(target, None).await?;
    live.ping().await?;
    account.put(target, "new", note("new")).await?;
    let first = live.frame_of(&account.did).await?;
    ensure!(seq(&first)? > last, "{} comes after {last}", seq(&first)?);
    Ok(())
}

async fn cursor_zero_replays_everything_in_order(target: &Target) -> Result<()> {
    let account = target.account().await?;
    for n in 0..20 {
        account.put(target, "k", note(&n.to_string())).await?;
    }
    let mut stream = Subscription::open(target, Some("0")).await?;
    let (mut last, mut ours) = (0, 0);
    while ours < 24 {
        let frame = stream.frame().await?;
        ensure!(seq(&frame)? > last, "{} comes after {last}", seq(&frame)?);
        last = seq(&frame)?;
        ours += usize::from(atcomms_repo::frame::peek(&frame)?.did() == Some(&*account.did));
    }
    Ok(())
}

async fn a_cursor_is_the_last_event_seen(target: &Target) -> Result<()> {
    let account = target.account().await?;
    account.put(target, "k", note("1")).await?;
    let mut stream = Subscription::open(target, Some("0")).await?;
    let mut seqs = Vec::new();
    for _ in 0..5 {
        seqs.push(seq(&stream.frame_of(&account.did).await?)?);
    }
    for pair in seqs.windows(2) {
        let mut stream = Subscription::open(target, Some(&pair[0].to_string())).await?;
        same!(
            seq(&stream.frame_of(&account.did).await?)?,
            pair[1],
            "the event after {}",
            pair[0]
        );
    }
    Ok(())
}

async fn a_replay_goes_on_live(target: &Target) -> Result<()> {
    let account = target.account().await?;
    let mut stream = Subscription::open(target, Some("0")).await?;
    let writes = async {
        for n in 0..30 {
            account.put(target, "k", note(&n.to_string())).await?;
        }
        anyhow::Ok(())
    };
    let reads = async {
        let mut revs = Vec::new();
        for _ in 0..31 {
            let frame = stream.commit_of(&account.did).await?;
            let Frame::Commit(commit) = decode(&frame)? else {
                bail!("a commit")
            };
            ensure!(
                commit.since == revs.last().map(String::as_str),
                "no commit is left out"
            );
            revs.push(commit.rev.to_owned());
        }
        anyhow::Ok(())
    };
    let (writes, reads) = tokio::join!(writes, reads);
    writes?;
    reads
}

async fn error_of(target: &Target, cursor: &str) -> Result<String> {
    let mut stream = Subscription::open(target, Some(cursor)).await?;
    let frame = stream.frame().await?;
    let Frame::Error(error) = decode(&frame)? else {
        bail!("a {} frame", kind(&frame)?)
    };
    match stream.next().await? {
        Arrival::Closed(Some(1008)) => Ok(error.error.to_owned()),
        other => bail!("expected a close with code 1008, got {other:?}"),
    }
}

async fn a_cursor_in_the_future_is_an_error(target: &Target) -> Result<()> {
    same!(
        error_of(target, "999999999").await?,
        "FutureCursor",
        "error"
    );
    Ok(())
}

async fn a_malformed_cursor_is_an_error(target: &Target) -> Result<()> {
    same!(error_of(target, "abc").await?, "InvalidRequest", "error");
    Ok(())
}

async fn a_ping_is_answered(target: &Target) -> Result<()> {
    Subscription::open(target, None).await?.ping().await
}

async fn a_plain_request_is_refused(target: &Target) -> Result<()> {
    let answer = target.get("com.atproto.sync.subscribeRepos", &[]).await?;
    answer.refused(400, "InvalidRequest")
}

/// A notice first, then what is still there.
async fn an_outdated_cursor_is_a_notice(target: &Target) -> Result<()> {
    let old = target.account().await?;
    old.put(target, "k", note("1")).await?;
    let mut stream = Subscription::open(target, Some("0")).await?;
    let first = seq(&stream.frame_of(&old.did).await?)?;
    let deadline = Instant::now() + WINDOW * 10;
    loop {
        // Not outdated until the window has passed.
        let mut stream = Subscription::open(target, Some(&first.to_string())).await?;
        let recent = target.account().await?;
        let frame = stream.frame().await?;
        if let Frame::Info(info) = decode(&frame)? {
            same!(info.name, "OutdatedCursor", "notice");
            let frame = stream.frame_of(&recent.did).await?;
            same!(
                kind(&frame)?,
                "#identity",
                "the next event of a recent account"
            );
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "the cursor is never outdated");
        stream.frame_of(&recent.did).await?;
    }
}
