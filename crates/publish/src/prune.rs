//! Taking out of the repository what has expired.

use std::collections::HashSet;
use std::time::Duration;

use atcomms_lexicon::{
    AtUri, Broadcast, Datetime, Handoff, Message, Nsid, Proposal, Record, Request,
};
use atcomms_store::{Action, State};

use crate::accepted::Accepted;
use crate::clock::{millis, now};
use crate::pds::{self, Listed};
use crate::publish_error::PublishError;
use crate::publisher::Publisher;
use crate::receipt::Deleted;
use crate::record::RecordError;

/// The collections whose records may expire. Awards and leases never do: their fences must only grow.
const COLLECTIONS: [&str; 5] = [
    Message::NSID,
    Broadcast::NSID,
    Request::NSID,
    Handoff::NSID,
    Proposal::NSID,
];

/// A record is left alone this long after it has expired: clocks differ.
const GRACE: Duration = Duration::from_secs(300);

/// The most pages of a collection that are looked at, of 100 records each: more than a repository holds.
/// A PDS that goes round in a circle would never end.
const MAX_PAGES: usize = 100_000;

/// How long the outbox remembers what was written: long enough to look up what was said last month.
const REMEMBERED: Duration = Duration::from_secs(30 * 86_400);

/// What there was to prune.
#[derive(Debug)]
#[non_exhaustive]
pub struct Pruned {
    /// The deletes, accepted: they are done within the account's budget, in batches, after everything
    /// else that waits.
    pub deletes: Vec<Accepted<Deleted>>,
    /// How many old entries of the outbox were forgotten. Records stay in the repository.
    pub forgotten: u64,
}

impl Publisher {
    /// Deletes this account's own records that have expired, and forgets what the outbox has held for
    /// 30 days (but the keys given to `once`, which it keeps).
    ///
    /// Cancel safe: deletes that were accepted are done, and it can be called again.
    ///
    /// # Errors
    /// [`PublishError`] if the PDS does not list the records, or the store does not accept the deletes.
    pub async fn prune(&self) -> Result<Pruned, PublishError> {
        let did = self.session().did();
        let waiting = self.store().entries(Some(did), false).await?;
        let waiting: HashSet<AtUri> = waiting
            .iter()
            .filter(|entry| entry.action == Action::Delete && entry.state == State::Pending)
            .map(|entry| entry.uri())
            .collect();
        let mut deletes = Vec::new();
        for collection in COLLECTIONS {
            for uri in self.expired(collection).await? {
                if !waiting.contains(&uri) {
                    deletes.push(self.delete(&uri).enqueue().await?);
                }
            }
        }
        let before = now().saturating_sub(millis(REMEMBERED));
        let forgotten = self.store().forget_settled(did, before).await?.entries;
        Ok(Pruned { deletes, forgotten })
    }

    /// The records of a collection that have expired.
    async fn expired(&self, collection: &str) -> Result<Vec<AtUri>, PublishError> {
        let before = now().saturating_sub(millis(GRACE));
        let mut expired = Vec::new();
        let mut cursor: Option<String> = None;
        for _ in 0..MAX_PAGES {
            let page = pds::list_records(self.session(), collection, cursor.as_deref()).await;
            let page = page.map_err(|source| self.unlisted(collection, source))?;
            let old = |listed: &Listed| expires_at(listed).is_some_and(|at| at < before);
            expired.extend(
                page.records
                    .iter()
                    .filter(|listed| old(listed))
                    .map(|listed| listed.uri.clone()),
            );
            // A PDS that gives the same cursor again would never end.
            match page.cursor {
                Some(next) if !page.records.is_empty() && Some(&next) != cursor.as_ref() => {
                    cursor = Some(next);
                }
                _ => break,
            }
        }
        Ok(expired)
    }

    fn unlisted(&self, collection: &str, source: crate::XrpcError) -> PublishError {
        match collection.parse::<Nsid>() {
            Ok(collection) => RecordError::Unlisted { collection, source }.into(),
            Err(error) => PublishError::Collection(error),
        }
    }
}

/// When a record expires, in milliseconds since 1970: by its `expiresAt`, or by its `ttlSeconds`,
/// whichever is first.
fn expires_at(listed: &Listed) -> Option<i64> {
    let time = |field: &str| {
        let time: Datetime = listed.value.get(field)?.as_str()?.parse().ok()?;
        Some(time.unix_millis())
    };
    let ttl = || {
        let seconds = listed.value.get("ttlSeconds")?.as_i64()?;
        Some(time("createdAt")?.saturating_add(seconds.saturating_mul(1000)))
    };
    [time("expiresAt"), ttl()].into_iter().flatten().min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_its_ends_counts() {
        let expires = |value: serde_json::Value| {
            let uri = "at://did:plc:ewvi7nxzyoun6zhxrhs64oiz/agent.comms.broadcast/k";
            expires_at(&Listed {
                uri: uri.parse().unwrap(),
                value,
            })
        };
        let created = "1970-01-01T00:00:10.000Z";
        let at = "1970-01-01T00:00:20.000Z";
        assert_eq!(expires(serde_json::json!({"createdAt": created})), None);
        assert_eq!(expires(serde_json::json!({"expiresAt": at})), Some(20_000));
        assert_eq!(
            expires(serde_json::json!({"createdAt": created, "ttlSeconds": 5})),
            Some(15_000)
        );
        let both = serde_json::json!({"createdAt": created, "ttlSeconds": 60, "expiresAt": at});
        assert_eq!(expires(both), Some(20_000));
        assert_eq!(expires(serde_json::json!({"expiresAt": "soon"})), None);
    }
}
