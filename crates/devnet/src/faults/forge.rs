//! Frames that lie, each in one way, and are right in every other.

use atcomms_lexicon::{Cid, Value, cid_for_cbor};
use atcomms_repo::car::{self, Block, Car};
use atcomms_repo::frame::{CommitFrame, Frame, decode};
use atcomms_repo::{Curve, SignedCommit, SigningKey, UnsignedCommit};
use bytes::Bytes;

use super::Forgery;

/// The frame with a lie; `None` if there is nothing in it to lie about.
pub(super) fn forge(frame: &[u8], forgery: &Forgery) -> Option<Bytes> {
    let Frame::Commit(mut commit) = decode(frame).ok()? else {
        return None;
    };
    if let Forgery::Did(did) = forgery {
        commit.repo = did.as_str();
        return Some(Frame::Commit(commit).encode().into());
    }
    let car = Car::read(commit.blocks).ok()?;
    let mut blocks: Vec<Block> = car
        .blocks()
        .map(|(cid, bytes)| Block {
            cid,
            bytes: Bytes::copy_from_slice(bytes),
        })
        .collect();
    let signed = SignedCommit::decode(car.get(&car.root())?.to_vec()).ok()?;
    match forgery {
        Forgery::Record => {
            let op = commit.ops.iter_mut().find(|op| op.cid.is_some())?;
            let block = find(&mut blocks, &op.cid?)?;
            *block = Block::from_cbor(other_record(&block.bytes));
            op.cid = Some(block.cid);
        }
        Forgery::Block => {
            let cid = commit.ops.iter().find_map(|op| op.cid)?;
            let block = find(&mut blocks, &cid)?;
            let mut bytes = block.bytes.to_vec();
            *bytes.last_mut()? ^= 1;
            block.bytes = bytes.into();
        }
        Forgery::Node => {
            let block = find(&mut blocks, &signed.data())?;
            block.bytes = other_node(&block.bytes)?;
        }
        Forgery::DetachedNode => {
            let block = find(&mut blocks, &signed.data())?;
            *block = Block::from_cbor(other_node(&block.bytes)?);
        }
        Forgery::Signature => {
            let key = SigningKey::generate(Curve::K256);
            let forged = UnsignedCommit {
                did: signed.did().clone(),
                rev: signed.rev(),
                data: signed.data(),
            }
            .sign(&key);
            *find(&mut blocks, &commit.commit)? = forged.block().clone();
            commit.commit = forged.cid();
        }
        Forgery::Did(_) => return None,
    }
    Some(encode(commit, &blocks))
}

fn encode(commit: CommitFrame<'_>, blocks: &[Block]) -> Bytes {
    let blocks = car::write(&commit.commit, blocks);
    let blocks = blocks.as_slice();
    Frame::Commit(CommitFrame { blocks, ..commit })
        .encode()
        .into()
}

fn find<'b>(blocks: &'b mut [Block], cid: &Cid) -> Option<&'b mut Block> {
    blocks.iter_mut().find(|block| block.cid == *cid)
}

/// A record that says something else.
fn other_record(record: &[u8]) -> Vec<u8> {
    let mut fields = match Value::from_cbor(record) {
        Ok(Value::Map(fields)) => fields,
        _ => Default::default(),
    };
    fields.insert("forged".to_owned(), Value::Bool(true));
    Value::Map(fields).to_cbor()
}

/// A node of the tree whose first record is another one; `None` of an empty one.
fn other_node(node: &[u8]) -> Option<Bytes> {
    let Ok(Value::Map(mut fields)) = Value::from_cbor(node) else {
        return None;
    };
    let Some(Value::List(entries)) = fields.get_mut("e") else {
        return None;
    };
    let Some(Value::Map(first)) = entries.first_mut() else {
        return None;
    };
    first.insert("v".to_owned(), Value::Link(cid_for_cbor(b"forged")));
    Some(Value::Map(fields).to_cbor().into())
}
