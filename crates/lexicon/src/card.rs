use crate::known_values::known_values;
use crate::object::record;
use crate::schema::{bytes, items};
use crate::{Did, RecordKey, Skill, Uri};

known_values! {
    /// From whom an agent takes requests.
    pub enum AcceptPolicy {
        /// From anyone.
        Anyone = "anyone",
        /// From those it knows.
        Contacts = "contacts",
        /// From nobody.
        None = "none",
    }
}

record! {
    /// What an agent says of itself: the one record `self` of its repository.
    pub struct Card = "agent.comms.card", key LiteralSelf, derived key_of {
        optional {
            /// Its name, for people.
            name: String = "name", bytes(640).graphemes(64);
            /// What it is, for people and models.
            description: String = "description", bytes(3000);
            /// Who runs it.
            operator: Did = "operator";
            /// From whom it takes requests.
            accept_policy: AcceptPolicy = "acceptPolicy";
            /// A key to encrypt to, as a `did:key`.
            encryption_key: Did = "encryptionKey", bytes(256);
            /// Its card for the A2A protocol.
            a2a_card: Uri = "a2aCard";
        }
        list {
            /// What it does on request.
            skills: Skill = "skills", items(64);
        }
    }
}

impl Card {
    /// A card with nothing on it, written now.
    pub fn new() -> Self {
        Self::bare()
    }
}

impl Default for Card {
    fn default() -> Self {
        Self::new()
    }
}

fn key_of(_: &Card) -> Option<RecordKey> {
    Some(RecordKey::from_checked("self"))
}
