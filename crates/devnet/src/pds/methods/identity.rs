//! `com.atproto.identity`.

use atcomms_lexicon::Handle;
use serde_json::json;

use crate::event::Event;
use crate::pds::call::Call;
use crate::pds::handle::service_handle;
use crate::rate_limit::Cost;
use crate::xrpc::{Reply, XrpcError};

pub(super) fn resolve_handle(call: &Call<'_>) -> Result<Reply, XrpcError> {
    let handle: Handle = call.params.required("handle", "handle")?;
    call.count(Cost::Request)?;
    let handle = handle.as_str().to_ascii_lowercase();
    let account = call.pds.registry().by_handle(&handle);
    match account.filter(|account| account.is_active()) {
        Some(account) => Reply::json(&json!({ "did": account.did })),
        None if handle.ends_with(".test") => Err(XrpcError::named(
            "HandleNotFound",
            "Unable to resolve handle",
        )),
        None => Err(XrpcError::invalid("Unable to resolve handle")),
    }
}

pub(super) fn update_handle(call: &Call<'_>) -> Result<Reply, XrpcError> {
    let did = call.caller()?;
    let input = call.input()?;
    let handle: Handle = input.required("handle", "handle")?;
    call.count(Cost::Request)?;
    if !handle.as_str().to_ascii_lowercase().ends_with(".test") {
        return Err(XrpcError::invalid("External handle did not resolve to DID"));
    }
    let handle = service_handle(&handle)?;
    let mut registry = call.pds.registry_mut();
    let account = registry
        .by_did(&did)
        .ok_or_else(|| XrpcError::invalid("Account not found"))?;
    if let Some(other) = registry.by_handle(handle.as_str())
        && other.did != did
    {
        return Err(XrpcError::named(
            "HandleNotAvailable",
            format!("Handle already taken: {handle}"),
        ));
    }
    call.pds.update_plc(&did, |operation| {
        operation.also_known_as = vec![format!("at://{handle}")];
    })?;
    let mut profile = account.profile();
    let before = std::mem::replace(&mut profile.handle, handle.clone());
    call.pds.record_profile(profile.clone())?;
    account.set_profile(profile);
    registry.rename(&did, before.as_str(), handle.as_str());
    call.pds.emit(&[Event::Identity {
        did: did.as_str(),
        handle: handle.as_str(),
    }])?;
    Ok(Reply::Empty)
}
