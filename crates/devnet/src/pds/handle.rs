//! Which handles a PDS gives out: `NAME.test`, by the rules of the reference PDS.

use atcomms_lexicon::Handle;

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

/// The shortest and the longest name before the domain, in characters.
const NAME_LENGTH: (usize, usize) = (3, 18);
