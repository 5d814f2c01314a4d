//! Readers of the stream: each reads all of it over a socket from another process.

use std::time::{Duration, Instant};

use atcomms_identity::Resolver;
use atcomms_subscribe::{CollectionPattern, From, Source, Subscriber};
use futures::StreamExt;
use tokio::runtime::Runtime;
use tokio_tungstenite::connect_async_with_config;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use crate::corpus::{Corpus, Stream};
use crate::server::Server;
use crate::{cpu, fastest, usual};

/// Rounds of each reader.
const ROUNDS: usize = 5;

/// The usual packages are so slow that they read a part of the stream.
const USUAL_PART: usize = 4;

/// How often it is looked whether all frames were read.
const LOOK: Duration = Duration::from_millis(1);

/// The readers, by the name that picks one alone.
const READERS: [(&str, &str); 4] = [
    ("bare", "a client that only reads the socket"),
    ("nothing", "subscriber, nothing in scope"),
    ("peers", "subscriber, 1% in scope, verified"),
    ("usual", "the usual packages, every block"),
];

/// What one reader took.
struct Run {
    frames: usize,
    seconds: f64,
    cpu: f64,
}

pub(crate) fn measure(corpus: &Corpus) {
    let runtime = Runtime::new().expect("a runtime");
    let stream = corpus.stream();
    println!(
        "\n{} frames of {} bytes on average over a socket; {} of {} repositories followed",
        stream.frames.len(),
        stream.bytes / stream.frames.len(),
        stream.followed.len(),
        corpus.documents.len(),
    );
    let server = Server::start();
    let part = stream.frames.len() / USUAL_PART;
    let mut runs: [Vec<Run>; 4] = Default::default();
    for _ in 0..ROUNDS {
        for ((name, _), runs) in READERS.iter().zip(&mut runs) {
            if crate::is_wanted(name) {
                runs.push(timed(|| match *name {
                    "bare" => runtime.block_on(bare(&server, stream.frames.len())),
                    "nothing" => runtime.block_on(nothing(&server, &stream)),
                    "peers" => runtime.block_on(peers(&server, &stream)),
                    _ => runtime.block_on(unpacked(&server, part)),
                }));
            }
        }
    }
    println!("                                        frames/s  of bare   CPU s/M frames  of bare");
    let mut bare = None;
    for ((_, what), runs) in READERS.iter().zip(runs) {
        let rate = fastest(runs.iter().map(|run| run.frames as f64 / run.seconds));
        let cpu = 1e6 / fastest(runs.iter().map(|run| run.frames as f64 / run.cpu));
        let (bare_rate, bare_cpu) = *bare.get_or_insert((rate, cpu));
        println!(
            "{what:36}  {rate:10.0}  {:7.2}  {cpu:15.2}  {:7.2}",
            rate / bare_rate,
            cpu / bare_cpu
        );
    }
}

/// The CPU seconds of what reads; `read` gives the frames, and the seconds that they took.
fn timed(read: impl FnOnce() -> (usize, f64)) -> Run {
    let before = cpu::seconds();
    let (frames, seconds) = read();
    let cpu = cpu::seconds().zip(before).map(|(now, before)| now - before);
    Run {
        frames,
        seconds,
        cpu: cpu.unwrap_or(f64::NAN),
    }
}

/// The messages of the stream, to a task of its own as the subscriber's is.
async fn read<F: Future<Output = usize> + Send>(
    server: &Server,
    frames: usize,
    look: impl Fn(bytes::Bytes) -> F + Send + 'static,
) -> (usize, f64) {
    let config = WebSocketConfig::default();
    let (mut socket, _) = connect_async_with_config(&server.url, Some(config), true)
        .await
        .expect("a connection");
    let reading = tokio::spawn(async move {
        let (mut begun, mut count, mut found) = (None, 0, 0);
        while count < frames {
            let message = socket.next().await.expect("more").expect("a message");
            begun.get_or_insert_with(Instant::now);
            if let Message::Binary(bytes) = message {
                count += 1;
                found += look(bytes).await;
            }
        }
        assert!(found > 0, "something was read");
        begun.expect("a frame").elapsed().as_secs_f64()
    });
    (frames, reading.await.expect("it does not panic"))
}

async fn bare(server: &Server, frames: usize) -> (usize, f64) {
    read(server, frames, async |bytes| bytes.len()).await
}

async fn unpacked(server: &Server, frames: usize) -> (usize, f64) {
    read(server, frames, async |bytes| usual::blocks(&bytes).await).await
}

fn subscriber(server: &Server, collection: &str) -> Subscriber {
    let plc = server.plc.parse().expect("a URL");
    let resolver = Resolver::builder().plc(plc).allow_loopback(true).build();
    let collection: CollectionPattern = collection.parse().expect("a pattern");
    Subscriber::new(resolver)
        .source(Source::firehose(&server.url).expect("a source"))
        .from(From::Start)
        .collection(collection)
}

/// Anyone may write to us, and nobody does: every path of every commit is looked at.
async fn nothing(server: &Server, stream: &Stream) -> (usize, f64) {
    let subscriber = subscriber(server, "com.example.*");
    let subscription = subscriber.start().expect("something to watch");
    while subscription.summary().frames < stream.frames.len() as u64 {
        tokio::time::sleep(LOOK).await;
    }
    let summary = subscription.summary();
    assert_eq!((summary.delivered, summary.rejected.len()), (0, 0));
    subscription.shutdown().await;
    (stream.frames.len(), summary.seconds)
}

/// Every operation of the peers is verified and delivered.
async fn peers(server: &Server, stream: &Stream) -> (usize, f64) {
    let subscriber = subscriber(server, "*").peers(stream.followed.iter().cloned());
    let mut subscription = subscriber.start().expect("something to watch");
    for _ in 0..stream.operations {
        let delivery = subscription.next().await.expect("more").expect("a record");
        assert_eq!(delivery.trust, atcomms_subscribe::Trust::Verified);
    }
    while subscription.summary().frames < stream.frames.len() as u64 {
        tokio::time::sleep(LOOK).await;
    }
    let summary = subscription.summary();
    assert!(summary.rejected.is_empty(), "{:?}", summary.rejected);
    subscription.shutdown().await;
    (stream.frames.len(), summary.seconds)
}
