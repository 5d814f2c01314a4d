use super::{ordered_as_text, string_syntax};

/// Longest handle, in bytes (a DNS name).
const MAX_BYTES: usize = 253;
/// Longest label between dots, in bytes (DNS).
const MAX_LABEL_BYTES: usize = 63;

string_syntax!(
    /// A handle: a domain name that stands for an account, `alice.example.com`.
    ///
    /// Handles do not distinguish case; [`Handle::normalize`] gives the lower-case form under which to compare and look up.
    Handle,
    "handle",
    check
);
ordered_as_text!(Handle);

impl Handle {
    /// The lower-case form.
    pub fn normalize(&self) -> Handle {
        if self.as_str().bytes().any(|b| b.is_ascii_uppercase()) {
            Self::from_checked(self.as_str().to_ascii_lowercase())
        } else {
            self.clone()
        }
    }
}

pub(super) fn check(text: &str) -> Result<(), &'static str> {
    if text.len() > MAX_BYTES {
        return Err("it is longer than 253 bytes");
    }
    let Some((_, top)) = text.rsplit_once('.') else {
        return Err("it needs at least two parts, as in alice.example.com");
    };
    for label in text.split('.') {
        check_label(label)?;
    }
    if !top.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return Err("its last part must start with a letter");
    }
    Ok(())
}

/// One part of a domain name, as handles and the authority of an NSID have it.
pub(super) fn check_label(label: &str) -> Result<(), &'static str> {
    if label.is_empty() {
        return Err("a part between dots is empty");
    }
    if label.len() > MAX_LABEL_BYTES {
        return Err("a part between dots is longer than 63 bytes");
    }
    if !label
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b == b'-')
    {
        return Err("a part between dots may hold only letters, digits and -");
    }
    if label.starts_with('-') || label.ends_with('-') {
        return Err("a part between dots must not start or end with -");
    }
    Ok(())
}
