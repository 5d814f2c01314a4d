//! A session's two tokens, and when the first of them has to be renewed.
//!
//! Nothing here is trusted: the expiry that a token names only decides when to ask for the next
//! one. A token that names none is used until the PDS refuses it.

use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tokio::time::Instant;

/// How long before its expiry a token is renewed, at most: longer than one request may take, so
/// that the token does not expire on its way.
const RENEW_BEFORE: Duration = Duration::from_secs(120);

/// Tokens that live shorter than that are renewed in the last part of their life: a quarter.
const RENEW_IN_LAST: u32 = 4;

/// Longest token that is accepted, in bytes: servers refuse headers from 8 KiB on.
const MAX_TOKEN: usize = 8 << 10;

/// An access token with its refresh token. `Debug` shows neither.
#[derive(Debug)]
pub(crate) struct Tokens {
    pub(crate) access: SecretString,
    pub(crate) refresh: SecretString,
    life: Option<Life>,
}

#[derive(Clone, Copy, Debug)]
struct Life {
    renew_at: Instant,
    ends_at: Instant,
}

/// The two fields of a JWT that are read, in seconds since 1970.
#[derive(Deserialize)]
struct Claims {
    iat: Option<u64>,
    exp: u64,
}

impl Tokens {
    /// Tokens that the PDS gave just now. Their life is counted from here, so that a clock which
    /// differs from the server's does not matter.
    pub(crate) fn issued(access: SecretString, refresh: SecretString) -> Option<Self> {
        let claims = claims(&access);
        let life = claims.and_then(|claims| Some((claims.exp, claims.iat?)));
        let life = life.map(|(exp, iat)| Life::of(Duration::from_secs(exp.saturating_sub(iat))));
        Self::checked(access, refresh, life)
    }

    /// Tokens from an earlier run. Only the clock can say how old they are.
    pub(crate) fn kept(access: SecretString, refresh: SecretString) -> Option<Self> {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let now = now.map_or(0, |since| since.as_secs());
        let life = claims(&access)
            .map(|claims| Life::of(Duration::from_secs(claims.exp.saturating_sub(now))));
        Self::checked(access, refresh, life)
    }

    /// Both must fit into a header; anything else is no token.
    fn checked(access: SecretString, refresh: SecretString, life: Option<Life>) -> Option<Self> {
        let fits = |token: &SecretString| {
            let token = token.expose_secret();
            !token.is_empty()
                && token.len() <= MAX_TOKEN
                && token.bytes().all(|byte| byte.is_ascii_graphic())
        };
        (fits(&access) && fits(&refresh)).then_some(Self {
            access,
            refresh,
            life,
        })
    }

    /// Whether it is time for the next tokens.
    pub(crate) fn is_due(&self) -> bool {
        self.life
            .is_some_and(|life| Instant::now() >= life.renew_at)
    }

    /// Whether the access token is, as far as known, still accepted.
    pub(crate) fn is_alive(&self) -> bool {
        self.life.is_none_or(|life| Instant::now() < life.ends_at)
    }

    /// Whether these end no earlier than the others: they are the newer ones.
    pub(crate) fn follows(&self, others: &Self) -> bool {
        let end = |tokens: &Self| claims(&tokens.access).map(|claims| claims.exp);
        self.refresh.expose_secret() != others.refresh.expose_secret() && end(self) >= end(others)
    }
}

impl Life {
    fn of(length: Duration) -> Self {
        let now = Instant::now();
        // Far beyond every token's life, and within what the clock can count.
        let length = length.min(Duration::from_secs(10 * 365 * 24 * 3600));
        let margin = RENEW_BEFORE.min(length / RENEW_IN_LAST);
        Self {
            renew_at: now + (length - margin),
            ends_at: now + length,
        }
    }
}

/// What a JWT says of itself; `None` for any other kind of token.
fn claims(token: &SecretString) -> Option<Claims> {
    let payload = token.expose_secret().split('.').nth(1)?;
    let json = BASE64URL_NOPAD.decode(payload.as_bytes()).ok()?;
    serde_json::from_slice(&json).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jwt(claims: &str) -> SecretString {
        format!("e30.{}.sig", BASE64URL_NOPAD.encode(claims.as_bytes())).into()
    }

    fn issued(claims: &str) -> Tokens {
        Tokens::issued(jwt(claims), "refresh".into()).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_due_before_it_ends_whatever_the_clock_says() {
        // Issued in 2001 by its own account: only the length of its life counts.
        let tokens = issued(r#"{"iat":1000000000,"exp":1000007200}"#);
        assert!(!tokens.is_due() && tokens.is_alive());
        tokio::time::advance(Duration::from_secs(7200 - 119)).await;
        assert!(
            tokens.is_due() && tokens.is_alive(),
            "due two minutes before the end"
        );
        tokio::time::advance(Duration::from_secs(120)).await;
        assert!(!tokens.is_alive());
    }

    #[tokio::test(start_paused = true)]
    async fn a_short_life_is_not_spent_on_renewals() {
        let tokens = issued(r#"{"iat":0,"exp":8}"#);
        tokio::time::advance(Duration::from_secs(5)).await;
        assert!(!tokens.is_due());
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(tokens.is_due());
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_that_says_nothing_is_used_until_it_is_refused() {
        for odd in ["opaque", "a.b.c", "..", "a.!.c", "a.e30.c"] {
            let tokens = Tokens::issued(odd.to_owned().into(), "refresh".into()).unwrap();
            assert!(!tokens.is_due() && tokens.is_alive(), "{odd}");
        }
        let endless = issued(r#"{"iat":0,"exp":18446744073709551615}"#);
        assert!(!endless.is_due() && endless.is_alive());
    }

    #[test]
    fn what_does_not_fit_into_a_header_is_no_token() {
        for odd in [
            "",
            "two words",
            "line\nbreak",
            "é",
            &"x".repeat(MAX_TOKEN + 1),
        ] {
            assert!(
                Tokens::kept(odd.to_owned().into(), "refresh".into()).is_none(),
                "{odd:?}"
            );
            assert!(
                Tokens::kept("access".into(), odd.to_owned().into()).is_none(),
                "{odd:?}"
            );
        }
    }

    #[test]
    fn tokens_of_an_earlier_run_are_due_by_the_clock() {
        let kept = |claims| Tokens::kept(jwt(claims), "refresh".into()).unwrap();
        assert!(kept(r#"{"exp":1000007200}"#).is_due());
        assert!(!kept(r#"{"exp":32503680000}"#).is_due());
    }

    #[test]
    fn debug_shows_no_token() {
        let tokens = Tokens::kept("secretaccess".into(), "secretrefresh".into()).unwrap();
        let shown = format!("{tokens:?}");
        assert!(
            !shown.contains("secretaccess") && !shown.contains("secretrefresh"),
            "{shown}"
        );
    }
}
