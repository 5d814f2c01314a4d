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
    Rotate, Migrate, Deactivate, Activate, TakeDown, Restore, Delete, Reset, Unreadable, Flood,
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

/// What may go wrong in one run: half of it, so that each goes wrong without the others, too; and in some runs nothing.
#[derive(Debug)]
pub(super) struct Plan([bool; Fault::ALL.len()]);

impl Plan {
    pub(super) fn new(dice: &mut Dice) -> Self {
        let per_mille = [0, 100, 300, 500, 800][dice.index(5)];
        let mut allowed = [false; Fault::ALL.len()];
        for allowed in &mut allowed {
            *allowed = dice.chance(per_mille);
        }
        Self(allowed)
    }

    pub(super) fn allows(&self, fault: Fault) -> bool {
        self.0[fault as usize]
    }

    /// Nothing goes wrong from now on.
    pub(super) fn cease(&mut self) {
        self.0 = [false; Fault::ALL.len()];
    }
}
