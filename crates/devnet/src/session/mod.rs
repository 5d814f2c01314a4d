//! Sessions: the tokens that a PDS gives out and takes back.

mod jwt;
mod refresh;

pub(crate) use jwt::{AUDIENCE, Claims, Scope, TokenKey, expired, invalid_token, unverified};
pub(crate) use refresh::{RefreshToken, RefreshTokens, new_token_id};
