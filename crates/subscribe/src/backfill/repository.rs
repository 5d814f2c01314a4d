//! One repository, whole if it is not too large.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use atcomms_identity::{Identity, Resolver};
use atcomms_repo::snapshot::Snapshot as Export;
use atcomms_repo::verify::{Limits, VerifyError};
use bytes::Bytes;

use super::listing;
use super::xrpc::{XrpcFailure, get};
use crate::clock::micros;
use crate::scope::Scope;
use crate::snapshot::{KnownRecords, Path, Snapshot};

/// The largest repository that is fetched whole; of a larger one the collections in scope are listed, and each
/// record that is new proven by itself. An agent's messages of a year fit in.
const MAX_REPOSITORY: usize = 32 * 1024 * 1024;
/// How long a repository of that size may take.
const TIMEOUT: Duration = Duration::from_secs(120);

/// Fetches a repository and verifies it. Cancel safe.
pub(super) async fn fetch(
    resolver: &Resolver,
    identity: &Identity,
    scope: &Arc<Scope>,
    known: &KnownRecords,
) -> Result<Snapshot, XrpcFailure> {
    let did = identity.did.as_str();
    let method = "com.atproto.sync.getRepo";
    let parameters = [("did", did)];
    let body = match get(
        resolver,
        identity,
        method,
        &parameters,
        MAX_REPOSITORY,
        TIMEOUT,
    )
    .await
    {
        Err(XrpcFailure::TooLarge) => {
            return listing::fetch(resolver, identity, scope, known).await;
        }
        body => body?,
    };
    match verify(body.clone(), identity.clone(), scope.clone()).await {
        // The key may have been rotated since it was resolved.
        Err(VerifyError::Signature) => {
            let fresh = resolver.refresh(&identity.did).await;
            let fresh = fresh.map_err(|error| XrpcFailure::Wrong(error.to_string()))?;
            verify(body, fresh, scope.clone()).await
        }
        verified => verified,
    }
    .map_err(|error| {
        XrpcFailure::Wrong(format!(
            "what {} gives of it does not hold: {error}",
            identity.pds
        ))
    })
}

/// Hashes and the tree of a large repository take their time: not where sockets are waited for.
async fn verify(
    body: Bytes,
    identity: Identity,
    scope: Arc<Scope>,
) -> Result<Snapshot, VerifyError> {
    let verified = tokio::task::spawn_blocking(move || {
        let (did, key, limits) = (&identity.did, &identity.key, Limits::default());
        let export = Export::verify(&body, did, key, micros(), &limits)?;
        let mut records = BTreeMap::new();
        for record in export.records("") {
            let Some(path) = path(record.path) else {
                // Whoever writes there is not read by us: the lexicon crate knows no such path.
                continue;
            };
            if scope.wants_collection(path.collection.as_str()) {
                let bytes = Bytes::copy_from_slice(record.bytes);
                records.insert(path, (record.cid, bytes));
            }
        }
        Ok(Snapshot {
            head: export.head().head(),
            commit: export.head().commit(),
            key: key.clone(),
            host: host(&identity),
            records,
        })
    });
    // Only a panic or the end of the runtime ends it early, and neither leaves a repository.
    verified.await.unwrap_or(Err(VerifyError::CommitMissing))
}

/// A PDS, as it stands in a delivery's source.
pub(super) fn host(identity: &Identity) -> Arc<str> {
    identity.pds.as_str().trim_end_matches('/').into()
}

pub(super) fn path(text: &str) -> Option<Path> {
    let (collection, rkey) = text.split_once('/')?;
    Some(Path {
        collection: collection.parse().ok()?,
        rkey: rkey.parse().ok()?,
    })
}
