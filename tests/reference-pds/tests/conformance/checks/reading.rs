//! `getRecord`, `listRecords`, `describeRepo`.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::account::{Account, NOTE, create, note};
use crate::answer::{fields, same, text};
use crate::check::checks;
use crate::target::Target;

const GET: &str = "com.atproto.repo.getRecord";
const LIST: &str = "com.atproto.repo.listRecords";
const NOBODY: &str = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa";

checks![
    a_record_is_read_by_did_and_handle,
    a_record_that_is_absent,
    a_list_begins_with_the_newest_key,
    a_list_has_pages,
    a_list_has_bounds,
    a_repository_is_described,
];

async fn a_record_is_read_by_did_and_handle(target: &Target) -> Result<()> {
    let account = target.account().await?;
    let made = account.put(target, "k", note("1")).await?;
    let cid = text(&made, "cid")?;
    for repo in [&account.did, &account.handle] {
        let params = [("repo", &**repo), ("collection", NOTE), ("rkey", "k")];
        let read = target.get(GET, &params).await?.ok()?;
        let expected = json!({ "uri": format!("at://{}/{NOTE}/k", account.did), "cid": cid, "value": note("1") });
        same!(read, expected, "record of {repo}");
    }
    let exact = [
        ("repo", &*account.did),
        ("collection", NOTE),
        ("rkey", "k"),
        ("cid", cid),
    ];
    target.get(GET, &exact).await?.ok()?;
    account.put(target, "k", note("2")).await?;
    target
        .get(GET, &exact)
        .await?
        .refused(400, "RecordNotFound")
}

async fn a_record_that_is_absent(target: &Target) -> Result<()> {
    let account = target.account().await?;
    account
        .get(target, "absent")
        .await?
        .refused(400, "RecordNotFound")?;
    for repo in [NOBODY, "nobody.test"] {
        let params = [("repo", repo), ("collection", NOTE), ("rkey", "k")];
        target
            .get(GET, &params)
            .await?
            .refused(400, "InvalidRequest")?;
    }
    let no_key = [("repo", &*account.did), ("collection", NOTE)];
    target
        .get(GET, &no_key)
        .await?
        .refused(400, "InvalidRequest")
}

async fn page(
    target: &Target,
    account: &Account,
    params: &[(&str, &str)],
) -> Result<(Vec<String>, Option<String>)> {
    let mut all = vec![("repo", &*account.did), ("collection", NOTE)];
    all.extend_from_slice(params);
    let list = target.get(LIST, &all).await?.ok()?;
    let mut keys = Vec::new();
    for record in list["records"].as_array().into_iter().flatten() {
        same!(
            fields(record),
            ["cid", "uri", "value"],
            "fields of a record"
        );
        keys.push(
            text(record, "uri")?
                .rsplit('/')
                .next()
                .unwrap_or_default()
                .to_owned(),
        );
    }
    Ok((keys, list["cursor"].as_str().map(ToOwned::to_owned)))
}

async fn filled(target: &Target, keys: &[&str]) -> Result<Account> {
    let account = target.account().await?;
    let writes: Value = keys.iter().map(|key| create(key, note(key))).collect();
    account.apply(target, writes).await?.ok()?;
    let other = json!({ "collection": "com.example.other", "rkey": "x", "record": {} });
    account.write(target, "putRecord", other).await?.ok()?;
    Ok(account)
}

async fn a_list_begins_with_the_newest_key(target: &Target) -> Result<()> {
    let account = filled(target, &["b", "a", "10", "9", "Z", "c"]).await?;
    let (keys, cursor) = page(target, &account, &[]).await?;
    same!(keys, ["c", "b", "a", "Z", "9", "10"], "keys");
    same!(cursor.as_deref(), Some("10"), "cursor");
    let (keys, cursor) = page(target, &account, &[("reverse", "true")]).await?;
    same!(keys, ["10", "9", "Z", "a", "b", "c"], "keys in reverse");
    same!(cursor.as_deref(), Some("c"), "cursor in reverse");
    let params = [("repo", &*account.did), ("collection", "com.example.none")];
    same!(
        target.get(LIST, &params).await?.ok()?,
        json!({ "records": [] }),
        "an empty list"
    );
    Ok(())
}

async fn a_list_has_pages(target: &Target) -> Result<()> {
    let keys: Vec<String> = (0..7).map(|n| format!("key{n}")).collect();
    let account = filled(target, &keys.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    for reverse in ["false", "true"] {
        let mut expected = keys.clone();
        if reverse == "false" {
            expected.reverse();
        }
        let (mut seen, mut cursor, mut pages) = (Vec::new(), None::<String>, 0);
        loop {
            let mut params = vec![("limit", "3"), ("reverse", reverse)];
            params.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
            let (keys, next) = page(target, &account, &params).await?;
            pages += 1;
            ensure!(pages < 10, "the pages never end");
            seen.extend(keys);
            match next {
                Some(next) => cursor = Some(next),
                None => break,
            }
        }
        same!(seen, expected, "keys of all pages");
        same!(pages, 4, "pages, the last one empty");
    }
    Ok(())
}

async fn a_list_has_bounds(target: &Target) -> Result<()> {
    let keys: Vec<String> = (0..120).map(|n| format!("{n:03}")).collect();
    let account = filled(target, &keys.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    same!(
        page(target, &account, &[]).await?.0.len(),
        50,
        "records by default"
    );
    same!(
        page(target, &account, &[("limit", "100")]).await?.0.len(),
        100,
        "records at most"
    );
    for limit in ["0", "101", "x"] {
        let params = [
            ("repo", &*account.did),
            ("collection", NOTE),
            ("limit", limit),
        ];
        target
            .get(LIST, &params)
            .await?
            .refused(400, "InvalidRequest")?;
    }
    let nobody = [("repo", NOBODY), ("collection", NOTE)];
    target
        .get(LIST, &nobody)
        .await?
        .refused(400, "InvalidRequest")
}

async fn a_repository_is_described(target: &Target) -> Result<()> {
    let account = filled(target, &["a"]).await?;
    let params = [("repo", &*account.handle)];
    let described = target
        .get("com.atproto.repo.describeRepo", &params)
        .await?
        .ok()?;
    same!(described["did"], account.did, "did");
    same!(described["handle"], account.handle, "handle");
    same!(described["handleIsCorrect"], true, "handleIsCorrect");
    same!(
        described["collections"],
        json!([NOTE, "com.example.other"]),
        "collections"
    );
    same!(
        described["didDoc"],
        target.document(&account.did).await?,
        "document"
    );
    Ok(())
}
