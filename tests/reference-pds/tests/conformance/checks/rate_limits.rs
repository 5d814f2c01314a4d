//! What a server says of the budget that it gives.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::account::{create, note};
use crate::answer::{Answer, same};
use crate::check::checks;
use crate::target::{Setup, Target};

const COUNTING: Setup = Setup {
    backfill: None,
    rate_limits: true,
};

checks![
    the_headers_show_the_tightest_budget in COUNTING,
    a_batch_that_the_budget_cannot_pay_is_refused_and_paid_for in COUNTING,
    too_many_logins_are_429 in COUNTING,
];

fn number(answer: &Answer, header: &str) -> Result<u64> {
    Ok(answer.header(header)?.parse()?)
}

fn batch(from: usize, count: usize) -> Value {
    (from..from + count)
        .map(|n| create(&format!("n{n}"), note("x")))
        .collect()
}

/// Of all that count a request, the headers show the one that is nearest to its end: at first that is
/// the number of requests from one address, and only later the repository's points.
async fn the_headers_show_the_tightest_budget(target: &Target) -> Result<()> {
    let account = target.account().await?;
    let few = account.apply(target, batch(0, 1)).await?;
    few.ok()?;
    same!(
        few.header("ratelimit-policy")?,
        "3000;w=300",
        "policy after one write"
    );
    same!(
        number(&few, "ratelimit-limit")?,
        3_000,
        "limit after one write"
    );
    ensure!(
        number(&few, "ratelimit-remaining")? < 3_000,
        "some are used"
    );
    ensure!(
        number(&few, "ratelimit-reset")? > 0,
        "when it is full again"
    );
    for n in 1..5 {
        account.apply(target, batch(n * 200, 200)).await?.ok()?;
    }
    let many = account.apply(target, batch(1_000, 1)).await?;
    same!(
        many.header("ratelimit-policy")?,
        "5000;w=3600",
        "policy after many writes"
    );
    // 802 creates of 3 points each.
    same!(
        number(&many, "ratelimit-remaining")?,
        5_000 - 3 * 802,
        "points left"
    );
    Ok(())
}

async fn a_batch_that_the_budget_cannot_pay_is_refused_and_paid_for(target: &Target) -> Result<()> {
    let account = target.account().await?;
    // 8 batches of 200 creates cost 4,800 of the 5,000 points.
    for n in 0..8 {
        account.apply(target, batch(n * 200, 200)).await?.ok()?;
    }
    let refused = account.apply(target, batch(1_600, 100)).await?; // 300 points
    refused.refused(429, "RateLimitExceeded")?;
    same!(number(&refused, "ratelimit-remaining")?, 0, "left");
    ensure!(number(&refused, "retry-after")? > 0, "how long to wait");
    let one = account
        .write(target, "createRecord", json!({ "record": note("x") }))
        .await?;
    one.refused(429, "RateLimitExceeded") // 3 points, which were left before the refused batch
}

async fn too_many_logins_are_429(target: &Target) -> Result<()> {
    let account = target.account().await?;
    let body = json!({ "identifier": account.handle, "password": "wrong" });
    for _ in 0..30 {
        let answer = target
            .post(None, "com.atproto.server.createSession", &body)
            .await?;
        answer.refused(401, "AuthenticationRequired")?;
    }
    let answer = target
        .post(None, "com.atproto.server.createSession", &body)
        .await?;
    answer.refused(429, "RateLimitExceeded")?;
    ensure!(number(&answer, "retry-after")? > 0, "how long to wait");
    Ok(())
}
