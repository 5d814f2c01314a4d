//! A proof to keep: what it tells, that every byte of it counts, and what does not pass for one.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod support;

use std::collections::BTreeSet;

use atcomms_lexicon::{Nsid, RecordKey, Value, cid_for_cbor};
use atcomms_repo::car::{Block, Car};
use atcomms_repo::frame::{self, Frame};
use atcomms_repo::portable::{
    KeyDocument, PlcLog, PlcLogError, PortableProof, PortableProofError, StatementError,
};
use atcomms_repo::verify::{Limits, VerifyError};
use atcomms_repo::{Cid, Curve, Repository, SigningKey, TidClock, VerifyingKey, Write};
use data_encoding::{BASE32_NOPAD, BASE64URL_NOPAD};
use support::Recording;
use support::replay::far_future;

const NOW: u64 = 1_700_000_000_000_000;
const DID: &str = "did:plc:zmwaxnesqhtu6sdgylzfwfdz";
const OTHER_DID: &str = "did:plc:44ybard66vv44zksje25o7dz";

fn place(n: u8) -> (Nsid, RecordKey) {
    let (collection, rkey) = (format!("com.example.n{}", n % 3), format!("{n}"));
    (collection.parse().unwrap(), rkey.parse().unwrap())
}

fn record(n: u8) -> Vec<u8> {
    [&b"\xa1\x64text\x78\x40"[..], &[b'a' + n % 26; 64]].concat()
}

/// A repository whose records lie some nodes deep.
fn repository(did: &str, curve: Curve) -> Repository {
    repository_of(did, SigningKey::generate(curve))
}

fn repository_of(did: &str, key: SigningKey) -> Repository {
    let mut clock = TidClock::new(0);
    let (mut repository, _) = Repository::create(did.parse().unwrap(), key, clock.next(NOW));
    let write = |n: u8| {
        let (collection, rkey) = place(n);
        let record = record(n).into();
        Write::Create {
            collection,
            rkey,
            record,
        }
    };
    let writes: Vec<_> = (0..60).map(write).collect();
    repository.apply(&writes, clock.next(NOW)).unwrap();
    repository
}

fn document(did: &str, key: VerifyingKey) -> KeyDocument {
    let at = "2026-01-31T12:00:00.000Z".parse().unwrap();
    let mut document = KeyDocument::new(did.parse().unwrap(), key, at);
    document.handle = Some("alice.example.com".parse().unwrap());
    document.pds = Some("https://pds.example.com".parse().unwrap());
    document
}

fn make(repository: &Repository, n: u8, document: KeyDocument) -> Result<PortableProof, Error> {
    let (collection, rkey) = place(n);
    let fetched = repository.record_proof(&collection, &rkey);
    PortableProof::new(
        &fetched,
        &collection,
        &rkey,
        document,
        NOW,
        &Limits::default(),
    )
}

fn proof(repository: &Repository, n: u8) -> PortableProof {
    let document = document(repository.did().as_str(), repository.key().public());
    make(repository, n, document).unwrap()
}

/// An operation of a did:plc, signed by its rotation key.
fn operation(rotation: &SigningKey, signing: &VerifyingKey, prev: Option<&Value>) -> Value {
    let prev = prev.map(|prev| cid_for_cbor(&prev.to_cbor()).to_string());
    let mut operation = serde_json::json!({
        "type": "plc_operation", "prev": prev, "alsoKnownAs": [], "services": {},
        "rotationKeys": [rotation.public().to_did_key()],
        "verificationMethods": {"atproto": signing.to_did_key()},
    });
    let unsigned = Value::from_json(operation.clone()).unwrap().to_cbor();
    operation["sig"] = BASE64URL_NOPAD.encode(&rotation.sign(&unsigned)).into();
    Value::from_json(operation).unwrap()
}

/// A proof in which the DID vouches for the key, after a rotation; and the operations.
fn vouched() -> (PortableProof, Vec<Value>) {
    let (rotation, key) = (
        SigningKey::generate(Curve::P256),
        SigningKey::generate(Curve::K256),
    );
    let before = SigningKey::generate(Curve::K256).public();
    let first = operation(&rotation, &before, None);
    let second = operation(&rotation, &key.public(), Some(&first));
    let hash = cid_for_cbor(&first.to_cbor()).hash().digest().to_vec();
    let did = format!(
        "did:plc:{}",
        &BASE32_NOPAD.encode(&hash).to_lowercase()[..24]
    );
    let log = vec![first, second];
    let mut document = document(&did, key.public());
    document.log = Some(PlcLog::verify(&document.did, log.clone()).unwrap());
    (make(&repository_of(&did, key), 7, document).unwrap(), log)
}

type Error = PortableProofError;

fn check(bytes: &[u8]) -> Result<PortableProof, Error> {
    PortableProof::check(bytes, NOW, &Limits::default())
}

fn blocks(bytes: &[u8]) -> Vec<Block> {
    let car = Car::read(bytes).unwrap();
    let block = |(cid, bytes): (Cid, &[u8])| Block {
        cid,
        bytes: bytes.to_vec().into(),
    };
    car.blocks().map(block).collect()
}

fn statement(proof: &PortableProof) -> Block {
    blocks(proof.as_bytes()).pop().expect("the last block")
}

/// A CAR with these roots and blocks, written by somebody else's writer.
fn car<'b>(roots: &[Cid], blocks: impl IntoIterator<Item = &'b Block>) -> Vec<u8> {
    let mut bytes = Vec::new();
    futures::executor::block_on(async {
        let header = iroh_car::CarHeader::new_v1(roots.to_vec());
        let mut writer = iroh_car::CarWriter::new(header, &mut bytes);
        for block in blocks {
            writer.write(block.cid, &block.bytes).await.unwrap();
        }
        writer.finish().await.unwrap();
    });
    bytes
}

/// The proof with another statement in the place of its own.
fn restated(proof: &PortableProof, statement: &Block) -> Vec<u8> {
    let mut blocks = blocks(proof.as_bytes());
    *blocks.last_mut().unwrap() = statement.clone();
    car(&[blocks[0].cid, statement.cid], &blocks)
}

/// The proof with a statement that was changed.
fn misstated(proof: &PortableProof, change: impl FnOnce(&mut Value)) -> Result<(), Error> {
    let mut value = Value::from_cbor(&statement(proof).bytes).unwrap();
    change(&mut value);
    let block = Block::from_cbor(value.to_cbor());
    check(&restated(proof, &block)).map(drop)
}

fn put(value: &mut Value, field: &str, new: Value) {
    let Value::Map(map) = value else {
        panic!("{value:?} is a map")
    };
    map.insert(field.to_owned(), new).expect("it was there");
}

#[test]
fn a_proof_tells_all_that_was_known_when_it_was_made() {
    for curve in [Curve::K256, Curve::P256] {
        let repository = repository(DID, curve);
        let made = proof(&repository, 7);
        assert!(
            made.as_bytes().len() < 4_000,
            "{} bytes, and not the repository's {}",
            made.as_bytes().len(),
            repository.export(None).len()
        );
        let checked = check(made.as_bytes()).unwrap();
        assert_eq!(checked, made, "{curve:?}");
        assert!(!checked.is_key_proven(), "there is no log");
        assert_eq!(
            checked.uri().as_str(),
            format!("at://{DID}/com.example.n1/7")
        );
        assert_eq!(checked.record(), &record(7)[..]);
        assert_eq!(checked.cid(), cid_for_cbor(&record(7)));
        assert_eq!(checked.head().did().as_str(), DID);
        assert_eq!(checked.head().commit(), repository.head().cid());
        assert_eq!(checked.head().rev(), repository.head().rev());
        assert_eq!(checked.key(), &repository.key().public());
        assert_eq!(
            checked.document(),
            &document(DID, repository.key().public())
        );
    }
}

#[test]
fn others_read_the_car_and_find_the_document() {
    let repository = repository(DID, Curve::K256);
    let proof = proof(&repository, 7);
    let (roots, theirs) = futures::executor::block_on(async {
        let mut reader = iroh_car::CarReader::new(&proof.as_bytes()[..])
            .await
            .unwrap();
        let roots = reader.header().roots().to_vec();
        let mut blocks = Vec::new();
        while let Some((cid, bytes)) = reader.next_block().await.unwrap() {
            let bytes = bytes.into();
            blocks.push(Block { cid, bytes });
        }
        (roots, blocks)
    });
    assert_eq!(theirs, blocks(proof.as_bytes()));
    assert_eq!(roots, [repository.head().cid(), statement(&proof).cid]);
    let said = Value::from_cbor(&statement(&proof).bytes)
        .unwrap()
        .to_json();
    let key = repository.key().public().to_multikey();
    assert_eq!(
        said,
        serde_json::json!({
            "proof": 1,
            "uri": format!("at://{DID}/com.example.n1/7"),
            "resolvedAt": "2026-01-31T12:00:00.000Z",
            "document": {
                "id": DID,
                "alsoKnownAs": ["at://alice.example.com"],
                "verificationMethod": [{
                    "id": format!("{DID}#atproto"), "type": "Multikey", "controller": DID, "publicKeyMultibase": key
                }],
                "service": [{
                    "id": "#atproto_pds", "type": "AtprotoPersonalDataServer", "serviceEndpoint": "https://pds.example.com"
                }]
            }
        })
    );
    // Who reads record proofs reads this one, and passes over the rest.
    let (collection, rkey) = place(7);
    let plain = atcomms_repo::proof::verify_record_proof(
        proof.as_bytes(),
        repository.did(),
        &collection,
        &rkey,
        &repository.key().public(),
        NOW,
        &Limits::default(),
    );
    assert_eq!(plain.unwrap().record().map(|it| it.0), Some(proof.cid()));
}

#[test]
fn a_live_commit_has_all_that_a_proof_needs() {
    let recording = Recording::committed();
    let mut made = 0;
    for bytes in recording.frames() {
        let Ok(Frame::Commit(commit)) = frame::decode(bytes) else {
            continue;
        };
        for op in commit.ops.iter().filter(|op| op.cid.is_some()) {
            let (collection, rkey) = op.path.split_once('/').unwrap();
            let document = document(commit.repo, recording.keys[commit.repo].clone());
            let proof = PortableProof::new(
                commit.blocks,
                &collection.parse().unwrap(),
                &rkey.parse().unwrap(),
                document,
                far_future(),
                &Limits::default(),
            );
            let proof = proof.unwrap_or_else(|e| panic!("{}: {}: {e}", commit.seq, op.path));
            assert_eq!(Some(proof.cid()), op.cid, "{}: {}", commit.seq, op.path);
            assert_eq!(proof.head().commit(), commit.commit);
            let again =
                PortableProof::check(proof.as_bytes(), far_future(), &Limits::default()).unwrap();
            assert_eq!(again, proof);
            made += 1;
        }
        if made > 500 {
            return;
        }
    }
    panic!("the recording holds only {made} records");
}

#[test]
fn every_byte_counts() {
    let (proof, _) = vouched();
    let bytes = proof.as_bytes();
    let position = |part: &[u8]| {
        let mut windows = bytes.windows(part.len());
        windows.position(|window| window == part).expect("in it")
    };
    // A changed byte of a block's content is always told as that.
    let content: Vec<_> = blocks(bytes)
        .iter()
        .map(|block| position(&block.bytes)..position(&block.bytes) + block.bytes.len())
        .collect();
    let roots = [proof.head().commit(), statement(&proof).cid];
    let roots = roots.map(|root| position(&root.to_bytes()));
    // The last byte of a root: another root of the same form.
    let reason_at = |at: usize| match () {
        () if content.iter().any(|range| range.contains(&at)) => Some("block_hash"),
        () if at == roots[0] + 35 => Some("commit_missing"),
        () if at == roots[1] + 35 => Some("statement_missing"),
        () => None,
    };
    let mut reasons = BTreeSet::new();
    for at in 0..bytes.len() {
        // Every other byte where the form is; one bit, or all, where a hash sees any change alike.
        let changes: Vec<u8> = match content.iter().any(|range| range.contains(&at)) {
            true => (0..8).map(|bit| 1 << bit).chain([0xff]).collect(),
            false => (1..=255).collect(),
        };
        for change in changes {
            let mut damaged = bytes.to_vec();
            damaged[at] ^= change;
            let Err(error) = check(&damaged) else {
                panic!("byte {at} ^ {change:#x} is believed")
            };
            if let Some(expected) = reason_at(at) {
                assert_eq!(error.reason(), expected, "byte {at} ^ {change:#x}: {error}");
            }
            reasons.insert(error.reason());
        }
    }
    for expected in ["car", "mst_incomplete", "record_missing"] {
        assert!(reasons.contains(expected), "{expected} of {reasons:?}");
    }
}

#[test]
fn a_proof_that_ends_early_or_late_is_refused() {
    let proof = proof(&repository(DID, Curve::K256), 7);
    for len in 0..proof.as_bytes().len() {
        assert!(check(&proof.as_bytes()[..len]).is_err(), "cut to {len}");
    }
    for more in [&[0_u8][..], &[0xf6], &proof.as_bytes()[..]] {
        let longer = [&proof.as_bytes()[..], more].concat();
        assert!(check(&longer).is_err(), "{} bytes more", more.len());
    }
}

#[test]
fn a_proof_of_absence_is_no_proof_of_a_record() {
    let repository = repository(DID, Curve::K256);
    let (key, absent) = (repository.key().public(), 200);
    let refused = make(&repository, absent, document(DID, key.clone())).unwrap_err();
    assert!(
        matches!(&refused, PortableProofError::Absent { uri, rev } if uri.rkey() == Some(place(absent).1)
            && *rev == repository.head().rev()),
        "{refused:?}"
    );
    // By hand: the blocks that prove the absence, with a statement that names the record.
    let (collection, rkey) = place(absent);
    let mut all = blocks(&repository.record_proof(&collection, &rkey));
    let commit = all[0].cid;
    let mut said = Value::from_cbor(&statement(&proof(&repository, 7)).bytes).unwrap();
    let uri = Value::Text(format!("at://{DID}/{collection}/{rkey}"));
    put(&mut said, "uri", uri);
    all.push(Block::from_cbor(said.to_cbor()));
    let forged = car(&[commit, all.last().unwrap().cid], &all);
    assert!(
        matches!(check(&forged), Err(PortableProofError::Absent { .. })),
        "{:?}",
        check(&forged)
    );
    // Signed by somebody else, it does not even prove an absence.
    let stranger = SigningKey::generate(Curve::K256).public();
    let refused = make(&repository, absent, document(DID, stranger)).unwrap_err();
    assert_eq!(refused, PortableProofError::Signature);
}

#[test]
fn a_proof_of_one_record_is_not_one_of_another() {
    let repository = repository(DID, Curve::K256);
    let (seven, eight) = (proof(&repository, 7), proof(&repository, 8));
    assert_ne!(seven.cid(), eight.cid());
    let told = check(&restated(&seven, &statement(&eight))).unwrap_err();
    assert!(
        ["mst_incomplete", "record_missing"].contains(&told.reason()),
        "{told:?}"
    );
    // With all blocks of both, too: nothing may ride along.
    let mut both = blocks(seven.as_bytes());
    let there: BTreeSet<Cid> = both.iter().map(|block| block.cid).collect();
    let more = blocks(eight.as_bytes());
    both.extend(more.into_iter().filter(|block| !there.contains(&block.cid)));
    let roots = [repository.head().cid(), statement(&eight).cid];
    assert_eq!(
        check(&car(&roots, &both)).unwrap_err(),
        PortableProofError::Surplus
    );
}

#[test]
fn a_statement_that_lies_is_refused() {
    let repository = repository(DID, Curve::K256);
    let genuine = proof(&repository, 7);
    assert_eq!(
        misstated(&genuine, |_| {}),
        Ok(()),
        "the changes below are what fails"
    );
    let text = |text: &str| Value::Text(text.to_owned());
    let in_document = |field: &'static str, new: Value| {
        misstated(&genuine, |value| {
            let mut document = value.get("document").unwrap().clone();
            put(&mut document, field, new);
            put(value, "document", document);
        })
    };
    let other_uri = format!("at://{OTHER_DID}/com.example.n1/7");
    assert_eq!(
        misstated(&genuine, |value| put(value, "uri", text(&other_uri))),
        Err(StatementError::OtherDid.into())
    );
    assert_eq!(
        in_document("id", text(OTHER_DID)),
        Err(StatementError::Field("document.verificationMethod").into())
    );
    for (field, new, named) in [
        ("uri", text("com.example.n1/7"), "uri"),
        ("uri", text(&format!("at://{DID}")), "uri"),
        ("resolvedAt", text("yesterday"), "resolvedAt"),
        ("document", Value::Null, "document.id"),
        ("proof", text("1"), "proof"),
    ] {
        assert_eq!(
            misstated(&genuine, |value| put(value, field, new)),
            Err(StatementError::Field(named).into())
        );
    }
    assert_eq!(
        misstated(&genuine, |value| put(value, "proof", Value::Int(2))),
        Err(StatementError::Version(2).into())
    );
    assert_eq!(
        in_document("verificationMethod", Value::List(Vec::new())),
        Err(StatementError::Field("document.verificationMethod").into())
    );
    // Another's key and DID under the same signature.
    let stranger = SigningKey::generate(Curve::K256).public();
    let forged = document(DID, stranger).to_value();
    assert_eq!(
        misstated(&genuine, |value| put(value, "document", forged)),
        Err(PortableProofError::Signature)
    );
    let usurped = document(OTHER_DID, repository.key().public()).to_value();
    assert_eq!(
        misstated(&genuine, |value| {
            put(value, "document", usurped);
            put(value, "uri", text(&other_uri));
        }),
        Err(VerifyError::OtherDid.into())
    );
}

#[test]
fn a_did_vouches_for_the_key_in_its_proof() {
    let (proof, log) = vouched();
    assert!(proof.is_key_proven());
    let checked = check(proof.as_bytes()).unwrap();
    assert_eq!(checked, proof);
    assert_eq!(checked.document().log.as_ref().unwrap().operations(), log);

    let [first, second] = &log[..] else {
        panic!("two operations")
    };
    let told = |operations: Vec<&Value>| {
        let log = operations.into_iter().cloned().collect();
        misstated(&proof, |value| put(value, "log", Value::List(log)))
    };
    let refused = |error: PlcLogError| Err(StatementError::Log(error).into());
    assert_eq!(told(vec![first, second]), Ok(()));
    assert_eq!(
        told(vec![first]),
        refused(PlcLogError::OtherKey),
        "from before the rotation"
    );
    assert_eq!(told(vec![second]), refused(PlcLogError::Order(0)));
    assert_eq!(told(vec![]), refused(PlcLogError::Count(0)));
    let many = vec![first; 1_001];
    assert_eq!(told(many), refused(PlcLogError::Count(1_001)));
    let mut forged = second.clone();
    put(&mut forged, "alsoKnownAs", Value::List(vec![Value::Null]));
    assert_eq!(
        told(vec![first, &forged]),
        refused(PlcLogError::Signature(1))
    );
    // A forger's own DID, whole in itself, under the name of another.
    let (stranger, _) = vouched();
    let theirs = Value::from_cbor(&statement(&stranger).bytes).unwrap();
    let theirs = theirs.get("log").unwrap().clone();
    assert!(matches!(
        misstated(&proof, |value| put(value, "log", theirs)),
        Err(PortableProofError::Statement(StatementError::Log(
            PlcLogError::OtherDid(_)
        )))
    ));
    // A log that is put beside a document that it does not lead to.
    let repository = repository(DID, Curve::K256);
    let mut document = document(DID, repository.key().public());
    document.log.clone_from(&proof.document().log);
    assert!(matches!(
        make(&repository, 7, document),
        Err(PortableProofError::Statement(StatementError::Log(
            PlcLogError::OtherDid(_)
        )))
    ));
}

#[test]
fn what_is_no_proof_says_why() {
    let repository = repository(DID, Curve::K256);
    let (collection, rkey) = place(7);
    let fetched = repository.record_proof(&collection, &rkey);
    assert_eq!(check(&fetched), Err(PortableProofError::NoStatement));
    let genuine = proof(&repository, 7);
    let three = [repository.head().cid(), genuine.cid(), genuine.cid()];
    assert_eq!(
        check(&car(&three, &blocks(genuine.as_bytes()))),
        Err(PortableProofError::NoStatement)
    );
    let roots = [repository.head().cid(), genuine.cid()];
    let told = check(&car(&roots, &blocks(genuine.as_bytes()))).unwrap_err();
    assert!(
        matches!(
            told,
            PortableProofError::Statement(StatementError::Field("proof"))
        ),
        "{told:?}"
    );
    let large = vec![0; Limits::default().blocks_len + 1];
    assert_eq!(check(&large).unwrap_err().reason(), "blocks_too_large");
    assert_eq!(check(&[]).unwrap_err().reason(), "car");
    // A clock that is far behind would take every rev for one of the future.
    let told = PortableProof::check(genuine.as_bytes(), 0, &Limits::default()).unwrap_err();
    assert_eq!(told.reason(), "future_rev");
}
