use super::{AtUri, Did, Handle, SyntaxError, serde_as_text};

/// How a person names an account: by DID or by handle.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Address {
    /// The permanent name.
    Did(Did),
    /// A name that must be resolved first, and may come to mean somebody else.
    Handle(Handle),
}

impl Address {
    /// The text.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Did(did) => did.as_str(),
            Self::Handle(handle) => handle.as_str(),
        }
    }

    /// The DID, if it is one.
    pub fn as_did(&self) -> Option<&Did> {
        match self {
            Self::Did(did) => Some(did),
            Self::Handle(_) => None,
        }
    }
}

pub(super) fn check(text: &str) -> Result<(), &'static str> {
    if text.starts_with("did:") {
        super::did::check(text)
    } else {
        super::handle::check(text)
    }
}

impl std::str::FromStr for Address {
    type Err = SyntaxError;

    fn from_str(text: &str) -> Result<Self, SyntaxError> {
        if text.starts_with("did:") {
            text.parse().map(Self::Did)
        } else {
            text.parse().map(Self::Handle)
        }
    }
}

impl TryFrom<String> for Address {
    type Error = SyntaxError;

    fn try_from(text: String) -> Result<Self, SyntaxError> {
        text.parse()
    }
}

impl TryFrom<&str> for Address {
    type Error = SyntaxError;

    fn try_from(text: &str) -> Result<Self, SyntaxError> {
        text.parse()
    }
}

impl From<Did> for Address {
    fn from(did: Did) -> Self {
        Self::Did(did)
    }
}

impl From<&Did> for Address {
    fn from(did: &Did) -> Self {
        Self::Did(did.clone())
    }
}

impl From<Handle> for Address {
    fn from(handle: Handle) -> Self {
        Self::Handle(handle)
    }
}

impl From<&Address> for Address {
    fn from(address: &Address) -> Self {
        address.clone()
    }
}

impl From<&AtUri> for Address {
    fn from(uri: &AtUri) -> Self {
        uri.authority()
    }
}

impl AsRef<str> for Address {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

serde_as_text!(Address);
