//! Refresh tokens: which are good, and what each is exchanged for.

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
pub(crate) struct RefreshTokens(HashMap<String, RefreshToken>);

impl RefreshTokens {
    /// Adds a token, or replaces what was known of it.
    pub(crate) fn put(&mut self, token: RefreshToken) {
        self.0.insert(token.id.clone(), token);
    }

    /// Takes a token back.
    pub(crate) fn revoke(&mut self, id: &str) {
        self.0.remove(id);
    }

    /// Exchanges a token: itself with the rest of its life, and its successor. `None` if it was taken back.
    pub(crate) fn rotate(
        &mut self,
        id: &str,
        now: u64,
        successor_expires: u64,
    ) -> Option<(RefreshToken, RefreshToken)> {
        let token = self.0.get_mut(id)?;
        token.expires = token.expires.min(now + GRACE);
        if token.expires <= now {
            self.0.remove(id);
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
        let successor = self.0.entry(next).or_insert(successor).clone();
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
