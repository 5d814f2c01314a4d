//! The strings of the protocol that have a syntax, each as its own type.
//!
//! A value of one of these types was checked when it was parsed, at the border, and is never checked again.
//! The text stays byte for byte as it was written, so that a record that is read and written again keeps its CID;
//! cloning is cheap (a shared `Arc<str>`).
//!
//! No network: that a handle or a DID *is well formed* says nothing of whether it resolves.

mod address;
mod at_uri;
mod datetime;
mod did;
mod handle;
mod language;
mod nsid;
mod record_key;
mod tid;
mod uri;

pub use address::Address;
pub use at_uri::AtUri;
pub use datetime::Datetime;
pub use did::Did;
pub use handle::Handle;
pub use language::Language;
pub use nsid::Nsid;
pub use record_key::RecordKey;
pub use tid::Tid;
pub use uri::Uri;

/// The longest part of a refused text that an error repeats, in characters: enough to recognise it, and bounded in a log.
const MAX_QUOTED_CHARS: usize = 80;

/// A text that does not have the syntax of the type it was parsed as.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{input:?} is not a valid {kind}: {reason}")]
pub struct SyntaxError {
    kind: &'static str,
    input: String,
    reason: &'static str,
}

impl SyntaxError {
    pub(crate) fn new(kind: &'static str, input: &str, reason: &'static str) -> Self {
        let mut quoted: String = input.chars().take(MAX_QUOTED_CHARS).collect();
        if quoted.len() < input.len() {
            quoted.push('…');
        }
        Self {
            kind,
            input: quoted,
            reason,
        }
    }

    /// What the text should have been, in words ("handle", "AT URI").
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// The rule that the text breaks.
    pub fn reason(&self) -> &'static str {
        self.reason
    }
}

/// One type for a text with a syntax: `check` decides, everything else is the same for all of them.
macro_rules! string_syntax {
    ($(#[$meta:meta])* $name:ident, $kind:literal, $check:path) => {
        $(#[$meta])*
        #[derive(Clone, PartialEq, Eq, Hash)]
        pub struct $name(std::sync::Arc<str>);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// Takes a text that is known to have the syntax because it was put together from checked parts.
            #[allow(dead_code, reason = "not every syntax is ever put together from parts")]
            pub(crate) fn from_checked(text: impl Into<std::sync::Arc<str>>) -> Self {
                Self(text.into())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::SyntaxError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match $check(text) {
                    Ok(()) => Ok(Self(text.into())),
                    Err(reason) => Err($crate::SyntaxError::new($kind, text, reason)),
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = $crate::SyntaxError;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl TryFrom<&str> for $name {
            type Error = $crate::SyntaxError;

            fn try_from(text: &str) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<&$name> for $name {
            fn from(other: &$name) -> Self {
                other.clone()
            }
        }

        impl From<$name> for String {
            fn from(text: $name) -> Self {
                text.0.as_ref().to_owned()
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl PartialEq<str> for $name {
            fn eq(&self, other: &str) -> bool {
                self.as_str() == other
            }
        }

        impl PartialEq<&str> for $name {
            fn eq(&self, other: &&str) -> bool {
                self.as_str() == *other
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(&self.0)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(&self.0)
            }
        }

        $crate::syntax::serde_as_text!($name);
    };
}

/// The same order as the text, and lookup by `&str` in maps.
macro_rules! ordered_as_text {
    ($name:ident) => {
        impl Ord for $name {
            fn cmp(&self, other: &Self) -> std::cmp::Ordering {
                self.0.cmp(&other.0)
            }
        }

        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
                Some(self.cmp(other))
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

/// Serde as a string, checked when it is read.
macro_rules! serde_as_text {
    ($name:ident) => {
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

use {ordered_as_text, serde_as_text, string_syntax};
