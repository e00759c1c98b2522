//! Results as documents for machines, and texts made safe for terminals.

use nave_common::API_VERSION;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::exit::{Failure, Outcome};

/// A resource with its `apiVersion` and `kind`, as `nave apply` takes it.
pub(crate) fn as_resource(kind: &str, resource: &impl Serialize) -> Outcome<Value> {
    let value = serde_json::to_value(resource)
        .map_err(|error| Failure::failed(format!("{kind} has no JSON form: {error}")))?;
    let mut fields = Map::new();
    fields.insert("apiVersion".to_owned(), API_VERSION.into());
    fields.insert("kind".to_owned(), kind.into());
    if let Value::Object(own) = value {
        fields.extend(own);
    }
    Ok(Value::Object(fields))
}

/// Several resources as one.
pub(crate) fn list(items: Vec<Value>) -> Value {
    let mut fields = Map::new();
    fields.insert("apiVersion".to_owned(), API_VERSION.into());
    fields.insert("kind".to_owned(), "List".into());
    fields.insert("items".to_owned(), Value::Array(items));
    Value::Object(fields)
}

/// JSON over several lines.
pub(crate) fn json_text(value: &Value) -> String {
    // `{:#}` of a JSON value is its indented form.
    format!("{value:#}\n")
}

/// JSON on one line.
pub(crate) fn json_line(value: &Value) -> String {
    format!("{value}\n")
}

/// YAML, for people.
pub(crate) fn yaml_text(value: &Value) -> Outcome<String> {
    let text = nave_common::yaml::to_string(value)
        .map_err(|error| Failure::failed(format!("the result has no YAML form: {error}")))?;
    Ok(if text.ends_with('\n') { text } else { format!("{text}\n") })
}

/// The text without what would drive a terminal. Reasons and names come from clusters, and clusters are not to be
/// trusted with the screen of whoever looks at them.
pub(crate) fn printable(text: &str) -> String {
    let is_dangerous =
        |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if !text.chars().any(is_dangerous) {
        return text.to_owned();
    }
    let safe = |c| match c {
        '\n' | '\r' | '\t' => ' ',
        c if is_dangerous(c) => '\u{fffd}',
        c => c,
    };
    text.chars().map(safe).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn yaml_is_read_back_as_what_it_was() {
        let value = json!({
            "plain": "text", "long": "word ".repeat(60), "lines": "a\nb\n", "trailing": "a\n\n", "empty": "",
            "looks": ["true", "1", "null", "~", "0x10", "1e3", "2026-01-01", "a: b", "- a", "# a", "yes", "0777"],
            "unicode": "é\u{1f600}\u{7}", "map": {}, "list": [], "deep": [{"a": [[1, 2], {"b": null}]}],
            "space": " a ", "number": 12.5, "big": u64::MAX, "negative": -3, "flag": true
        });
        let text = yaml_text(&value).unwrap();
        let read: Value = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(read, value, "{text}");
    }

    #[test]
    fn a_resource_says_what_it_is() {
        let value = as_resource("Cluster", &json!({"metadata": {"name": "eu-1"}})).unwrap();
        assert_eq!(
            json_line(&list(vec![value])),
            "{\"apiVersion\":\"nave.dev/v1alpha1\",\"items\":[{\"apiVersion\":\"nave.dev/v1alpha1\",\"kind\":\"Cluster\",\
             \"metadata\":{\"name\":\"eu-1\"}}],\"kind\":\"List\"}\n"
        );
    }

    #[test]
    fn nothing_drives_the_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\nc\u{202e}"), "a\u{fffd}[2Jb c\u{fffd}");
    }
}
