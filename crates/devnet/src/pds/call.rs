//! One request to one method: what came, and the questions that a method asks of it, in the order of the
//! reference PDS (parameters, then authorization, then input, then the rate limits).

use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use atcomms_lexicon::Did;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use bytes::Bytes;

use super::State;
use crate::input::Input;
use crate::net::Peer;
use crate::params::Params;
use crate::rate_limit::{Cost, Status, exceeded};
use crate::session::{Claims, Scope, invalid_token};
use crate::xrpc::XrpcError;

/// A request to an XRPC method.
pub(super) struct Call<'a> {
    pub(super) pds: &'a State,
    pub(super) method: &'a str,
    pub(super) params: Params<'a>,
    headers: &'a HeaderMap,
    peer: Option<Peer>,
    /// How the limit that decided stood when the request was counted.
    rate_limit: Cell<Option<Status>>,
    /// Reading the body may have failed, which is told only once the caller has been let in.
    body: Result<Bytes, XrpcError>,
}

impl<'a> Call<'a> {
    pub(super) fn new(
        pds: &'a State,
        method: &'a str,
        parts: &'a Parts,
        body: Result<Bytes, XrpcError>,
    ) -> Self {
        Self {
            pds,
            method,
            params: Params::new(method, &parts.uri),
            headers: &parts.headers,
            peer: parts.extensions.get().copied(),
            rate_limit: Cell::new(None),
            body,
        }
    }

    /// Counts the request, once. What was refused before, for its parameters, its token or its input, costs
    /// nothing; what fails after has been paid for.
    pub(super) fn count(&self, cost: Cost<'_>) -> Result<(), XrpcError> {
        let Some(budget) = &self.pds.budget else {
            return Ok(());
        };
        let status = budget.count(cost, self.client(), Instant::now());
        self.rate_limit.set(status);
        match status {
            Some(status) if status.refused => Err(exceeded()),
            _ => Ok(()),
        }
    }

    /// How the limit that decided stood, if the request was counted.
    pub(super) fn rate_limit(&self) -> Option<Status> {
        self.rate_limit.get()
    }

    fn client(&self) -> IpAddr {
        match self.peer {
            Some(peer) => peer.client(self.headers),
            None => Ipv4Addr::LOCALHOST.into(),
        }
    }

    /// The caller, by an access token of any scope.
    pub(super) fn caller(&self) -> Result<Did, XrpcError> {
        self.access(&[Scope::Access, Scope::AppPass, Scope::AppPassPrivileged])
    }

    /// The caller, by an access token that the account's own password gave.
    pub(super) fn owner(&self) -> Result<Did, XrpcError> {
        self.access(&[Scope::Access])
    }

    /// The caller of a method that needs none.
    pub(super) fn optional_caller(&self) -> Result<Option<Did>, XrpcError> {
        match self.authorization()? {
            Authorization::None => Ok(None),
            Authorization::Basic => Err(XrpcError::unauthorized("Authentication Required")),
            _ => self.caller().map(Some),
        }
    }

    /// The claims of a refresh token.
    pub(super) fn refresh(&self, allow_expired: bool) -> Result<Claims, XrpcError> {
        let Authorization::Bearer(token) = self.authorization()? else {
            return Err(XrpcError::auth_missing());
        };
        let claims = self
            .pds
            .tokens
            .verify(token, true, self.pds.now_seconds(), allow_expired)?;
        match claims.scope {
            Scope::Refresh => Ok(claims),
            _ => Err(invalid_token("Bad token scope")),
        }
    }

    /// The JSON input.
    pub(super) fn input(&self) -> Result<Input, XrpcError> {
        self.has_body()?;
        match self.mime_type() {
            Some(mime_type) if mime_type.eq_ignore_ascii_case("application/json") => {
                Input::parse(&self.bytes()?)
            }
            Some(other) => Err(XrpcError::invalid(format!(
                "Wrong request encoding (Content-Type): {other}"
            ))),
            None => Err(no_encoding()),
        }
    }

    /// That there is no input.
    pub(super) fn no_input(&self) -> Result<(), XrpcError> {
        if self.bytes()?.is_empty() {
            return Ok(());
        }
        Err(XrpcError::invalid(
            "A request body was provided when none was expected",
        ))
    }

    /// The body as it is, and its MIME type.
    pub(super) fn upload(&self) -> Result<(String, Bytes), XrpcError> {
        self.has_body()?;
        let mime_type = self.mime_type().ok_or_else(no_encoding)?;
        Ok((mime_type.to_owned(), self.bytes()?))
    }

    /// That the request announces a body, which may be an empty one.
    fn has_body(&self) -> Result<(), XrpcError> {
        let announced = [header::CONTENT_LENGTH, header::TRANSFER_ENCODING];
        if announced.iter().any(|name| self.headers.contains_key(name)) {
            return Ok(());
        }
        Err(XrpcError::invalid(
            "A request body is expected but none was provided",
        ))
    }

    fn bytes(&self) -> Result<Bytes, XrpcError> {
        self.body.clone()
    }

    /// The content type without its parameters, if it is one.
    fn mime_type(&self) -> Option<&str> {
        let value = self.headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
        let mime_type = value.split(';').next()?.trim();
        mime_type.contains('/').then_some(mime_type)
    }

    fn access(&self, scopes: &[Scope]) -> Result<Did, XrpcError> {
        let token = match self.authorization()? {
            Authorization::Bearer(token) => token,
            Authorization::None => return Err(XrpcError::auth_missing()),
            Authorization::Basic => return Err(invalid_token("Unexpected authorization type")),
        };
        let claims = self
            .pds
            .tokens
            .verify(token, false, self.pds.now_seconds(), false)?;
        if !scopes.contains(&claims.scope) {
            return Err(invalid_token("Bad token scope"));
        }
        self.pds.check_revoked(&claims)?;
        let did = claims
            .sub
            .parse()
            .map_err(|_| invalid_token("Malformed token"))?;
        self.pds.stream.faults.on_access()?;
        Ok(did)
    }

    fn authorization(&self) -> Result<Authorization<'_>, XrpcError> {
        let Some(value) = self.headers.get(header::AUTHORIZATION) else {
            return Ok(Authorization::None);
        };
        let value = value
            .to_str()
            .map_err(|_| invalid_token("Malformed authorization header"))?;
        let Some((kind, token)) = value.split_once(' ') else {
            return Err(invalid_token("Malformed authorization header"));
        };
        match kind.to_ascii_lowercase().as_str() {
            "bearer" => Ok(Authorization::Bearer(token.trim())),
            "basic" | "dpop" => Ok(Authorization::Basic),
            _ => Err(invalid_token(&format!(
                "Unsupported authorization type: {kind}"
            ))),
        }
    }
}

enum Authorization<'a> {
    None,
    Bearer(&'a str),
    /// A kind that exists, but that no method here takes.
    Basic,
}

fn no_encoding() -> XrpcError {
    XrpcError::invalid("Request encoding (Content-Type) required but not provided")
}
