//! From a [`Value`] to any type with serde, as a type comes from JSON: a link is seen as `{"$link": …}`.

use serde::de::value::{MapDeserializer, StringDeserializer};
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Error as _, IntoDeserializer,
    MapAccess, SeqAccess, Unexpected, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::{Value, ValueError};

/// Data as any type with serde. What does not fit is said with the path of its field.
pub fn from_value<T: DeserializeOwned>(value: Value) -> Result<T, ValueError> {
    T::deserialize(ValueDeserializer(value))
}

struct ValueDeserializer(Value);

/// The one field by which JSON says link or bytes.
fn visit_marked<'de, V: Visitor<'de>>(
    visitor: V,
    name: &'static str,
    text: String,
) -> Result<V::Value, ValueError> {
    visitor.visit_map(MapDeserializer::new(std::iter::once((name, text))))
}

impl<'de> Deserializer<'de> for ValueDeserializer {
    type Error = ValueError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(truth) => visitor.visit_bool(truth),
            Value::Int(int) => match u64::try_from(int) {
                Ok(natural) => visitor.visit_u64(natural),
                Err(_) => visitor.visit_i64(int),
            },
            Value::Text(text) => visitor.visit_string(text),
            Value::Bytes(bytes) => visit_marked(
                visitor,
                "$bytes",
                data_encoding::BASE64_NOPAD.encode(&bytes),
            ),
            Value::Link(cid) => visit_marked(visitor, "$link", cid.to_string()),
            Value::List(list) => {
                let mut items = Items {
                    items: list.into_iter(),
                    index: 0,
                };
                let seen = visitor.visit_seq(&mut items)?;
                match items.items.len() {
                    0 => Ok(seen),
                    left => Err(ValueError::custom(format_args!(
                        "a list with {left} items too many"
                    ))),
                }
            }
            Value::Map(map) => visitor.visit_map(Fields {
                fields: map.into_iter(),
                value: None,
            }),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        match self.0 {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        self.deserialize_byte_buf(visitor)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        match self.0 {
            Value::Bytes(bytes) => visitor.visit_byte_buf(bytes),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        match self.0 {
            Value::Link(cid) if name == crate::cid::SERDE_NAME => {
                visitor.visit_newtype_struct(LinkDeserializer(cid.to_bytes()))
            }
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        match self.0 {
            Value::Text(variant) => visitor.visit_enum(Variant {
                variant,
                content: None,
            }),
            Value::Map(map) if map.len() == 1 => {
                let (variant, content) = map.into_iter().next().unwrap_or_default();
                visitor.visit_enum(Variant {
                    variant,
                    content: Some(content),
                })
            }
            other => Err(ValueError::invalid_type(
                Unexpected::Other(other.kind()),
                &"the name of a variant, or an object with one field",
            )),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string
        unit unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

/// The inside of a link's newtype: its binary form.
struct LinkDeserializer(Vec<u8>);

impl<'de> Deserializer<'de> for LinkDeserializer {
    type Error = ValueError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        visitor.visit_byte_buf(self.0)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

struct Items {
    items: std::vec::IntoIter<Value>,
    index: usize,
}

impl<'de> SeqAccess<'de> for Items {
    type Error = ValueError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, ValueError> {
        let Some(item) = self.items.next() else {
            return Ok(None);
        };
        let index = self.index;
        self.index += 1;
        let item = seed.deserialize(ValueDeserializer(item));
        item.map(Some).map_err(|error| error.in_item(index))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len())
    }
}

struct Fields {
    fields: std::collections::btree_map::IntoIter<String, Value>,
    value: Option<(String, Value)>,
}

impl<'de> MapAccess<'de> for Fields {
    type Error = ValueError;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, ValueError> {
        let Some((name, value)) = self.fields.next() else {
            return Ok(None);
        };
        let (name, _) = &*self.value.insert((name, value));
        seed.deserialize(name.as_str().into_deserializer())
            .map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<S::Value, ValueError> {
        let (name, value) = self.value.take().unwrap_or_default();
        seed.deserialize(ValueDeserializer(value))
            .map_err(|error| error.in_field(&name))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.fields.len())
    }
}

struct Variant {
    variant: String,
    content: Option<Value>,
}

impl<'de> EnumAccess<'de> for Variant {
    type Error = ValueError;
    type Variant = VariantContent;

    fn variant_seed<V: DeserializeSeed<'de>>(
        self,
        seed: V,
    ) -> Result<(V::Value, VariantContent), ValueError> {
        let name: StringDeserializer<ValueError> = self.variant.into_deserializer();
        Ok((seed.deserialize(name)?, VariantContent(self.content)))
    }
}

struct VariantContent(Option<Value>);

impl VariantContent {
    fn expect(self, what: &'static str) -> Result<ValueDeserializer, ValueError> {
        let content = self.0.map(ValueDeserializer);
        content.ok_or_else(|| ValueError::invalid_type(Unexpected::UnitVariant, &what))
    }
}

impl<'de> VariantAccess<'de> for VariantContent {
    type Error = ValueError;

    fn unit_variant(self) -> Result<(), ValueError> {
        match self.0 {
            None | Some(Value::Null) => Ok(()),
            Some(other) => Err(ValueError::invalid_type(
                Unexpected::Other(other.kind()),
                &"a variant without data",
            )),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(
        self,
        seed: T,
    ) -> Result<T::Value, ValueError> {
        seed.deserialize(self.expect("a variant with data")?)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, ValueError> {
        self.expect("a variant with a list")?
            .deserialize_any(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        self.expect("a variant with fields")?
            .deserialize_any(visitor)
    }
}
