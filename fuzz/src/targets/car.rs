//! CARs: a block that is given has the bytes that its CID says, and what was read is written and read again.

use atcomms_repo::car::{self, Block, Car};
use bytes::Bytes;

use crate::rehash::{Rehashed, cid_of};
use crate::{Recorded, Target, memory};

pub(crate) const TARGET: Target = Target { name: "car", run, seeds };

/// A section takes 37 bytes at least, and 40 once it is read, twice if they are sorted; a list may triple while it grows.
const TIMES: usize = 8;

fn seeds(recorded: &Recorded) -> Vec<Vec<u8>> {
    recorded.commits().map(|(_, commit)| commit.blocks.to_vec()).collect()
}

fn run(data: &[u8]) {
    check(data);
    // The same with hashes that are right, unless nothing of it can be read.
    if let Some(rehashed) = Rehashed::read(data)
        && let Some(first) = rehashed.blocks.first()
    {
        let car = rehashed.car(&first.cid);
        assert_eq!(check(&car), Some(rehashed.blocks.len()), "what is whole is read");
    }
}

/// How many blocks it has, if it can be read.
fn check(data: &[u8]) -> Option<usize> {
    let car = memory::bounded(data, TIMES, || Car::read(data)).ok()?;
    let blocks: Vec<Block> = car
        .blocks()
        .map(|(cid, bytes)| Block { cid, bytes: Bytes::copy_from_slice(bytes) })
        .collect();
    assert_eq!(blocks.len(), car.len());
    assert_eq!(blocks.is_empty(), car.is_empty());
    for block in &blocks {
        assert_eq!(cid_of(block.cid.codec(), &block.bytes), block.cid, "a block's bytes hash to its CID");
        assert_eq!(car.get(&block.cid), Some(&block.bytes[..]), "every block is found");
    }
    let other = atcomms_lexicon::cid_for_cbor(b"no block");
    assert_eq!(car.get(&other), None);

    let written = car::write(&car.root(), &blocks);
    let again = Car::read(&written).expect("what is written can be read");
    assert_eq!(again.root(), car.root());
    assert!(again.blocks().eq(car.blocks()), "what was written is what was read");
    assert!(written.len() <= data.len(), "no form is shorter than the one that is written");
    Some(blocks.len())
}
