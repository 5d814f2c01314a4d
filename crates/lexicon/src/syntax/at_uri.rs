use super::{Address, Did, Nsid, RecordKey, ordered_as_text, string_syntax};

/// Longest AT URI, in bytes (atproto AT URI spec).
const MAX_BYTES: usize = 8192;
const SCHEME: &str = "at://";

string_syntax!(
    /// The address of a record, `at://did:plc:abc/agent.comms.message/3kabc`, or of a repository or collection.
    ///
    /// The restricted form that lexicons allow: no query, no fragment, no trailing slash.
    AtUri,
    "AT URI",
    check
);
ordered_as_text!(AtUri);

impl AtUri {
    /// The URI of one record.
    pub fn record(did: &Did, collection: &Nsid, rkey: &RecordKey) -> Self {
        Self::from_checked(format!("{SCHEME}{did}/{collection}/{rkey}"))
    }

    /// Whose repository it is.
    pub fn authority(&self) -> Address {
        let authority = self.part(0).unwrap_or_default();
        if authority.starts_with("did:") {
            Address::Did(Did::from_checked(authority))
        } else {
            Address::Handle(super::Handle::from_checked(authority))
        }
    }

    /// The DID of the repository, if the URI names it by DID.
    pub fn did(&self) -> Option<Did> {
        match self.authority() {
            Address::Did(did) => Some(did),
            Address::Handle(_) => None,
        }
    }

    /// The collection, if the URI names one.
    pub fn collection(&self) -> Option<Nsid> {
        self.part(1).map(Nsid::from_checked)
    }

    /// The record key, if the URI names a record.
    pub fn rkey(&self) -> Option<RecordKey> {
        self.part(2).map(RecordKey::from_checked)
    }

    fn part(&self, index: usize) -> Option<&str> {
        self.as_str().strip_prefix(SCHEME)?.split('/').nth(index)
    }
}

fn check(text: &str) -> Result<(), &'static str> {
    if text.len() > MAX_BYTES {
        return Err("it is longer than 8192 bytes");
    }
    let Some(rest) = text.strip_prefix(SCHEME) else {
        return Err("it must start with at://");
    };
    let mut parts = rest.split('/');
    super::address::check(parts.next().unwrap_or_default())?;
    if let Some(collection) = parts.next() {
        super::nsid::check(collection)?;
    }
    if let Some(rkey) = parts.next() {
        super::record_key::check(rkey)?;
    }
    if parts.next().is_some() {
        return Err("it has more parts than authority, collection and record key");
    }
    Ok(())
}
