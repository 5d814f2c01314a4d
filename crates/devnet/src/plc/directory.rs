//! The directory: every DID's operations, and the rules by which a next one is taken.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use atcomms_lexicon::{Datetime, Did};
use atcomms_repo::SigningKey;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::document::document;
use super::operation::{Operation, PlcError, SignedOperation};
use crate::journal::Journal;

/// A did:plc directory, in memory or with a journal.
pub(crate) struct Directory(Mutex<Inner>);

struct Inner {
    operations: HashMap<String, Vec<Entry>>,
    journal: Journal<Line>,
}

struct Entry {
    operation: SignedOperation,
    nullified: bool,
    created_at: Datetime,
}

/// A line of the journal: an operation that was taken, and when.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Line {
    did: String,
    operation: Value,
    created_at: Datetime,
}

impl Directory {
    /// A directory that forgets everything.
    pub(crate) fn in_memory() -> Self {
        Self(Mutex::new(Inner {
            operations: HashMap::new(),
            journal: Journal::in_memory(),
        }))
    }

    /// A directory with the operations of its journal, which are all checked again.
    pub(crate) fn new(journal: Journal<Line>, lines: Vec<Line>) -> Result<Self, PlcError> {
        let mut inner = Inner {
            operations: HashMap::new(),
            journal,
        };
        for line in lines {
            let operation = SignedOperation::parse(line.operation)?;
            inner.take(&line.did, operation, line.created_at)?;
        }
        Ok(Self(Mutex::new(inner)))
    }

    /// Takes an operation that was sent for a DID.
    pub(crate) fn submit(&self, did: &str, operation: Value) -> Result<(), PlcError> {
        self.lock().submit(did, SignedOperation::parse(operation)?)
    }

    /// Registers a new DID by its first operation.
    pub(crate) fn create(&self, operation: &Operation, key: &SigningKey) -> Result<Did, PlcError> {
        let signed = operation.sign(key)?;
        let did = signed.did()?;
        self.lock().submit(did.as_str(), signed)?;
        Ok(did)
    }

    /// Changes a DID by an operation after its last one, signed with a rotation key.
    pub(crate) fn update(
        &self,
        did: &Did,
        key: &SigningKey,
        change: impl FnOnce(&mut Operation),
    ) -> Result<(), PlcError> {
        let mut inner = self.lock();
        let (mut next, prev) = inner
            .head(did.as_str())
            .and_then(|entry| Some((entry.operation.content.clone()?, entry.operation.cid)))
            .ok_or(PlcError::Misordered)?;
        change(&mut next);
        next.prev = Some(prev.to_string());
        let signed = next.sign(key)?;
        inner.submit(did.as_str(), signed)
    }

    /// What a DID says now; `None` if it does not exist or was given up.
    pub(crate) fn data(&self, did: &str) -> Option<Operation> {
        self.lock().head(did)?.operation.content.clone()
    }

    /// The address of one of a DID's services.
    pub(crate) fn service(&self, did: &str, name: &str) -> Option<String> {
        let inner = self.lock();
        let content = inner.head(did)?.operation.content.as_ref()?;
        Some(content.services.get(name)?.endpoint.clone())
    }

    /// A DID's document.
    pub(crate) fn document(&self, did: &str) -> Option<Value> {
        Some(document(did, &self.data(did)?))
    }

    /// A DID's operations that count.
    pub(crate) fn log(&self, did: &str) -> Option<Vec<Value>> {
        let inner = self.lock();
        let entries = inner.operations.get(did)?;
        Some(
            entries
                .iter()
                .filter(|entry| !entry.nullified)
                .map(|entry| entry.operation.json.clone())
                .collect(),
        )
    }

    /// All of a DID's operations, with when they came and whether they still count.
    pub(crate) fn audit(&self, did: &str) -> Option<Vec<Value>> {
        let inner = self.lock();
        let entries = inner.operations.get(did)?;
        Some(
            entries
                .iter()
                .map(|entry| {
                    json!({
                        "did": did,
                        "operation": entry.operation.json,
                        "cid": entry.operation.cid.to_string(),
                        "nullified": entry.nullified,
                        "createdAt": entry.created_at.as_str(),
                    })
                })
                .collect(),
        )
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn head(&self, did: &str) -> Option<&Entry> {
        self.operations
            .get(did)?
            .iter()
            .rfind(|entry| !entry.nullified)
    }

    fn submit(&mut self, did: &str, operation: SignedOperation) -> Result<(), PlcError> {
        let created_at = Datetime::now();
        self.check(did, &operation, &created_at)?;
        self.journal.append(&Line {
            did: did.to_owned(),
            operation: operation.json.clone(),
            created_at: created_at.clone(),
        })?;
        self.take(did, operation, created_at)
    }

    fn take(
        &mut self,
        did: &str,
        operation: SignedOperation,
        created_at: Datetime,
    ) -> Result<(), PlcError> {
        let kept = self.check(did, &operation, &created_at)?;
        let entries = self.operations.entry(did.to_owned()).or_default();
        for entry in entries.iter_mut().skip(kept) {
            entry.nullified = true;
        }
        entries.push(Entry {
            operation,
            nullified: false,
            created_at,
        });
        Ok(())
    }

    /// Whether the operation may come next; gives the number of entries that stay valid before it.
    fn check(
        &self,
        did: &str,
        operation: &SignedOperation,
        now: &Datetime,
    ) -> Result<usize, PlcError> {
        let entries = self.operations.get(did).map_or(&[][..], Vec::as_slice);
        if entries.is_empty() {
            return check_first(did, operation).map(|()| 0);
        }
        let prev = operation.prev.as_deref().ok_or(PlcError::Misordered)?;
        let position = entries
            .iter()
            .rposition(|entry| !entry.nullified && entry.operation.cid.to_string() == prev)
            .ok_or(PlcError::Misordered)?;
        let (before, after) = entries.split_at(position + 1);
        let last = before
            .last()
            .and_then(|entry| entry.operation.content.as_ref())
            .ok_or(PlcError::Misordered)?;
        let Some(disputed) = after.iter().find(|entry| !entry.nullified) else {
            operation.signer(&last.rotation_keys)?;
            return Ok(entries.len());
        };
        // A fork of history: only a key of more authority than the one that it overrules may do that.
        let disputed_signer = disputed.operation.signer(&last.rotation_keys)?;
        let stronger = last
            .rotation_keys
            .get(..disputed_signer)
            .ok_or(PlcError::Signature)?;
        operation.signer(stronger)?;
        let elapsed = now.unix_millis() - disputed.created_at.unix_millis();
        if elapsed > RECOVERY_MILLIS {
            return Err(PlcError::LateRecovery);
        }
        Ok(before.len())
    }
}

fn check_first(did: &str, operation: &SignedOperation) -> Result<(), PlcError> {
    let content = operation.content.as_ref().ok_or(PlcError::Misordered)?;
    operation.signer(&content.rotation_keys)?;
    let expected = operation.did()?;
    if expected.as_str() != did {
        return Err(PlcError::GenesisHash(expected.to_string()));
    }
    if operation.prev.is_some() {
        return Err(PlcError::Improper(
            "expected null prev on create".to_owned(),
        ));
    }
    Ok(())
}

/// Milliseconds in which a stronger rotation key may overrule an operation: 72 hours.
const RECOVERY_MILLIS: i64 = 72 * 3600 * 1000;
