//! A repository that is too large to be fetched whole: its collections in scope are listed, and what is not
//! known of them yet is proven record by record. What is gone is proven to be gone.

use std::collections::BTreeMap;
use std::time::Duration;

use atcomms_identity::{Identity, Resolver};
use atcomms_lexicon::{AtUri, Cid};
use atcomms_repo::proof::{ProvenRecord, verify_record_proof};
use atcomms_repo::verify::{Limits, VerifiedHead};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use serde::Deserialize;

use super::repository::host;
use super::xrpc::{XrpcFailure, get, get_json};
use crate::clock::micros;
use crate::scope::Scope;
use crate::snapshot::{KnownRecords, Path, Snapshot};

/// Records that are listed at most: what is not acknowledged of them must have room in an inbox.
const MAX_RECORDS: usize = 100_000;
/// Records of a page, the most that a PDS gives.
const PAGE: &str = "100";
/// Proofs that are fetched at once: of one host, which has other things to do.
const PROOFS_AT_ONCE: usize = 4;
/// The largest proof: a record and the nodes on the way to it.
const MAX_PROOF: usize = 2_000_000;
/// Bytes of records that are new to us, at most: twice a repository that is fetched whole.
const MAX_BYTES: usize = 64 * 1024 * 1024;
/// How long one proof may take.
const TIMEOUT: Duration = Duration::from_secs(20);
/// How often the listing begins anew because the repository was written meanwhile. After that the last one
/// counts: what was written since its beginning comes with the stream, maybe a second time.
const ATTEMPTS: u32 = 3;

/// Lists and proves. Cancel safe.
pub(super) async fn fetch(
    resolver: &Resolver,
    identity: &Identity,
    scope: &Scope,
    known: &KnownRecords,
) -> Result<Snapshot, XrpcFailure> {
    tracing::info!(did = %identity.did, "its repository is too large to be fetched whole; its records in scope are listed");
    let mut head = current(resolver, identity).await?;
    let mut attempt = 1;
    loop {
        let records = list(resolver, identity, scope, known).await?;
        let after = current(resolver, identity).await?;
        if after.rev() == head.rev() || attempt == ATTEMPTS {
            return Ok(Snapshot {
                head: head.head(),
                commit: head.commit(),
                key: identity.key.clone(),
                host: host(identity),
                records,
            });
        }
        head = after;
        attempt += 1;
    }
}

/// The head that is signed now. The proof of any record shows it, also of one that is not there.
async fn current(resolver: &Resolver, identity: &Identity) -> Result<VerifiedHead, XrpcFailure> {
    let proof = prove(resolver, identity, "agent.comms.card", "self").await?;
    Ok(proof.head().clone())
}

async fn list(
    resolver: &Resolver,
    identity: &Identity,
    scope: &Scope,
    known: &KnownRecords,
) -> Result<BTreeMap<Path, (Cid, Bytes)>, XrpcFailure> {
    #[derive(Deserialize)]
    struct Described {
        collections: Vec<String>,
    }
    let did = identity.did.as_str();
    let method = "com.atproto.repo.describeRepo";
    let described: Described = get_json(resolver, identity, method, &[("repo", did)]).await?;
    let mut listed = BTreeMap::new();
    for collection in described.collections {
        if scope.wants_collection(&collection) {
            list_collection(resolver, identity, &collection, &mut listed).await?;
        }
    }
    // What is as it was known needs no proof: it makes no difference.
    let unknown = |(path, cid): &(&Path, &Cid)| known.get(*path) != Some(*cid);
    let changed = listed.iter().filter(unknown).map(|(path, _)| path);
    let gone = known.keys().filter(|path| !listed.contains_key(path));
    let ask: Vec<Path> = changed.chain(gone).cloned().collect();
    let mut records: BTreeMap<_, _> = listed
        .into_iter()
        .map(|(path, cid)| (path, (cid, Bytes::new())))
        .collect();
    let mut proofs = stream::iter(ask)
        .map(|path| async move {
            let (collection, rkey) = (path.collection.as_str(), path.rkey.as_str());
            let proof = prove(resolver, identity, collection, rkey).await;
            proof.map(|proof| (path, proof))
        })
        .buffer_unordered(PROOFS_AT_ONCE);
    let mut bytes = 0;
    while let Some((path, proof)) = proofs.try_next().await? {
        bytes += proof.record().map_or(0, |(_, record)| record.len());
        if bytes > MAX_BYTES {
            let why = format!("its records in scope that are new have more than {MAX_BYTES} bytes");
            return Err(XrpcFailure::Wrong(why));
        }
        match proof.record() {
            Some((cid, bytes)) => drop(records.insert(path, (cid, bytes.clone()))),
            None => drop(records.remove(&path)),
        }
    }
    Ok(records)
}

async fn list_collection(
    resolver: &Resolver,
    identity: &Identity,
    collection: &str,
    listed: &mut BTreeMap<Path, Cid>,
) -> Result<(), XrpcFailure> {
    #[derive(Deserialize)]
    struct Page {
        cursor: Option<String>,
        records: Vec<Listed>,
    }
    #[derive(Deserialize)]
    struct Listed {
        uri: AtUri,
        cid: String,
    }
    let did = identity.did.as_str();
    let mut cursor: Option<String> = None;
    loop {
        let mut parameters = vec![("repo", did), ("collection", collection), ("limit", PAGE)];
        parameters.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
        let method = "com.atproto.repo.listRecords";
        let page: Page = get_json(resolver, identity, method, &parameters).await?;
        let empty = page.records.is_empty();
        for Listed { uri, cid } in page.records {
            let (Some(collection), Some(rkey), Ok(cid)) =
                (uri.collection(), uri.rkey(), cid.parse())
            else {
                return Err(XrpcFailure::Wrong(format!("{uri} is no record")));
            };
            listed.insert(Path { collection, rkey }, cid);
        }
        if listed.len() > MAX_RECORDS {
            let why = format!("it has more than {MAX_RECORDS} records in scope");
            return Err(XrpcFailure::Wrong(why));
        }
        // A server that gives the same cursor again would never come to an end.
        match page.cursor {
            Some(next) if !empty && cursor.as_ref() != Some(&next) => cursor = Some(next),
            _ => return Ok(()),
        }
    }
}

async fn prove(
    resolver: &Resolver,
    identity: &Identity,
    collection: &str,
    rkey: &str,
) -> Result<ProvenRecord, XrpcFailure> {
    let wrong =
        |why: String| XrpcFailure::Wrong(format!("{} cannot be proven: {why}", identity.did));
    let method = "com.atproto.sync.getRecord";
    let did = identity.did.as_str();
    let parameters = [("did", did), ("collection", collection), ("rkey", rkey)];
    let car = get(resolver, identity, method, &parameters, MAX_PROOF, TIMEOUT).await?;
    let collection = collection.parse();
    let collection = collection.map_err(|error| wrong(format!("{error}")))?;
    let rkey = rkey.parse().map_err(|error| wrong(format!("{error}")))?;
    let limits = Limits::default();
    verify_record_proof(
        &car,
        &identity.did,
        &collection,
        &rkey,
        &identity.key,
        micros(),
        &limits,
    )
    .map_err(|error| wrong(error.to_string()))
}
