use crate::BlobRef;
use crate::object::{definition, object};
use crate::schema::bytes;

object! {
    /// A file that comes with a record, as a blob of the same repository.
    pub struct Artifact = "agent.comms.defs#artifact" {
        required {
            /// Its bytes.
            blob: BlobRef = "blob";
        }
        optional {
            /// A file name, without any path. It comes from a stranger: never use it as one unchecked.
            name: String = "name", bytes(255);
            /// What it is, for people and models.
            description: String = "description", bytes(3000).graphemes(300);
            /// What it is for: `input`, `output`, `log`, …
            role: String = "role", bytes(64);
        }
    }
}
definition!(Artifact = "agent.comms.defs#artifact");

impl Artifact {
    /// A file.
    pub fn new(blob: BlobRef) -> Self {
        Self::bare(blob)
    }
}

impl From<BlobRef> for Artifact {
    fn from(blob: BlobRef) -> Self {
        Self::new(blob)
    }
}
