//! `com.atproto.server`: accounts and their settings.

use atcomms_lexicon::{Datetime, Handle};
use serde_json::json;

use crate::pds::call::Call;
use crate::pds::handle::{DOMAIN, service_handle};
use crate::pds::profile::{AppPassword, new_password};
use crate::pds::status::check_takedown;
use crate::rate_limit::Cost;
use crate::session::AUDIENCE;
use crate::xrpc::{Reply, XrpcError};

pub(super) fn describe_server(call: &Call<'_>) -> Result<Reply, XrpcError> {
    call.count(Cost::Request)?;
    Reply::json(&json!({
        "did": AUDIENCE,
        "availableUserDomains": [DOMAIN],
        "inviteCodeRequired": false,
        "blobUploadLimit": call.pds.limits.blob_bytes,
        "links": {},
        "contact": {},
    }))
}

pub(super) fn create_account(call: &Call<'_>) -> Result<Reply, XrpcError> {
    let input = call.input()?;
    let handle: Handle = input.required("handle", "handle")?;
    let password = input.optional_text("password")?;
    let did = input.optional_text("did")?;
    let email = input.optional_text("email")?;
    call.count(Cost::Request)?;
    if password.is_some_and(|password| password.chars().count() > MAX_PASSWORD) {
        return Err(XrpcError::invalid(format!(
            "Password too long. Maximum length is {MAX_PASSWORD} characters."
        )));
    }
    if did.is_some() {
        return Err(XrpcError::invalid(
            "a devnet gives every account a DID of its own; leave out \"did\"",
        ));
    }
    let Some(email) = email else {
        return Err(XrpcError::invalid("Email is required"));
    };
    if !is_email(email) {
        return Err(XrpcError::invalid(
            "This email address is not supported, please use a different email.",
        ));
    }
    let handle = service_handle(&handle)?;
    let email = email.to_ascii_lowercase();
    let profile = call
        .pds
        .create_account(&handle, &email, password.map(str::to_owned))?;
    let (access, refresh) = call.pds.open_session(&profile, None)?;
    Reply::json(&json!({
        "handle": profile.handle,
        "did": profile.did,
        "didDoc": call.pds.plc.document(profile.did.as_str()),
        "accessJwt": access,
        "refreshJwt": refresh,
    }))
}

pub(super) fn deactivate_account(call: &Call<'_>) -> Result<Reply, XrpcError> {
    let did = call.owner()?;
    call.input()?;
    call.count(Cost::Request)?;
    let Some(account) = call.pds.registry().by_did(&did) else {
        return Err(XrpcError::invalid("Account not found"));
    };
    call.pds.deactivate(&account)?;
    Ok(Reply::Empty)
}

pub(super) fn activate_account(call: &Call<'_>) -> Result<Reply, XrpcError> {
    let did = call.owner()?;
    call.no_input()?;
    call.count(Cost::Request)?;
    let Some(account) = call.pds.registry().by_did(&did) else {
        return Err(XrpcError::named("AccountNotFound", "user not found"));
    };
    account.content().check_open()?;
    call.pds.activate(&account)?;
    Ok(Reply::Empty)
}

pub(super) fn create_app_password(call: &Call<'_>) -> Result<Reply, XrpcError> {
    let did = call.owner()?;
    let input = call.input()?;
    let name = input.text("name")?;
    let privileged = input.flag("privileged")?.unwrap_or(false);
    call.count(Cost::Request)?;
    let Some(account) = call.pds.registry().by_did(&did) else {
        return Err(XrpcError::invalid("Account not found"));
    };
    let mut profile = account.profile();
    check_takedown(&profile)?;
    if profile.app_passwords.iter().any(|app| app.name == name) {
        return Err(XrpcError::internal(
            "an app password of that name exists; choose another name",
        ));
    }
    let app = AppPassword {
        name: name.to_owned(),
        password: new_password(),
        created_at: Datetime::now(),
        privileged,
    };
    profile.app_passwords.push(app.clone());
    call.pds.record_profile(profile.clone())?;
    account.set_profile(profile);
    Reply::json(&app)
}

fn is_email(text: &str) -> bool {
    let Some((name, domain)) = text.split_once('@') else {
        return false;
    };
    !name.is_empty()
        && domain.contains('.')
        && !domain.starts_with('.')
        && !domain.ends_with('.')
        && text
            .chars()
            .all(|char| !char.is_whitespace() && char != ',')
        && !domain.contains('@')
}

/// Characters, of the reference PDS.
const MAX_PASSWORD: usize = 256;
