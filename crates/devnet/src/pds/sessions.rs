//! The sessions of a PDS: tokens given out, written down, taken back.

use std::sync::{MutexGuard, PoisonError};

use atcomms_lexicon::Did;

use super::State;
use super::profile::Profile;
use super::store::Line;
use crate::session::{
    AUDIENCE, Claims, RefreshToken, RefreshTokens, Scope, new_token_id, unverified,
};
use crate::xrpc::XrpcError;

impl State {
    /// Gives out an access and a refresh token.
    pub(super) fn open_session(
        &self,
        profile: &Profile,
        app_password: Option<String>,
    ) -> Result<(String, String), XrpcError> {
        let token = RefreshToken {
            id: new_token_id(),
            did: profile.did.to_string(),
            expires: self.now_seconds() + REFRESH_SECONDS,
            app_password,
            next: None,
        };
        let issued = {
            let mut tokens = self.refresh_tokens();
            self.record(&Line::Token(token.clone()))?;
            tokens.put(token.clone());
            tokens.issue_time(&token.did, self.now_seconds())
        };
        self.sign_tokens(profile, &token, issued)
    }

    /// Exchanges a refresh token; gives an access and a refresh token.
    pub(super) fn refresh_session(
        &self,
        profile: &Profile,
        id: &str,
    ) -> Result<(String, String), XrpcError> {
        let now = self.now_seconds();
        let (successor, issued) = {
            // Held over both lines: a revocation comes before them or after them, in memory and in the journal.
            let mut tokens = self.refresh_tokens();
            let rotated = tokens.rotate(id, now, now + REFRESH_SECONDS);
            let Some((spent, successor)) = rotated else {
                return Err(XrpcError::named("ExpiredToken", "Token has been revoked"));
            };
            self.record(&Line::Token(spent))?;
            self.record(&Line::Token(successor.clone()))?;
            let issued = tokens.issue_time(&successor.did, now);
            (successor, issued)
        };
        self.sign_tokens(profile, &successor, issued)
    }

    /// Takes a refresh token back.
    pub(super) fn close_session(&self, id: &str) -> Result<(), XrpcError> {
        self.refresh_tokens().revoke(id);
        self.record(&Line::TokenRevoked { id: id.to_owned() })
    }

    /// Takes every token of an account back, access tokens too. Returns how many refresh tokens there were.
    pub(crate) fn revoke_sessions(&self, did: &Did) -> u64 {
        let mut tokens = self.refresh_tokens();
        let counts_from = tokens.issue_time(did.as_str(), self.now_seconds()) + 1;
        self.revoke_all(&mut tokens, did, counts_from)
    }

    /// Takes every refresh token of an account back; its access tokens are good until they run out.
    pub(super) fn revoke_refresh_tokens(&self, did: &Did) {
        let mut tokens = self.refresh_tokens();
        let counts_from = tokens.counted_from(did.as_str());
        self.revoke_all(&mut tokens, did, counts_from);
    }

    fn revoke_all(&self, tokens: &mut RefreshTokens, did: &Did, counts_from: u64) -> u64 {
        let line = Line::SessionsRevoked {
            did: did.clone(),
            counts_from,
        };
        if let Err(error) = self.record(&line) {
            tracing::warn!(%did, error = error.message, "a restart will forget that sessions were revoked");
        }
        tokens.revoke_all(did.as_str(), counts_from)
    }

    /// Refuses a token of before its account's sessions were revoked, as if it were not one of ours.
    pub(super) fn check_revoked(&self, claims: &Claims) -> Result<(), XrpcError> {
        if self.refresh_tokens().counts(&claims.sub, claims.iat) {
            return Ok(());
        }
        Err(unverified())
    }

    fn sign_tokens(
        &self,
        profile: &Profile,
        token: &RefreshToken,
        issued: u64,
    ) -> Result<(String, String), XrpcError> {
        let app = token.app_password.as_ref().map(|name| {
            profile
                .app_passwords
                .iter()
                .any(|app| app.name == *name && app.privileged)
        });
        let access = Claims {
            scope: match app {
                None => Scope::Access,
                Some(false) => Scope::AppPass,
                Some(true) => Scope::AppPassPrivileged,
            },
            aud: AUDIENCE.to_owned(),
            sub: profile.did.to_string(),
            jti: None,
            iat: issued,
            exp: issued + ACCESS_SECONDS,
        };
        let refresh = Claims {
            scope: Scope::Refresh,
            jti: Some(token.id.clone()),
            exp: token.expires,
            ..access.clone()
        };
        Ok((self.tokens.sign(&access)?, self.tokens.sign(&refresh)?))
    }

    fn refresh_tokens(&self) -> MutexGuard<'_, RefreshTokens> {
        self.refresh.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Seconds that an access token is good for: 2 hours, of the reference PDS.
const ACCESS_SECONDS: u64 = 2 * 3600;

/// Seconds that a refresh token is good for: 90 days, of the reference PDS.
const REFRESH_SECONDS: u64 = 90 * 86_400;
