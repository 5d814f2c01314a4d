//! Strict DAG-CBOR: one encoding for each value, so that bytes and value stand for each other.
//!
//! Refused are: lengths not in their shortest form, indefinite lengths, keys that are not texts, not in order or twice,
//! tags other than 42, floats, integers beyond 53 bits, text that is not UTF-8, and bytes after the value.

use super::{MAX_DEPTH, MAX_VALUES, Map, Value, ValueError, ValueProblem, check};
use crate::{Cid, fault};

/// What a list may reserve before its items were seen, in items: its length is only a claim.
const MAX_RESERVED_ITEMS: usize = 1024;

const UNSIGNED: u8 = 0;
const NEGATIVE: u8 = 1;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const LIST: u8 = 4;
const MAP: u8 = 5;
const TAG: u8 = 6;
/// The tag of a link.
const LINK_TAG: u64 = 42;

impl Value {
    /// Reads one value of strict DAG-CBOR that takes up all of `bytes`.
    pub fn from_cbor(bytes: &[u8]) -> Result<Value, ValueError> {
        let mut reader = Reader {
            bytes,
            at: 0,
            budget: MAX_VALUES,
        };
        let value = reader.value(0)?;
        if reader.at == bytes.len() {
            Ok(value)
        } else {
            Err(reader.error("bytes follow the value").into())
        }
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    budget: usize,
}

impl<'a> Reader<'a> {
    fn error(&self, reason: &'static str) -> ValueProblem {
        ValueProblem::Cbor {
            at: self.at,
            reason,
        }
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], ValueProblem> {
        let end = self.at.checked_add(length);
        let taken = end.and_then(|end| self.bytes.get(self.at..end));
        let taken = taken.ok_or_else(|| self.error("it ends in the middle of a value"))?;
        self.at += length;
        Ok(taken)
    }

    /// The major type, the low five bits, and the argument that they stand for.
    fn head(&mut self) -> Result<(u8, u8, u64), ValueProblem> {
        let first = self.take(1)?.first().copied().unwrap_or_default();
        let (major, info) = (first >> 5, first & 31);
        let (argument, least) = match info {
            0..=23 => return Ok((major, info, u64::from(info))),
            24 => (self.argument(1)?, 24),
            25 => (self.argument(2)?, 1 << 8),
            26 => (self.argument(4)?, 1 << 16),
            27 => (self.argument(8)?, 1 << 32),
            _ => return Err(self.error("indefinite lengths are not allowed")),
        };
        // The argument of major type 7 is a float or a simple value, which have rules of their own.
        if argument < least && major != 7 {
            return Err(self.error("a number is not in its shortest form"));
        }
        Ok((major, info, argument))
    }

    fn argument(&mut self, length: usize) -> Result<u64, ValueProblem> {
        let bytes = self.take(length)?;
        Ok(bytes
            .iter()
            .fold(0, |number, byte| (number << 8) | u64::from(*byte)))
    }

    fn length(&self, argument: u64) -> Result<usize, ValueProblem> {
        // Every byte, item and entry takes at least a byte, so that a longer length is a lie wherever it stands.
        let length = usize::try_from(argument).ok();
        let length = length.filter(|length| *length <= self.bytes.len() - self.at);
        length.ok_or_else(|| self.error("a length goes beyond the end"))
    }

    fn text(&mut self, argument: u64) -> Result<&'a str, ValueProblem> {
        let length = self.length(argument)?;
        let bytes = self.take(length)?;
        std::str::from_utf8(bytes).map_err(|_| self.error("a text is not UTF-8"))
    }

    fn value(&mut self, depth: usize) -> Result<Value, ValueError> {
        self.budget = self
            .budget
            .checked_sub(1)
            .ok_or(ValueProblem::TooManyValues)?;
        let (major, info, argument) = self.head()?;
        match major {
            UNSIGNED => Ok(Value::Int(check::check_int(integer(argument)?)?)),
            NEGATIVE => Ok(Value::Int(check::check_int(-1 - integer(argument)?)?)),
            BYTES => {
                let length = self.length(argument)?;
                Ok(Value::Bytes(self.take(length)?.to_vec()))
            }
            TEXT => Ok(Value::Text(self.text(argument)?.to_owned())),
            LIST | MAP if depth >= MAX_DEPTH => Err(ValueProblem::TooDeep.into()),
            LIST => self.list(argument, depth),
            MAP => self.map(argument, depth),
            TAG if argument == LINK_TAG => Ok(Value::Link(self.link()?)),
            TAG => Err(self.error("the only tag allowed is 42, a link").into()),
            _ => match info {
                20 => Ok(Value::Bool(false)),
                21 => Ok(Value::Bool(true)),
                22 => Ok(Value::Null),
                25 => Err(ValueProblem::Float("half precision".to_owned()).into()),
                26 => Err(ValueProblem::Float(single(argument).to_string()).into()),
                27 => Err(ValueProblem::Float(f64::from_bits(argument).to_string()).into()),
                _ => Err(self
                    .error("the only simple values allowed are true, false and null")
                    .into()),
            },
        }
    }

    fn list(&mut self, argument: u64, depth: usize) -> Result<Value, ValueError> {
        let length = self.length(argument)?;
        let mut list = Vec::with_capacity(length.min(MAX_RESERVED_ITEMS));
        for index in 0..length {
            list.push(
                self.value(depth + 1)
                    .map_err(|error| error.in_item(index))?,
            );
        }
        Ok(Value::List(list))
    }

    fn map(&mut self, argument: u64, depth: usize) -> Result<Value, ValueError> {
        let length = self.length(argument)?;
        let mut map = Map::new();
        let mut previous: Option<&str> = None;
        for _ in 0..length {
            let (major, _, argument) = self.head()?;
            if major != TEXT {
                return Err(self.error("the name of a field is not a text").into());
            }
            let name = self.text(argument)?;
            if previous.is_some_and(|previous| (previous.len(), previous) >= (name.len(), name))
                && !fault::on("field-order")
            {
                return Err(self
                    .error("the fields of an object are not in order, or one comes twice")
                    .into());
            }
            previous = Some(name);
            let value = self
                .value(depth + 1)
                .map_err(|error| error.in_field(name))?;
            map.insert(name.to_owned(), value);
        }
        check::check_map(&map)?;
        Ok(Value::Map(map))
    }

    fn link(&mut self) -> Result<Cid, ValueProblem> {
        let (major, _, argument) = self.head()?;
        if major != BYTES {
            return Err(self.error("a link must be bytes"));
        }
        let length = self.length(argument)?;
        match self.take(length)?.split_first() {
            Some((0, cid)) => {
                crate::cid::from_bytes(cid).ok_or_else(|| self.error("a link is not a CID"))
            }
            _ => Err(self.error("a link must start with a zero byte")),
        }
    }
}

fn integer(argument: u64) -> Result<i64, ValueProblem> {
    i64::try_from(argument).map_err(|_| ValueProblem::IntegerTooLarge)
}

fn single(bits: u64) -> f32 {
    f32::from_bits(u32::try_from(bits).unwrap_or_default())
}
