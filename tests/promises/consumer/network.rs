//! Several writers, and the stream that carries what they write.

use std::collections::VecDeque;

use atcomms::lexicon::Tid;
use atcomms::repo::Curve;
use atcomms::subscribe::{From, Source, Subscriber};
use atcomms_devnet::Replay;

use super::Dice;
use crate::author::{Author, frame, now_micros};

/// Who writes.
const WRITERS: usize = 3;
/// Commits of all of them.
const COMMITS: i64 = 24;

/// A record that is written.
pub(crate) struct Written {
    pub(crate) writer: usize,
    /// Which of the writer's commits.
    pub(crate) commit: usize,
    pub(crate) seq: i64,
    pub(crate) key: String,
}

pub(crate) struct Network {
    replay: Replay,
    pub(crate) written: Vec<Written>,
    /// Frames that are not on the stream yet.
    coming: VecDeque<Vec<u8>>,
}

impl Network {
    /// Some of it is on the stream already, and is history.
    pub(crate) async fn new(dice: &mut Dice) -> Self {
        let mut writers: Vec<(Author, usize)> = (0..WRITERS)
            .map(|n| (Author::new(&format!("writer{n}"), Curve::K256), 0))
            .collect();
        let history = i64::try_from(dice.below(12)).expect("a small number");
        let (mut before, mut coming, mut written) = (Vec::new(), VecDeque::new(), Vec::new());
        for seq in 1..=COMMITS {
            let n = usize::try_from(dice.below(WRITERS as u64)).expect("a small number");
            let (writer, commits) = &mut writers[n];
            *commits += 1;
            let records: Vec<(String, Vec<u8>)> = (0..=dice.below(3))
                .map(|record| {
                    let key = format!("w{n}-c{commits:02}-r{record}");
                    (key.clone(), writer.message(&key))
                })
                .collect();
            for (key, _) in &records {
                written.push(Written {
                    writer: n,
                    commit: *commits,
                    seq,
                    key: key.clone(),
                });
            }
            let records: Vec<(&str, Vec<u8>)> = records
                .iter()
                .map(|(key, record)| (key.as_str(), record.clone()))
                .collect();
            if seq <= history {
                before.push(frame(seq, &writer.create(&records)).into());
            } else {
                let rev = Tid::from_parts(now_micros(), u16::try_from(n).expect("a few"));
                coming.push_back(frame(seq, &writer.create_at(rev, &records)));
            }
        }
        let documents = writers
            .iter()
            .map(|(writer, _)| (writer.did.clone(), writer.document()));
        let replay = Replay::builder().frames(before).documents(documents);
        Self {
            replay: replay.start().await.expect("the replay starts"),
            written,
            coming,
        }
    }

    /// The next commits get onto the stream, up to so many; false if there are none.
    pub(crate) fn write(&mut self, commits: u64) -> bool {
        let some = !self.coming.is_empty();
        for _ in 0..commits {
            if let Some(frame) = self.coming.pop_front() {
                self.replay.push(frame);
            }
        }
        some
    }

    /// Cuts the stream for all who read it.
    pub(crate) fn cut(&self) {
        self.replay.faults().disconnect();
    }

    pub(crate) fn streams_cut(&self) -> u64 {
        self.replay.faults().counts().streams_cut
    }

    pub(crate) fn subscriber(&self) -> Subscriber {
        let resolver = atcomms::resolver(self.replay.plc_url().parse().expect("a URL")).build();
        let source = Source::firehose(self.replay.ws_url()).expect("a source");
        Subscriber::new(resolver).source(source).from(From::Start)
    }
}
