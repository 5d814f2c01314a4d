use super::{ordered_as_text, string_syntax};

/// Longest language tag, in bytes: tags in use are far shorter.
const MAX_BYTES: usize = 128;

string_syntax!(
    /// A BCP 47 language tag, `pt-BR`.
    ///
    /// Well-formedness, and that no variant or extension is repeated (RFC 5646 section 2.2.9); not the registry.
    Language,
    "language tag",
    check
);
ordered_as_text!(Language);

fn check(text: &str) -> Result<(), &'static str> {
    if text.len() > MAX_BYTES {
        return Err("it is longer than 128 bytes");
    }
    let mut subtags = text.split('-');
    let primary = subtags.next().unwrap_or_default();
    let is_language =
        matches!(primary.len(), 2 | 3) && primary.bytes().all(|b| b.is_ascii_lowercase());
    if !is_language && !matches!(primary, "i" | "x" | "X") {
        return Err("it must start with a language of two or three lower-case letters");
    }
    let rest: Vec<&str> = subtags.collect();
    if !is_language && rest.is_empty() {
        return Err("nothing follows its prefix");
    }
    for subtag in &rest {
        if subtag.is_empty()
            || subtag.len() > 8
            || !subtag.bytes().all(|b| b.is_ascii_alphanumeric())
        {
            return Err("each part must be one to eight letters or digits");
        }
    }
    if is_language {
        check_repeats(&rest)
    } else {
        Ok(())
    }
}

/// Refuses a repeated variant (before the first extension) and a repeated extension; what follows `x` is private.
fn check_repeats(subtags: &[&str]) -> Result<(), &'static str> {
    let mut variants = Vec::new();
    let mut extensions = Vec::new();
    for subtag in subtags.iter().map(|subtag| subtag.to_ascii_lowercase()) {
        if subtag == "x" {
            break;
        }
        let is_variant = subtag.len() >= 5
            || (subtag.len() == 4 && subtag.starts_with(|c: char| c.is_ascii_digit()));
        if subtag.len() == 1 {
            if extensions.contains(&subtag) {
                return Err("an extension is repeated");
            }
            extensions.push(subtag);
        } else if is_variant && extensions.is_empty() {
            if variants.contains(&subtag) {
                return Err("a variant is repeated");
            }
            variants.push(subtag);
        }
    }
    Ok(())
}
