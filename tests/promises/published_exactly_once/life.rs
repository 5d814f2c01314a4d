//! One process of a run: it opens the store, goes on where the one before has died, and dies itself
//! wherever its future is dropped.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use atcomms::Store;
use atcomms::lexicon::cid_for_raw;
use atcomms::publish::{Accepted, Attachment, PublishError, Publisher, Session, StoredSession};
use atcomms_devnet::{Account, Faults};
use futures::future::try_join_all;

use super::ledger::{Ledger, file, number_in, own_key, updated_key};
use super::script::{Again, Op, Script, Swap};
use super::trouble::PATIENCE;

/// How often it is looked whether the outbox is empty.
const LOOK: Duration = Duration::from_millis(10);

pub(crate) struct Life<'a> {
    pub(crate) script: &'a Script,
    pub(crate) ledger: &'a mut Ledger,
    faults: &'a Faults,
    store: Store,
    publisher: Publisher,
    waited_for: Vec<(usize, Accepted)>,
}

impl<'a> Life<'a> {
    pub(crate) async fn begin(
        script: &'a Script,
        ledger: &'a mut Ledger,
        account: &Account,
        faults: &'a Faults,
        store: Store,
    ) -> Result<Self> {
        if StoredSession::find(&store, None)?.is_none() {
            let password = account.password.clone().into();
            let session = Session::login(account.pds.parse()?, account.did.as_str(), password);
            let login = session.await?.saved().to_login(None);
            store.keep_login(login, now()).await?;
        }
        let publisher = publisher(&store, account).await?;
        Ok(Life {
            script,
            ledger,
            faults,
            store,
            publisher,
            waited_for: Vec::new(),
        })
    }

    /// Does what is not done yet, to the end.
    pub(crate) async fn live(&mut self) -> Result<()> {
        let mut number = 0;
        while let Some(op) = self.script.0.get(number) {
            // Creations that follow each other are accepted at once.
            let rest = self.script.0.iter().skip(number);
            let creations = rest
                .take_while(|op| matches!(op, Op::Create { .. }))
                .count();
            let first = number;
            number += creations.max(1);
            if creations > 1 {
                self.create_all(first..number).await?;
            } else if !self.ledger.done.contains(&first) {
                self.perform(first, op).await?;
                self.ledger.done.insert(first);
            }
        }
        self.faults.clear();
        self.settle().await?;
        self.publisher.shutdown().await;
        self.harvest().await
    }

    async fn create_all(&mut self, numbers: std::ops::Range<usize>) -> Result<()> {
        let left: Vec<usize> = numbers.filter(|n| !self.ledger.done.contains(n)).collect();
        let mut creations = Vec::new();
        for number in left {
            if let Some(creation) = self.creation(number).await? {
                creations.push(async move { anyhow::Ok((number, creation.await?)) });
            }
        }
        for (number, accepted) in try_join_all(creations).await? {
            self.note(number, accepted)?;
        }
        Ok(())
    }

    async fn perform(&mut self, number: usize, op: &Op) -> Result<()> {
        match op {
            Op::Create { .. } => {
                if let Some(creation) = self.creation(number).await? {
                    let accepted = creation.await?;
                    self.note(number, accepted)?;
                }
            }
            Op::Put { key, files, swap } => {
                self.ledger.begin(number);
                let message = self.ledger.message(number, 0);
                let mut put = self.publisher.put(message).key(updated_key(*key)?);
                for index in files {
                    put = put.attach(Attachment::bytes(file(*index)));
                }
                put = match swap {
                    Swap::Any => put,
                    Swap::Right(of) => put.swap(self.ledger.cid(*of)?),
                    Swap::Wrong => put.swap(cid_for_raw(b"never there")),
                };
                let accepted = put.enqueue().await?;
                self.note(number, accepted)?;
            }
            Op::Delete { of, swap } => {
                self.ledger.begin(number);
                let delete = self.publisher.delete(&self.ledger.uri(*of)?);
                let delete = match swap {
                    Swap::Any => delete,
                    Swap::Right(of) => delete.swap(self.ledger.cid(*of)?),
                    Swap::Wrong => delete.swap(cid_for_raw(b"never there")),
                };
                let accepted = delete.enqueue().await?;
                self.ledger
                    .accepted(number, accepted.id(), accepted.uri())?;
            }
            Op::Repeat(of) => self.repeat(*of).await?,
            Op::GiveUp(of) => self.give_up(*of, number).await?,
            Op::SendAgain(of) => {
                for id in self.ledger.ids.get(of).cloned().unwrap_or_default() {
                    self.store.send_again(id).await?;
                }
            }
            Op::Settle => self.settle().await?,
            Op::Forget => {
                self.settle().await?;
                self.harvest().await?;
                let later = now() + 3_600_000;
                self.store.forget_settled(&self.ledger.did, later).await?;
            }
            Op::Trouble(trouble) => trouble.begin(self.faults),
        }
        Ok(())
    }

    /// A creation to be awaited, unless an earlier process has had it accepted.
    async fn creation(
        &mut self,
        number: usize,
    ) -> Result<Option<impl Future<Output = Result<Accepted, PublishError>> + use<>>> {
        let Some(Op::Create {
            files,
            priority,
            again,
        }) = self.script.0.get(number)
        else {
            anyhow::bail!("operation {number} creates nothing");
        };
        let tries = self.ledger.begin(number);
        if tries > 0 && *again == Again::Looks && self.look_for(number).await? {
            return Ok(None);
        }
        let tries = if *again == Again::Once { tries } else { 0 };
        let message = self.ledger.message(number, tries);
        let mut publish = self.publisher.publish(message).priority(*priority);
        for index in files {
            publish = publish.attach(Attachment::bytes(file(*index)));
        }
        publish = match again {
            Again::Looks => publish,
            Again::Once => publish.once(once(number)),
            Again::Key => publish.key(own_key(number)?),
        };
        Ok(Some(publish.enqueue()))
    }

    /// Whether the outbox has the creation of an operation.
    async fn look_for(&mut self, number: usize) -> Result<bool> {
        for entry in self.store.entries(Some(&self.ledger.did), true).await? {
            let Some(record) = &entry.record else {
                continue;
            };
            let message: atcomms::lexicon::Message = atcomms::lexicon::decode(record)?;
            let text = message.content.text.context("a text")?;
            if number_in(&text)? == number {
                self.ledger.accepted(number, entry.id, &entry.uri())?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The same key again is the same record.
    async fn repeat(&mut self, of: usize) -> Result<()> {
        let message = self.ledger.message(of, 100);
        let repeated = self.publisher.publish(message).once(once(of));
        let repeated = repeated.enqueue().await?;
        let known = self.ledger.ids.get(&of);
        ensure!(
            known.is_some_and(|ids| ids.as_slice() == [repeated.id()]),
            "operation {of} was accepted as {known:?}, and with the same key as {}",
            repeated.id()
        );
        self.note(of, repeated)
    }

    async fn give_up(&mut self, of: usize, number: usize) -> Result<()> {
        let tries = self.ledger.begin(number);
        let id = self.ledger.ids.get(&of).and_then(|ids| ids.first());
        let id = *id.context("what is given up was accepted")?;
        let forgotten = self.ledger.settled.contains_key(&id);
        let gone = !forgotten && self.store.entry(id).await?.is_none();
        // Either an earlier process has done it, or this one does.
        if (tries > 0 && gone) || self.store.give_up(id).await? {
            self.ledger.given_up.insert(of);
        }
        Ok(())
    }

    fn note(&mut self, number: usize, accepted: Accepted) -> Result<()> {
        self.ledger
            .accepted(number, accepted.id(), accepted.uri())?;
        self.waited_for.push((number, accepted));
        Ok(())
    }

    /// Waits until nothing is pending, and takes in the receipts of this process.
    async fn settle(&mut self) -> Result<()> {
        while self.store.waiting(&self.ledger.did).await?.entries > 0 {
            self.publisher.flush().await;
            tokio::time::sleep(LOOK).await;
        }
        for (number, accepted) in self.waited_for.drain(..) {
            match accepted.receipt().await {
                Ok(receipt) => {
                    let before = self.ledger.receipts.insert(number, receipt.clone());
                    let same = before.is_none_or(|before| {
                        (&before.uri, before.cid) == (&receipt.uri, receipt.cid)
                    });
                    // Of several updates that wait, the newest speaks for all.
                    let is_put = matches!(self.script.0.get(number), Some(Op::Put { .. }));
                    ensure!(same || is_put, "operation {number} has two receipts");
                }
                Err(PublishError::SwapFailed { .. } | PublishError::GivenUp { .. }) => {}
                Err(error) => return Err(error).with_context(|| format!("operation {number}")),
            }
        }
        Ok(())
    }

    async fn harvest(&mut self) -> Result<()> {
        let entries = self.store.entries(Some(&self.ledger.did), true).await?;
        self.ledger.harvest(&entries)
    }
}

/// Another process of the same store, which only sends what it finds there. It never ends by itself.
pub(crate) async fn beside(path: &Path, account: &Account) -> Result<()> {
    let store = Store::open(path)?;
    while StoredSession::find(&store, None)?.is_none() {
        tokio::time::sleep(LOOK).await;
    }
    let _publisher = publisher(&store, account).await?;
    std::future::pending().await
}

async fn publisher(store: &Store, account: &Account) -> Result<Publisher> {
    let stored = StoredSession::new(store.clone(), account.did.clone());
    let session = Session::builder().store(stored).timeout(PATIENCE);
    Ok(Publisher::new(session.open().await?, store.clone()))
}

fn once(number: usize) -> String {
    format!("key of {number}")
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(0))
}
