//! A repository from outside: what it refuses, what it exports, what others read of it, what it proves.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeMap;

use atcomms_lexicon::{Did, Nsid, RecordKey, cid_for_cbor};
use atcomms_repo::car::Car;
use atcomms_repo::frame::{self, Frame};
use atcomms_repo::mst::{MstError, Tree};
use atcomms_repo::proof::verify_record_proof;
use atcomms_repo::repository::{LoadError, WriteError};
use atcomms_repo::snapshot::Snapshot;
use atcomms_repo::verify::{Head, Limits, Relation, VerifyError, verify_commit};
use atcomms_repo::{Cid, Curve, Repository, SigningKey, TidClock, Write};

const NOW: u64 = 1_700_000_000_000_000;

fn did() -> Did {
    "did:plc:zmwaxnesqhtu6sdgylzfwfdz".parse().unwrap()
}

fn place(path: &str) -> (Nsid, RecordKey) {
    let (collection, rkey) = path.split_once('/').unwrap();
    (collection.parse().unwrap(), rkey.parse().unwrap())
}

fn create(path: &str, n: u8) -> Write {
    let (collection, rkey) = place(path);
    Write::Create {
        collection,
        rkey,
        record: vec![0x18, n].into(),
    }
}

fn update(path: &str, n: u8) -> Write {
    let (collection, rkey) = place(path);
    Write::Update {
        collection,
        rkey,
        record: vec![0x18, n].into(),
    }
}

fn delete(path: &str) -> Write {
    let (collection, rkey) = place(path);
    Write::Delete { collection, rkey }
}

/// A repository of a hundred records, of which two are the same, made in ten commits.
fn repository() -> (Repository, TidClock) {
    let mut clock = TidClock::new(3);
    let (mut repository, _) =
        Repository::create(did(), SigningKey::generate(Curve::K256), clock.next(NOW));
    for tens in 0..10_u8 {
        let writes: Vec<Write> = (0..10)
            .map(|n| create(&format!("com.example.n{tens}/{n}"), 100 + 10 * tens + n))
            .collect();
        repository.apply(&writes, clock.next(NOW)).unwrap();
    }
    repository
        .apply(&[create("com.example.same/one", 100)], clock.next(NOW))
        .unwrap();
    (repository, clock)
}

fn content(repository: &Repository) -> BTreeMap<String, Vec<u8>> {
    let records = repository.collections().into_iter().flat_map(|collection| {
        let records: Vec<_> = repository
            .records(&collection)
            .map(|(rkey, cid, bytes)| {
                assert_eq!(cid, cid_for_cbor(bytes));
                (format!("{collection}/{rkey}"), bytes.to_vec())
            })
            .collect();
        records
    });
    records.collect()
}

#[test]
fn what_cannot_be_written_leaves_everything_as_it_was() {
    let (mut repository, mut clock) = repository();
    let before = (repository.head().clone(), content(&repository));
    let there = "com.example.n0/1";
    let absent = "com.example.n0/absent";
    let cases = [
        (
            vec![create(absent, 1), create(there, 1)],
            WriteError::Exists(there.to_owned()),
        ),
        (
            vec![create(absent, 1), update("com.example.n0/other", 1)],
            WriteError::NotFound("com.example.n0/other".to_owned()),
        ),
        (
            vec![delete(there), delete(absent)],
            WriteError::NotFound(absent.to_owned()),
        ),
        (
            vec![create(absent, 1), delete(absent)],
            WriteError::DuplicatePath(absent.to_owned()),
        ),
    ];
    for (writes, error) in cases {
        assert_eq!(repository.apply(&writes, clock.next(NOW)), Err(error));
        assert_eq!((repository.head().clone(), content(&repository)), before);
    }
    let head = repository.head().rev();
    assert_eq!(
        repository.apply(&[], head),
        Err(WriteError::RevNotNewer { rev: head, head })
    );
}

#[test]
fn commits_chain_and_are_believed_by_a_reader() {
    let key = SigningKey::generate(Curve::P256);
    let mut clock = TidClock::new(0);
    let (mut repository, first) = Repository::create(did(), key.clone(), clock.next(NOW));
    let read = |bytes: &[u8]| match frame::decode(bytes) {
        Ok(Frame::Commit(commit)) => {
            verify_commit(&commit, &key.public(), NOW, &Limits::default()).unwrap()
        }
        other => panic!("{other:?}"),
    };
    let mut head = read(&first.frame(1, "")).head();
    let batches = [
        vec![create("com.example.a/1", 1), create("com.example.a/2", 2)],
        vec![update("com.example.a/1", 3), create("com.example.b/1", 1)],
        vec![],
        vec![
            delete("com.example.a/1"),
            delete("com.example.a/2"),
            delete("com.example.b/1"),
        ],
        vec![create("com.example.a/1", 1)],
    ];
    for writes in batches {
        let applied = repository.apply(&writes, clock.next(NOW)).unwrap();
        let verified = read(&applied.frame(2, ""));
        assert_eq!(head.relation(&verified), Relation::Next);
        let elsewhere = Head {
            data: cid_for_cbor(&[]),
            ..head
        };
        assert_eq!(
            elsewhere.relation(&verified),
            Relation::Gap,
            "after the same rev, of another tree"
        );
        assert_eq!(verified.ops().len(), writes.len());
        assert_eq!(verified.head().relation(&verified), Relation::NotNewer);
        head = verified.head();
        assert_eq!(
            (head.rev, head.data),
            (repository.head().rev(), repository.head().data())
        );
    }
    repository.apply(&[], clock.next(NOW)).unwrap();
    let later = repository.apply(&[], clock.next(NOW)).unwrap();
    assert_eq!(
        head.relation(&read(&later.frame(3, ""))),
        Relation::Gap,
        "a commit in between was not seen"
    );
}

#[test]
fn a_repository_survives_its_export() {
    let (mut repository, mut clock) = repository();
    repository
        .apply(
            &[delete("com.example.n3/4"), update("com.example.n3/5", 1)],
            clock.next(NOW),
        )
        .unwrap();
    let loaded = Repository::load(&repository.export(None), repository.key().clone()).unwrap();
    assert_eq!(loaded.head(), repository.head());
    assert_eq!(content(&loaded), content(&repository));
    assert_eq!(content(&loaded).len(), 100);

    let mut both = [repository, loaded];
    let rev = clock.next(NOW);
    let [one, other] = both.each_mut().map(|repository| {
        repository
            .apply(&[delete("com.example.same/one")], rev)
            .unwrap()
    });
    assert_eq!(
        (one.commit.data(), one.prev_data, one.ops),
        (other.commit.data(), other.prev_data, other.ops)
    );
    let shared = place("com.example.n0/0");
    assert!(
        both.iter()
            .all(|repository| repository.get(&shared.0, &shared.1).is_some()),
        "the record that two paths had"
    );
}

#[test]
fn a_damaged_or_partial_export_is_not_loaded() {
    let (repository, _) = repository();
    let (key, whole) = (repository.key(), repository.export(None));
    let other = SigningKey::generate(Curve::K256);
    assert!(matches!(
        Repository::load(&whole, other),
        Err(LoadError::Signature(_))
    ));
    let mut damaged = whole.clone();
    *damaged.last_mut().unwrap() ^= 1;
    assert!(matches!(
        Repository::load(&damaged, key.clone()),
        Err(LoadError::Car(_))
    ));

    let car = Car::read(&whole).unwrap();
    let without = |left_out: &Cid| {
        let blocks = car.blocks().filter(|(cid, _)| cid != left_out);
        let blocks: Vec<_> = blocks
            .map(|(_, bytes)| atcomms_repo::car::Block::from_cbor(bytes.to_vec()))
            .collect();
        Repository::load(&atcomms_repo::car::write(&car.root(), &blocks), key.clone()).err()
    };
    let tried = car
        .blocks()
        .filter(|(cid, _)| without(cid).is_some())
        .count();
    assert_eq!(tried, car.len(), "no block can be left out");
    assert!(tried > 120, "{tried} blocks");
    assert_eq!(
        without(&repository.head().cid()),
        Some(LoadError::CommitMissing)
    );
    let nothing = repository.head().cid();
    assert_eq!(
        Repository::load(&atcomms_repo::car::write(&nothing, []), key.clone()).err(),
        Some(LoadError::CommitMissing)
    );
}

#[test]
fn an_export_since_a_rev_adds_up_to_the_whole() {
    let (mut repository, mut clock) = repository();
    let old = repository.export(None);
    let since = repository.head().rev();
    assert_eq!(
        Car::read(&repository.export(Some(since))).unwrap().len(),
        0,
        "nothing is newer"
    );
    assert_eq!(
        Car::read(&repository.export(Some(since))).unwrap().root(),
        repository.head().cid()
    );

    for n in 0..3 {
        repository
            .apply(
                &[
                    create(&format!("com.example.late/{n}"), n),
                    delete(&format!("com.example.n{n}/0")),
                ],
                clock.next(NOW),
            )
            .unwrap();
    }
    let new = repository.export(Some(since));
    assert!(
        new.len() * 2 < old.len(),
        "{} bytes are new, of {}",
        new.len(),
        old.len()
    );
    let (old, new) = (Car::read(&old).unwrap(), Car::read(&new).unwrap());
    let blocks: BTreeMap<Cid, _> = old
        .blocks()
        .chain(new.blocks())
        .map(|(cid, bytes)| (cid, atcomms_repo::car::Block::from_cbor(bytes.to_vec())))
        .collect();
    let joined = atcomms_repo::car::write(&new.root(), blocks.values());
    let loaded = Repository::load(&joined, repository.key().clone()).unwrap();
    assert_eq!(content(&loaded), content(&repository));
}

#[test]
fn others_read_what_we_write() {
    let (repository, _) = repository();
    let bytes = repository.export(None);
    let ours: BTreeMap<Cid, Vec<u8>> = Car::read(&bytes)
        .unwrap()
        .blocks()
        .map(|(cid, bytes)| (cid, bytes.to_vec()))
        .collect();
    let theirs = futures::executor::block_on(async {
        let mut reader = iroh_car::CarReader::new(&bytes[..]).await.unwrap();
        assert_eq!(reader.header().roots(), [repository.head().cid()]);
        assert_eq!(reader.header().version(), 1);
        let mut blocks = BTreeMap::new();
        while let Some((cid, bytes)) = reader.next_block().await.unwrap() {
            blocks.insert(cid, bytes);
        }
        blocks
    });
    assert!(ours.len() > 100, "{} blocks", ours.len());
    assert_eq!(theirs, ours);
}

#[test]
fn we_read_what_others_write() {
    let block = atcomms_repo::car::Block::from_cbor(vec![0xa0]);
    let mut bytes = Vec::new();
    futures::executor::block_on(async {
        let header = iroh_car::CarHeader::new_v1(vec![block.cid]);
        let mut writer = iroh_car::CarWriter::new(header, &mut bytes);
        writer.write(block.cid, &block.bytes).await.unwrap();
        writer.finish().await.unwrap();
    });
    assert_eq!(bytes, atcomms_repo::car::write(&block.cid, [&block]));
    assert_eq!(
        Car::read(&bytes).unwrap().get(&block.cid),
        Some(&block.bytes[..])
    );
}

#[test]
fn a_record_is_proven_to_be_there_or_not() {
    let (repository, _) = repository();
    let (key, limits) = (repository.key().public(), Limits::default());
    let prove = |path: &str| {
        let (collection, rkey) = place(path);
        repository.record_proof(&collection, &rkey)
    };
    let check = |proof: &[u8], path: &str| {
        let (collection, rkey) = place(path);
        verify_record_proof(proof, &did(), &collection, &rkey, &key, NOW, &limits)
    };
    for tens in 0..10_u8 {
        let path = format!("com.example.n{tens}/7");
        let proven = check(&prove(&path), &path).unwrap();
        let bytes = [0x18, 107 + 10 * tens];
        assert_eq!(
            proven.record().map(|(cid, bytes)| (cid, &bytes[..])),
            Some((cid_for_cbor(&bytes), &bytes[..]))
        );
        assert_eq!(
            (proven.head().commit(), proven.head().rev()),
            (repository.head().cid(), repository.head().rev())
        );
        let path = format!("com.example.n{tens}/absent");
        assert_eq!(check(&prove(&path), &path).unwrap().record(), None);
    }

    let (path, proof) = ("com.example.n4/4", prove("com.example.n4/4"));
    let other_did = "did:plc:hgkgcydoi4tgsqrs2rt6zed7".parse().unwrap();
    let (collection, rkey) = place(path);
    let judged = |did: &Did, proof: &[u8], key| {
        verify_record_proof(proof, did, &collection, &rkey, key, NOW, &limits).map(drop)
    };
    assert_eq!(judged(&other_did, &proof, &key), Err(VerifyError::OtherDid));
    assert_eq!(
        judged(&did(), &proof, &SigningKey::generate(Curve::K256).public()),
        Err(VerifyError::Signature)
    );
    // The proof of one record says nothing of another that is elsewhere, and without its record or a node, nothing at all.
    let elsewhere = (0..10)
        .map(|n| format!("com.example.n{n}/0"))
        .find(|path| check(&proof, path).is_err());
    let elsewhere = elsewhere.expect("some record is in another part of the tree");
    assert_eq!(
        check(&proof, &elsewhere).err().map(|e| e.reason()),
        Some("mst_incomplete")
    );
    let car = Car::read(&proof).unwrap();
    for (left_out, _) in car.blocks() {
        let blocks = car.blocks().filter(|(cid, _)| *cid != left_out);
        let blocks: Vec<_> = blocks
            .map(|(_, bytes)| atcomms_repo::car::Block::from_cbor(bytes.to_vec()))
            .collect();
        let judged = check(&atcomms_repo::car::write(&car.root(), &blocks), path);
        let reason = judged
            .err()
            .map(|e| e.reason())
            .expect("a proof with a part left out");
        assert!(
            ["commit_missing", "mst_incomplete", "record_missing"].contains(&reason),
            "{reason}"
        );
    }
}

#[test]
fn a_snapshot_is_whole_or_refused() {
    let (repository, _) = repository();
    let (key, limits, bytes) = (
        repository.key().public(),
        Limits::default(),
        repository.export(None),
    );
    let snapshot = Snapshot::verify(&bytes, &did(), &key, NOW, &limits).unwrap();
    let records: BTreeMap<String, Vec<u8>> = snapshot
        .records("")
        .map(|record| (record.path.to_owned(), record.bytes.to_vec()))
        .collect();
    assert_eq!(records, content(&repository));
    let some: Vec<&str> = snapshot
        .records("com.example.n5/")
        .map(|record| record.path)
        .collect();
    assert_eq!(some.len(), 10);
    assert!(some.iter().all(|path| path.starts_with("com.example.n5/")));
    assert_eq!(snapshot.records("com.example.nothing/").count(), 0);
    assert_eq!(snapshot.head().head().data, repository.head().data());

    let judged = |bytes: &[u8]| {
        Snapshot::verify(bytes, &did(), &key, NOW, &limits)
            .err()
            .map(|e| e.reason())
    };
    let car = Car::read(&bytes).unwrap();
    for (left_out, _) in car.blocks() {
        let blocks = car.blocks().filter(|(cid, _)| *cid != left_out);
        let blocks: Vec<_> = blocks
            .map(|(_, bytes)| atcomms_repo::car::Block::from_cbor(bytes.to_vec()))
            .collect();
        let reason = judged(&atcomms_repo::car::write(&car.root(), &blocks))
            .expect("an export with a block left out");
        assert!(
            ["commit_missing", "mst_incomplete", "record_missing"].contains(&reason),
            "{reason}"
        );
    }
}

#[test]
fn a_rotated_key_signs_what_comes_after() {
    let (mut repository, mut clock) = repository();
    let (old, new) = (repository.key().clone(), SigningKey::generate(Curve::P256));
    repository.rotate_key(new.clone());
    assert_eq!(repository.head().verify(&old.public()), Ok(()));
    let applied = repository
        .apply(&[create("com.example.rotated/1", 1)], clock.next(NOW))
        .unwrap();
    assert!(applied.commit.verify(&old.public()).is_err());
    assert_eq!(applied.commit.verify(&new.public()), Ok(()));
}

#[test]
fn a_tree_that_is_there_in_part_says_what_is_missing() {
    let (repository, _) = repository();
    let path = "com.example.n4/4";
    let proof: std::collections::HashMap<Cid, bytes::Bytes> = repository
        .tree()
        .proof(path)
        .unwrap()
        .into_iter()
        .map(|block| (block.cid, block.bytes))
        .collect();
    let mut part = Tree::load(repository.head().data(), &proof).unwrap();
    assert!(part.get(path).unwrap().is_some());
    let listed: Result<Vec<_>, _> = part.entries().collect();
    assert!(
        matches!(listed, Err(MstError::Missing(_))),
        "a part does not pass for the whole"
    );
    assert!(
        matches!(repository.tree().diff(&part), Ok(changes) if changes.is_empty()),
        "what is equal need not be read"
    );
    assert_eq!(part.root_cid(), repository.head().data());
    let rev_path = (0..10)
        .map(|n| format!("com.example.n{n}/0"))
        .find(|path| part.get(path).is_err())
        .expect("a path elsewhere");
    assert!(matches!(
        part.insert(&rev_path, cid_for_cbor(&[1])),
        Err(MstError::Missing(_))
    ));
}
