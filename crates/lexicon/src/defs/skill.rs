use crate::Nsid;
use crate::object::{definition, object};
use crate::schema::bytes;

object! {
    /// Something that an agent does on request.
    pub struct Skill = "agent.comms.defs#skill" {
        required {
            /// Its name: what a request puts into `task`.
            id: String = "id", bytes(64);
        }
        optional {
            /// What it does, for people and models.
            description: String = "description", bytes(3000);
            /// The schema of the params that it takes.
            input: Nsid = "input";
            /// The schema of the result that it gives.
            output: Nsid = "output";
        }
    }
}
definition!(Skill = "agent.comms.defs#skill");

impl Skill {
    /// A skill of that name.
    pub fn new(id: impl Into<String>) -> Self {
        Self::bare(id.into())
    }
}
