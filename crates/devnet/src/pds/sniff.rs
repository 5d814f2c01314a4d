//! The MIME type that a blob's first bytes show. Like the reference PDS, we believe it more than what the
//! uploader says; unlike it, we know only the types that people attach most.

/// The type of a file by its signature, or `None` if it has none that we know.
pub(super) fn mime_type(bytes: &[u8]) -> Option<&'static str> {
    if let Some((_, mime_type)) = SIGNATURES
        .iter()
        .find(|(signature, _)| bytes.starts_with(signature))
    {
        return Some(mime_type);
    }
    let inner = bytes.get(8..12);
    match (bytes.get(..4), bytes.get(4..8)) {
        (Some(b"RIFF"), _) => match inner {
            Some(b"WEBP") => Some("image/webp"),
            Some(b"WAVE") => Some("audio/wav"),
            Some(b"AVI ") => Some("video/vnd.avi"),
            _ => None,
        },
        (_, Some(b"ftyp")) => match inner {
            Some(b"avif") => Some("image/avif"),
            Some(b"heic") => Some("image/heic"),
            Some(b"qt  ") => Some("video/quicktime"),
            Some(b"M4A ") => Some("audio/x-m4a"),
            _ => Some("video/mp4"),
        },
        _ => None,
    }
}

const SIGNATURES: [(&[u8], &str); 13] = [
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"%PDF", "application/pdf"),
    (b"PK\x03\x04", "application/zip"),
    (b"\x1f\x8b", "application/gzip"),
    (b"\x28\xb5\x2f\xfd", "application/zstd"),
    (b"BZh", "application/x-bzip2"),
    (b"\x00asm", "application/wasm"),
    (b"OggS\x00", "audio/ogg"),
    (b"fLaC", "audio/x-flac"),
    (b"ID3", "audio/mpeg"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_seen_and_text_has_none() {
        assert_eq!(mime_type(b"\x89PNG\r\n\x1a\n...."), Some("image/png"));
        assert_eq!(mime_type(b"RIFF\x01\0\0\0WEBPVP8 "), Some("image/webp"));
        assert_eq!(mime_type(b"\0\0\0\x18ftypisom"), Some("video/mp4"));
        for none in [&b""[..], b"RIFF", b"hello, agents", b"\0\0\0\x18fty"] {
            assert_eq!(mime_type(none), None, "{none:?}");
        }
    }
}
