//! All that can go wrong, which of it may in one run, and how often it did.

use super::dice::Dice;

macro_rules! faults {
    ($($fault:ident),* $(,)?) => {
        /// What goes wrong, or happens to an account.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Fault { $($fault),* }

        impl Fault {
            pub(super) const ALL: &[Fault] = &[$(Fault::$fault),*];
        }
    };
}

faults! {
    // Of relays.
    Skip, Duplicate, Reorder, Truncate, ForgeRecord, ForgeSignature, ForgeDid, Replace, Disconnect, Outdated, Stall,
    // Of the directory.
    DirectoryDown, StaleKey,
    // Of PDSs.
    FetchFails, NotServed, StaleSnapshot, SlowFetch, CommitDuringFetch,
    // Of the process.
    Kill, KillBeforeStore, KillAfterStore, OtherSources,
    // Of the application.
    KillBeforeAck, KillAfterAck, PutOff, Forgotten, LateAck,
    // Of accounts.
    Rotate, Migrate, Deactivate, Activate, TakeDown, Restore, Delete, Reset, Unreadable, Flood, Handle,
}

/// How often each went wrong.
#[derive(Clone, Debug)]
pub(super) struct Counts([u64; Fault::ALL.len()]);

impl Default for Counts {
    fn default() -> Self {
        Self([0; Fault::ALL.len()])
    }
}

impl Counts {
    pub(super) fn fired(&mut self, fault: Fault) {
        self.0[fault as usize] += 1;
    }

    pub(super) fn add(&mut self, other: &Self) {
        for (count, more) in self.0.iter_mut().zip(other.0) {
            *count += more;
        }
    }

    pub(super) fn each(&self) -> impl Iterator<Item = (Fault, u64)> {
        Fault::ALL.iter().copied().zip(self.0)
    }
}

/// What relays do that hides something, and nothing else.
const HIDING: [Fault; 5] = [
    Fault::Skip,
    Fault::Duplicate,
    Fault::Reorder,
    Fault::Truncate,
    Fault::Replace,
];

/// What may go wrong in one run.
#[derive(Debug)]
pub(super) struct Plan {
    allowed: [bool; Fault::ALL.len()],
    /// Whether every fetch succeeds at once, and nobody is away.
    pub(super) is_reliable: bool,
}

impl Plan {
    /// A part of all, so that each goes wrong without the others, too; in some runs nothing; and in some, only
    /// relays are to blame.
    pub(super) fn new(dice: &mut Dice) -> Self {
        let per_mille = [0, 100, 300, 500, 800][dice.index(5)];
        let mut allowed = [false; Fault::ALL.len()];
        for allowed in &mut allowed {
            *allowed = dice.chance(per_mille);
        }
        let is_reliable = dice.chance(150);
        if is_reliable {
            for (fault, allowed) in Fault::ALL.iter().zip(&mut allowed) {
                *allowed = HIDING.contains(fault);
            }
        }
        Self {
            allowed,
            is_reliable,
        }
    }

    pub(super) fn allows(&self, fault: Fault) -> bool {
        self.allowed[fault as usize]
    }

    /// Nothing goes wrong from now on.
    pub(super) fn cease(&mut self) {
        self.allowed = [false; Fault::ALL.len()];
    }
}
