//! What the caller of one run does: drawn by its seed, with what must come of it.

use super::dice::Dice;
use super::trouble::Trouble;

/// Keys that are updated again and again.
pub(crate) const KEYS: usize = 3;

/// Bytes that are attached; the same ones again and again.
pub(crate) const FILES: usize = 3;

/// The most attachments of one record.
const ATTACHED: usize = 2;

/// One thing that the caller does. What it writes is named after its number in the script.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    /// A new record.
    Create {
        files: Vec<usize>,
        priority: u8,
        again: Again,
    },
    /// An update of one of the keys.
    Put {
        key: usize,
        files: Vec<usize>,
        swap: Swap,
    },
    Delete {
        of: Target,
        swap: Swap,
    },
    /// Publishes with the `once` key of an earlier creation, which the caller has forgotten about.
    Repeat(usize),
    /// Takes an earlier creation back, if it was not sent yet.
    GiveUp(usize),
    /// Has an earlier write sent at once, or again.
    SendAgain(usize),
    /// Waits until all is settled.
    Settle,
    /// Waits until all is settled, and has the outbox forget it.
    Forget,
    /// The network and the PDS go wrong from here on.
    Trouble(Trouble),
}

/// How a caller that does not know whether a creation was accepted finds out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Again {
    /// By looking into the outbox.
    Looks,
    /// By its `once` key: publishes it again.
    Once,
    /// By the record's key, which is its own: publishes it again.
    Key,
}

/// What an update or a delete says of what has to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Swap {
    Any,
    /// The record that this operation of the script has written.
    Right(usize),
    /// A record that was never there.
    Wrong,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Target {
    /// The record that this operation has created.
    Created(usize),
    /// One of the keys.
    Key(usize),
}

impl Op {
    /// The key that it changes.
    pub(crate) fn target(&self, number: usize) -> Option<Target> {
        match self {
            Op::Create { .. } => Some(Target::Created(number)),
            Op::Put { key, .. } => Some(Target::Key(*key)),
            Op::Delete { of, .. } => Some(*of),
            _ => None,
        }
    }

    pub(crate) fn swap(&self) -> Swap {
        match self {
            Op::Put { swap, .. } | Op::Delete { swap, .. } => *swap,
            _ => Swap::Any,
        }
    }
}

/// What one run does, in order.
#[derive(Debug)]
pub(crate) struct Script(pub(crate) Vec<Op>);

impl Script {
    pub(crate) fn random(dice: &mut Dice) -> Self {
        let mut ops: Vec<Op> = Vec::new();
        let length = 12 + dice.below(24);
        while ops.len() < length {
            let op = next(&ops, dice);
            ops.extend(op);
        }
        Script(ops)
    }

    /// Whether creations of one priority go out in the order of their acceptance. One on which the PDS
    /// fails is set aside, and the others pass it.
    pub(crate) fn is_orderly(&self) -> bool {
        let troubles = || {
            self.0.iter().filter_map(|op| match op {
                Op::Trouble(trouble) => Some(trouble),
                _ => None,
            })
        };
        // One that stays without an answer twice is set aside, too.
        let unanswered: u64 = troubles().map(Trouble::unanswered).sum();
        unanswered <= 1 && !troubles().any(Trouble::sets_aside)
    }
}

/// One more operation that makes sense after these.
fn next(ops: &[Op], dice: &mut Dice) -> Option<Op> {
    Some(match dice.below(20) {
        0..8 => Op::Create {
            files: files(dice, 3),
            priority: if dice.one_in(4) {
                u8::try_from(dice.below(6)).unwrap_or(0)
            } else {
                0
            },
            again: dice.pick(&[Again::Looks, Again::Once, Again::Once, Again::Key]),
        },
        8..11 => {
            let key = dice.below(KEYS);
            Op::Put {
                key,
                files: files(dice, 6),
                swap: swap(ops, Target::Key(key), dice),
            }
        }
        11 | 12 => {
            let of = match dice.below(2) {
                0 => Target::Key(dice.below(KEYS)),
                _ => Target::Created(created(ops, dice, |_| true)?),
            };
            let swap = swap(ops, of, dice);
            Op::Delete { of, swap }
        }
        13 => Op::Repeat(repeatable(ops, dice)?),
        14 => Op::GiveUp(created(ops, dice, |again| again == Again::Looks)?),
        15 => Op::SendAgain(dice.below(ops.len())),
        16 if dice.one_in(2) => Op::Settle,
        16 => Op::Forget,
        _ => Op::Trouble(Trouble::random(ops, dice)?),
    })
}

fn files(dice: &mut Dice, one_in: usize) -> Vec<usize> {
    if !dice.one_in(one_in) {
        return Vec::new();
    }
    let count = 1 + dice.below(ATTACHED);
    let mut files: Vec<usize> = (0..count).map(|_| dice.below(FILES)).collect();
    files.sort_unstable();
    files.dedup();
    files
}

/// An earlier creation with a `once` key, whatever became of the record since.
fn repeatable(ops: &[Op], dice: &mut Dice) -> Option<usize> {
    let once = |op: &Op| {
        matches!(
            op,
            Op::Create {
                again: Again::Once,
                ..
            }
        )
    };
    let fitting: Vec<usize> = (0..ops.len())
        .filter(|number| once(&ops[*number]))
        .collect();
    (!fitting.is_empty()).then(|| dice.pick(&fitting))
}

/// An earlier creation that was neither given up nor is otherwise spoken for.
fn created(ops: &[Op], dice: &mut Dice, wanted: impl Fn(Again) -> bool) -> Option<usize> {
    let spoken_for = |number: usize| {
        ops.iter().any(|op| match op {
            Op::Delete { of, .. } => *of == Target::Created(number),
            Op::GiveUp(of) => *of == number,
            _ => false,
        })
    };
    let fitting: Vec<usize> = (0..ops.len())
        .filter(|number| matches!(&ops[*number], Op::Create { again, .. } if wanted(*again)))
        .filter(|number| !spoken_for(*number))
        .collect();
    (!fitting.is_empty()).then(|| dice.pick(&fitting))
}

fn swap(ops: &[Op], target: Target, dice: &mut Dice) -> Swap {
    match dice.below(4) {
        0 => Swap::Wrong,
        1 => last_known(ops, target).map_or(Swap::Any, Swap::Right),
        _ => Swap::Any,
    }
}

/// The operation that wrote what the key holds, if that is a record whose CID the caller knows: the PDS
/// has a word in what attachments become, and a repeated creation has another time.
fn last_known(ops: &[Op], target: Target) -> Option<usize> {
    let effects = ops.iter().enumerate().rev();
    let mut effects = effects
        .filter(|(number, op)| op.target(*number) == Some(target) && op.swap() != Swap::Wrong);
    let (number, op) = effects.next()?;
    match op {
        Op::Create { files, again, .. } if files.is_empty() && *again != Again::Once => {
            Some(number)
        }
        Op::Put { files, .. } if files.is_empty() => Some(number),
        _ => None,
    }
}
