use data_encoding::{BASE64, BASE64_NOPAD};
use serde_json::Value as Json;

use super::{MAX_DEPTH, Map, Value, ValueError, ValueProblem, check};

impl Value {
    /// Reads the JSON form: `{"$link": "bafy…"}` is a link, `{"$bytes": "…"}` are bytes (base64).
    ///
    /// A float that is an integer (`3.0`) is taken for it; any other is refused, with the path of its field.
    pub fn from_json(json: Json) -> Result<Value, ValueError> {
        read(json, 0)
    }

    /// The JSON form.
    pub fn to_json(&self) -> Json {
        match self {
            Self::Null => Json::Null,
            Self::Bool(truth) => Json::Bool(*truth),
            Self::Int(int) => Json::from(*int),
            Self::Text(text) => Json::String(text.clone()),
            Self::Bytes(bytes) => serde_json::json!({ "$bytes": BASE64_NOPAD.encode(bytes) }),
            Self::Link(cid) => serde_json::json!({ "$link": cid.to_string() }),
            Self::List(list) => Json::Array(list.iter().map(Value::to_json).collect()),
            Self::Map(map) => Json::Object(map_to_json(map)),
        }
    }
}

/// The JSON form of an object's fields.
pub(crate) fn map_to_json(map: &Map) -> serde_json::Map<String, Json> {
    map.iter()
        .map(|(name, value)| (name.clone(), value.to_json()))
        .collect()
}

fn read(json: Json, depth: usize) -> Result<Value, ValueError> {
    match json {
        Json::Null => Ok(Value::Null),
        Json::Bool(truth) => Ok(Value::Bool(truth)),
        Json::Number(number) => Ok(Value::Int(read_number(&number)?)),
        Json::String(text) => Ok(Value::Text(text)),
        Json::Array(_) | Json::Object(_) if depth >= MAX_DEPTH => Err(ValueProblem::TooDeep.into()),
        Json::Array(list) => {
            let list = list.into_iter().enumerate();
            let list = list
                .map(|(index, item)| read(item, depth + 1).map_err(|error| error.in_item(index)));
            Ok(Value::List(list.collect::<Result<_, _>>()?))
        }
        Json::Object(fields) => {
            let mut map = Map::new();
            for (name, value) in fields {
                let value = read(value, depth + 1).map_err(|error| error.in_field(&name))?;
                map.insert(name, value);
            }
            Ok(from_json_fields(map)?)
        }
    }
}

fn read_number(number: &serde_json::Number) -> Result<i64, ValueProblem> {
    match number.as_i64() {
        Some(int) => check::check_int(int),
        None if number.is_u64() => Err(ValueProblem::IntegerTooLarge),
        None => check::integer_like(number.as_f64().unwrap_or(f64::INFINITY)),
    }
}

/// What an object of JSON stands for: a link, bytes, or an object.
pub(super) fn from_json_fields(map: Map) -> Result<Value, ValueProblem> {
    if map.len() == 1 {
        if let Some(link) = map.get("$link") {
            let cid = link.as_text().and_then(|text| crate::cid::parse(text).ok());
            return cid
                .map(Value::Link)
                .ok_or(ValueProblem::Model("$link must be a CID"));
        }
        if let Some(bytes) = map.get("$bytes") {
            let bytes = bytes.as_text().and_then(decode_base64);
            return bytes
                .map(Value::Bytes)
                .ok_or(ValueProblem::Model("$bytes must be base64"));
        }
    }
    check::check_map(&map)?;
    Ok(Value::Map(map))
}

/// Base64 with or without padding: the data model makes it optional.
fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let encoding = if text.ends_with('=') {
        BASE64
    } else {
        BASE64_NOPAD
    };
    encoding.decode(text.as_bytes()).ok()
}
