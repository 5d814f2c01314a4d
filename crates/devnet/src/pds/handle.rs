//! Which handles a PDS gives out: `NAME.test`, by the rules of the reference PDS.

use atcomms_lexicon::{Did, Handle};

use super::State;
use super::status::check_takedown;
use crate::event::Event;
use crate::xrpc::XrpcError;

/// The domain of every handle here. `.test` is reserved: it exists in no public DNS.
pub(crate) const DOMAIN: &str = ".test";

/// A handle in lower case, if it is one that this PDS may give out.
pub(super) fn service_handle(handle: &Handle) -> Result<Handle, XrpcError> {
    let lower = handle.as_str().to_ascii_lowercase();
    let Some(name) = lower.strip_suffix(DOMAIN) else {
        return Err(XrpcError::named(
            "UnsupportedDomain",
            "Not a supported handle domain",
        ));
    };
    let refuse = |reason| Err(XrpcError::named("InvalidHandle", reason));
    if name.contains('.') {
        return refuse("Invalid characters in handle");
    }
    if name.len() < NAME_LENGTH.0 {
        return refuse("Handle too short");
    }
    if name.len() > NAME_LENGTH.1 {
        return refuse("Handle too long");
    }
    lower
        .parse()
        .map_err(|_| XrpcError::named("InvalidHandle", "Invalid characters in handle"))
}

impl State {
    /// Gives an account another handle, in its document too.
    pub(crate) fn change_handle(&self, did: &Did, handle: &Handle) -> Result<(), XrpcError> {
        let handle = service_handle(handle)?;
        let mut registry = self.registry_mut();
        let account = registry
            .by_did(did)
            .ok_or_else(|| XrpcError::invalid("Account not found"))?;
        if let Some(other) = registry.by_handle(handle.as_str())
            && other.did != *did
        {
            return Err(XrpcError::named(
                "HandleNotAvailable",
                format!("Handle already taken: {handle}"),
            ));
        }
        account.content().check_open()?;
        check_takedown(&account.profile())?;
        self.update_plc(did, |operation| {
            operation.also_known_as = vec![format!("at://{handle}")];
        })?;
        let mut profile = account.profile();
        let before = std::mem::replace(&mut profile.handle, handle.clone());
        self.record_profile(profile.clone())?;
        account.set_profile(profile);
        registry.rename(did, before.as_str(), handle.as_str());
        self.emit(&[Event::Identity {
            did: did.as_str(),
            handle: handle.as_str(),
        }])
    }
}

/// The shortest and the longest name before the domain, in characters.
const NAME_LENGTH: (usize, usize) = (3, 18);
