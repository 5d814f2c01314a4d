//! What a record may hold, and what `validate` does.

use anyhow::Result;
use serde_json::{Value, json};

use crate::account::{Account, NOTE, note};
use crate::answer::{Answer, fields, same};
use crate::check::checks;
use crate::target::Target;

checks![
    a_missing_type_is_filled_in,
    another_type_is_400,
    names_and_keys_are_checked,
    a_float_is_400,
    a_whole_float_is_an_integer,
    integers_end_at_53_bits,
    a_malformed_link_is_stored_as_it_is,
    links_and_bytes_come_back_as_they_were,
    validation_of_an_unknown_lexicon,
    a_known_lexicon_is_validated,
    a_body_over_a_megabyte_is_413,
];

async fn create(target: &Target, account: &Account, record: Value) -> Result<Answer> {
    account
        .write(
            target,
            "createRecord",
            json!({ "rkey": "k", "record": record }),
        )
        .await
}

async fn a_missing_type_is_filled_in(target: &Target) -> Result<()> {
    let account = target.account().await?;
    create(target, &account, json!({ "text": "x" }))
        .await?
        .ok()?;
    same!(account.value(target, "k").await?, note("x"), "value");
    Ok(())
}

async fn another_type_is_400(target: &Target) -> Result<()> {
    let account = target.account().await?;
    let record = json!({ "$type": "com.example.other", "text": "x" });
    create(target, &account, record)
        .await?
        .refused(400, "InvalidRequest")
}

async fn names_and_keys_are_checked(target: &Target) -> Result<()> {
    let account = target.account().await?;
    let put = async |collection: &str, rkey: &str| {
        let body = json!({ "collection": collection, "rkey": rkey, "record": { "text": "x" } });
        account.write(target, "putRecord", body).await
    };
    put("not an nsid", "k")
        .await?
        .refused(400, "InvalidRequest")?;
    put("nsid", "k").await?.refused(400, "InvalidRequest")?;
    for bad in ["", "a/b", ".", "..", "a b", "ä", &"k".repeat(513)] {
        put(NOTE, bad).await?.refused(400, "InvalidRequest")?;
    }
    for good in [
        "a",
        "self",
        "3jzfcijpj2z2a",
        "a.b-c_d:e~f",
        &"k".repeat(512),
    ] {
        put(NOTE, good).await?.ok()?;
    }
    for record in [json!("text"), json!(7), json!([]), Value::Null] {
        create(target, &account, record)
            .await?
            .refused(400, "InvalidRequest")?;
    }
    Ok(())
}

async fn a_float_is_400(target: &Target) -> Result<()> {
    let account = target.account().await?;
    for record in [
        json!({ "$type": NOTE, "number": 1.5 }),
        json!({ "$type": NOTE, "deep": { "list": [{ "number": -0.1 }] } }),
    ] {
        create(target, &account, record)
            .await?
            .refused(400, "InvalidRequest")?;
    }
    Ok(())
}

async fn a_whole_float_is_an_integer(target: &Target) -> Result<()> {
    let account = target.account().await?;
    create(target, &account, json!({ "$type": NOTE, "number": 1.0 }))
        .await?
        .ok()?;
    same!(
        account.value(target, "k").await?,
        json!({ "$type": NOTE, "number": 1 }),
        "value"
    );
    Ok(())
}

async fn integers_end_at_53_bits(target: &Target) -> Result<()> {
    let account = target.account().await?;
    let record = |number: i64| json!({ "$type": NOTE, "number": number });
    let largest = (1_i64 << 53) - 1;
    for (n, number) in [largest, -largest, 0, -1].into_iter().enumerate() {
        let body = json!({ "rkey": format!("n{n}"), "record": record(number) });
        account.write(target, "createRecord", body).await?.ok()?;
        same!(
            account.value(target, &format!("n{n}")).await?,
            record(number),
            "value"
        );
    }
    let answer = create(target, &account, record(largest + 1)).await?;
    answer.refused(500, "InternalServerError")
}

async fn a_malformed_link_is_stored_as_it_is(target: &Target) -> Result<()> {
    let account = target.account().await?;
    create(
        target,
        &account,
        json!({ "$type": NOTE, "link": { "$link": "no" } }),
    )
    .await?
    .ok()?;
    Ok(())
}

async fn links_and_bytes_come_back_as_they_were(target: &Target) -> Result<()> {
    let account = target.account().await?;
    let record = json!({
        "$type": NOTE,
        "link": { "$link": "bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a" },
        "bytes": { "$bytes": "AQIDBA" },
        "null": null,
        "list": [1, "two", [3], { "four": true }],
        "text": "grüße \u{1f44b}\u{0000}\"",
        "empty": {},
    });
    let made = create(target, &account, record.clone()).await?.ok()?;
    same!(account.value(target, "k").await?, record, "value");
    let ours = atcomms_lexicon::Value::from_json(record)?.to_cbor();
    same!(
        made["cid"],
        atcomms_lexicon::cid_for_cbor(&ours).to_string(),
        "cid"
    );
    Ok(())
}

async fn validation_of_an_unknown_lexicon(target: &Target) -> Result<()> {
    let account = target.account().await?;
    let write = async |validate: Value| {
        let mut body = json!({ "record": note("x") });
        if !validate.is_null() {
            body["validate"] = validate;
        }
        account.write(target, "createRecord", body).await
    };
    write(json!(true)).await?.refused(400, "InvalidRequest")?;
    same!(
        fields(&write(json!(false)).await?.ok()?),
        ["cid", "commit", "uri"],
        "fields, unvalidated"
    );
    same!(
        write(Value::Null).await?.ok()?["validationStatus"],
        "unknown",
        "validationStatus"
    );
    Ok(())
}

async fn a_known_lexicon_is_validated(target: &Target) -> Result<()> {
    let account = target.account().await?;
    let post = async |text: Value| {
        let record = json!({ "$type": "app.bsky.feed.post", "text": text, "createdAt": "2026-01-01T00:00:00Z" });
        let body = json!({ "collection": "app.bsky.feed.post", "record": record });
        account.write(target, "createRecord", body).await
    };
    same!(
        post(json!("hi")).await?.ok()?["validationStatus"],
        "valid",
        "validationStatus"
    );
    post(json!(5)).await?.refused(400, "InvalidRequest")
}

async fn a_body_over_a_megabyte_is_413(target: &Target) -> Result<()> {
    let account = target.account().await?;
    create(target, &account, note(&"x".repeat(990_000)))
        .await?
        .ok()?;
    let answer = create(target, &account, note(&"x".repeat(1_000_000))).await?;
    answer.refused(413, "PayloadTooLargeError")
}
