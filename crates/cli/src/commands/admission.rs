//! Who is let in by `atcomms watch`, and what was refused of whom.

use atcomms::identity::{Identity, Resolver};
use atcomms::lexicon::{Address, Did};
use atcomms::subscribe::{Admission, Refused, Subscriber};

use crate::args;
use crate::exit::Failure;

/// Those of whom most was refused that are named at the end.
const NAMED: usize = 10;

/// Has a subscriber let in whom the command line names; gives the contacts, too.
pub(super) async fn admit(
    subscriber: Subscriber,
    resolver: &Resolver,
    args: &args::Admission,
) -> Result<(Subscriber, Vec<Identity>), Failure> {
    let mut admission = Admission::new();
    for address in &args.blocks {
        admission = admission.blocks([did(resolver, address).await?]);
    }
    if args.only_contacts {
        admission = admission.contacts_only();
    }
    if let Some(budget) = args.author_budget {
        admission = admission.budget_per_author(budget);
    }
    if let Some(budget) = args.host_budget {
        admission = admission.budget_per_host(budget);
    }
    let mut subscriber = subscriber.admission(admission);
    for address in &args.left_out {
        subscriber = subscriber.leave_out([did(resolver, address).await?]);
    }
    let mut contacts = Vec::new();
    for address in &args.contacts {
        contacts.push(resolver.resolve(address).await?);
    }
    if contacts.is_empty() {
        return Ok((subscriber, contacts));
    }
    let followed = contacts.iter().map(|contact| contact.did.clone());
    Ok((subscriber.anyone_and(followed), contacts))
}

/// Whom an address names; a DID need not be there any more.
async fn did(resolver: &Resolver, address: &Address) -> Result<Did, Failure> {
    match address.as_did() {
        Some(did) => Ok(did.clone()),
        None => Ok(resolver.resolve(address).await?.did),
    }
}

/// Says of whom most was refused.
pub(super) fn tell_refused(refused: &[Refused]) {
    for Refused {
        who,
        reason,
        count,
        since,
        ..
    } in refused.iter().take(NAMED)
    {
        let (reason, since) = (reason.as_str(), humantime::format_rfc3339_seconds(*since));
        eprintln!("  refused of {who}: {count} for {reason}, since {since}");
    }
    if let Some(more @ 1..) = refused.len().checked_sub(NAMED) {
        eprintln!("  and of {more} more");
    }
}
