//! The application: it takes deliveries, acknowledges most of them, and has its own bad days.

use std::collections::BTreeMap;

use atcomms_store::{LeaseToken, Terms};

use super::event::Event;
use super::faults::Fault;
use super::life::{Checked, Simulation};
use super::oracle::Key;
use super::{MILLIS, SECONDS};

/// How long a delivery is with the application, in milliseconds.
const ACK_WAIT: i64 = 30_000;

#[derive(Debug, Default)]
pub(super) struct Application {
    token: i64,
    /// What it will acknowledge later.
    late: BTreeMap<(i64, i64), Key>,
}

impl Application {
    /// It dies with its process.
    pub(super) fn forget(&mut self) {
        self.late.clear();
    }
}

impl Simulation {
    /// Looks into the inbox then, if not earlier.
    pub(super) fn lease_at(&mut self, at: u64) {
        let at = at.max(self.now + MILLIS);
        if self.lease_due.is_none_or(|due| at < due) {
            self.lease_due = Some(at);
            self.after(at - self.now, Event::Lease);
        }
    }

    pub(super) async fn lease(&mut self) -> Checked {
        if self.lease_due != Some(self.now) {
            return Ok(());
        }
        self.lease_due = None;
        if self.process.is_none() {
            return Ok(());
        }
        self.keep_if_unkept().await?;
        let count = self.dice.index(16) + 1;
        let terms = Terms {
            count,
            max_in_flight: 64,
            ack_wait: ACK_WAIT,
            // Nothing is laid among the dead.
            max_deliver: u32::MAX,
            strict: false,
        };
        self.application.token += 1;
        let token = self.application.token;
        let now = i64::try_from(self.now / MILLIS).unwrap();
        let leased = self
            .store
            .lease(&self.consumer, LeaseToken(token), terms, now)
            .await;
        let leased = leased.unwrap();
        let full = leased.len() == count;
        // They are handed out together: what the application does not get to is with it all the same.
        let mut out = Vec::new();
        for received in leased {
            let key = self.oracle.delivered(&received, &self.authors)?;
            out.push((received.id, received.attempts, key));
        }
        for (id, attempts, key) in out {
            self.say(format_args!(
                "    {} {} {} ({})",
                key.change.as_str(),
                key.uri,
                key.rev,
                attempts
            ));
            if self.fault(Fault::KillBeforeAck, 5) {
                return self.kill().await;
            }
            if self.fault(Fault::PutOff, 80) {
                let at = now + i64::try_from(self.between(0, 20_000)).unwrap();
                let put_off = self.store.put_off(id, LeaseToken(token), at).await;
                put_off.map_err(|error| format!("it is ours: {error}"))?;
                self.lease_at(self.now);
            } else if self.fault(Fault::Forgotten, 60) {
                // It comes back when its time is over.
            } else if self.fault(Fault::LateAck, 60) {
                let delay = self.between(SECONDS, 40 * SECONDS);
                self.application.late.insert((id, token), key);
                self.after(delay, Event::LateAck { id, token });
            } else {
                let acknowledged = self.store.ack(id, LeaseToken(token)).await;
                acknowledged.map_err(|error| format!("it is ours: {error}"))?;
                self.oracle.acknowledged(key);
                if self.fault(Fault::KillAfterAck, 5) {
                    return self.kill().await;
                }
            }
        }
        if full {
            self.lease_at(self.now);
        } else if let Some(next) = self.store.pending(&self.consumer, now).await.unwrap().next {
            self.lease_at(u64::try_from(next).unwrap() * MILLIS);
        }
        Ok(())
    }

    /// It took its time; by now it may be somebody else's.
    pub(super) async fn late_ack(&mut self, id: i64, token: i64) -> Checked {
        if let Some(key) = self.application.late.remove(&(id, token))
            && self.store.ack(id, LeaseToken(token)).await.is_ok()
        {
            self.oracle.acknowledged(key);
        }
        Ok(())
    }
}
