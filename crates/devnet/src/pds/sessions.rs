//! The sessions of a PDS: tokens given out, written down, taken back.

use std::sync::{MutexGuard, PoisonError};

use super::State;
use super::profile::Profile;
use super::store::Line;
use crate::session::{AUDIENCE, Claims, RefreshToken, RefreshTokens, Scope, new_token_id};
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
        self.record_token(token.clone())?;
        self.refresh_tokens().put(token.clone());
        self.sign_tokens(profile, &token)
    }

    /// Exchanges a refresh token; gives an access and a refresh token.
    pub(super) fn refresh_session(
        &self,
        profile: &Profile,
        id: &str,
    ) -> Result<(String, String), XrpcError> {
        let now = self.now_seconds();
        let rotated = self.refresh_tokens().rotate(id, now, now + REFRESH_SECONDS);
        let Some((spent, successor)) = rotated else {
            return Err(XrpcError::named("ExpiredToken", "Token has been revoked"));
        };
        self.record_token(spent)?;
        self.record_token(successor.clone())?;
        self.sign_tokens(profile, &successor)
    }

    /// Takes a refresh token back.
    pub(super) fn close_session(&self, id: &str) -> Result<(), XrpcError> {
        self.refresh_tokens().revoke(id);
        self.record(&Line::TokenRevoked { id: id.to_owned() })
    }

    fn sign_tokens(
        &self,
        profile: &Profile,
        token: &RefreshToken,
    ) -> Result<(String, String), XrpcError> {
        let now = self.now_seconds();
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
            iat: now,
            exp: now + ACCESS_SECONDS,
        };
        let refresh = Claims {
            scope: Scope::Refresh,
            jti: Some(token.id.clone()),
            exp: token.expires,
            ..access.clone()
        };
        Ok((self.tokens.sign(&access)?, self.tokens.sign(&refresh)?))
    }

    fn record_token(&self, token: RefreshToken) -> Result<(), XrpcError> {
        self.record(&Line::Token(token))
    }

    fn refresh_tokens(&self) -> MutexGuard<'_, RefreshTokens> {
        self.refresh.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Seconds that an access token is good for: 2 hours, of the reference PDS.
const ACCESS_SECONDS: u64 = 2 * 3600;

/// Seconds that a refresh token is good for: 90 days, of the reference PDS.
const REFRESH_SECONDS: u64 = 90 * 86_400;
