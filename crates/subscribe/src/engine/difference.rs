//! What a resync has to deliver: the difference between a repository as it is and as it is known, in an order
//! in which its author may have written it.

use atcomms_lexicon::{Cid, Datetime, Value, fault};
use atcomms_repo::frame::Action;
use bytes::Bytes;

use crate::snapshot::{KnownRecords, Path, Snapshot};

/// One record that is not as it was known.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Difference {
    pub(super) path: Path,
    pub(super) action: Action,
    /// When it says that it was made.
    pub(super) made: Option<Datetime>,
    /// What it is now, if it is there.
    pub(super) now: Option<(Cid, Bytes)>,
}

/// All that is not as it was known: first what is gone or does not say when it was made, then the others in the
/// order of that, since a request should come before its cancel.
pub(super) fn differences(snapshot: &Snapshot, known: &KnownRecords) -> Vec<Difference> {
    let gone = known
        .keys()
        .filter(|path| !snapshot.records.contains_key(path))
        .map(|path| Difference {
            path: path.clone(),
            action: Action::Delete,
            made: None,
            now: None,
        });
    let changed = snapshot.records.iter().filter_map(|(path, record)| {
        let action = match known.get(path) {
            None => Action::Create,
            Some(cid) if *cid != record.0 => Action::Update,
            Some(_) => return None,
        };
        Some(Difference {
            path: path.clone(),
            action,
            made: made_at(&record.1),
            now: Some(record.clone()),
        })
    });
    let gone = gone.filter(|_| !fault::on("missed-delete"));
    let mut differences: Vec<Difference> = gone.chain(changed).collect();
    // Stable: what is as old stays in the order of the paths, and what is gone before what is there.
    differences.sort_by(|one, other| one.made.cmp(&other.made));
    differences
}

/// When a record says that it was made. Its author's word is good enough to order what is the author's own.
pub(super) fn made_at(record: &[u8]) -> Option<Datetime> {
    match Value::from_cbor(record) {
        Ok(Value::Map(map)) => match map.get("createdAt") {
            Some(Value::Text(text)) => text.parse().ok(),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use atcomms_lexicon::{Tid, cid_for_cbor};
    use atcomms_repo::verify::Head;
    use atcomms_repo::{Curve, SigningKey};

    use super::*;

    fn path(rkey: &str) -> Path {
        Path {
            collection: "agent.comms.message".parse().unwrap(),
            rkey: rkey.parse().unwrap(),
        }
    }

    fn record(made: Option<&str>) -> (Cid, Bytes) {
        let made = made.map(|at| ("createdAt".to_owned(), Value::Text(at.to_owned())));
        let bytes = Value::Map(made.into_iter().collect()).to_cbor();
        (cid_for_cbor(&bytes), bytes.into())
    }

    fn snapshot(records: BTreeMap<Path, (Cid, Bytes)>) -> Snapshot {
        let data = cid_for_cbor(b"");
        Snapshot {
            head: Head {
                rev: Tid::from_parts(1, 0),
                data,
            },
            commit: data,
            key: SigningKey::generate(Curve::K256).public(),
            host: "http://localhost:1".into(),
            records,
        }
    }

    #[test]
    fn what_is_new_other_or_gone_comes_in_the_order_in_which_it_was_made() {
        let (first, second) = (
            record(Some("2026-01-02T00:00:00.000Z")),
            record(Some("2026-01-01T23:59:59.999-01:00")),
        );
        let silent = record(None);
        let records = BTreeMap::from([
            (path("a"), first.clone()),
            (path("b"), silent.clone()),
            (path("c"), second.clone()),
            (path("d"), silent.clone()),
        ]);
        let known = BTreeMap::from([
            (path("c"), first.0),
            (path("d"), silent.0),
            (path("e"), second.0),
        ]);
        let difference = |rkey: &str, action, now: Option<(Cid, Bytes)>| Difference {
            path: path(rkey),
            action,
            made: now.as_ref().and_then(|(_, bytes)| made_at(bytes)),
            now,
        };
        assert_eq!(
            differences(&snapshot(records), &known),
            [
                difference("e", Action::Delete, None),
                difference("b", Action::Create, Some(silent)),
                difference("a", Action::Create, Some(first)),
                difference("c", Action::Update, Some(second)),
            ],
            "an hour west of Greenwich, it is later"
        );
    }
}
