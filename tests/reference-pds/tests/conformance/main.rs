//! What atcomms relies on in a PDS, as one list of checks that runs on the devnet and on the
//! reference PDS.
//!
//! The reference is right by definition: a check that fails there is wrong, and is corrected by
//! what it does. The devnet follows it; where it does not, the difference is reported under the
//! check's name and fails the test, unless [`KNOWN_DIFFERENCES`] lists it with its reason.
//!
//! The client is deliberately not that of atcomms: plain requests with reqwest, and atrium's
//! generated types where they fit.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod account;
mod answer;
mod check;
mod checks;
mod frames;
mod target;

use check::Check;
use target::Target;

/// Where the devnet differs from the reference, by check, and why that may stay.
const KNOWN_DIFFERENCES: &[(&str, &str)] = &[
    (
        "a_known_lexicon_is_validated",
        "the devnet knows no lexicon: every record is unknown to it, as those of agent.comms are to any PDS",
    ),
    (
        "a_malformed_link_is_stored_as_it_is",
        "the devnet refuses it: a record that only one implementation can read helps no test",
    ),
    (
        "a_batch_may_create_and_delete_one_key",
        "the devnet refuses it: the reference's commit for it can't be verified by anybody",
    ),
    (
        "a_value_that_a_batch_removes_twice_and_adds_once_is_lost",
        "an error of the reference that the devnet does not repeat",
    ),
];

#[tokio::test]
#[cfg_attr(
    not(has_reference_pds),
    ignore = "set ATCOMMS_REFERENCE_PDS to the folder that tests/reference-pds/setup.sh installed to"
)]
async fn the_reference_pds_does_what_atcomms_relies_on() {
    let failures = check::run_all(&checks::all(), Target::reference).await;
    assert!(
        failures.is_empty(),
        "the reference PDS does not do what these checks say, which is what atcomms relies on:\n{}",
        failures
            .into_iter()
            .map(|f| format!("  {}: {}\n", f.name, f.why))
            .collect::<String>()
    );
}

#[tokio::test]
async fn the_devnet_does_what_the_reference_pds_does() {
    let checks = checks::all();
    let failures = check::run_all(&checks, Target::devnet).await;
    let mut report = String::new();
    for failure in &failures {
        match KNOWN_DIFFERENCES
            .iter()
            .find(|(name, _)| *name == failure.name)
        {
            Some((name, reason)) => println!("known difference: {name}: {reason}"),
            None => report += &format!("  {}: {}\n", failure.name, failure.why),
        }
    }
    for (name, _) in KNOWN_DIFFERENCES {
        if !checks.iter().any(|check| check.name == *name) {
            report +=
                &format!("  {name}: listed as a known difference, but no check has that name\n");
        } else if !failures.iter().any(|failure| failure.name == *name) {
            report +=
                &format!("  {name}: listed as a known difference, but there is none any more\n");
        }
    }
    assert!(
        report.is_empty(),
        "the devnet differs from the reference PDS:\n{report}"
    );
}

#[test]
fn the_list_is_not_empty_and_its_names_are_distinct() {
    let mut names: Vec<&str> = checks::all()
        .iter()
        .map(|check: &Check| check.name)
        .collect();
    assert!(names.len() > 40, "{} checks", names.len());
    names.sort_unstable();
    let all = names.len();
    names.dedup();
    assert_eq!(names.len(), all, "two checks have one name");
}
