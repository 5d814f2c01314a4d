//! Keys that follow from what a record is about. A responder that crashed and started again derives the same key, and so
//! writes the same record, not a second one.

use data_encoding::BASE32_NOPAD;
use sha2::{Digest, Sha256};

use crate::{RecordKey, StrongRef};

/// The key of a record about `subject`: lower-case base32 of the SHA-256 of `at://DID/collection/rkey#CID`.
///
/// The same record named by handle would give another key: name it by DID.
pub fn derived_key(subject: &StrongRef) -> RecordKey {
    derived_key_for_name(&subject.to_string())
}

/// The key of a record about something that has only a name, as the resource of a lease.
pub fn derived_key_for_name(name: &str) -> RecordKey {
    let digest = Sha256::digest(name.as_bytes());
    RecordKey::from_checked(BASE32_NOPAD.encode(&digest).to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_those_of_the_design() {
        // printf 'printer/3' | openssl dgst -sha256 -binary | base32
        let key = derived_key_for_name("printer/3");
        assert_eq!(key, "ers2n46gfawjau67iko5dkmknhfnqeehnxfxiaxhdt6sqjchogwq");
        assert!(key.as_str().parse::<RecordKey>().is_ok());
    }
}
