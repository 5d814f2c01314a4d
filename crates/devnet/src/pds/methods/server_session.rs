//! `com.atproto.server`: sessions.

use atcomms_lexicon::{Address, Did, Handle};
use serde::Serialize;

use crate::pds::call::Call;
use crate::pds::profile::Profile;
use crate::pds::status::check_takedown;
use crate::rate_limit::Cost;
use crate::xrpc::{Reply, XrpcError};

/// What a session's methods say of it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Session {
    #[serde(skip_serializing_if = "Option::is_none")]
    access_jwt: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_jwt: Option<String>,
    did: Did,
    handle: Handle,
    email: String,
    email_confirmed: bool,
    active: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
}

impl Session {
    fn new(profile: Profile, tokens: Option<(String, String)>) -> Self {
        let (access_jwt, refresh_jwt) = tokens.unzip();
        Self {
            access_jwt,
            refresh_jwt,
            active: profile.status().is_none(),
            status: profile.status(),
            did: profile.did,
            handle: profile.handle,
            email: profile.email,
            email_confirmed: false,
        }
    }
}

pub(super) fn create_session(call: &Call<'_>) -> Result<Reply, XrpcError> {
    let input = call.input()?;
    let identifier = input.text("identifier")?;
    let password = input.text("password")?;
    call.count(Cost::Login { identifier })?;
    let identifier = identifier.to_ascii_lowercase();
    let registry = call.pds.registry();
    let account = if identifier.contains('@') {
        registry.by_email(&identifier)
    } else {
        identifier
            .parse::<Address>()
            .ok()
            .and_then(|address| registry.by_address(&address))
    };
    drop(registry);
    let profile = account.map(|account| account.profile());
    let opened = profile
        .as_ref()
        .and_then(|profile| profile.log_in(password))
        .map(Option::<&_>::cloned);
    let (Some(profile), Some(app_password)) = (profile, opened) else {
        return Err(XrpcError::unauthorized("Invalid identifier or password"));
    };
    check_takedown(&profile)?;
    let tokens = call
        .pds
        .open_session(&profile, app_password.map(|app| app.name))?;
    Reply::json(&Session::new(profile, Some(tokens)))
}

pub(super) fn get_session(call: &Call<'_>) -> Result<Reply, XrpcError> {
    let did = call.caller()?;
    call.count(Cost::Request)?;
    Reply::json(&Session::new(profile(call, &did)?, None))
}

pub(super) fn refresh_session(call: &Call<'_>) -> Result<Reply, XrpcError> {
    let claims = call.refresh(false)?;
    call.no_input()?;
    call.count(Cost::Request)?;
    let did = claims
        .sub
        .parse()
        .map_err(|_| XrpcError::invalid("Malformed token"))?;
    let profile = profile(call, &did)?;
    check_takedown(&profile)?;
    let id = claims.jti.unwrap_or_default();
    let tokens = call.pds.refresh_session(&profile, &id)?;
    Reply::json(&Session::new(profile, Some(tokens)))
}

pub(super) fn delete_session(call: &Call<'_>) -> Result<Reply, XrpcError> {
    let id = call.refresh(true)?.jti.unwrap_or_default();
    call.count(Cost::Request)?;
    call.pds.close_session(&id)?;
    Ok(Reply::Empty)
}

fn profile(call: &Call<'_>, did: &Did) -> Result<Profile, XrpcError> {
    let account = call.pds.registry().by_did(did);
    account
        .map(|account| account.profile())
        .ok_or_else(|| XrpcError::invalid(format!("Could not find user info for account: {did}")))
}
