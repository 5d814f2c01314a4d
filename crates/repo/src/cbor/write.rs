//! The writing functions.

use cid::Cid;

use super::{BYTES, CBOR_LINK, FALSE, LINK_TAG, NINT, NULL, TAG, TEXT, TRUE, UINT};

#[inline]
pub(crate) fn write_head(out: &mut Vec<u8>, major: u8, argument: u64) {
    let major = major << 5;
    let bytes = argument.to_be_bytes();
    let [.., b4, b5, b6, b7] = bytes;
    match argument {
        0..24 => out.push(major | b7),
        24..0x100 => out.extend_from_slice(&[major | 24, b7]),
        0x100..0x1_0000 => out.extend_from_slice(&[major | 25, b6, b7]),
        0x1_0000..0x1_0000_0000 => out.extend_from_slice(&[major | 26, b4, b5, b6, b7]),
        _ => {
            out.push(major | 27);
            out.extend_from_slice(&bytes);
        }
    }
}

pub(crate) fn write_len(out: &mut Vec<u8>, major: u8, len: usize) {
    write_head(out, major, u64::try_from(len).unwrap_or(u64::MAX));
}

pub(crate) fn write_text(out: &mut Vec<u8>, text: &str) {
    write_len(out, TEXT, text.len());
    out.extend_from_slice(text.as_bytes());
}

#[inline]
pub(crate) fn write_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    write_len(out, BYTES, bytes.len());
    out.extend_from_slice(bytes);
}

pub(crate) fn write_int(out: &mut Vec<u8>, n: i64) {
    match u64::try_from(n) {
        Ok(n) => write_head(out, UINT, n),
        Err(_) => write_head(out, NINT, !n.cast_unsigned()),
    }
}

pub(crate) fn write_bool(out: &mut Vec<u8>, value: bool) {
    out.push(if value { TRUE } else { FALSE });
}

pub(crate) fn write_null(out: &mut Vec<u8>) {
    out.push(NULL);
}

/// A field whose name is one letter and whose value is a link to DAG-CBOR.
#[inline]
pub(crate) fn write_cbor_link_field(out: &mut Vec<u8>, field: u8, digest: &[u8; 32]) {
    out.extend_from_slice(&[0x61, field]);
    out.extend_from_slice(&CBOR_LINK);
    out.extend_from_slice(digest);
}

pub(crate) fn write_link(out: &mut Vec<u8>, cid: &Cid) {
    write_head(out, TAG, LINK_TAG);
    let cid = cid.to_bytes();
    write_len(out, BYTES, cid.len() + 1);
    out.push(0);
    out.extend_from_slice(&cid);
}
