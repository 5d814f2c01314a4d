//! Tokens: JWTs signed with HS256, with the header and the claims of the reference PDS.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::xrpc::XrpcError;

/// What a token is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Scope {
    /// Everything: the account's own password was given.
    #[serde(rename = "com.atproto.access")]
    Access,
    /// Everything but the account's settings: an app password was given.
    #[serde(rename = "com.atproto.appPass")]
    AppPass,
    /// An app password that may also read private messages, which a devnet has none of.
    #[serde(rename = "com.atproto.appPassPrivileged")]
    AppPassPrivileged,
    /// Only to get new tokens.
    #[serde(rename = "com.atproto.refresh")]
    Refresh,
    /// A scope that we never give.
    #[serde(other, skip_serializing)]
    Other,
}

/// A token's claims.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Claims {
    pub(crate) scope: Scope,
    pub(crate) aud: String,
    /// The account's DID.
    pub(crate) sub: String,
    /// A refresh token's id; access tokens have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) jti: Option<String>,
    /// Seconds since 1970.
    pub(crate) iat: u64,
    /// Seconds since 1970.
    pub(crate) exp: u64,
}

#[derive(Serialize, Deserialize)]
struct Header {
    typ: String,
    alg: String,
}

/// Signs and checks the tokens of one PDS.
pub(crate) struct TokenKey(hmac::Key);

impl TokenKey {
    /// A key from the PDS's secret.
    pub(crate) fn new(secret: &str) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()))
    }

    /// A token with these claims.
    pub(crate) fn sign(&self, claims: &Claims) -> Result<String, XrpcError> {
        let header = Header {
            typ: token_type(claims.scope).to_owned(),
            alg: ALGORITHM.to_owned(),
        };
        let header = serde_json::to_vec(&header).map_err(XrpcError::internal)?;
        let claims = serde_json::to_vec(claims).map_err(XrpcError::internal)?;
        let signed = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(header),
            URL_SAFE_NO_PAD.encode(claims)
        );
        let tag = hmac::sign(&self.0, signed.as_bytes());
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag)))
    }

    /// A token's claims, if it is one of ours, of the type that goes with `refresh`, for this audience, and
    /// has not run out (unless that is to be overlooked).
    pub(crate) fn verify(
        &self,
        token: &str,
        refresh: bool,
        now: u64,
        allow_expired: bool,
    ) -> Result<Claims, XrpcError> {
        let claims = self.open(token, refresh).ok_or_else(unverified)?;
        if claims.exp <= now && !allow_expired {
            return Err(expired());
        }
        Ok(claims)
    }

    fn open(&self, token: &str, refresh: bool) -> Option<Claims> {
        let (signed, tag) = token.rsplit_once('.')?;
        let tag = URL_SAFE_NO_PAD.decode(tag).ok()?;
        hmac::verify(&self.0, signed.as_bytes(), &tag).ok()?;
        let (header, claims) = signed.split_once('.')?;
        let header: Header = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
        let claims: Claims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
        let expected = if refresh { REFRESH_TYPE } else { ACCESS_TYPE };
        (header.typ == expected && header.alg == ALGORITHM && claims.aud == AUDIENCE)
            .then_some(claims)
    }
}

/// 400 `ExpiredToken`: the reference PDS gives a 400, not the 401 that one would expect.
pub(crate) fn expired() -> XrpcError {
    XrpcError::named("ExpiredToken", "Token has expired")
}

/// 400 `InvalidToken` for a token that no key of ours signed.
pub(crate) fn unverified() -> XrpcError {
    invalid_token("Token could not be verified")
}

/// 400 `InvalidToken`.
pub(crate) fn invalid_token(message: &str) -> XrpcError {
    XrpcError::named("InvalidToken", message)
}

fn token_type(scope: Scope) -> &'static str {
    match scope {
        Scope::Refresh => REFRESH_TYPE,
        _ => ACCESS_TYPE,
    }
}

/// The DID of every PDS here: its URL's host name, which is `localhost`.
pub(crate) const AUDIENCE: &str = "did:web:localhost";

const ALGORITHM: &str = "HS256";
const ACCESS_TYPE: &str = "at+jwt";
const REFRESH_TYPE: &str = "refresh+jwt";

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(scope: Scope) -> Claims {
        Claims {
            scope,
            aud: AUDIENCE.to_owned(),
            sub: "did:plc:abc".to_owned(),
            jti: None,
            iat: 10,
            exp: 20,
        }
    }

    #[test]
    fn a_token_is_refused_by_another_key_as_another_type_for_another_audience_and_when_it_ran_out()
    {
        let key = TokenKey::new("secret");
        let token = key.sign(&claims(Scope::Access)).unwrap();
        assert_eq!(
            key.verify(&token, false, 19, false).unwrap().sub,
            "did:plc:abc"
        );
        let refused = |result: Result<Claims, XrpcError>| result.unwrap_err().error;
        assert_eq!(
            refused(key.verify(&token, false, 20, false)),
            "ExpiredToken"
        );
        assert!(key.verify(&token, false, 20, true).is_ok());
        assert_eq!(refused(key.verify(&token, true, 19, false)), "InvalidToken");
        let other = TokenKey::new("other");
        assert_eq!(
            refused(other.verify(&token, false, 19, false)),
            "InvalidToken"
        );
        let elsewhere = Claims {
            aud: "did:web:example.com".to_owned(),
            ..claims(Scope::Access)
        };
        let token = key.sign(&elsewhere).unwrap();
        assert_eq!(
            refused(key.verify(&token, false, 19, false)),
            "InvalidToken"
        );
        for garbage in ["", ".", "..", "a.b.c", "e30.e30.e30"] {
            assert_eq!(
                refused(key.verify(garbage, false, 19, false)),
                "InvalidToken"
            );
        }
    }
}
