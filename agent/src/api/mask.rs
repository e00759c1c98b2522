//! Keeps the values of Secrets out of what an API server says about them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// What stands in place of a value.
const MASK: &str = "•••";

/// Values shorter than this are not looked for: one letter would blank out half of every sentence.
const MIN_VALUE_BYTES: usize = 3;

/// Words before which an API server quotes what it was given.
const QUOTING: [&str; 4] = ["Invalid value: ", "Value:", "Unsupported value: ", "Duplicate value: "];

/// Words after which nothing is kept: what follows is a value that may hold anything.
const ENDING: &str = "got &{";

/// Whether an object's values must not be shown.
#[must_use]
pub fn is_secret(object: &Value) -> bool {
    object["kind"] == "Secret" && object["apiVersion"] == "v1"
}

/// `message` without the values of the Secret `object`, as they are and as base64 says them, and without anything that
/// the API server quotes.
#[must_use]
pub fn mask(message: &str, object: &Value) -> String {
    let mut values = Vec::new();
    for field in ["data", "stringData"] {
        for value in object[field].as_object().into_iter().flatten().map(|(_, value)| value) {
            collect(value, &mut values);
        }
    }
    // The longest first, so that no value is left in part because another is contained in it.
    values.sort_by_key(|value| std::cmp::Reverse(value.len()));
    let mut masked = message.to_owned();
    for value in values.iter().filter(|value| value.len() >= MIN_VALUE_BYTES) {
        masked = masked.replace(value.as_str(), MASK);
    }
    for word in QUOTING {
        masked = mask_quoted(&masked, word);
    }
    if let Some(at) = masked.find(ENDING) {
        masked.truncate(at + ENDING.len());
        masked.push_str(MASK);
        masked.push('}');
    }
    masked
}

fn collect(value: &Value, values: &mut Vec<String>) {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Null => return,
        other => other.to_string(),
    };
    if let Some(decoded) = decode_base64(&text) {
        values.push(decoded);
    }
    values.push(text);
}

/// Replaces what follows `word`: a quoted text as a whole, anything else up to the next space or bracket.
fn mask_quoted(message: &str, word: &str) -> String {
    let mut out = String::with_capacity(message.len());
    let mut rest = message;
    while let Some(at) = rest.find(word) {
        let (before, after) = rest.split_at(at + word.len());
        out.push_str(before);
        out.push_str(MASK);
        rest = &after[quoted_bytes(after)..];
    }
    out.push_str(rest);
    out
}

/// How many bytes the quoted value at the start of `text` takes.
fn quoted_bytes(text: &str) -> usize {
    if text.starts_with('"') {
        let mut escaped = false;
        for (at, c) in text.char_indices().skip(1) {
            match c {
                '"' if !escaped => return at + 1,
                '\\' => escaped = !escaped,
                _ => escaped = false,
            }
        }
        return text.len();
    }
    text.find([' ', '}', ')', ',']).unwrap_or(text.len())
}

/// The text that base64 stands for; `None` where it is no base64, or none of a text.
fn decode_base64(text: &str) -> Option<String> {
    String::from_utf8(STANDARD.decode(text).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_of_secrets_are_masked_in_every_form() {
        let secret =
            json!({"apiVersion": "v1", "kind": "Secret", "data": {"password": "aHVudGVyMg==", "n": 12345}});
        assert!(is_secret(&secret));
        for (message, expected) in [
            ("bad aHVudGVyMg== here", "bad ••• here"),
            ("it was hunter2", "it was •••"),
            (
                "expected string, got &value.valueUnstructured{Value:12345}",
                "expected string, got &value.valueUnstructured{Value:•••}",
            ),
            (r#"data[x]: Invalid value: "ab\"c": no"#, "data[x]: Invalid value: •••: no"),
            (".immutable: expected boolean, got &{some thing}", ".immutable: expected boolean, got &{•••}"),
            ("nothing quoted", "nothing quoted"),
        ] {
            assert_eq!(mask(message, &secret), expected);
        }
    }

    #[test]
    fn base64_is_read_as_text_or_not_at_all() {
        assert_eq!(decode_base64("aHVudGVyMg=="), Some("hunter2".into()));
        assert_eq!(decode_base64("/w=="), None);
        assert_eq!(decode_base64("not base64!"), None);
    }
}
