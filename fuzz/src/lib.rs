//! What must hold for any bytes whatever: properties, each of which libFuzzer looks for a hole in.
//!
//! A [`Target`] is a file under `targets/` and a line in the list below: what must hold of some bytes, and
//! seeds to begin with, most of them out of the recorded firehose. `fuzz/run` fuzzes all of them; the test
//! of this crate puts every seed into its target, so that neither can rot.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a property that does not hold is a panic: that is how libFuzzer sees it"
)]

mod genuine;
mod memory;
mod rehash;
mod seeds;

pub use seeds::{Recorded, write_seeds};

/// Declares the targets: a module each, whose `TARGET` it is.
macro_rules! targets {
    ($($name:ident),* $(,)?) => {
        mod targets {
            $(pub(crate) mod $name;)*
        }

        /// All targets.
        pub const TARGETS: &[Target] = &[$(targets::$name::TARGET),*];
    };
}

targets![
    frame, car, commit, tree, proof, recording, lexicon, jetstream
];

/// Something that reads bytes from others, and what must hold of it.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name, as `fuzz/run` takes it.
    pub name: &'static str,
    /// Panics if what must hold of these bytes does not.
    run: fn(&[u8]),
    /// What to begin with.
    seeds: fn(&Recorded) -> Vec<Vec<u8>>,
}

impl Target {
    /// Panics if what must hold of these bytes does not.
    pub fn check(&self, data: &[u8]) {
        (self.run)(data);
    }

    /// What to begin with.
    pub fn seeds(&self, recorded: &Recorded) -> Vec<Vec<u8>> {
        (self.seeds)(recorded)
    }
}

/// The target of that name.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One test, since what is measured is the memory of the whole process.
    #[test]
    fn what_must_hold_holds_for_every_seed_and_when_it_is_cut_or_damaged() {
        let recorded = Recorded::open();
        for target in TARGETS {
            let seeds = target.seeds(&recorded);
            assert!(!seeds.is_empty(), "{} has no seeds", target.name);
            for seed in seeds {
                target.check(&seed);
                target.check(&seed[..seed.len() / 2]);
                let mut damaged = seed.clone();
                let at = seed.len() * 2 / 3;
                if let Some(byte) = damaged.get_mut(at) {
                    *byte ^= 1;
                    target.check(&damaged);
                }
            }
        }
        assert!(TARGETS.len() > 6, "the targets are listed");
    }
}
