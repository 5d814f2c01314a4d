//! Commits: what is verified is what its author did, whatever a relay makes of it. The first byte says how.

use arbitrary::{Arbitrary, Unstructured};
use atcomms_lexicon::Cid;
use atcomms_repo::car::Car;
use atcomms_repo::frame::{self, Action, CommitFrame, Frame};
use atcomms_repo::mst::Tree;
use atcomms_repo::repository::AppliedOp;
use atcomms_repo::verify::{CheckedCommit, Limits, OpenCommit, VerifyError, claim, verify_commit};
use atcomms_repo::{SignedCommit, UnsignedCommit};

use crate::genuine::{Content, DID, Damage, KEY, NOW, Place, Story, Told};
use crate::rehash::Rehashed;
use crate::seeds::{drives, with_mode};
use crate::{Recorded, Target, memory};

pub(crate) const TARGET: Target = Target { name: "commit", run, seeds };

/// A node of the tree takes some hundred bytes for an entry of 60, and is copied while operations are undone.
const TIMES: usize = 64;

/// Long after everything that was recorded, in microseconds since 1970.
const FAR_FUTURE: u64 = 4_000_000_000_000_000;

const RAW: u8 = 0;
const SIGNED_AGAIN: u8 = 1;
const LIES: u8 = 2;

fn seeds(recorded: &Recorded) -> Vec<Vec<u8>> {
    let frames = |mode| recorded.commits().map(move |(bytes, _)| with_mode(mode, bytes));
    frames(RAW).chain(frames(SIGNED_AGAIN)).chain(drives(LIES, 60)).collect()
}

fn run(data: &[u8]) {
    let Some((mode, data)) = data.split_first() else { return };
    match *mode % 3 {
        RAW => {
            if let Ok(Frame::Commit(commit)) = frame::decode(data) {
                let verified = memory::bounded(data, TIMES, || verify_commit(&commit, &KEY.public(), FAR_FUTURE, &Limits::default()));
                assert!(verified.is_err(), "nobody but us has the key, and we did not sign this");
                if let Some(checked) = check(&commit) {
                    agrees(&commit, &checked);
                }
            }
        }
        SIGNED_AGAIN => {
            if let Ok(Frame::Commit(commit)) = frame::decode(data) {
                sign_again(&commit);
            }
        }
        _ => {
            if let Ok((story, lies)) = Arbitrary::arbitrary(&mut Unstructured::new(data)) {
                lie(&story, lies);
            }
        }
    }
}

/// The commit, if it agrees with itself.
fn check(commit: &CommitFrame<'_>) -> Option<CheckedCommit> {
    let checked = memory::bounded(commit.blocks, TIMES, || {
        OpenCommit::open(commit, FAR_FUTURE, &Limits::default())?.check()
    });
    checked.ok()
}

/// What a commit that agrees with itself says is what its envelope and its blocks say.
fn agrees(commit: &CommitFrame<'_>, checked: &CheckedCommit) {
    let car = Car::read(commit.blocks).expect("its blocks were read");
    let signed = SignedCommit::decode(car.get(&commit.commit).expect("it has its commit").to_vec()).expect("it was read");
    assert_eq!((checked.did().as_str(), checked.rev().to_string().as_str()), (commit.repo, commit.rev));
    assert_eq!((signed.did(), signed.rev()), (checked.did(), checked.rev()));
    assert_eq!((checked.commit(), signed.cid()), (commit.commit, commit.commit));
    assert_eq!((checked.data(), checked.prev_data()), (signed.data(), commit.prev_data));
    let claim = claim(commit).expect("what is verified can be claimed");
    assert_eq!((claim.head(), claim.since(), claim.prev_data()), (checked.head(), checked.since(), checked.prev_data()));
    assert_eq!(checked.ops().len(), commit.ops.len());
    for op in checked.ops() {
        let record = op.record().map(|record| atcomms_lexicon::cid_for_cbor(record));
        assert_eq!(record.is_some(), op.action() != Action::Delete);
        // A record of raw bytes has a CID of another codec, and the same digest.
        assert_eq!(record.map(|cid| *cid.hash()), op.cid().map(|cid| *cid.hash()), "a record has its CID's bytes");
    }
    if !commit.ops.is_empty() && let Ok(tree) = Tree::load(checked.data(), &car) {
        undone_by_hand(&tree, checked);
    }
}

/// If the whole tree is there: without the operations it is, built from nothing, what it was before.
fn undone_by_hand(tree: &Tree, checked: &CheckedCommit) {
    let Ok(mut entries) = tree.entries().map(|entry| entry.map(|(key, cid)| (key.to_owned(), cid))).collect::<Result<std::collections::BTreeMap<String, Cid>, _>>() else {
        return;
    };
    for op in checked.ops() {
        let path = format!("{}/{}", op.collection(), op.rkey());
        let found = match op.prev() {
            Some(prev) => entries.insert(path, prev),
            None => entries.remove(&path),
        };
        assert_eq!(found, op.cid(), "the tree holds what the operation left");
    }
    let mut before = Tree::new();
    for (path, cid) in entries {
        before.insert(&path, cid).expect("a key that was in a tree");
    }
    assert_eq!(before.root_cid(), checked.prev_data().unwrap_or_else(|| Tree::new().root_cid()));
}

/// Damaged blocks get the CIDs and the commit gets the signature that they need to be looked into.
fn sign_again(commit: &CommitFrame<'_>) {
    let Some(mut rehashed) = Rehashed::read(commit.blocks) else { return };
    let root = rehashed.now(commit.commit);
    let Some(block) = rehashed.blocks.iter_mut().find(|block| block.cid == root) else { return };
    let Ok(claimed) = SignedCommit::decode(block.bytes.clone()) else { return };
    let unsigned = UnsignedCommit { did: claimed.did().clone(), rev: claimed.rev(), data: claimed.data() };
    let signed = unsigned.sign(&KEY);
    *block = signed.block().clone();
    let car = rehashed.car(&signed.cid());
    let (did, rev) = (signed.did().to_string(), signed.rev().to_string());
    let mut again = CommitFrame {
        repo: &did,
        rev: &rev,
        commit: signed.cid(),
        blocks: &car,
        ops: commit.ops.iter().map(|op| frame::RepoOp { cid: op.cid.map(|cid| rehashed.now(cid)), ..*op }).collect(),
        ..commit.clone()
    };
    let verify = |frame: &CommitFrame<'_>| {
        memory::bounded(&car, TIMES, || verify_commit(frame, &KEY.public(), FAR_FUTURE, &Limits::default()))
    };
    match verify(&again) {
        Ok(verified) => agrees(&again, &verified),
        // The last thing that is compared: with the tree that came out, all is well.
        Err(VerifyError::Inversion { before, .. }) => {
            again.prev_data = Some(*before);
            let verified = verify(&again).expect("nothing else was wrong");
            agrees(&again, &verified);
        }
        Err(_) => {}
    }
}

/// What somebody on the way may do to a commit.
#[derive(Arbitrary, Debug)]
enum Lie {
    Did,
    Rev(u8),
    Since(Option<u8>),
    PrevData(Option<u8>),
    Commit(u8),
    Path(u8, Place),
    Cid(u8, Option<u8>),
    Prev(u8, Option<u8>),
    Action(u8, u8),
    Drop(u8),
    Double(u8),
    Add(Place, u8),
    Swap(u8, u8),
    HideBlock(u8),
    MoreBlock(u8),
    Damage(Damage),
}

/// A CID that is somewhere in the commit, or nowhere.
fn some_cid(told: &Told, which: u8) -> Cid {
    let blocks = &told.last.blocks;
    let which = usize::from(which);
    blocks.get(which).map_or_else(|| atcomms_lexicon::cid_for_cbor(&[0xa1, 0x61, b'n', 0]), |block| block.cid)
}

fn lie(story: &Story, mut lies: Vec<Lie>) {
    lies.truncate(4);
    let mut told = story.tell();
    let truth = truth(&told);
    let (mut did, mut rev) = (DID.to_string(), told.last.commit.rev().to_string());
    let mut since = told.last.since.map(|rev| rev.to_string());
    let mut commit = told.last.commit.cid();
    let mut damages = Vec::new();
    for one in &lies {
        let count = told.last.ops.len();
        let op = |at: u8| usize::from(at) % count.max(1);
        match one {
            Lie::Did => did = "did:plc:l3rouwludahu3ui3bt66mfvj".to_owned(),
            Lie::Rev(by) => rev = nudged(&rev, *by),
            Lie::Since(by) => since = by.map(|by| nudged(&rev, by)),
            Lie::PrevData(which) => told.last.prev_data = which.map(|which| some_cid(&told, which)),
            Lie::Commit(which) => commit = some_cid(&told, *which),
            Lie::HideBlock(at) if !told.last.blocks.is_empty() => {
                let at = usize::from(*at) % told.last.blocks.len();
                told.last.blocks.remove(at);
            }
            Lie::MoreBlock(byte) => told.last.blocks.push(atcomms_repo::car::Block::from_cbor(vec![*byte])),
            Lie::HideBlock(_) => {}
            Lie::Damage(damage) => damages.push(damage),
            Lie::Add(place, which) => {
                let cid = some_cid(&told, *which);
                told.last.ops.push(AppliedOp { action: Action::Create, path: place.path(), cid: Some(cid), prev: None });
            }
            _ if count == 0 => {}
            Lie::Path(at, place) => told.last.ops[op(*at)].path = place.path(),
            Lie::Cid(at, which) => told.last.ops[op(*at)].cid = which.map(|which| some_cid(&told, which)),
            Lie::Prev(at, which) => told.last.ops[op(*at)].prev = which.map(|which| some_cid(&told, which)),
            Lie::Action(at, which) => told.last.ops[op(*at)].action = [Action::Create, Action::Update, Action::Delete][usize::from(*which) % 3],
            Lie::Drop(at) => drop(told.last.ops.remove(op(*at))),
            Lie::Double(at) => {
                let again = told.last.ops[op(*at)].clone();
                told.last.ops.push(again);
            }
            Lie::Swap(one, other) => told.last.ops.swap(op(*one), op(*other)),
        }
    }
    let mut blocks = told.last.car();
    damages.iter().for_each(|damage| damage.inflict(&mut blocks));
    let frame = CommitFrame {
        seq: 1,
        repo: &did,
        rev: &rev,
        since: since.as_deref(),
        commit,
        prev_data: told.last.prev_data,
        blocks: &blocks,
        ops: told.last.ops.iter().map(AppliedOp::borrow).collect(),
        time: "",
    };
    let verified = memory::bounded(&blocks, TIMES, || verify_commit(&frame, &KEY.public(), NOW, &Limits::default()));
    let verified = match verified {
        Ok(verified) => verified,
        Err(error) => {
            assert!(!lies.is_empty(), "what is genuine is verified: {error}");
            return;
        }
    };
    agrees(&frame, &verified);
    assert_eq!((verified.did(), verified.rev(), verified.commit()), (&*DID, told.last.commit.rev(), told.last.commit.cid()));
    let mut ops: Vec<_> = verified.ops().iter().map(|op| (format!("{}/{}", op.collection(), op.rkey()), op.prev(), op.cid())).collect();
    // That something was replaced by the same is not seen, and does no harm.
    ops.retain(|(_, before, after)| before != after);
    ops.sort();
    assert_eq!(ops, truth, "what is verified is what was done");
}

/// What the last commit did: every path at which something is other than before, with what was and what is there.
fn truth(told: &Told) -> Vec<(String, Option<Cid>, Option<Cid>)> {
    let at = |content: &Content, path: &str| content.get(path).map(|(cid, _)| *cid);
    let written = told.last.ops.iter().map(|op| (op.path.clone(), at(&told.before, &op.path), at(&told.after, &op.path)));
    let mut truth: Vec<_> = written.filter(|(_, before, after)| before != after).collect();
    truth.sort();
    truth
}

/// A TID nearby.
fn nudged(rev: &str, by: u8) -> String {
    let tid: atcomms_lexicon::Tid = rev.parse().expect("a TID");
    atcomms_lexicon::Tid::from_parts((tid.micros() + u64::from(by)).saturating_sub(128), 0).to_string()
}
