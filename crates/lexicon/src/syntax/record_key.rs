use super::{Tid, ordered_as_text, string_syntax};

/// Longest record key, in bytes.
const MAX_BYTES: usize = 512;

string_syntax!(
    /// The name of a record within its collection: a [`Tid`], a word such as `self`, or a derived key.
    RecordKey,
    "record key",
    check
);
ordered_as_text!(RecordKey);

impl From<Tid> for RecordKey {
    fn from(tid: Tid) -> Self {
        Self::from_checked(tid.to_string())
    }
}

pub(super) fn check(text: &str) -> Result<(), &'static str> {
    if text.is_empty() {
        return Err("it is empty");
    }
    if text.len() > MAX_BYTES {
        return Err("it is longer than 512 bytes");
    }
    if matches!(text, "." | "..") {
        return Err(". and .. are not allowed");
    }
    let allowed =
        |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'~' | b'.' | b':' | b'-');
    if !text.bytes().all(allowed) {
        return Err("it may hold only letters, digits and _ ~ . : -");
    }
    Ok(())
}
