//! Proofs of one record: what is proven is what is in the repository, or that it is not there. The first byte
//! says how.

use arbitrary::{Arbitrary, Unstructured};
use atcomms_repo::portable::{KeyDocument, PortableProof, PortableProofError};
use atcomms_repo::proof::verify_record_proof;
use atcomms_repo::verify::{Limits, VerifyError};

use crate::genuine::{DID, Damage, KEY, NOW, Place, Story, Told};
use crate::rehash::Rehashed;
use crate::seeds::{drives, with_mode};
use crate::{Recorded, Target, memory};

pub(crate) const TARGET: Target = Target { name: "proof", run, seeds };

/// As for a commit, and a statement's values take up to 64 times their bytes.
const TIMES: usize = 96;

const RAW: u8 = 0;
const TO_VERIFY: u8 = 1;
const TO_KEEP: u8 = 2;

/// The most that one proof is damaged.
const MAX_DAMAGES: usize = 6;

fn seeds(recorded: &Recorded) -> Vec<Vec<u8>> {
    let kept = drives(RAW, 40).filter_map(|drive| {
        let (story, place) = Arbitrary::arbitrary(&mut Unstructured::new(&drive)).ok()?;
        Some(with_mode(RAW, keep(&Story::tell(&story), place).ok()?.as_bytes()))
    });
    let frames = recorded.commits().map(|(_, commit)| with_mode(RAW, commit.blocks));
    kept.chain(frames.take(20)).chain(drives(TO_VERIFY, 40)).chain(drives(TO_KEEP, 40)).collect()
}

#[derive(Arbitrary, Debug)]
struct Input {
    story: Story,
    place: Place,
    damages: Vec<Damage>,
    /// Whether the blocks get CIDs that fit afterwards.
    rehash: bool,
    /// For which other place it is passed off.
    asked: Option<Place>,
}

fn run(data: &[u8]) {
    let Some((mode, data)) = data.split_first() else { return };
    match *mode % 3 {
        RAW => {
            check_kept(data, None);
            let place = Place::arbitrary(&mut Unstructured::new(data)).expect("any bytes are a place");
            let verified = verify(data, place);
            assert!(verified.is_err() || data.len() > 36, "a proof has a commit");
        }
        TO_VERIFY => {
            if let Ok(input) = Arbitrary::arbitrary(&mut Unstructured::new(data)) {
                to_verify(&input);
            }
        }
        _ => {
            if let Ok(input) = Arbitrary::arbitrary(&mut Unstructured::new(data)) {
                to_keep(&input);
            }
        }
    }
}

impl Input {
    /// The bytes after what was done to them, and whether that was nothing.
    fn damaged(&self, mut bytes: Vec<u8>) -> (Vec<u8>, bool) {
        for damage in self.damages.iter().take(MAX_DAMAGES) {
            damage.inflict(&mut bytes);
        }
        if self.rehash
            && let Some(rehashed) = Rehashed::read(&bytes)
            && let Some(root) = rehashed.blocks.first().map(|block| block.cid)
        {
            return (rehashed.car(&root), self.damages.is_empty());
        }
        (bytes, self.damages.is_empty())
    }
}

fn verify(bytes: &[u8], place: Place) -> Result<atcomms_repo::proof::ProvenRecord, VerifyError> {
    memory::bounded(bytes, TIMES, || {
        verify_record_proof(bytes, &DID, &place.collection(), &place.rkey(), &KEY.public(), NOW, &Limits::default())
    })
}

fn to_verify(input: &Input) {
    let told = input.story.tell();
    let genuine = told.repository.record_proof(&input.place.collection(), &input.place.rkey());
    let (bytes, is_genuine) = input.damaged(genuine);
    let asked = input.asked.unwrap_or(input.place);
    match verify(&bytes, asked) {
        Ok(proven) => {
            let truth = told.after.get(&asked.path()).map(|(cid, bytes)| (*cid, bytes));
            assert_eq!(proven.record(), truth, "what is proven is what is there");
            assert_eq!(proven.head().commit(), told.repository.head().cid());
        }
        Err(error) => assert!(!is_genuine || input.asked.is_some(), "what is genuine is proven: {error}"),
    }
}

fn keep(told: &Told, place: Place) -> Result<PortableProof, PortableProofError> {
    let fetched = told.repository.record_proof(&place.collection(), &place.rkey());
    let at = "2026-01-31T12:00:00.000Z".parse().expect("a time");
    let document = KeyDocument::new(DID.clone(), KEY.public(), at);
    PortableProof::new(&fetched, &place.collection(), &place.rkey(), document, NOW, &Limits::default())
}

fn to_keep(input: &Input) {
    let told = input.story.tell();
    let there = told.after.get(&input.place.path());
    let kept = match keep(&told, input.place) {
        Ok(kept) => kept,
        Err(error) => {
            assert!(there.is_none() && matches!(error, PortableProofError::Absent { .. }), "{error}");
            return;
        }
    };
    assert!(there.is_some(), "what is not there cannot be kept");
    let mut bytes = kept.as_bytes().to_vec();
    for damage in input.damages.iter().take(MAX_DAMAGES) {
        damage.inflict(&mut bytes);
    }
    let checked = check_kept(&bytes, Some(&told));
    if input.damages.is_empty() {
        assert_eq!(checked.as_ref(), Some(&kept), "what was kept is what is read");
    }
}

/// A proof that holds says what is there, however it came about, and is the same when it is checked again.
fn check_kept(bytes: &[u8], told: Option<&Told>) -> Option<PortableProof> {
    let proof = memory::bounded(bytes, TIMES, || PortableProof::check(bytes, NOW, &Limits::default())).ok()?;
    assert_eq!(proof.as_bytes(), bytes);
    assert_eq!(atcomms_lexicon::cid_for_cbor(proof.record()), proof.cid(), "the record hashes to its CID");
    assert!(proof.uri().as_str().starts_with(&format!("at://{}/", proof.head().did())), "it is of who signed");
    if let Some(told) = told {
        let uri = proof.uri();
        let path = uri.as_str().trim_start_matches("at://").split_once('/').map(|(_, path)| path.to_owned());
        let truth = told.after.get(&path.expect("a path")).expect("it is there");
        assert_eq!((&proof.cid(), proof.record()), (&truth.0, &truth.1));
    }
    Some(proof)
}
