//! Who writes: a real repository, all that was ever signed of it, and each state that a fetch could find.

use std::collections::BTreeMap;
use std::sync::Arc;

use atcomms_lexicon::{Datetime, Did, Nsid, Tid, Value};
use atcomms_repo::repository::Applied;
use atcomms_repo::verify::Head;
use atcomms_repo::{Cid, Curve, Repository, SigningKey, TidClock, Write};
use bytes::Bytes;

use super::dice::Dice;
use crate::Action;
use crate::snapshot::{Path, Snapshot};

/// In scope.
pub(super) const OURS: &str = "agent.comms.message";
/// Out of scope.
const FOREIGN: &str = "app.bsky.feed.post";
/// Record keys of a collection: few, so that records are made again where others were.
const KEYS: u64 = 7;
/// Contents that records have again and again.
const CONTENTS: u64 = 3;

/// How an account is at its PDS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Active,
    Deactivated,
    TakenDown,
    Deleted,
}

/// One operation in scope.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Op {
    pub(super) path: Path,
    pub(super) action: Action,
    pub(super) cid: Option<Cid>,
}

pub(super) struct Author {
    pub(super) did: Did,
    pub(super) repository: Repository,
    /// Which of the hosts is its PDS.
    pub(super) pds: usize,
    pub(super) status: Status,
    /// A fault hid something of it from somebody, or its story has a break.
    pub(super) hidden: bool,
    /// Whether its key or its repository was ever replaced.
    pub(super) replaced: bool,
    /// Whether it ever wrote more than is held of one.
    pub(super) flooded: bool,
    /// The operations in scope of each commit that it made.
    pub(super) signed: BTreeMap<Tid, Vec<Op>>,
    /// After each commit, in their order.
    pub(super) states: Vec<Snapshot>,
    clock: TidClock,
}

impl Author {
    pub(super) fn new(number: usize, pds: usize, now: u64, dice: &mut Dice) -> (Self, Applied) {
        let letter = char::from(b'a' + u8::try_from(number).unwrap());
        let did: Did = format!("did:plc:{}", letter.to_string().repeat(24))
            .parse()
            .unwrap();
        let mut clock = TidClock::new(u16::try_from(number).unwrap());
        let (repository, applied) = Repository::create(did.clone(), new_key(dice), clock.next(now));
        let mut author = Self {
            did,
            repository,
            pds,
            status: Status::Active,
            hidden: false,
            replaced: false,
            flooded: false,
            signed: BTreeMap::new(),
            states: Vec::new(),
            clock,
        };
        author.made(&applied);
        (author, applied)
    }

    /// Writes up to three records in one commit, or none.
    pub(super) fn write(&mut self, now: u64, unreadable: bool, dice: &mut Dice) -> Applied {
        let mut writes: BTreeMap<String, Write> = BTreeMap::new();
        for _ in 0..dice.between(1, 3) {
            let collection = if dice.chance(750) { OURS } else { FOREIGN };
            let rkey = format!("r{}", dice.below(KEYS));
            let path = format!("{collection}/{rkey}");
            let (collection, rkey) = (collection.parse().unwrap(), rkey.parse().unwrap());
            let before = self.repository.get(&collection, &rkey);
            let before = before.map(|(cid, _)| cid);
            let write = match before {
                Some(_) if dice.chance(400) => Write::Delete { collection, rkey },
                Some(cid) => {
                    let record = self.record(now, unreadable, dice);
                    if atcomms_lexicon::cid_for_cbor(&record) == cid {
                        continue;
                    }
                    Write::Update {
                        collection,
                        rkey,
                        record,
                    }
                }
                None => Write::Create {
                    collection,
                    rkey,
                    record: self.record(now, unreadable, dice),
                },
            };
            writes.insert(path, write);
        }
        let writes: Vec<_> = writes.into_values().collect();
        self.apply(&writes, now)
    }

    /// Commits these writes, which may be none.
    pub(super) fn apply(&mut self, writes: &[Write], now: u64) -> Applied {
        let rev = self.clock.next(now);
        let applied = self.repository.apply(writes, rev).unwrap();
        self.made(&applied);
        applied
    }

    /// Signs with another key from now on.
    pub(super) fn rotate(&mut self, dice: &mut Dice) {
        self.replaced = true;
        self.repository.rotate_key(new_key(dice));
    }

    /// Begins anew with some of its records.
    pub(super) fn reset(&mut self, now: u64, dice: &mut Dice) {
        self.replaced = true;
        let collection: Nsid = OURS.parse().unwrap();
        let kept = self.repository.records(&collection);
        let mut kept: Vec<_> = kept.map(|(rkey, _, bytes)| (rkey, bytes.clone())).collect();
        kept.retain(|_| dice.chance(700));
        let key = self.repository.key().clone();
        let rev = self.clock.next(now);
        (self.repository, _) = Repository::create(self.did.clone(), key, rev);
        let writes: Vec<_> = kept
            .into_iter()
            .map(|(rkey, record)| Write::Create {
                collection: collection.clone(),
                rkey,
                record,
            })
            .collect();
        let rev = self.clock.next(now);
        self.repository.apply(&writes, rev).unwrap();
        self.states.push(self.state());
    }

    /// What somebody else would make of its next commit.
    pub(super) fn forged(&self, now: u64, dice: &mut Dice) -> Applied {
        let mut repository = self.repository.clone();
        repository.rotate_key(new_key(dice));
        let record = self.record(now, false, dice);
        let write = Write::Create {
            collection: OURS.parse().unwrap(),
            rkey: "forged".parse().unwrap(),
            record,
        };
        let rev = Tid::from_parts(now.max(self.repository.head().rev().micros() + 1), 1000);
        repository.apply(&[write], rev).unwrap()
    }

    /// The state at a rev.
    pub(super) fn state_at(&self, rev: Tid) -> Option<&Snapshot> {
        self.states.iter().find(|state| state.head.rev == rev)
    }

    fn record(&self, now: u64, unreadable: bool, dice: &mut Dice) -> Bytes {
        if unreadable && dice.chance(200) {
            return Value::List(vec![Value::Int(dice.below(1000) as i64)])
                .to_cbor()
                .into();
        }
        let mut map = vec![("sender".to_owned(), Value::Text(self.did.to_string()))];
        if dice.chance(200) {
            let content = format!("again {}", dice.below(CONTENTS));
            map.push(("content".to_owned(), Value::Text(content)));
        } else {
            let made = Datetime::from_unix_millis(i64::try_from(now / 1000).unwrap());
            map.push(("createdAt".to_owned(), Value::Text(made.to_string())));
            let content = format!("{}", dice.below(1_000_000));
            map.push(("content".to_owned(), Value::Text(content)));
        }
        Value::Map(map.into_iter().collect()).to_cbor().into()
    }

    fn made(&mut self, applied: &Applied) {
        let ops = applied.ops.iter().filter_map(|op| {
            let (collection, rkey) = op.path.split_once('/')?;
            let (collection, rkey) = (collection.parse().ok()?, rkey.parse().ok()?);
            (op.path.starts_with(OURS)).then_some(Op {
                path: Path { collection, rkey },
                action: op.action,
                cid: op.cid,
            })
        });
        self.signed.insert(applied.commit.rev(), ops.collect());
        self.states.push(self.state());
    }

    fn state(&self) -> Snapshot {
        let collection: Nsid = OURS.parse().unwrap();
        let head = self.repository.head();
        let records = self.repository.records(&collection);
        let records = records.map(|(rkey, cid, bytes)| {
            let collection = collection.clone();
            (Path { collection, rkey }, (cid, bytes.clone()))
        });
        Snapshot {
            head: Head {
                rev: head.rev(),
                data: head.data(),
            },
            commit: head.cid(),
            key: self.repository.key().public(),
            host: Arc::from(format!("pds{}", self.pds)),
            records: records.collect(),
        }
    }
}

fn new_key(dice: &mut Dice) -> SigningKey {
    // Its signatures are the same for the same bytes, as those of P-256 are not.
    SigningKey::from_bytes(Curve::K256, &dice.secret()).unwrap()
}
