//! Named points at which a test lets the process die, before and after each durable step. Without the
//! feature `crash-points` they are nothing.
//!
//! The store's own points are `NAME.before_commit` and `NAME.after_commit` for each kind of
//! transaction; who uses a store adds points between them with [`Store::reach`](crate::Store::reach).

#[cfg(feature = "crash-points")]
mod plan {
    use std::fmt;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use tokio::sync::Notify;

    type Decide = dyn Fn(&str) -> bool + Send + Sync;

    /// Decides at which point the process dies. Clones are the same plan.
    #[derive(Clone)]
    pub struct CrashPlan(Arc<Inner>);

    struct Inner {
        decide: Box<Decide>,
        dead: AtomicBool,
        died: Notify,
    }

    impl CrashPlan {
        /// Dies at the first point for which `decide` says so: from then on, the store does nothing
        /// and answers nobody, as if its process were gone.
        pub fn new(decide: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
            Self(Arc::new(Inner {
                decide: Box::new(decide),
                dead: AtomicBool::new(false),
                died: Notify::new(),
            }))
        }

        /// A plan from the environment: `ATCOMMS_CRASH=POINT:N` kills this process with SIGKILL when it
        /// reaches the point for the N-th time (1 is the first).
        pub fn from_environment() -> Option<Self> {
            let text = std::env::var("ATCOMMS_CRASH").ok()?;
            let (point, count) = text.rsplit_once(':')?;
            let (point, count): (String, u64) = (point.to_owned(), count.parse().ok()?);
            let reached = std::sync::atomic::AtomicU64::new(0);
            Some(Self::new(move |at| {
                if at == point && reached.fetch_add(1, Ordering::Relaxed) + 1 == count {
                    kill_this_process();
                }
                false
            }))
        }

        /// Waits until the process has died. Cancel safe.
        pub async fn died(&self) {
            loop {
                let died = self.0.died.notified();
                if self.is_dead() {
                    return;
                }
                died.await;
            }
        }

        /// Whether it has.
        pub fn is_dead(&self) -> bool {
            self.0.dead.load(Ordering::SeqCst)
        }

        /// A point is reached: whether the process is dead from here on.
        pub(crate) fn reach(&self, point: &str) -> bool {
            if !self.is_dead() && (self.0.decide)(point) {
                self.0.dead.store(true, Ordering::SeqCst);
                self.0.died.notify_waiters();
            }
            self.is_dead()
        }
    }

    impl fmt::Debug for CrashPlan {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "CrashPlan(dead: {})", self.is_dead())
        }
    }

    fn kill_this_process() {
        let id = std::process::id().to_string();
        let killed = std::process::Command::new("kill")
            .args(["-9", &id])
            .status();
        // The signal is on its way; nothing more happens in this thread.
        drop(killed);
        loop {
            std::thread::park();
        }
    }
}

#[cfg(feature = "crash-points")]
pub use plan::CrashPlan;

/// The plan of a store; none in a release.
#[derive(Clone, Debug, Default)]
pub(crate) struct Crash {
    #[cfg(feature = "crash-points")]
    plan: Option<CrashPlan>,
}

impl Crash {
    #[cfg(feature = "crash-points")]
    pub(crate) fn planned(plan: Option<CrashPlan>) -> Self {
        Self { plan }
    }

    /// A point is reached: whether the process is dead from here on.
    #[cfg(feature = "crash-points")]
    pub(crate) fn reach(&self, point: std::fmt::Arguments<'_>) -> bool {
        self.plan
            .as_ref()
            .is_some_and(|plan| plan.reach(&point.to_string()))
    }

    #[cfg(not(feature = "crash-points"))]
    #[expect(clippy::unused_self, reason = "there is nothing to ask")]
    pub(crate) fn reach(&self, _point: std::fmt::Arguments<'_>) -> bool {
        false
    }
}
