//! Whether what is written comes by: in the PDS's own stream, with all that a reader needs to see a gap, and at the
//! hosts that others listen to.

use std::time::Duration;

use atcomms::identity::{Identity, Resolver, read_body};
use atcomms::lexicon::{Did, Tid};
use atcomms::subscribe::{Source, Subscriber, Subscription};
use futures::StreamExt;
use serde::Deserialize;
use tokio::time::{sleep, timeout};

use super::Finding;

/// How long a commit may take from the PDS into its own stream.
const OWN_STREAM: Duration = Duration::from_secs(10);
/// How often a host that is behind is asked again, and how long is waited between: relays lag by seconds.
const ATTEMPTS: u32 = 4;
const PAUSE: Duration = Duration::from_secs(2);
/// The longest answer that is read.
const MAX_BYTES: usize = 64 * 1024;

/// Watches the account in the stream of its own PDS.
pub(super) async fn own_stream(own: &Identity, resolver: &Resolver) -> Option<Subscription> {
    let source = Source::of_pds(own, resolver).ok()?;
    let subscriber = Subscriber::new(resolver.clone()).source(source);
    let mut subscription = subscriber.peers([own.did.clone()]).start().ok()?;
    // Who is not connected by then sees nothing of what is written, which is the finding.
    let _ = timeout(OWN_STREAM, subscription.connected()).await;
    Some(subscription)
}

/// Whether what was just written comes by, verified.
pub(super) async fn comes_by(mut subscription: Subscription) -> Finding {
    let live = timeout(OWN_STREAM, async {
        loop {
            if let Ok(delivery) = subscription.next().await?
                && delivery.live
            {
                return Some(());
            }
        }
    });
    if let Ok(Some(())) = live.await {
        let found = "what is written comes by and is verified: a gap would be seen";
        return Finding::Good(found.to_owned());
    }
    if subscription.summary().rejected.contains_key("no_prev_data") {
        return Finding::Bad(
            "commits come by without the tree before them (prevData)".to_owned(),
            "update the PDS to one that speaks Sync 1.1: until then, nobody can verify what you write"
                .to_owned(),
        );
    }
    Finding::Mind(
        format!(
            "nothing of what was just written came by within {} s",
            OWN_STREAM.as_secs()
        ),
        "check that the PDS serves com.atproto.sync.subscribeRepos to the outside".to_owned(),
    )
}

/// Whether a host has the newest commit that the account's PDS has.
pub(super) async fn head(resolver: &Resolver, source: &Source, identity: &Identity) -> Finding {
    let did = &identity.did;
    let Some(host) = source.http_url() else {
        return Finding::Mind(
            format!("{source} does not tell of heads"),
            "name a relay or a PDS".to_owned(),
        );
    };
    let mut attempt = 1;
    loop {
        let there = latest(resolver, host.clone(), did).await;
        let here = latest(resolver, identity.pds.clone(), did).await;
        match (there, here) {
            (_, Err(why)) => {
                return Finding::Bad(
                    format!("{} does not tell the head of {did}: {why}", identity.pds),
                    "if the PDS is down, wait; if the account is not active, activate it"
                        .to_owned(),
                );
            }
            (Err(why), Ok(_)) => {
                return Finding::Mind(
                    format!("{source} does not tell the head of {did}: {why}"),
                    "it may not crawl this PDS: ask it to (com.atproto.sync.requestCrawl), or watch --peer without --source".to_owned(),
                );
            }
            (Ok(there), Ok(here)) if there >= here => {
                return Finding::Good(format!("{source} has the newest commit of {did}"));
            }
            (Ok(there), Ok(here)) if attempt == ATTEMPTS => {
                return Finding::Bad(
                    format!("{source} is behind: it has {there} of {did}, whose PDS has {here}"),
                    "use another relay, or watch --peer without --source".to_owned(),
                );
            }
            _ => {}
        }
        attempt += 1;
        sleep(PAUSE).await;
    }
}

async fn latest(resolver: &Resolver, mut host: url::Url, did: &Did) -> Result<Tid, String> {
    #[derive(Deserialize)]
    struct Latest {
        rev: Tid,
    }
    host.set_path("/xrpc/com.atproto.sync.getLatestCommit");
    host.query_pairs_mut().append_pair("did", did.as_str());
    let request = resolver
        .client()
        .get(host)
        .map_err(|error| error.to_string())?;
    let sent = request.send().await.map_err(|error| error.to_string())?;
    if !sent.status().is_success() {
        return Err(format!("status {}", sent.status().as_u16()));
    }
    let body = read_body(sent, MAX_BYTES)
        .await
        .map_err(|error| error.to_string())?;
    let latest: Latest = serde_json::from_slice(&body).map_err(|error| error.to_string())?;
    Ok(latest.rev)
}
