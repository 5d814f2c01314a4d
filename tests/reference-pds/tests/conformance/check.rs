//! A check: a name, and what it does to a target.

use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;

use crate::target::{Setup, Target};

/// Checks that run at once. They have accounts of their own, and the reference's stream keeps an
/// idle subscriber waiting for up to a second, which others can use.
const AT_ONCE: usize = 6;

/// Longest time for one check. The slowest take a few seconds when nothing else runs.
const CHECK_TIMEOUT: Duration = Duration::from_secs(120);

/// One thing that atcomms relies on.
pub(crate) struct Check {
    pub(crate) name: &'static str,
    /// On which target: checks with equal setups share one.
    pub(crate) setup: Option<Setup>,
    pub(crate) run: for<'a> fn(&'a Target) -> BoxFuture<'a, anyhow::Result<()>>,
}

/// A check that failed.
pub(crate) struct Failure {
    pub(crate) name: &'static str,
    pub(crate) why: String,
}

/// Makes a list of checks from functions. `f in setup` runs on a target set up so.
macro_rules! checks {
    ($($name:ident $(in $setup:expr)?),* $(,)?) => {
        pub(crate) fn list() -> Vec<$crate::check::Check> {
            vec![$($crate::check::Check {
                name: stringify!($name),
                setup: $crate::check::setup!($($setup)?),
                run: |target| Box::pin($name(target)),
            }),*]
        }
    };
}

macro_rules! setup {
    () => {
        None
    };
    ($setup:expr) => {
        Some($setup)
    };
}

pub(crate) use {checks, setup};

/// Runs every check on targets of the kind that `start` starts, one for each setup, and returns those
/// that failed.
pub(crate) async fn run_all(
    checks: &[Check],
    start: impl AsyncFn(Setup) -> Target,
) -> Vec<Failure> {
    let mut setups: Vec<Option<&Setup>> = Vec::new();
    for check in checks {
        if !setups.contains(&check.setup.as_ref()) {
            setups.push(check.setup.as_ref());
        }
    }
    let mut failures = Vec::new();
    for setup in setups {
        let target = start(setup.cloned().unwrap_or_default()).await;
        let alike = checks.iter().filter(|check| check.setup.as_ref() == setup);
        let failed = futures::stream::iter(alike.map(|check| run(check, &target)))
            .buffer_unordered(AT_ONCE)
            .filter_map(async |failure| failure);
        failures.extend(failed.collect::<Vec<_>>().await);
    }
    failures
}

async fn run(check: &Check, target: &Target) -> Option<Failure> {
    let outcome = tokio::time::timeout(CHECK_TIMEOUT, (check.run)(target)).await;
    let why = match outcome {
        Ok(Ok(())) => {
            println!("{}: {} ... ok", target.name, check.name);
            return None;
        }
        Ok(Err(error)) => format!("{error:#}"),
        Err(_) => format!("not done within {} seconds", CHECK_TIMEOUT.as_secs()),
    };
    println!("{}: {} ... {why}", target.name, check.name);
    Some(Failure {
        name: check.name,
        why,
    })
}
