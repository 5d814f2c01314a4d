//! The same with a process that is really killed (SIGKILL), at crash points and in between, on the devnet
//! and on the PDS that the network runs. The process is this test's program, told by its environment to
//! publish.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context, Result, ensure};
use atcomms::Store;
use atcomms::lexicon::{AtUri, Did, Message};
use atcomms::publish::{Attachment, Publisher, Session, StoredSession};
use atcomms::repo::frame::Action;
use atcomms_devnet::Devnet;
use atcomms_reference_pds::{Options, ReferencePds, http_client};

use super::dice::Dice;
use super::repository::Reader;

/// Names the store to the process that publishes.
const STORE: &str = "ATCOMMS_TEST_STORE";
/// How many messages there are by the end of its life.
const COUNT: &str = "ATCOMMS_TEST_COUNT";
/// Has it stay when it is done, until it is killed.
const STAY: &str = "ATCOMMS_TEST_STAY";

/// Messages that each life adds; one in four has an attachment that no other has.
const MORE: usize = 8;

const SIGKILL: i32 = 9;

/// How a process ends.
#[derive(Clone, Copy, Debug)]
enum End {
    /// It kills itself when it reaches this point.
    At(&'static str),
    /// It is killed once it has said that it accepted so many of its new messages.
    After(usize),
    Done,
}

/// Every life adds messages, so that each of these points is reached in each.
const POINTS: [&str; 12] = [
    "accept.before_commit",
    "accept.after_commit",
    "sent.before_commit",
    "sent.after_commit",
    "write.before",
    "write.after",
    "settle.before_commit",
    "settle.after_commit",
    "upload.after",
    "uploaded.before_commit",
    "fix.after_commit",
    "let_go.before_commit",
];

#[tokio::test(flavor = "multi_thread")]
async fn killed_on_the_devnet() {
    if let Some(store) = std::env::var_os(STORE) {
        publish(&PathBuf::from(store)).await.expect("it publishes");
        return;
    }
    let devnet = Devnet::builder().account("alice").start().await;
    let devnet = devnet.expect("a devnet");
    let alice = devnet.accounts().remove(0);
    let reader = Reader {
        http: http_client(),
        pds: alice.pds.clone(),
        ws: devnet.pds()[0].ws_url().to_owned(),
        plc: devnet.plc_url().to_owned(),
    };
    let killed = killed(&reader, alice.did, &alice.password).await;
    killed.expect("each message is there once");
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(
    not(has_reference_pds),
    ignore = "set ATCOMMS_REFERENCE_PDS to the folder that tests/reference-pds/setup.sh installed to"
)]
async fn killed_on_the_reference_pds() {
    let pds = ReferencePds::start(Options::default()).await;
    let pds = pds.expect("the reference PDS starts");
    let alice = pds.create_account("alice").await.expect("an account");
    let url = |url: &reqwest::Url| url.as_str().trim_end_matches('/').to_owned();
    let reader = Reader {
        http: http_client(),
        pds: url(pds.url()),
        ws: url(pds.ws_url()),
        plc: url(pds.plc_url()),
    };
    let did = alice.did.parse().expect("a DID");
    let killed = killed(&reader, did, &alice.password).await;
    killed.expect("each message is there once");
}

async fn killed(reader: &Reader, did: Did, password: &str) -> Result<()> {
    let seed = super::number("ATCOMMS_SEED").unwrap_or(1);
    println!("ATCOMMS_SEED={seed}");
    let ends = ends(&mut Dice::new(seed));
    let folder = tempfile::tempdir()?;
    let store = folder.path().join("store.sqlite3");
    let session = Session::login(reader.pds.parse()?, did.as_str(), password.into()).await?;
    let login = session.saved().to_login(None);
    Store::open(&store)?.keep_login(login, 0).await?;
    let mut uris: BTreeMap<usize, AtUri> = BTreeMap::new();
    let mut count = 0;
    for end in ends {
        count += MORE;
        let path = store.clone();
        let life = tokio::task::spawn_blocking(move || live(&path, count, end));
        let (accepted, status) = life.await??;
        let as_planned = match end {
            End::Done => status.success(),
            _ => status.signal() == Some(SIGKILL),
        };
        ensure!(
            as_planned,
            "{end:?} was planned, and it ended with {status}"
        );
        for (number, uri) in accepted {
            let before = uris.insert(number, uri.clone());
            let same = before.as_ref().is_none_or(|before| *before == uri);
            ensure!(same, "message {number} was at {before:?}, and is at {uri}");
        }
    }
    ensure!(uris.len() == count, "all were accepted in the end");
    check(reader, &did, &uris).await
}

/// All points in a random order, and as many kills in between.
fn ends(dice: &mut Dice) -> Vec<End> {
    let mut points = POINTS.to_vec();
    let mut ends = Vec::new();
    while !points.is_empty() {
        ends.push(End::At(points.swap_remove(dice.below(points.len()))));
        ends.push(End::After(dice.below(MORE)));
    }
    ends.push(End::Done);
    ends
}

/// One life: what it said that it accepted, and how it ended.
fn live(store: &Path, count: usize, end: End) -> Result<(Vec<(usize, AtUri)>, ExitStatus)> {
    let test = "published_exactly_once::killed::killed_on_the_devnet";
    let mut command = Command::new(std::env::current_exe()?);
    command.args([test, "--exact", "--nocapture"]);
    command.env(STORE, store).env(COUNT, count.to_string());
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    match end {
        End::At(point) => drop(command.env("ATCOMMS_CRASH", format!("{point}:1"))),
        End::After(_) => drop(command.env(STAY, "1")),
        End::Done => {}
    }
    let mut child = command.spawn()?;
    let stdout = child.stdout.take().context("its stdout")?;
    let mut accepted = Vec::new();
    for line in BufReader::new(stdout).lines() {
        let line = line?;
        // The test harness has its own lines, and may have begun one.
        let Some((_, said)) = line.split_once("accepted ") else {
            continue;
        };
        let (number, uri) = said.split_once(' ').context("a number and a URI")?;
        let number: usize = number.parse()?;
        accepted.push((number, uri.parse()?));
        if matches!(end, End::After(more) if number >= count - MORE + more) {
            child.kill()?;
        }
    }
    Ok((accepted, child.wait()?))
}

/// What the process does: publishes each message with its key, also those that it has published before.
async fn publish(store: &Path) -> Result<()> {
    let count: usize = std::env::var(COUNT)?.parse()?;
    let store = Store::open(store)?;
    let saved = StoredSession::find(&store, None)?.context("a login")?;
    let did = saved.did.clone();
    let stored = StoredSession::new(store.clone(), did.clone());
    let session = Session::builder().store(stored).resume(saved)?;
    let publisher = Publisher::new(session, store);
    let mut waiting = Vec::new();
    for number in 0..count {
        let message = Message::new(did.clone(), did.clone(), format!("operation {number}"));
        let mut publish = publisher.publish(message).once(format!("message {number}"));
        if number % 4 == 3 {
            let picture = format!("\u{89}PNG: picture {number}");
            publish = publish.attach(Attachment::bytes(picture.into_bytes()));
        }
        let accepted = publish.enqueue().await?;
        println!("accepted {number} {}", accepted.uri());
        waiting.push(accepted);
    }
    for accepted in waiting {
        accepted.receipt().await?;
    }
    publisher.shutdown().await;
    match std::env::var_os(STAY) {
        Some(_) => std::future::pending().await,
        None => Ok(()),
    }
}

/// Every message is there once, has been created once, and nothing else.
async fn check(reader: &Reader, did: &Did, uris: &BTreeMap<usize, AtUri>) -> Result<()> {
    let content = reader.content(did).await?;
    let there: BTreeSet<(String, String)> = content
        .records
        .iter()
        .map(|(path, record)| (path.clone(), record.text.clone()))
        .collect();
    let path = |uri: &AtUri| {
        let (collection, rkey) = (uri.collection()?, uri.rkey()?);
        Some(format!("{collection}/{rkey}"))
    };
    let due: BTreeSet<(String, String)> = uris
        .iter()
        .filter_map(|(number, uri)| Some((path(uri)?, format!("operation {number}"))))
        .collect();
    ensure!(due.len() == uris.len(), "each has a place of its own");
    ensure!(there == due, "{there:?} is there, and should be {due:?}");
    let events = reader.events(did, 0, content.rev).await?;
    let creates = events.iter().filter(|event| event.action == Action::Create);
    ensure!(
        events.len() == uris.len() && creates.count() == uris.len(),
        "each was created once, and nothing else happened: {events:?}"
    );
    Ok(())
}
