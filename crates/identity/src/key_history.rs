//! Which keys a did:plc has had: the directory's audit log (`/DID/log/audit`), read for what it says of
//! the signing key.
//!
//! It is read, and not verified: the log is the directory's word, as the document is.

use atcomms_lexicon::{Datetime, Did};
use atcomms_repo::VerifyingKey;
use serde::Deserialize;
use serde_json::Value;

/// Largest log that is read, in bytes. An operation has a kilobyte or so (7.5 KB at most, by the directory's
/// rules), and an account few of them: this is room for hundreds, and still for the log in a proof of at most
/// 2 MB.
pub(crate) const MAX_LOG_BYTES: usize = 512 * 1024;

/// Where a key stands in the history of a DID.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyStanding {
    /// It is the DID's key now.
    Current,
    /// It was the DID's key, and another is since, or none.
    Past {
        /// When the directory took it.
        from: Datetime,
        /// When the directory took what replaced it, the last time.
        until: Datetime,
    },
    /// Nobody knows it for a key of the DID: it never was, or was disowned, or the DID's method keeps no
    /// history.
    Unknown,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    operation: Value,
    #[serde(default)]
    nullified: bool,
    created_at: Datetime,
}

/// What the audit log of `did` says of `key`.
pub(crate) fn standing(
    log: &[u8],
    did: &Did,
    key: &VerifyingKey,
) -> Result<KeyStanding, serde_json::Error> {
    let entries: Vec<Entry> = serde_json::from_slice(log)?;
    let (mut from, mut until, mut is_now) = (None, None, false);
    // What was nullified never counted: the owner has taken it back, within the time that there is for it.
    for entry in entries.iter().filter(|entry| !entry.nullified) {
        let sets_it = signing_key(&entry.operation).as_ref() == Some(key);
        if sets_it {
            from.get_or_insert_with(|| entry.created_at.clone());
        } else if is_now {
            until = Some(entry.created_at.clone());
        }
        is_now = sets_it;
    }
    tracing::debug!(%did, operations = entries.len(), "an audit log was read");
    Ok(match (from, until) {
        _ if is_now => KeyStanding::Current,
        (Some(from), Some(until)) => KeyStanding::Past { from, until },
        _ => KeyStanding::Unknown,
    })
}

/// The signing key of an operation: that of today's form, or that of the first form, `create`.
fn signing_key(operation: &Value) -> Option<VerifyingKey> {
    let methods = operation.get("verificationMethods");
    let today = methods.and_then(|methods| methods.get("atproto"));
    let text = today.or_else(|| operation.get("signingKey"))?.as_str()?;
    VerifyingKey::from_did_key(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use atcomms_repo::{Curve, SigningKey};
    use serde_json::json;

    fn log(entries: &[(Value, bool)]) -> Vec<u8> {
        let entry = |(n, (operation, nullified)): (usize, &(Value, bool))| {
            json!({
                "operation": operation, "nullified": nullified,
                "createdAt": format!("2026-01-0{}T00:00:00.000Z", n + 1),
            })
        };
        let entries: Vec<_> = entries.iter().enumerate().map(entry).collect();
        serde_json::to_vec(&entries).unwrap()
    }

    #[test]
    fn a_key_is_current_past_or_unknown() {
        let keys: Vec<_> = (0..4)
            .map(|_| SigningKey::generate(Curve::K256).public())
            .collect();
        let sets = |n: usize| {
            let key = keys[n].to_did_key();
            json!({"type": "plc_operation", "verificationMethods": {"atproto": key}})
        };
        let create = json!({"type": "create", "signingKey": keys[0].to_did_key()});
        let log = log(&[
            (create, false),
            (sets(1), false),
            (sets(1), false),
            (sets(3), true),
            (sets(2), false),
        ]);
        let did = "did:plc:ewvi7nxzyoun6zhxrhs64oiz".parse().unwrap();
        let standing = |n: usize| standing(&log, &did, &keys[n]).unwrap();
        let past = |from: u8, until: u8| {
            let at = |day| {
                format!("2026-01-0{day}T00:00:00.000Z")
                    .parse()
                    .expect("a day")
            };
            KeyStanding::Past {
                from: at(from),
                until: at(until),
            }
        };
        assert_eq!(standing(0), past(1, 2), "of the first form");
        assert_eq!(standing(1), past(2, 5), "set again in between");
        assert_eq!(standing(2), KeyStanding::Current);
        assert_eq!(standing(3), KeyStanding::Unknown, "nullified");
    }

    #[test]
    fn who_gave_up_the_did_has_no_current_key() {
        let key = SigningKey::generate(Curve::P256).public();
        let first = json!({"verificationMethods": {"atproto": key.to_did_key()}});
        let log = log(&[(first, false), (json!({"type": "plc_tombstone"}), false)]);
        let did = "did:plc:ewvi7nxzyoun6zhxrhs64oiz".parse().unwrap();
        let found = standing(&log, &did, &key).unwrap();
        assert!(matches!(found, KeyStanding::Past { .. }), "{found:?}");
        assert!(standing(b"{}", &did, &key).is_err(), "no log");
    }
}
