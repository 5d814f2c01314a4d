//! From any type with serde to a [`Value`], as a type goes to JSON: what serializes to `{"$link": …}` is a link.

use serde::ser::{self, Serialize, Serializer};

use super::{Map, Value, ValueError, ValueProblem, check, json};

/// The data of any type with serde. A float is refused, with the path of its field.
///
/// Types see a format for people, as in JSON, so that a record in a repository and its JSON say the same.
pub fn to_value<T: Serialize + ?Sized>(data: &T) -> Result<Value, ValueError> {
    data.serialize(ValueSerializer)
}

struct ValueSerializer;

impl Serializer for ValueSerializer {
    type Ok = Value;
    type Error = ValueError;
    type SerializeSeq = ListWriter;
    type SerializeTuple = ListWriter;
    type SerializeTupleStruct = ListWriter;
    type SerializeTupleVariant = ListWriter;
    type SerializeMap = MapWriter;
    type SerializeStruct = MapWriter;
    type SerializeStructVariant = MapWriter;

    fn serialize_bool(self, truth: bool) -> Result<Value, ValueError> {
        Ok(Value::Bool(truth))
    }

    fn serialize_i8(self, int: i8) -> Result<Value, ValueError> {
        Ok(Value::Int(int.into()))
    }

    fn serialize_i16(self, int: i16) -> Result<Value, ValueError> {
        Ok(Value::Int(int.into()))
    }

    fn serialize_i32(self, int: i32) -> Result<Value, ValueError> {
        Ok(Value::Int(int.into()))
    }

    fn serialize_i64(self, int: i64) -> Result<Value, ValueError> {
        Ok(Value::Int(check::check_int(int)?))
    }

    fn serialize_u8(self, int: u8) -> Result<Value, ValueError> {
        Ok(Value::Int(int.into()))
    }

    fn serialize_u16(self, int: u16) -> Result<Value, ValueError> {
        Ok(Value::Int(int.into()))
    }

    fn serialize_u32(self, int: u32) -> Result<Value, ValueError> {
        Ok(Value::Int(int.into()))
    }

    fn serialize_u64(self, int: u64) -> Result<Value, ValueError> {
        self.serialize_i64(i64::try_from(int).unwrap_or(i64::MAX))
    }

    fn serialize_f32(self, float: f32) -> Result<Value, ValueError> {
        Err(ValueProblem::Float(float.to_string()).into())
    }

    fn serialize_f64(self, float: f64) -> Result<Value, ValueError> {
        Err(ValueProblem::Float(float.to_string()).into())
    }

    fn serialize_char(self, char: char) -> Result<Value, ValueError> {
        Ok(Value::Text(char.to_string()))
    }

    fn serialize_str(self, text: &str) -> Result<Value, ValueError> {
        Ok(Value::Text(text.to_owned()))
    }

    fn serialize_bytes(self, bytes: &[u8]) -> Result<Value, ValueError> {
        Ok(Value::Bytes(bytes.to_vec()))
    }

    fn serialize_none(self) -> Result<Value, ValueError> {
        Ok(Value::Null)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Value, ValueError> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<Value, ValueError> {
        Ok(Value::Null)
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<Value, ValueError> {
        Ok(Value::Null)
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<Value, ValueError> {
        Ok(Value::Text(variant.to_owned()))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<Value, ValueError> {
        match value.serialize(self)? {
            Value::Bytes(bytes) if name == crate::cid::SERDE_NAME => {
                let cid = crate::cid::from_bytes(&bytes);
                cid.map(Value::Link)
                    .ok_or(ValueProblem::Model("a link is not a CID").into())
            }
            value => Ok(value),
        }
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<Value, ValueError> {
        let value = value
            .serialize(self)
            .map_err(|error| error.in_field(variant))?;
        Ok(in_variant(variant, value))
    }

    fn serialize_seq(self, length: Option<usize>) -> Result<ListWriter, ValueError> {
        Ok(ListWriter {
            list: Vec::with_capacity(length.unwrap_or_default()),
            variant: None,
        })
    }

    fn serialize_tuple(self, length: usize) -> Result<ListWriter, ValueError> {
        self.serialize_seq(Some(length))
    }

    fn serialize_tuple_struct(
        self,
        _: &'static str,
        length: usize,
    ) -> Result<ListWriter, ValueError> {
        self.serialize_seq(Some(length))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<ListWriter, ValueError> {
        Ok(ListWriter {
            list: Vec::with_capacity(length),
            variant: Some(variant),
        })
    }

    fn serialize_map(self, _: Option<usize>) -> Result<MapWriter, ValueError> {
        Ok(MapWriter::default())
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<MapWriter, ValueError> {
        Ok(MapWriter::default())
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<MapWriter, ValueError> {
        Ok(MapWriter {
            variant: Some(variant),
            ..MapWriter::default()
        })
    }
}

fn in_variant(variant: &str, value: Value) -> Value {
    Value::from([(variant, value)])
}

struct ListWriter {
    list: Vec<Value>,
    variant: Option<&'static str>,
}

impl ListWriter {
    fn push<T: Serialize + ?Sized>(&mut self, item: &T) -> Result<(), ValueError> {
        let index = self.list.len();
        self.list
            .push(to_value(item).map_err(|error| error.in_item(index))?);
        Ok(())
    }

    fn finish(self) -> Value {
        let list = Value::List(self.list);
        match self.variant {
            Some(variant) => in_variant(variant, list),
            None => list,
        }
    }
}

#[derive(Default)]
struct MapWriter {
    map: Map,
    name: String,
    variant: Option<&'static str>,
}

impl MapWriter {
    fn insert<T: Serialize + ?Sized>(&mut self, name: String, value: &T) -> Result<(), ValueError> {
        let value = to_value(value).map_err(|error| error.in_field(&name))?;
        self.map.insert(name, value);
        Ok(())
    }

    fn finish(self) -> Result<Value, ValueError> {
        let value = json::from_json_fields(self.map)?;
        Ok(match self.variant {
            Some(variant) => in_variant(variant, value),
            None => value,
        })
    }
}

macro_rules! list_writer {
    ($($serialize:ident: $method:ident),*) => {$(
        impl ser::$serialize for ListWriter {
            type Ok = Value;
            type Error = ValueError;

            fn $method<T: Serialize + ?Sized>(&mut self, item: &T) -> Result<(), ValueError> {
                self.push(item)
            }

            fn end(self) -> Result<Value, ValueError> {
                Ok(self.finish())
            }
        }
    )*};
}
list_writer!(
    SerializeSeq: serialize_element,
    SerializeTuple: serialize_element,
    SerializeTupleStruct: serialize_field,
    SerializeTupleVariant: serialize_field
);

macro_rules! struct_writer {
    ($($serialize:ident),*) => {$(
        impl ser::$serialize for MapWriter {
            type Ok = Value;
            type Error = ValueError;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), ValueError> {
                self.insert(name.to_owned(), value)
            }

            fn end(self) -> Result<Value, ValueError> {
                self.finish()
            }
        }
    )*};
}
struct_writer!(SerializeStruct, SerializeStructVariant);

impl ser::SerializeMap for MapWriter {
    type Ok = Value;
    type Error = ValueError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, name: &T) -> Result<(), ValueError> {
        self.name = match to_value(name)? {
            Value::Text(name) => name,
            Value::Int(number) => number.to_string(),
            other => {
                let message = format!("the name of a field must be a text, not {}", other.kind());
                return Err(ValueProblem::Shape(message).into());
            }
        };
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), ValueError> {
        let name = std::mem::take(&mut self.name);
        self.insert(name, value)
    }

    fn end(self) -> Result<Value, ValueError> {
        self.finish()
    }
}
