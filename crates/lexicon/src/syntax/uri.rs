use super::{ordered_as_text, string_syntax};

/// Longest URI, in bytes (atproto lexicon spec, format `uri`).
const MAX_BYTES: usize = 8192;
/// Longest scheme, in bytes: none that is registered comes near it.
const MAX_SCHEME_BYTES: usize = 81;

string_syntax!(
    /// Any URI with a scheme. Only its outline is checked: what a scheme asks of the rest is that scheme's business.
    Uri,
    "URI",
    check
);
ordered_as_text!(Uri);

fn check(text: &str) -> Result<(), &'static str> {
    if text.len() > MAX_BYTES {
        return Err("it is longer than 8192 bytes");
    }
    let Some((scheme, rest)) = text.split_once(':') else {
        return Err("it needs a scheme, as in https://example.com");
    };
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'+');
    if !scheme.starts_with(|c: char| c.is_ascii_alphabetic()) || !scheme.bytes().all(allowed) {
        return Err("the scheme must start with a letter and hold only letters, digits and . - +");
    }
    if scheme.len() > MAX_SCHEME_BYTES {
        return Err("the scheme is longer than 81 bytes");
    }
    if rest.is_empty() {
        return Err("nothing follows the scheme");
    }
    if rest.chars().any(char::is_whitespace) {
        return Err("it must not contain white space");
    }
    Ok(())
}
