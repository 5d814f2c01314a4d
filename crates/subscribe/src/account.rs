//! Asks the PDS that an account's document names whether the account is active.

use atcomms_identity::Resolver;
use atcomms_lexicon::Did;
use serde::Deserialize;

use crate::backfill::{XrpcFailure, get_json};
use crate::engine::AccountStatus;

/// Asks, past every cache of where the account is. Cancel safe.
pub(crate) async fn ask_status(resolver: Resolver, did: Did) -> (Did, AccountStatus) {
    #[derive(Deserialize)]
    struct Status {
        active: bool,
        status: Option<String>,
    }
    let Ok(identity) = resolver.refresh(&did).await else {
        return (did, AccountStatus::Unknown);
    };
    let method = "com.atproto.sync.getRepoStatus";
    let parameters = [("did", did.as_str())];
    let status = match get_json(&resolver, &identity, method, &parameters).await {
        Ok(Status { active: true, .. }) => AccountStatus::Active,
        Ok(Status {
            status: Some(status),
            ..
        }) if status == "deleted" => AccountStatus::Deleted,
        Ok(_) => AccountStatus::Inactive,
        Err(XrpcFailure::Refused { name, .. }) if name == "RepoNotFound" => AccountStatus::Deleted,
        Err(error) => {
            tracing::debug!(%did, ?error, "its status is not known");
            AccountStatus::Unknown
        }
    };
    (did, status)
}
