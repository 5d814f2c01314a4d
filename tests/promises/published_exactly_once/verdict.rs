//! Whether the repository is what the script says that it must be, and came about as it must.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail, ensure};
use atcomms::lexicon::Tid;
use atcomms::repo::frame::Action;
use atcomms::store::State;

use super::ledger::{COLLECTION, Ledger, file, number_in};
use super::repository::{Content, Event, Reader};
use super::script::{Op, Script, Swap, Target};

/// An operation that a key sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Created(usize),
    Updated(usize),
    Deleted,
}

pub(crate) async fn check(
    script: &Script,
    ledger: &Ledger,
    reader: &Reader,
    after: i64,
    files_left: usize,
) -> Result<()> {
    let content = reader.content(&ledger.did).await?;
    let events = reader.events(&ledger.did, after, content.rev).await?;
    let mut paths = BTreeMap::new();
    for (number, op) in script.0.iter().enumerate() {
        if let Some(target) = op.target(number) {
            paths.insert(path(ledger, target)?, target);
        }
    }
    let strange = events.iter().find(|event| !paths.contains_key(&event.path));
    ensure!(strange.is_none(), "nobody has written {strange:?}");
    let mut there = BTreeSet::new();
    for (path, target) in &paths {
        let here: Vec<&Event> = events.iter().filter(|event| event.path == *path).collect();
        let seen = here.iter().map(|event| seen(event));
        let seen = seen.collect::<Result<Vec<_>>>()?;
        let due = due(script, ledger, *target)?;
        ensure!(
            seen == due,
            "{path} should have seen {due:?}, and has seen {seen:?}"
        );
        if let Some(number) = check_present(script, ledger, &content, path, &here)? {
            there.insert(path.clone());
            if let Some(Op::Create { files, .. } | Op::Put { files, .. }) = script.0.get(number) {
                for index in files {
                    reader.check_blob(&ledger.did, &file(*index)).await?;
                }
            }
        }
    }
    check_files(script, ledger, files_left)?;
    let extra = content.records.keys().find(|path| !there.contains(*path));
    ensure!(extra.is_none(), "nobody has written {extra:?}");
    if script.is_orderly() {
        check_order(script, ledger, &events)?;
    }
    Ok(())
}

/// The store keeps the attachments of what failed, since that may be sent again, and no others.
fn check_files(script: &Script, ledger: &Ledger, files_left: usize) -> Result<()> {
    let mut needed: BTreeSet<&usize> = BTreeSet::new();
    for (number, op) in script.0.iter().enumerate() {
        if let Op::Put { files, .. } = op
            && ledger
                .outcomes(number)?
                .iter()
                .any(|settled| settled.state == State::Failed)
        {
            needed.extend(files);
        }
    }
    ensure!(
        files_left == needed.len(),
        "{files_left} attachments are left, and {} may be needed",
        needed.len()
    );
    Ok(())
}

/// The record that the log says is there is there, with the CID of its receipt; gives its operation.
fn check_present(
    script: &Script,
    ledger: &Ledger,
    content: &Content,
    path: &str,
    events: &[&Event],
) -> Result<Option<usize>> {
    for event in events.iter().filter(|event| event.text.is_some()) {
        let number = number_in(event.text.as_deref().unwrap_or_default())?;
        let outcomes = ledger.outcomes(number)?;
        let confirmed = outcomes
            .iter()
            .any(|settled| settled.state == State::Written && settled.cid == event.cid);
        ensure!(confirmed, "{event:?} is not what {outcomes:?} says");
        let created = matches!(script.0.get(number), Some(Op::Create { .. }));
        // That of an update that gave way is a later one's.
        if let Some(receipt) = ledger.receipts.get(&number).filter(|_| created) {
            let same = Some(receipt.cid) == event.cid
                && receipt.rev.is_none_or(|rev| rev == event.rev)
                && receipt.uri.to_string().ends_with(path);
            ensure!(same, "{event:?} at {path} is not what {receipt:?} says");
        }
    }
    let last = events
        .last()
        .and_then(|event| event.cid.zip(event.text.as_deref()));
    match (last, content.records.get(path)) {
        (None, None) => Ok(None),
        (Some((cid, text)), Some(record)) if cid == record.cid && text == record.text => {
            number_in(text).map(Some)
        }
        (last, record) => {
            let record = record.map(|record| record.cid);
            bail!("{path} holds {record:?}, and the log says {last:?}")
        }
    }
}

/// What a key must have seen, by what became of the operations on it.
fn due(script: &Script, ledger: &Ledger, target: Target) -> Result<Vec<Seen>> {
    let ops: Vec<(usize, &Op)> = script.0.iter().enumerate().collect();
    let on_key = ops
        .into_iter()
        .filter(|(number, op)| op.target(*number) == Some(target));
    let on_key: Vec<(usize, &Op)> = on_key.collect();
    let (mut due, mut present) = (Vec::new(), false);
    for (index, (number, op)) in on_key.iter().enumerate() {
        let next = on_key.get(index + 1).map(|(_, op)| *op);
        // A record that is not there is deleted, whatever it was to be.
        let gone = !present && matches!(op, Op::Delete { .. });
        let refused = op.swap() == Swap::Wrong && !gone;
        if !is_written(ledger, *number, op, refused, next)? {
            continue;
        }
        match (op, present) {
            (Op::Delete { .. }, false) => {}
            (Op::Delete { .. }, true) => due.push(Seen::Deleted),
            (_, false) => due.push(Seen::Created(*number)),
            (_, true) => due.push(Seen::Updated(*number)),
        }
        present = !matches!(op, Op::Delete { .. });
    }
    Ok(due)
}

/// Whether an operation was carried out, which must follow from the script, but for what the caller gave
/// up and for updates that a newer one has replaced.
fn is_written(
    ledger: &Ledger,
    number: usize,
    op: &Op,
    refused: bool,
    next: Option<&Op>,
) -> Result<bool> {
    if ledger.given_up.contains(&number) {
        return Ok(false);
    }
    let outcomes = ledger.outcomes(number)?;
    ensure!(!outcomes.is_empty(), "operation {number} was not accepted");
    let count = |state| {
        outcomes
            .iter()
            .filter(|settled| settled.state == state)
            .count()
    };
    let (written, folded) = (count(State::Written), count(State::Folded));
    let failed = outcomes
        .iter()
        .filter(|settled| settled.failure.as_deref() == Some("SwapFailed"))
        .count();
    let plain_put = |op: &Op| {
        matches!(
            op,
            Op::Put {
                swap: Swap::Any,
                ..
            }
        )
    };
    // A caller that has put twice for want of an answer replaces its own update too.
    let may_fold = plain_put(op) && (next.is_some_and(plain_put) || written > 0);
    let as_due = match (refused, may_fold) {
        (true, _) => failed == outcomes.len(),
        (false, true) => written + folded == outcomes.len(),
        (false, false) => written == outcomes.len(),
    };
    ensure!(
        as_due,
        "operation {number}, {op:?}, has become {outcomes:?}"
    );
    Ok(written > 0)
}

/// Creations of one priority go out in the order of their acceptance.
fn check_order(script: &Script, ledger: &Ledger, events: &[Event]) -> Result<()> {
    let mut by_priority: BTreeMap<u8, Vec<(i64, Tid)>> = BTreeMap::new();
    for (number, op) in script.0.iter().enumerate() {
        let Op::Create { priority, .. } = op else {
            continue;
        };
        if ledger.given_up.contains(&number) {
            continue;
        }
        let path = path(ledger, Target::Created(number))?;
        let created = events.iter().find(|event| event.path == path);
        let created = created.context("it was created")?;
        let id = ledger.ids.get(&number).and_then(|ids| ids.iter().min());
        let id = *id.context("it was accepted")?;
        let accepted = by_priority.entry(*priority).or_default();
        accepted.push((id, created.rev));
    }
    for accepted in by_priority.values_mut() {
        accepted.sort_unstable();
        ensure!(
            accepted.is_sorted_by_key(|(_, rev)| *rev),
            "accepted as {accepted:?}, and written in another order"
        );
    }
    Ok(())
}

fn seen(event: &Event) -> Result<Seen> {
    let number = event.text.as_deref().map(number_in).transpose()?;
    Ok(match (event.action, number) {
        (Action::Create, Some(number)) => Seen::Created(number),
        (Action::Update, Some(number)) => Seen::Updated(number),
        (Action::Delete, None) => Seen::Deleted,
        _ => bail!("an odd event {event:?}"),
    })
}

fn path(ledger: &Ledger, target: Target) -> Result<String> {
    let rkey = ledger.uri(target)?.rkey().context("a record key")?;
    Ok(format!("{COLLECTION}/{rkey}"))
}
