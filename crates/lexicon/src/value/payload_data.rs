use super::{Map, Value};

/// The field that holds what is not an object, where only an object may stand.
const WRAPPED: &str = "value";

/// Makes an object of any data, as a lexicon's `unknown` asks for: what is not one becomes `{"value": …}`.
pub fn to_payload_data(value: Value) -> Map {
    match value {
        // An object that looks wrapped is wrapped again, so that it comes back as it was.
        Value::Map(map) if !is_wrapped(&map) => map,
        other => Map::from([(WRAPPED.to_owned(), other)]),
    }
}

/// The data that [`to_payload_data`] made an object of.
pub fn from_payload_data(mut map: Map) -> Value {
    if is_wrapped(&map) {
        map.remove(WRAPPED).unwrap_or_default()
    } else {
        Value::Map(map)
    }
}

fn is_wrapped(map: &Map) -> bool {
    map.len() == 1 && map.contains_key(WRAPPED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_data_comes_back() {
        let object = Value::from([("a", Value::Int(1))]);
        let alike = Value::from([("value", Value::Int(1))]);
        for data in [
            Value::Null,
            Value::Int(7),
            vec![1, 2].into(),
            object.clone(),
            alike,
        ] {
            assert_eq!(from_payload_data(to_payload_data(data.clone())), data);
        }
        assert_eq!(
            Value::Map(to_payload_data(object.clone())),
            object,
            "an object needs no wrapping"
        );
        assert_eq!(to_payload_data(Value::Int(7))["value"], Value::Int(7));
    }
}
