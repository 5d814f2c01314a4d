//! One process of the consumer: it takes what it is handed, and dies, is killed, or shuts down.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use atcomms::Store;
use atcomms::store::CrashPlan;
use atcomms::subscribe::{Durable, Inbox, LeaseError, Leased};
use tokio::time::timeout;

use super::ledger::EFFECTS;
use super::{Dice, Ledger, Network, Tally};

/// Short, for what was dropped is waited for at the end.
const ACK_WAIT: Duration = Duration::from_millis(200);

/// Nothing comes for so long: the process ends.
const QUIET: Duration = Duration::from_millis(250);

/// How a process ended.
pub(crate) enum End {
    /// At its point.
    Died,
    /// From outside, at any point.
    Killed,
    ShutDown,
}

pub(crate) struct Life {
    store: Store,
    inbox: Inbox,
    plan: CrashPlan,
    held: Vec<(String, Leased)>,
}

/// Dies when it is at a point for the n-th time.
pub(crate) fn dies_at(point: &'static str, nth: u64) -> CrashPlan {
    let reached = AtomicU64::new(0);
    CrashPlan::new(move |at| at == point && reached.fetch_add(1, Ordering::SeqCst) + 1 == nth)
}

fn durable(network: &Network, store: &Store) -> Durable {
    let durable = network.subscriber().durable(store.clone(), "promise");
    durable.ack_wait(ACK_WAIT).max_deliver(u32::MAX)
}

impl Life {
    /// The next process begins, unless it dies at once; what the one before left is looked at first.
    pub(crate) async fn begin(
        path: &Path,
        plan: Option<CrashPlan>,
        network: &Network,
        dice: &mut Dice,
        ledger: &Ledger,
        tally: &Tally,
    ) -> Option<Self> {
        let store = Store::open(path).expect("a store that agrees with itself");
        let (passed, all) = ledger.cursor_is_behind_the_data(&store).await;
        if passed > 0 && !all {
            tally.add("cursor in the middle", 1);
        }
        let consumer = store.consumer("promise", 0).await.expect("a consumer");
        // Somebody has looked at the dead.
        for dead in store
            .inbox(&consumer, true, 0, 1000)
            .await
            .expect("the dead")
        {
            assert!(store.deliver_again(dead.id, 0).await.expect("it is kept"));
            tally.add("dead letters sent again", 1);
        }
        let table = format!("CREATE TABLE IF NOT EXISTS {EFFECTS} (key TEXT NOT NULL)");
        let own = atcomms::store::rusqlite::Connection::open(path).expect("the store");
        own.busy_timeout(Duration::from_secs(10)).expect("a time");
        own.execute(&table, []).expect("a table of its own");
        drop((own, store));

        let plan = plan.unwrap_or_else(|| CrashPlan::new(|_| false));
        let store = Store::open_to_crash(path, plan.clone()).expect("the store");
        let mut durable = durable(network, &store)
            .max_in_flight(usize::try_from(dice.below(8) + 1).expect("a small number"));
        if dice.one_in(3) {
            durable = durable.strict();
        }
        let inbox = tokio::select! {
            inbox = durable.start() => inbox.expect("a consumer"),
            () = plan.died() => return None,
        };
        Some(Self {
            store,
            inbox,
            plan,
            held: Vec::new(),
        })
    }

    /// Lives until its end.
    pub(crate) async fn live(
        mut self,
        network: &mut Network,
        ledger: &mut Ledger,
        dice: &mut Dice,
        tally: &Tally,
    ) -> End {
        let plan = self.plan.clone();
        let quiet = tokio::select! {
            biased;
            () = plan.died() => false,
            () = self.work(network, ledger, dice, tally, true) => true,
        };
        if !quiet {
            return End::Died;
        }
        if dice.one_in(2) {
            return End::Killed;
        }
        tokio::select! {
            biased;
            () = plan.died() => End::Died,
            down = self.inbox.shutdown() => {
                down.expect("it drains");
                End::ShutDown
            }
        }
    }

    /// The last process: it ends when everything is acknowledged.
    pub(crate) async fn finish(
        mut self,
        network: &mut Network,
        ledger: &mut Ledger,
        dice: &mut Dice,
        tally: &Tally,
    ) {
        loop {
            self.work(network, ledger, dice, tally, false).await;
            let left = self.store.inbox_len(self.inbox.consumer()).await;
            if ledger.all_handed_out() && left.expect("a count") == 0 {
                return self.inbox.shutdown().await.expect("it drains");
            }
        }
    }

    /// Takes what comes, until nothing comes.
    async fn work(
        &mut self,
        network: &mut Network,
        ledger: &mut Ledger,
        dice: &mut Dice,
        tally: &Tally,
        carelessly: bool,
    ) {
        loop {
            let more = network.write(dice.below(3) + 1);
            match timeout(QUIET, self.inbox.next()).await {
                Ok(leased) => {
                    let leased = leased.expect("the store works");
                    let leased = leased.expect("the stream goes on");
                    let key = ledger.hands_out(&leased);
                    if carelessly {
                        self.act(key, leased, network, ledger, dice, tally).await;
                    } else {
                        acknowledge(key, leased, dice.one_in(2), ledger).await;
                    }
                }
                Err(_) if more => {}
                Err(_) => return,
            }
            if dice.one_in(3)
                && let Some((key, leased)) = self.held.pop()
            {
                match leased.progress().await {
                    Ok(()) => tally.add("progress", 1),
                    Err(LeaseError::Lost) => tally.add("lost", 1),
                    Err(error) => panic!("{error}"),
                }
                acknowledge(key, leased, dice.one_in(2), ledger).await;
            }
        }
    }

    async fn act(
        &mut self,
        key: String,
        leased: Leased,
        network: &Network,
        ledger: &mut Ledger,
        dice: &mut Dice,
        tally: &Tally,
    ) {
        match dice.below(20) {
            0..9 => acknowledge(key, leased, false, ledger).await,
            9..13 => acknowledge(key, leased, true, ledger).await,
            13..15 => {
                let delay = Duration::from_millis(dice.below(30));
                mine(leased.nak(delay).await);
                tally.add("nak", 1);
            }
            15 => {
                ledger.lays_aside(key);
                mine(leased.term("not for us").await);
            }
            16 => {
                // Its own work fails: then it is not acknowledged.
                let failed = leased.ack_with(|work| work.execute("no SQL", [])).await;
                assert!(failed.is_err());
                tally.add("work failed", 1);
            }
            17 => self.held.push((key, leased)),
            18 => tally.add("dropped", 1),
            _ => {
                network.cut();
                self.held.push((key, leased));
            }
        }
    }
}

async fn acknowledge(key: String, leased: Leased, with_effect: bool, ledger: &mut Ledger) {
    ledger.begins(&key);
    let acknowledged = if with_effect {
        let own = key.clone();
        let insert = format!("INSERT INTO {EFFECTS} VALUES (?1)");
        let work = leased.ack_with(move |work| work.execute(&insert, [own]));
        work.await.map(drop)
    } else {
        leased.ack().await
    };
    match acknowledged {
        Ok(()) => ledger.acknowledges(key, with_effect),
        Err(LeaseError::Lost) => {}
        Err(error) => panic!("{key}: {error}"),
    }
}

/// Ours or not: on a slow machine it may be away by now.
fn mine(said: Result<(), LeaseError>) {
    match said {
        Ok(()) | Err(LeaseError::Lost) => {}
        Err(error) => panic!("{error}"),
    }
}

/// The whole stream is read again, and all of it is known.
pub(crate) async fn nothing_comes_again(path: &Path, network: &Network) {
    let store = Store::open(path).expect("the store");
    let inbox = durable(network, &store).start().await;
    let mut inbox = inbox.expect("a consumer");
    let written = u64::try_from(network.written.len()).expect("some");
    while inbox.summary().duplicates < written {
        let next = timeout(Duration::from_millis(20), inbox.next()).await;
        assert!(next.is_err(), "all is acknowledged, and {next:?} comes");
    }
    let left = store.inbox_len(inbox.consumer()).await;
    assert_eq!(left.expect("a count"), 0, "nothing was taken in again");
    inbox.shutdown().await.expect("it drains");
}
