//! `com.atproto.sync.*`: whole repositories, proofs, heads.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use atcomms_lexicon::{Did, Nsid, RecordKey, Value as Data};
use atcomms_repo::car::Car;
use atcomms_repo::proof::verify_record_proof;
use atcomms_repo::snapshot::Snapshot;
use atcomms_repo::verify::Limits;
use atcomms_repo::{Cid, VerifyingKey};
use serde_json::{Value, json};

use crate::account::{Account, NOTE, create, note};
use crate::answer::{fields, same, text};
use crate::check::checks;
use crate::target::{Target, now_micros};

const NOBODY: &str = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa";
const CAR: &str = "application/vnd.ipld.car";

checks![
    the_latest_commit_is_that_of_the_last_write,
    a_repository_is_exported_and_verifies,
    an_export_since_a_rev_has_what_is_new,
    an_export_since_the_latest_rev_has_no_blocks,
    a_record_is_proven,
    an_absent_record_is_proven_absent,
    the_status_of_a_repository,
    repositories_are_listed,
    whoever_is_not_there_is_repo_not_found,
];

struct Keys {
    did: Did,
    key: VerifyingKey,
}

async fn keys(target: &Target, account: &Account) -> Result<Keys> {
    Ok(Keys {
        did: account.did.parse()?,
        key: target.key(&account.did).await?,
    })
}

async fn filled(target: &Target, records: usize) -> Result<Account> {
    let account = target.account().await?;
    let writes: Value = (0..records)
        .map(|n| create(&format!("n{n}"), note(&n.to_string())))
        .collect();
    account.apply(target, writes).await?.ok()?;
    Ok(account)
}

async fn export(target: &Target, account: &Account, since: Option<&str>) -> Result<Vec<u8>> {
    let mut params = vec![("did", &*account.did)];
    params.extend(since.map(|since| ("since", since)));
    let answer = target.get("com.atproto.sync.getRepo", &params).await?;
    Ok(answer.bytes(CAR)?.to_vec())
}

async fn the_latest_commit_is_that_of_the_last_write(target: &Target) -> Result<()> {
    let account = target.account().await?;
    let made = account.put(target, "k", note("1")).await?;
    same!(
        account.latest(target).await?,
        made["commit"],
        "latest commit"
    );
    let missing = target.get("com.atproto.sync.getLatestCommit", &[]).await?;
    missing.refused(400, "InvalidRequest")
}

async fn a_repository_is_exported_and_verifies(target: &Target) -> Result<()> {
    let account = filled(target, 60).await?;
    let Keys { did, key } = keys(target, &account).await?;
    let car = export(target, &account, None).await?;
    let snapshot = Snapshot::verify(&car, &did, &key, now_micros(), &Limits::default())?;
    let latest = account.latest(target).await?;
    same!(
        snapshot.head().commit().to_string(),
        text(&latest, "cid")?,
        "commit"
    );
    same!(
        snapshot.head().rev().to_string(),
        text(&latest, "rev")?,
        "rev"
    );
    let mut records = 0;
    for record in snapshot.records("") {
        let (collection, rkey) = record.path.split_once('/').context("a path")?;
        same!(collection, NOTE, "collection");
        let value = Data::from_cbor(record.bytes)?.to_json();
        same!(
            value,
            note(rkey.strip_prefix('n').unwrap_or_default()),
            "{rkey}"
        );
        records += 1;
    }
    same!(records, 60, "records");
    Ok(())
}

fn blocks(car: &[u8]) -> Result<BTreeMap<Cid, Vec<u8>>> {
    Ok(Car::read(car)?
        .blocks()
        .map(|(cid, bytes)| (cid, bytes.to_vec()))
        .collect())
}

/// What came before and what is new are the whole repository.
async fn an_export_since_a_rev_has_what_is_new(target: &Target) -> Result<()> {
    let account = filled(target, 60).await?;
    let Keys { did, key } = keys(target, &account).await?;
    let before = export(target, &account, None).await?;
    let since = account.latest(target).await?;
    account.put(target, "later", note("later")).await?;
    account.put(target, "n7", note("changed")).await?;
    account.delete(target, "n8").await?;

    let new = export(target, &account, Some(text(&since, "rev")?)).await?;
    let whole = export(target, &account, None).await?;
    same!(Car::read(&new)?.root(), Car::read(&whole)?.root(), "root");
    ensure!(
        new.len() < whole.len() / 2,
        "{} bytes are not much less than {}",
        new.len(),
        whole.len()
    );
    let mut both = blocks(&before)?;
    both.extend(blocks(&new)?);
    for (cid, bytes) in blocks(&whole)? {
        same!(both.get(&cid), Some(&bytes), "block {cid}");
    }
    Snapshot::verify(&whole, &did, &key, now_micros(), &Limits::default())?;
    Ok(())
}

async fn an_export_since_the_latest_rev_has_no_blocks(target: &Target) -> Result<()> {
    let account = filled(target, 3).await?;
    let latest = account.latest(target).await?;
    for since in [text(&latest, "rev")?, "3zzzzzzzzzz22"] {
        let car = export(target, &account, Some(since)).await?;
        let car = Car::read(&car)?;
        same!(
            car.root().to_string(),
            text(&latest, "cid")?,
            "root since {since}"
        );
        same!(car.len(), 0, "blocks since {since}");
    }
    let params = [("did", &*account.did), ("since", "not a tid")];
    target
        .get("com.atproto.sync.getRepo", &params)
        .await?
        .refused(400, "InvalidRequest")
}

async fn proof(target: &Target, account: &Account, rkey: &str) -> Result<Vec<u8>> {
    let params = [("did", &*account.did), ("collection", NOTE), ("rkey", rkey)];
    let answer = target.get("com.atproto.sync.getRecord", &params).await?;
    Ok(answer.bytes(CAR)?.to_vec())
}

async fn a_record_is_proven(target: &Target) -> Result<()> {
    let account = filled(target, 100).await?;
    let Keys { did, key } = keys(target, &account).await?;
    let collection: Nsid = NOTE.parse()?;
    for n in [0, 42, 99] {
        let rkey: RecordKey = format!("n{n}").parse()?;
        let car = proof(target, &account, rkey.as_str()).await?;
        let proven = verify_record_proof(
            &car,
            &did,
            &collection,
            &rkey,
            &key,
            now_micros(),
            &Limits::default(),
        )?;
        let (_, bytes) = proven.record().context("the record is there")?;
        same!(
            Data::from_cbor(bytes)?.to_json(),
            note(&n.to_string()),
            "record"
        );
        let latest = account.latest(target).await?;
        same!(
            proven.head().commit().to_string(),
            text(&latest, "cid")?,
            "commit"
        );
    }
    Ok(())
}

async fn an_absent_record_is_proven_absent(target: &Target) -> Result<()> {
    let collection: Nsid = NOTE.parse()?;
    for records in [0, 1, 100] {
        let account = filled(target, records).await?;
        let Keys { did, key } = keys(target, &account).await?;
        for rkey in ["a", "n42x", "zz"] {
            let car = proof(target, &account, rkey).await?;
            let proven = verify_record_proof(
                &car,
                &did,
                &collection,
                &rkey.parse()?,
                &key,
                now_micros(),
                &Limits::default(),
            )?;
            ensure!(
                proven.record().is_none(),
                "{rkey} is proven absent among {records}"
            );
        }
    }
    Ok(())
}

async fn the_status_of_a_repository(target: &Target) -> Result<()> {
    let account = target.account().await?;
    let params = [("did", &*account.did)];
    let status = target
        .get("com.atproto.sync.getRepoStatus", &params)
        .await?
        .ok()?;
    let rev = &account.latest(target).await?["rev"];
    same!(
        status,
        json!({ "did": account.did, "active": true, "rev": rev }),
        "status"
    );
    Ok(())
}

async fn repositories_are_listed(target: &Target) -> Result<()> {
    const LIST: &str = "com.atproto.sync.listRepos";
    let ours = [
        target.account().await?,
        target.account().await?,
        target.account().await?,
    ];
    let (mut found, mut cursor, mut pages) = (Vec::new(), None::<String>, 0);
    loop {
        let mut params = vec![("limit", "2")];
        params.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
        let page = target.get(LIST, &params).await?.ok()?;
        for repo in page["repos"].as_array().into_iter().flatten() {
            if let Some(account) = ours.iter().find(|account| repo["did"] == account.did) {
                same!(fields(repo), ["active", "did", "head", "rev"], "fields");
                let latest = account.latest(target).await?;
                same!(repo["head"], latest["cid"], "head");
                same!(repo["rev"], latest["rev"], "rev");
                same!(repo["active"], true, "active");
                found.push(account.did.clone());
            }
        }
        pages += 1;
        ensure!(pages < 500, "the pages never end");
        match page["cursor"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => break,
        }
    }
    same!(
        found,
        ours.map(|account| account.did),
        "each once, in the order of creation"
    );
    for limit in ["0", "1001"] {
        target
            .get(LIST, &[("limit", limit)])
            .await?
            .refused(400, "InvalidRequest")?;
    }
    Ok(())
}

async fn whoever_is_not_there_is_repo_not_found(target: &Target) -> Result<()> {
    for method in ["getRepo", "getLatestCommit", "getRepoStatus", "getRecord"] {
        let mut params = vec![("did", NOBODY)];
        if method == "getRecord" {
            params.extend([("collection", NOTE), ("rkey", "k")]);
        }
        let answer = target
            .get(&format!("com.atproto.sync.{method}"), &params)
            .await?;
        answer
            .refused(400, "RepoNotFound")
            .with_context(|| method.to_owned())?;
    }
    Ok(())
}
