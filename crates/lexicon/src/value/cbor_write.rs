use super::{Map, Value};
use crate::Cid;

const UNSIGNED: u8 = 0 << 5;
const NEGATIVE: u8 = 1 << 5;
const BYTES: u8 = 2 << 5;
const TEXT: u8 = 3 << 5;
const LIST: u8 = 4 << 5;
const MAP: u8 = 5 << 5;
const FALSE: u8 = 0xf4;
const TRUE: u8 = 0xf5;
const NULL: u8 = 0xf6;
/// Tag 42, a link.
const LINK: [u8; 2] = [0xd8, 42];

impl Value {
    /// The canonical DAG-CBOR of the value: shortest numbers, fields ordered by the length of their names and then by
    /// their bytes.
    pub fn to_cbor(&self) -> Vec<u8> {
        let mut out = Vec::new();
        write(self, &mut out);
        out
    }
}

pub(crate) fn map_to_cbor(map: &Map) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    write_map(map, &mut out);
    out
}

fn write(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.push(NULL),
        Value::Bool(false) => out.push(FALSE),
        Value::Bool(true) => out.push(TRUE),
        Value::Int(int) if *int < 0 => head(NEGATIVE, !int.cast_unsigned(), out),
        Value::Int(int) => head(UNSIGNED, int.cast_unsigned(), out),
        Value::Text(text) => write_text(text, out),
        Value::Bytes(bytes) => write_bytes(bytes, out),
        Value::Link(cid) => write_link(cid, out),
        Value::List(list) => {
            head(LIST, list.len() as u64, out);
            list.iter().for_each(|item| write(item, out));
        }
        Value::Map(map) => write_map(map, out),
    }
}

fn write_map(map: &Map, out: &mut Vec<u8>) {
    head(MAP, map.len() as u64, out);
    let mut fields: Vec<(&String, &Value)> = map.iter().collect();
    // Stable: fields of one length keep the order of their bytes, in which the map already has them.
    fields.sort_by_key(|(name, _)| name.len());
    for (name, value) in fields {
        write_text(name, out);
        write(value, out);
    }
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    head(TEXT, text.len() as u64, out);
    out.extend_from_slice(text.as_bytes());
}

fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    head(BYTES, bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

fn write_link(cid: &Cid, out: &mut Vec<u8>) {
    let cid = cid.to_bytes();
    out.extend_from_slice(&LINK);
    head(BYTES, cid.len() as u64 + 1, out);
    out.push(0);
    out.extend_from_slice(&cid);
}

/// A major type with its argument in the shortest form.
#[expect(
    clippy::cast_possible_truncation,
    reason = "each arm has compared the size"
)]
fn head(major: u8, argument: u64, out: &mut Vec<u8>) {
    match argument {
        0..24 => out.push(major | argument as u8),
        24..0x100 => out.extend_from_slice(&[major | 24, argument as u8]),
        0x100..0x1_0000 => {
            out.push(major | 25);
            out.extend_from_slice(&(argument as u16).to_be_bytes());
        }
        0x1_0000..0x1_0000_0000 => {
            out.push(major | 26);
            out.extend_from_slice(&(argument as u32).to_be_bytes());
        }
        _ => {
            out.push(major | 27);
            out.extend_from_slice(&argument.to_be_bytes());
        }
    }
}
