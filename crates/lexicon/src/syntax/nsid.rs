use super::{handle::check_label, ordered_as_text, string_syntax};

/// Longest NSID, in bytes: an authority of 253, a dot, a name of 63. Only the sum is held to, as by the interop vectors.
const MAX_BYTES: usize = 317;
/// Longest name (the last part), in bytes.
const MAX_NAME_BYTES: usize = 63;

string_syntax!(
    /// A namespaced identifier, `agent.comms.message`: the name of a lexicon, and so of a collection.
    Nsid,
    "NSID",
    check
);
ordered_as_text!(Nsid);

impl Nsid {
    /// The reversed domain that owns the name: `agent.comms` in `agent.comms.message`.
    pub fn authority(&self) -> &str {
        self.as_str()
            .rsplit_once('.')
            .map_or("", |(authority, _)| authority)
    }

    /// The last part: `message` in `agent.comms.message`.
    pub fn name(&self) -> &str {
        self.as_str().rsplit_once('.').map_or("", |(_, name)| name)
    }
}

pub(super) fn check(text: &str) -> Result<(), &'static str> {
    if text.len() > MAX_BYTES {
        return Err("it is longer than 317 bytes");
    }
    let Some((authority, name)) = text.rsplit_once('.').filter(|(a, _)| a.contains('.')) else {
        return Err("it needs at least three parts, as in com.example.note");
    };
    for label in authority.split('.') {
        check_label(label)?;
    }
    if !authority.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return Err("its first part must start with a letter");
    }
    if name.len() > MAX_NAME_BYTES {
        return Err("its last part is longer than 63 bytes");
    }
    if !name.starts_with(|c: char| c.is_ascii_alphabetic())
        || !name.bytes().all(|b| b.is_ascii_alphanumeric())
    {
        return Err("its last part must be letters and digits, and start with a letter");
    }
    Ok(())
}
