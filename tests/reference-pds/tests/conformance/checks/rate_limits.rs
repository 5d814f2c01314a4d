//! What a server says of the budget that it gives.

use anyhow::{Result, ensure};
use futures::{StreamExt, TryStreamExt};
use serde_json::{Value, json};

use crate::account::{Account, create, delete, note, update};
use crate::answer::{Answer, same};
use crate::check::checks;
use crate::target::{Setup, Target, now_micros};

const COUNTING: Setup = Setup {
    backfill: None,
    rate_limits: true,
};

checks![
    the_headers_show_the_tightest_budget in COUNTING,
    a_batch_that_the_budget_cannot_pay_is_refused_and_paid_for in COUNTING,
    each_write_costs_by_its_kind_also_when_it_fails in COUNTING,
    what_is_refused_for_its_token_or_its_input_costs_nothing in COUNTING,
    uploads_are_counted_for_their_address in COUNTING,
    an_address_has_a_budget_of_requests in COUNTING,
    too_many_logins_are_429 in COUNTING,
];

/// Headers of every answer to a request that was counted.
const HEADERS: [&str; 4] = [
    "ratelimit-limit",
    "ratelimit-remaining",
    "ratelimit-reset",
    "ratelimit-policy",
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
    same!(refused.header("ratelimit-policy")?, "5000;w=3600", "whose");
    // In seconds, the reset is rounded down and the wait up.
    let now = now_micros() / 1_000_000;
    let until = number(&refused, "ratelimit-reset")?.saturating_sub(now);
    let wait = number(&refused, "retry-after")?;
    ensure!((3_590..=3_600).contains(&wait), "waiting {wait} s");
    ensure!((wait - 3..=wait).contains(&until), "{until} s, {wait} s");
    let one = account
        .write(target, "createRecord", json!({ "record": note("x") }))
        .await?;
    one.refused(429, "RateLimitExceeded") // 3 points, which were left before the refused batch
}

/// The points that a write cost, by what was left before and after. Only an account whose points are its
/// tightest budget shows them.
async fn cost(target: &Target, account: &Account, write: (&str, Value)) -> Result<u64> {
    // 1 point.
    let probe = async || -> Result<u64> {
        let rkey = json!({ "rkey": "not-there" });
        let answer = account.write(target, "deleteRecord", rkey).await?;
        answer.ok()?;
        same!(answer.header("ratelimit-policy")?, "5000;w=3600", "policy");
        number(&answer, "ratelimit-remaining")
    };
    let before = probe().await?;
    account.write(target, write.0, write.1).await?;
    Ok(before - probe().await? - 1)
}

/// An account that has fewer points left than any address has requests.
async fn spender(target: &Target) -> Result<Account> {
    let account = target.account().await?;
    for n in 0..5 {
        account.apply(target, batch(n * 200, 200)).await?.ok()?;
    }
    Ok(account)
}

async fn each_write_costs_by_its_kind_also_when_it_fails(target: &Target) -> Result<()> {
    let account = spender(target).await?;
    let record = |rkey: &str, text: &str| json!({ "rkey": rkey, "record": note(text) });
    let swap = |mut body: Value, field: &str, cid: Value| {
        body[field] = cid;
        body
    };
    let other = json!("bafyreiapv3ta7yptsxqx72ipniebycehlonsvqbhi32ynkww6xqewblcgq");
    let deletes: Value = (0..201).map(|n| delete(&format!("x{n}"))).collect();
    let mixed = json!([
        create("b", note("x")),
        update("n1", note("y")),
        delete("n2")
    ]);
    let costs = [
        ("a create", "createRecord", record("a", "x"), 3),
        (
            "a create of what exists",
            "createRecord",
            record("a", "x"),
            3,
        ),
        ("a put of what is there", "putRecord", record("a", "x"), 2),
        ("a put of something else", "putRecord", record("a", "y"), 2),
        ("a put of what is new", "putRecord", record("new", "x"), 2),
        (
            "a put that must be new and is not",
            "putRecord",
            swap(record("a", "z"), "swapRecord", Value::Null),
            2,
        ),
        ("a delete", "deleteRecord", json!({ "rkey": "a" }), 1),
        (
            "a delete of nothing",
            "deleteRecord",
            json!({ "rkey": "a" }),
            1,
        ),
        ("a batch", "applyWrites", json!({ "writes": mixed }), 6),
        ("an empty batch", "applyWrites", json!({ "writes": [] }), 0),
        (
            "a batch upon another commit",
            "applyWrites",
            json!({ "writes": [create("c", note("x"))], "swapCommit": other }),
            3,
        ),
        (
            "a batch too long",
            "applyWrites",
            json!({ "writes": deletes }),
            201,
        ),
        (
            "a record of another type",
            "createRecord",
            json!({ "record": { "$type": "com.example.other" } }),
            3,
        ),
        (
            "a record that refers to no blob",
            "createRecord",
            json!({ "record": { "file": {
                "$type": "blob",
                "ref": { "$link": "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy" },
                "mimeType": "text/plain",
                "size": 3,
            } } }),
            3,
        ),
        (
            "a write to another's repository",
            "createRecord",
            json!({ "repo": "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa", "record": note("x") }),
            3,
        ),
    ];
    for (what, method, body, expected) in costs {
        let points = cost(target, &account, (method, body)).await?;
        same!(points, expected, "points of {what}");
    }
    Ok(())
}

async fn what_is_refused_for_its_token_or_its_input_costs_nothing(target: &Target) -> Result<()> {
    let account = spender(target).await?;
    let float = json!({ "record": { "x": 0.5 } });
    let collection = json!({ "collection": "bad", "record": note("x") });
    let rkey = json!({ "rkey": "a/b", "record": note("x") });
    for body in [float, collection, rkey] {
        let answer = account.write(target, "createRecord", body.clone()).await?;
        answer.refused(400, "InvalidRequest")?;
        for header in HEADERS {
            ensure!(answer.header(header).is_err(), "{header} after {body}");
        }
        let points = cost(target, &account, ("createRecord", body)).await?;
        same!(points, 0, "points");
    }
    let strange = json!({ "writes": [{ "$type": "com.example.odd", "rkey": "a" }] });
    let points = cost(target, &account, ("applyWrites", strange)).await?;
    same!(points, 0, "points of a batch with an unknown kind of write");
    let stranger = Account {
        access: "not.a.token".to_owned(),
        ..account.clone()
    };
    let body = json!({ "record": note("x") });
    let answer = stranger.write(target, "createRecord", body).await?;
    answer.refused(400, "InvalidToken")?;
    ensure!(answer.header("ratelimit-limit").is_err(), "a header");
    Ok(())
}

/// A request from another address: behind a proxy on this machine, which is believed.
fn from(request: reqwest::RequestBuilder, address: &str) -> reqwest::RequestBuilder {
    request.header("x-forwarded-for", address)
}

async fn uploads_are_counted_for_their_address(target: &Target) -> Result<()> {
    let (one, two) = (target.account().await?, target.account().await?);
    let upload = async |account: &Account, address: &str| -> Result<u64> {
        let url = format!("{}/xrpc/com.atproto.repo.uploadBlob", target.pds);
        let request = target.http.post(url).bearer_auth(&account.access);
        let request = request.header("content-type", "text/plain").body("text");
        let answer = Answer::of(from(request, address)).await?;
        answer.ok()?;
        same!(
            answer.header("ratelimit-policy")?,
            "1000;w=86400",
            "policy of an upload"
        );
        number(&answer, "ratelimit-remaining")
    };
    same!(upload(&one, "192.0.2.1").await?, 999, "left");
    same!(upload(&one, "192.0.2.1").await?, 998, "left");
    same!(
        upload(&two, "192.0.2.1").await?,
        997,
        "left for another account"
    );
    same!(
        upload(&one, "192.0.2.2").await?,
        999,
        "left at another address"
    );
    Ok(())
}

async fn an_address_has_a_budget_of_requests(target: &Target) -> Result<()> {
    const HERE: &str = "192.0.2.3";
    let account = target.account().await?;
    let get = async |path: String, address: &str| {
        Answer::of(from(
            target.http.get(format!("{}/xrpc/{path}", target.pds)),
            address,
        ))
        .await
    };
    let described = "com.atproto.server.describeServer";
    let repo = format!("com.atproto.sync.getRepo?did={}", account.did);
    let answers: Vec<Answer> = futures::stream::iter(0..3_000)
        .map(|_| get(described.to_owned(), HERE))
        .buffer_unordered(16)
        .try_collect()
        .await?;
    let mut left = Vec::new();
    for answer in answers {
        answer.ok()?;
        left.push(number(&answer, "ratelimit-remaining")?);
    }
    left.sort_unstable();
    ensure!(left.into_iter().eq(0..3_000), "each one counts once");
    for path in [described, "com.example.unknown"] {
        let refused = get(path.to_owned(), HERE).await?;
        refused.refused(429, "RateLimitExceeded")?;
        same!(refused.header("ratelimit-policy")?, "3000;w=300", "policy");
        ensure!(number(&refused, "retry-after")? <= 300, "how long to wait");
    }
    get(repo, HERE).await?.bytes("application/vnd.ipld.car")?;
    let elsewhere = get(described.to_owned(), "192.0.2.4").await?;
    same!(number(&elsewhere, "ratelimit-remaining")?, 2_999, "left");
    let url = format!("{}/xrpc/com.atproto.repo.putRecord", target.pds);
    let body = json!({ "repo": account.did });
    let nobody = Answer::of(from(target.http.post(&url).json(&body), HERE)).await?;
    nobody.refused(401, "AuthMissing")?;
    let body = json!({ "repo": account.did, "collection": "com.example.note", "rkey": "a", "record": note("x") });
    let write = target
        .http
        .post(url)
        .bearer_auth(&account.access)
        .json(&body);
    let refused = Answer::of(from(write, HERE)).await?;
    refused.refused(429, "RateLimitExceeded")?;
    same!(refused.header("ratelimit-policy")?, "3000;w=300", "policy");
    ensure!(account.get(target, "a").await?.status == 400, "not written");
    Ok(())
}

async fn too_many_logins_are_429(target: &Target) -> Result<()> {
    let account = target.account().await?;
    let body = json!({ "identifier": account.handle, "password": "wrong" });
    for _ in 0..30 {
        let answer = target
            .post(None, "com.atproto.server.createSession", &body)
            .await?;
        answer.refused(401, "AuthenticationRequired")?;
        same!(answer.header("ratelimit-policy")?, "30;w=300", "policy");
    }
    let answer = target
        .post(None, "com.atproto.server.createSession", &body)
        .await?;
    answer.refused(429, "RateLimitExceeded")?;
    ensure!(number(&answer, "retry-after")? > 0, "how long to wait");
    Ok(())
}
