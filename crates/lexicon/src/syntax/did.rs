use super::{ordered_as_text, string_syntax};

/// Longest DID, in bytes (atproto DID spec).
const MAX_BYTES: usize = 2048;

string_syntax!(
    /// A decentralized identifier (`did:plc:…`, `did:web:…`): the permanent name of an account.
    ///
    /// Any method is well formed; which ones resolve is not a question of syntax.
    Did,
    "DID",
    check
);
ordered_as_text!(Did);

impl Did {
    /// The method: `plc` in `did:plc:abc`.
    pub fn method(&self) -> &str {
        self.as_str().split(':').nth(1).unwrap_or_default()
    }
}

pub(super) fn check(text: &str) -> Result<(), &'static str> {
    if text.len() > MAX_BYTES {
        return Err("it is longer than 2048 bytes");
    }
    let Some(rest) = text.strip_prefix("did:") else {
        return Err("it must start with did:");
    };
    let Some((method, identifier)) = rest.split_once(':') else {
        return Err("it needs a method and an identifier, as in did:plc:abc");
    };
    if method.is_empty() || !method.bytes().all(|b| b.is_ascii_lowercase()) {
        return Err("the method must be lower-case letters");
    }
    if identifier.is_empty() {
        return Err("the identifier is empty");
    }
    let allowed =
        |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b':' | b'%' | b'-');
    if !identifier.bytes().all(allowed) {
        return Err("the identifier may hold only letters, digits and . _ : % -");
    }
    if identifier.ends_with([':', '%']) {
        return Err("it must not end in : or %");
    }
    Ok(())
}
