//! The tasks of one server: none outlives it.

use std::fs::File;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;

/// A set of tasks that is aborted when its server goes. Clones share the set.
#[derive(Clone, Default)]
pub(crate) struct Tasks {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    set: JoinSet<()>,
    closed: bool,
    lock: Option<Arc<File>>,
}

impl Tasks {
    /// An empty set, each of whose tasks holds a lock until it is gone: an aborted task may be in the middle
    /// of a write to what is locked.
    pub(crate) fn holding(lock: Option<Arc<File>>) -> Self {
        let inner = Inner {
            lock,
            ..Inner::default()
        };
        Self {
            inner: Arc::new(Mutex::new(inner)),
        }
    }

    /// Runs a task, unless the server is already gone.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut inner = self.lock();
        // Finished tasks are let go here, so that the set grows with the open connections and not with
        // all that there ever were.
        while inner.set.try_join_next().is_some() {}
        if !inner.closed {
            let lock = inner.lock.clone();
            inner.set.spawn(async move {
                let _held = lock;
                task.await;
            });
        }
    }

    /// Aborts every task, now and later.
    pub(crate) fn abort(&self) {
        let mut inner = self.lock();
        inner.closed = true;
        inner.lock = None;
        inner.set.abort_all();
    }

    /// Waits for the tasks to end by themselves, and aborts those that have not after `deadline`.
    pub(crate) async fn drain(&self, deadline: Duration) {
        let mut set = {
            let mut inner = self.lock();
            inner.closed = true;
            inner.lock = None;
            std::mem::take(&mut inner.set)
        };
        let ended =
            tokio::time::timeout(deadline, async { while set.join_next().await.is_some() {} });
        if ended.await.is_err() {
            tracing::warn!(
                open = set.len(),
                "connections were cut: they did not end in time"
            );
        }
        set.shutdown().await;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
