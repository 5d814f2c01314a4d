//! A record on its way in: from JSON to the bytes that are signed, refused in the reference PDS's words.

use atcomms_lexicon::value::MAX_VALUES;
use atcomms_lexicon::{BlobRef, Cid, Map, Nsid, RecordKey, Value, cid_for_cbor};
use serde_json::Value as Json;

use crate::input::Input;
use crate::xrpc::XrpcError;

/// A record that can be written.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) cbor: Vec<u8>,
    pub(super) cid: Cid,
    /// The blobs that it refers to.
    pub(super) blobs: Vec<BlobRef>,
    /// `unknown`, unless the caller asked for no validation: a devnet knows no lexicon.
    pub(super) validation: Option<&'static str>,
}

/// A record as it was sent: an object without fractions, which is all that the method's lexicon asks of it.
pub(super) struct Draft {
    json: Json,
    /// Where it was in the input.
    path: String,
}

impl Draft {
    /// Takes a draft out of an input.
    pub(super) fn take(input: &mut Input, name: &str) -> Result<Self, XrpcError> {
        let path = input.at(name);
        let json = Json::Object(input.take_object(name)?);
        refuse_floats(&json, &path)?;
        Ok(Self { json, path })
    }

    /// Prepares the draft for a collection.
    pub(super) fn prepare(
        self,
        collection: &Nsid,
        validate: Option<bool>,
    ) -> Result<Record, XrpcError> {
        let Self { json, path } = self;
        let Value::Map(mut fields) = to_value(json, &path)? else {
            return Err(XrpcError::invalid(format!(
                "Expected object value type at {path}"
            )));
        };
        match fields.get("$type") {
            None => {
                let nsid = Value::Text(collection.as_str().to_owned());
                fields.insert("$type".to_owned(), nsid);
            }
            Some(Value::Text(nsid)) if nsid == collection.as_str() => {}
            Some(other) => {
                let got = match other.to_json() {
                    Json::String(text) => text,
                    other => other.to_string(),
                };
                return Err(XrpcError::invalid(format!(
                    "Invalid $type: expected {collection}, got {got}"
                )));
            }
        }
        if validate == Some(true) {
            return Err(XrpcError::invalid(format!(
                "Unknown lexicon type: {collection}"
            )));
        }
        let blobs = blobs_of(&fields)?;
        let cbor = Value::Map(fields).to_cbor();
        if cbor.len() > MAX_VALUES {
            // Only now may it hold more values than anyone here reads back.
            Value::from_cbor(&cbor).map_err(|error| {
                XrpcError::invalid(format!("Invalid record at {path}: {error}"))
            })?;
        }
        Ok(Record {
            cid: cid_for_cbor(&cbor),
            cbor,
            blobs,
            validation: (validate != Some(false)).then_some("unknown"),
        })
    }
}

/// The path of a record in its repository.
pub(super) fn path(collection: &Nsid, rkey: &RecordKey) -> String {
    format!("{collection}/{rkey}")
}

/// Every blob that a record refers to.
pub(super) fn blobs_of(fields: &Map) -> Result<Vec<BlobRef>, XrpcError> {
    let mut blobs = Vec::new();
    for value in fields.values() {
        collect_blobs(value, &mut blobs)?;
    }
    Ok(blobs)
}

fn collect_blobs(value: &Value, blobs: &mut Vec<BlobRef>) -> Result<(), XrpcError> {
    match value {
        Value::List(list) => {
            for item in list {
                collect_blobs(item, blobs)?;
            }
        }
        Value::Map(fields) => {
            if let Some(blob) = as_blob(fields) {
                blobs.push(blob);
                return Ok(());
            }
            if let Some(cid) = as_legacy_blob(fields) {
                return Err(XrpcError::invalid(format!(
                    "Legacy blobs are not allowed ({cid})"
                )));
            }
            for item in fields.values() {
                collect_blobs(item, blobs)?;
            }
        }
        _ => {}
    }
    Ok(())
}

fn as_blob(fields: &Map) -> Option<BlobRef> {
    match (
        fields.get("$type"),
        fields.get("ref"),
        fields.get("mimeType"),
        fields.get("size"),
    ) {
        (
            Some(Value::Text(kind)),
            Some(Value::Link(cid)),
            Some(Value::Text(mime_type)),
            Some(Value::Int(size)),
        ) if kind == "blob" => Some(BlobRef {
            cid: *cid,
            mime_type: mime_type.clone(),
            size: u64::try_from(*size).ok()?,
        }),
        _ => None,
    }
}

/// The form of before 2023: `{"cid", "mimeType"}` and nothing else.
fn as_legacy_blob(fields: &Map) -> Option<&str> {
    match (fields.len(), fields.get("cid"), fields.get("mimeType")) {
        (2, Some(Value::Text(cid)), Some(Value::Text(_))) if cid.parse::<Cid>().is_ok() => {
            Some(cid)
        }
        _ => None,
    }
}

/// Fractions are a 400 with the field's path.
fn refuse_floats(json: &Json, path: &str) -> Result<(), XrpcError> {
    match json {
        Json::Number(number) => match number.as_f64() {
            Some(float) if float.fract() != 0.0 => Err(XrpcError::invalid(format!(
                "Expected one of null, boolean, integer, string, cid, bytes, array or object value type (got {number}) at {path}"
            ))),
            _ => Ok(()),
        },
        Json::Array(list) => list
            .iter()
            .enumerate()
            .try_for_each(|(index, item)| refuse_floats(item, &format!("{path}[{index}]"))),
        Json::Object(fields) => fields
            .iter()
            .try_for_each(|(name, item)| refuse_floats(item, &format!("{path}.{name}"))),
        _ => Ok(()),
    }
}

fn to_value(json: Json, path: &str) -> Result<Value, XrpcError> {
    Value::from_json(json).map_err(|error| match error.problem() {
        // The reference PDS reads it as a double, and then fails to write that.
        atcomms_lexicon::ValueProblem::IntegerTooLarge
        | atcomms_lexicon::ValueProblem::Float(_) => XrpcError::internal(error),
        _ => XrpcError::invalid(format!("Invalid record at {path}: {error}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepare(json: Json) -> Result<Record, XrpcError> {
        let mut input = Input::from_value("$", serde_json::json!({ "record": json }))?;
        let collection = "com.example.note".parse().unwrap();
        Draft::take(&mut input, "record")?.prepare(&collection, None)
    }

    #[test]
    fn a_missing_type_is_filled_in_and_another_one_is_refused() {
        let bare = prepare(serde_json::json!({ "a": 1 })).unwrap();
        let typed = prepare(serde_json::json!({ "a": 1, "$type": "com.example.note" })).unwrap();
        assert_eq!(bare.cid, typed.cid);
        // Computed by the reference PDS for the same record.
        let expected = "bafyreiapv3ta7yptsxqx72ipniebycehlonsvqbhi32ynkww6xqewblcgq";
        assert_eq!(bare.cid.to_string(), expected);
        let other = prepare(serde_json::json!({ "$type": "com.example.other" })).unwrap_err();
        assert_eq!(
            other.message,
            "Invalid $type: expected com.example.note, got com.example.other"
        );
    }

    #[test]
    fn a_fraction_is_a_400_with_its_path_and_a_huge_integer_a_500() {
        let error = prepare(serde_json::json!({ "a": [1, { "b": 0.5 }] })).unwrap_err();
        assert_eq!(error.status, 400);
        assert!(
            error.message.ends_with("(got 0.5) at $.record.a[1].b"),
            "{}",
            error.message
        );
        for huge in [
            serde_json::json!(9_007_199_254_740_993_u64),
            serde_json::json!(1e300),
        ] {
            let error = prepare(serde_json::json!({ "a": huge })).unwrap_err();
            assert_eq!(
                (error.status.as_u16(), error.error),
                (500, "InternalServerError")
            );
        }
        assert!(prepare(serde_json::json!({ "a": 1.0, "b": -9_007_199_254_740_991_i64 })).is_ok());
    }

    #[test]
    fn blobs_are_found_wherever_they_are() {
        let cid = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy";
        let blob = serde_json::json!({ "$type": "blob", "ref": { "$link": cid }, "mimeType": "text/plain", "size": 3 });
        let record = prepare(serde_json::json!({ "a": [{ "b": blob }], "c": blob })).unwrap();
        assert_eq!(record.blobs.len(), 2);
        let legacy = serde_json::json!({ "a": { "cid": cid, "mimeType": "text/plain" } });
        assert!(
            prepare(legacy)
                .unwrap_err()
                .message
                .contains("Legacy blobs")
        );
    }
}
