//! What a commit claims of its place in the chain, for what nobody verifies.

use atcomms_lexicon::Tid;
use cid::Cid;

use super::{Head, Relation, VerifyError};
use crate::car;
use crate::commit::CommitBlock;
use crate::digest;
use crate::frame::CommitFrame;

/// What a commit says of itself and of the commit before. The commit block's hash was checked, and that
/// it says what its envelope says, but neither its signature nor its operations: an accident shows,
/// a lie does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    head: Head,
    since: Option<Tid>,
    prev_data: Option<Cid>,
}

impl Claim {
    /// The repository's state after the commit, as claimed.
    #[must_use]
    pub fn head(&self) -> Head {
        self.head
    }

    /// The rev of the commit before, as claimed.
    #[must_use]
    pub fn since(&self) -> Option<Tid> {
        self.since
    }

    /// The root of the tree before, as claimed.
    #[must_use]
    pub fn prev_data(&self) -> Option<Cid> {
        self.prev_data
    }

    /// How the commit relates to what was known before.
    #[must_use]
    pub fn relation(&self, known: &Head) -> Relation {
        Relation::between(known, self.head.rev, self.since, self.prev_data)
    }
}

/// Reads what a commit claims. No more than the commit's own block is hashed.
///
/// # Errors
/// [`VerifyError`] if the blocks cannot be read, or the commit block contradicts the envelope.
pub fn claim(frame: &CommitFrame<'_>) -> Result<Claim, VerifyError> {
    let rev = frame.rev.parse().map_err(|_| VerifyError::RevSyntax)?;
    let since = frame
        .since
        .map(str::parse)
        .transpose()
        .map_err(|_| VerifyError::RevSyntax)?;
    let (root, bytes) = car::root_block(frame.blocks)?;
    if root != frame.commit {
        return Err(VerifyError::Root {
            root: Box::new(root),
            commit: Box::new(frame.commit),
        });
    }
    let bytes = bytes.filter(|_| digest::of_cbor(&root).is_some());
    let block = CommitBlock::parse(bytes.ok_or(VerifyError::CommitMissing)?)?;
    if block.did != frame.repo {
        return Err(VerifyError::OtherDid);
    }
    if block.rev != frame.rev {
        return Err(VerifyError::OtherRev);
    }
    Ok(Claim {
        head: Head {
            rev,
            data: digest::cbor_cid(block.data),
        },
        since,
        prev_data: frame.prev_data,
    })
}
