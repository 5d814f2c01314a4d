use crate::object::record;
use crate::schema::{bytes, from};
use crate::{Datetime, Did, RecordKey, derived_key_for_name};

record! {
    /// Who holds a resource, until when. Only the owner of the repository writes it; others ask the owner.
    pub struct Lease = "agent.comms.lease", key Any, derived key_of {
        required {
            /// The name of the resource.
            resource: String = "resource", bytes(512);
            /// Who holds it.
            holder: Did = "holder";
            /// Only grows: what is guarded by it refuses a smaller one than it has seen.
            fence: i64 = "fence", from(0);
            /// Until when.
            expires_at: Datetime = "expiresAt";
        }
    }
}

impl Lease {
    /// `holder` has `resource` from now until `expires_at`.
    pub fn new(
        resource: impl Into<String>,
        holder: impl Into<Did>,
        fence: i64,
        expires_at: Datetime,
    ) -> Self {
        Self::bare(resource.into(), holder.into(), fence, expires_at)
    }
}

fn key_of(lease: &Lease) -> Option<RecordKey> {
    Some(derived_key_for_name(&lease.resource))
}
