//! Fetches the proofs that the engine asks for: a bounded number at once, overall and at each host, so that a
//! slow one holds up nobody else's.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use atcomms_identity::Resolver;
use atcomms_lexicon::Did;
use futures::stream::FuturesUnordered;
use tokio::sync::Semaphore;

use crate::engine::{ProofAnswer, Question};
use crate::proof::{ProofError, proof};

/// Proofs at once for repositories that are followed, and as many for strangers, who cannot hold up the
/// others: as many as look-ups of keys.
const AT_ONCE: usize = 32;
/// Proofs at once from one host: few enough for a PDS with a handful of accounts.
const AT_ONCE_OF_HOST: usize = 4;

/// Proofs that are being fetched.
pub(crate) type Proofs = FuturesUnordered<Pin<Box<dyn Future<Output = (Did, ProofAnswer)> + Send>>>;

#[derive(Clone, Debug)]
pub(crate) struct Prover {
    resolver: Resolver,
    followed: Arc<Semaphore>,
    strangers: Arc<Semaphore>,
    hosts: Arc<Mutex<HashMap<String, Arc<Semaphore>>>>,
}

impl Prover {
    pub(crate) fn new(resolver: Resolver) -> Self {
        Self {
            resolver,
            followed: Arc::new(Semaphore::new(AT_ONCE)),
            strangers: Arc::new(Semaphore::new(AT_ONCE)),
            hosts: Arc::default(),
        }
    }

    /// Fetches what is asked for. Cancel safe.
    pub(crate) async fn answer(self, question: Question) -> (Did, ProofAnswer) {
        tokio::time::sleep(question.after).await;
        let answer = match self.fetch(&question).await {
            Ok(answer) => answer,
            Err(error) if error.is_transient() => ProofAnswer::Unavailable(error.to_string()),
            Err(error) => ProofAnswer::None(error.to_string()),
        };
        (question.did, answer)
    }

    async fn fetch(&self, question: &Question) -> Result<ProofAnswer, ProofError> {
        let at_once = match question.followed {
            true => &self.followed,
            false => &self.strangers,
        };
        // Never closed; without a permit it would only be one more at once.
        let permit = at_once.acquire().await.ok();
        // Boxed, here and below: a question that waits for its turn is small.
        let identity = Box::pin(self.resolver.resolve_did(&question.did)).await?;
        drop(permit);
        // The host's turn first: who waits for a slow one must not take the place of those who do not.
        let host = self.host(identity.pds.origin().ascii_serialization());
        let _at_host = host.acquire().await.ok();
        let _permit = at_once.acquire().await.ok();
        let (collection, rkey) = (&question.collection, &question.rkey);
        let proof = Box::pin(proof(&self.resolver, &identity, collection, rkey)).await?;
        Ok(ProofAnswer::Proof(Box::new(proof)))
    }

    fn host(&self, name: String) -> Arc<Semaphore> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if !hosts.contains_key(&name) {
            hosts.retain(|_, turns| Arc::strong_count(turns) > 1);
        }
        let turns = || Arc::new(Semaphore::new(AT_ONCE_OF_HOST));
        hosts.entry(name).or_insert_with(turns).clone()
    }
}
