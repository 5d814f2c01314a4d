//! Who does not read does not fill its memory: measured of a process of its own, which reads nothing until
//! the stream stands still, and then everything.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use atcomms::lexicon::Value;
use atcomms::repo::Curve;
use atcomms::subscribe::{From, Source, Subscriber};
use atcomms_devnet::Replay;
use futures::StreamExt;
use tokio::time::{sleep, timeout};

use super::PATIENCE;
use crate::author::Author;

/// Records of the flood, and what each of them has: together some ten times what may wait.
const RECORDS: usize = 400;
const RECORD: usize = 300_000;
/// What the reader's memory may grow by: what may wait, as bytes and as a record, what waits in sockets, and
/// what the allocator keeps.
const ROOM: u64 = 64 * 1024 * 1024;

/// Where the child finds the stream and the directory.
const STREAM: &str = "ATCOMMS_TEST_STREAM";
const DIRECTORY: &str = "ATCOMMS_TEST_DIRECTORY";

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_read_does_not_fill_its_memory() {
    let mut author = Author::new("flooder", Curve::K256);
    let text = Value::Text("a".repeat(RECORD));
    let record = Value::Map([("text".to_owned(), text)].into()).to_cbor();
    let mut frames = (1..=RECORDS)
        .map(|n| {
            let commit = author.create(&[(&format!("m{n}"), record.clone())]);
            crate::author::frame(i64::try_from(n).expect("a few"), &commit)
        })
        .collect::<Vec<Vec<u8>>>()
        .into_iter();
    let replay = Replay::builder()
        .frames(frames.next().map(Into::into))
        .documents([(author.did.clone(), author.document())]);
    let replay = replay.start().await.expect("the replay starts");
    let mut child = Command::new(std::env::current_exe().expect("this program"));
    child
        .args(["--exact", "bounded_under_flood::slow_reader::child"])
        .args(["--ignored", "--nocapture"])
        .env(STREAM, replay.ws_url())
        .env(DIRECTORY, replay.plc_url())
        .stdout(Stdio::piped());
    let listening = tokio::task::spawn_blocking(move || {
        let mut child = child.spawn().expect("the child starts");
        let out = child.stdout.take().expect("a pipe");
        let mut said = String::new();
        for line in BufReader::new(out).lines().map_while(Result::ok) {
            // It has the author's key: none of the others waits for it.
            if line.contains("ready") {
                for frame in frames.by_ref() {
                    replay.push(frame);
                }
            }
            said = said + &line + "\n";
        }
        (child.wait().expect("the child ends"), said)
    });
    let (status, said) = listening.await.expect("it runs");
    assert!(status.success(), "{said}");
    let number = |name: &str| -> u64 {
        let found = said.split(&format!("{name}=")).nth(1);
        let digits = found.unwrap_or_default().split_whitespace().next();
        let number = digits.and_then(|digits| digits.parse().ok());
        number.unwrap_or_else(|| panic!("no {name}: {said}"))
    };
    println!("the memory grew by {} bytes", number("grown"));
    let all = u64::try_from(RECORDS).expect("a few");
    assert!(number("frames") < all, "the stream stood still: {said}");
    assert!(number("grown") < ROOM, "{said}");
    assert_eq!(number("read"), all, "and nothing was lost: {said}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "started by the other test, as a process of its own"]
async fn child() {
    let variable = |name| std::env::var(name).expect("it is started by the other test");
    let resolver = atcomms::resolver(variable(DIRECTORY).parse().expect("a URL")).build();
    let source = Source::firehose(&variable(STREAM)).expect("a source");
    let before = peak();
    let subscriber = Subscriber::new(resolver).source(source).from(From::Start);
    let mut subscription = subscriber.start().expect("something to watch");
    let first = timeout(PATIENCE, subscription.next()).await;
    first
        .expect("in time")
        .expect("the stream goes on")
        .expect("it can be read");
    println!("ready");
    // A stream that stands still can only be told by waiting.
    let (mut frames, mut still) = (0, 0);
    while still < 20 {
        sleep(Duration::from_millis(50)).await;
        let now = subscription.summary().frames;
        still = if now == frames && now > 1 {
            still + 1
        } else {
            0
        };
        frames = now;
    }
    println!("frames={frames} grown={}", peak() - before);
    let mut read = 1;
    while read < RECORDS {
        let item = timeout(PATIENCE, subscription.next()).await;
        item.expect("in time")
            .expect("the stream goes on")
            .expect("it can be read");
        read += 1;
    }
    println!("read={read}");
}

/// The most memory that this process ever had, in bytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("a Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next());
    kilobytes
        .and_then(|text| text.parse::<u64>().ok())
        .expect("a number")
        * 1024
}
