//! What the way in costs, beside what it is compared with: in one run, over one recorded firehose.
//!
//! `cargo bench -p atcomms-subscribe --bench firehose`, with `ATCOMMS_CORPUS` set to the folder of a
//! recorded firehose (the committed recording without it). Rounds alternate between what is compared, and
//! the best of each is shown, for what else the machine does can only make it slower. The server of the
//! stream is a process of its own, so that CPU seconds are those of the reader alone.

#![allow(clippy::expect_used, reason = "a benchmark fails by panicking")]

mod bytes_alone;
mod corpus;
mod cpu;
mod readers;
mod server;
mod usual;

use crate::corpus::Corpus;

fn main() {
    let corpus = Corpus::read();
    if std::env::args().any(|argument| argument == server::SERVE) {
        return server::serve(corpus);
    }
    println!(
        "{} frames, {} of them commits of one operation",
        corpus.frames.len(),
        corpus.live_commits().count()
    );
    if is_wanted("bytes") {
        bytes_alone::measure(&corpus);
    }
    readers::measure(&corpus);
}

/// Whether the arguments name it, or nothing: `-- bare nothing` measures these two alone.
fn is_wanted(name: &str) -> bool {
    let named = || {
        std::env::args()
            .skip(1)
            .filter(|name| !name.starts_with("--"))
    };
    named().count() == 0 || named().any(|named| named == name)
}

/// The highest of several rates.
fn fastest(rates: impl IntoIterator<Item = f64>) -> f64 {
    rates.into_iter().fold(0.0, f64::max)
}
