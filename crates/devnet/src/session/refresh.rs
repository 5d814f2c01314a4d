//! Refresh tokens: which are good, and what each is exchanged for; and since when an account's tokens count.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde::{Deserialize, Serialize};

/// A refresh token that was given out and not taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RefreshToken {
    pub(crate) id: String,
    pub(crate) did: String,
    /// Seconds since 1970.
    pub(crate) expires: u64,
    /// The app password that the session began with.
    pub(crate) app_password: Option<String>,
    /// What it was exchanged for: within the grace period, a client that lost the answer gets the same again.
    pub(crate) next: Option<String>,
}

/// The refresh tokens of one PDS.
#[derive(Default)]
pub(crate) struct RefreshTokens {
    by_id: HashMap<String, RefreshToken>,
    /// For each account whose sessions were revoked, the earliest time (seconds since 1970) at which a token
    /// that counts can have been given out.
    counts_from: HashMap<String, u64>,
}

impl RefreshTokens {
    /// Adds a token, or replaces what was known of it.
    pub(crate) fn put(&mut self, token: RefreshToken) {
        self.by_id.insert(token.id.clone(), token);
    }

    /// Takes back every refresh token of an account, and lets none of its tokens of before `counts_from`
    /// count. Returns how many refresh tokens there were.
    pub(crate) fn revoke_all(&mut self, did: &str, counts_from: u64) -> u64 {
        let before = self.by_id.len();
        self.by_id.retain(|_, token| token.did != did);
        self.counts_from.insert(did.to_owned(), counts_from);
        (before - self.by_id.len()) as u64
    }

    /// The earliest time at which a token of an account that counts can have been given out.
    pub(crate) fn counted_from(&self, did: &str) -> u64 {
        self.counts_from.get(did).copied().unwrap_or(0)
    }

    /// When a token that is given out now is said to be given out: in the second of a revocation, after it,
    /// since tokens know no finer time.
    pub(crate) fn issue_time(&self, did: &str, now: u64) -> u64 {
        let counts_from = self.counts_from.get(did).copied();
        counts_from.map_or(now, |from| from.max(now))
    }

    /// Whether a token of that time counts.
    pub(crate) fn counts(&self, did: &str, issued: u64) -> bool {
        self.counts_from.get(did).is_none_or(|from| issued >= *from)
    }

    /// Takes a token back.
    pub(crate) fn revoke(&mut self, id: &str) {
        self.by_id.remove(id);
    }

    /// Exchanges a token: itself with the rest of its life, and its successor. `None` if it was taken back.
    pub(crate) fn rotate(
        &mut self,
        id: &str,
        now: u64,
        successor_expires: u64,
    ) -> Option<(RefreshToken, RefreshToken)> {
        let token = self.by_id.get_mut(id)?;
        token.expires = token.expires.min(now + GRACE);
        if token.expires <= now {
            self.by_id.remove(id);
            return None;
        }
        let next = token.next.get_or_insert_with(new_token_id).clone();
        let successor = RefreshToken {
            id: next.clone(),
            did: token.did.clone(),
            expires: successor_expires,
            app_password: token.app_password.clone(),
            next: None,
        };
        let token = token.clone();
        let successor = self.by_id.entry(next).or_insert(successor).clone();
        Some((token, successor))
    }
}

/// A new refresh token's id: 32 random bytes.
pub(crate) fn new_token_id() -> String {
    STANDARD_NO_PAD.encode(rand::random::<[u8; 32]>())
}

/// Seconds in which an exchanged refresh token still gives the same successor.
const GRACE: u64 = 2 * 3600;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_out_before_a_revocation_does_not_count_and_what_comes_after_does() {
        let mut tokens = RefreshTokens::default();
        for (id, did) in [("one", "did:a"), ("two", "did:a"), ("three", "did:b")] {
            tokens.put(RefreshToken {
                id: id.to_owned(),
                did: did.to_owned(),
                expires: 1_000,
                app_password: None,
                next: None,
            });
        }
        assert_eq!(tokens.issue_time("did:a", 100), 100);
        assert_eq!(tokens.revoke_all("did:a", 101), 2);
        assert!(tokens.rotate("one", 100, 2_000).is_none());
        assert!(tokens.rotate("three", 100, 2_000).is_some());
        assert!(!tokens.counts("did:a", 100) && tokens.counts("did:b", 100));
        let issued = tokens.issue_time("did:a", 100);
        assert!(tokens.counts("did:a", issued), "in the same second");
        assert_eq!(tokens.issue_time("did:a", 200), 200);
    }

    #[test]
    fn an_exchanged_token_gives_the_same_successor_for_two_hours() {
        let mut tokens = RefreshTokens::default();
        tokens.put(RefreshToken {
            id: "first".to_owned(),
            did: "did:plc:abc".to_owned(),
            expires: 1_000_000,
            app_password: None,
            next: None,
        });
        let (_, one) = tokens.rotate("first", 100, 2_000_000).unwrap();
        let (_, two) = tokens.rotate("first", 100 + GRACE - 1, 2_000_000).unwrap();
        assert_eq!(one.id, two.id);
        assert!(tokens.rotate("first", 100 + GRACE, 2_000_000).is_none());
        assert!(tokens.rotate(&one.id, 100 + GRACE, 2_000_000).is_some());
        tokens.revoke(&one.id);
        assert!(tokens.rotate(&one.id, 100 + GRACE, 2_000_000).is_none());
        assert!(tokens.rotate("unknown", 100, 2_000_000).is_none());
    }
}
