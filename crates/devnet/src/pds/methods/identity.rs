//! `com.atproto.identity`.

use atcomms_lexicon::Handle;
use serde_json::json;

use crate::pds::call::Call;
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
    call.pds.change_handle(&did, &handle)?;
    Ok(Reply::Empty)
}
