use crate::Nsid;
use crate::object::{definition, object};
use crate::value::{Map, Value, from_payload_data, to_payload_data};

object! {
    /// Data, and the name of the schema that says what it means.
    pub struct Payload = "agent.comms.defs#payload" lenient wrap_bare_data {
        required {
            /// The schema of `data`; [`Payload::UNTYPED`] where there is none.
            schema: Nsid = "schema";
            /// The data; see [`Payload::new`] for what is not an object.
            data: Map = "data";
        }
    }
}
definition!(Payload = "agent.comms.defs#payload");

impl Payload {
    /// The schema of data that has none: what it means is agreed on elsewhere, by the name of the task for instance.
    pub const UNTYPED: &'static str = "agent.comms.untyped";

    /// Any data of a schema; what is not an object is wrapped as `{"value": …}`.
    pub fn new(schema: impl Into<Nsid>, data: impl Into<Value>) -> Self {
        Self::bare(schema.into(), to_payload_data(data.into()))
    }

    /// Any data, without a schema.
    pub fn untyped(data: impl Into<Value>) -> Self {
        Self::new(Nsid::from_checked(Self::UNTYPED), data)
    }

    /// The data as it was before it was wrapped.
    pub fn value(&self) -> Value {
        from_payload_data(self.data.clone())
    }
}

/// Older records hold the data itself where a payload belongs.
fn wrap_bare_data(value: Value) -> Value {
    match value {
        Value::Map(map) if map.contains_key("schema") && map.contains_key("data") => {
            Value::Map(map)
        }
        data => Value::from([
            ("schema", Payload::UNTYPED.into()),
            ("data", Value::Map(to_payload_data(data))),
        ]),
    }
}
