//! Label and field selectors.
//!
//! Parses them and says whether an object matches. Field selectors compare the text of any path; the real
//! server knows only a few paths for each kind and refuses the others, which this one does for no kind.

use serde_json::Value;

use crate::meta;

/// One requirement on labels.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Requirement {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    NotExists(String),
}

/// What a list or a watch is narrowed to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Selector {
    labels: Vec<Requirement>,
    /// Path, is equal, value.
    fields: Vec<(String, bool, String)>,
}

impl Selector {
    /// Parses both kinds; what is wrong comes back as a sentence.
    ///
    /// # Errors
    /// If one of them is not a selector.
    pub(crate) fn parse(labels: &str, fields: &str) -> Result<Selector, String> {
        Ok(Selector { labels: parse_labels(labels)?, fields: parse_fields(fields)? })
    }

    /// Selects everything.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    /// Do the labels match?
    #[must_use]
    pub(crate) fn matches_labels(&self, labels: &[(String, String)]) -> bool {
        let get = |key: &str| labels.iter().find(|(name, _)| name == key).map(|(_, value)| value);
        self.labels.iter().all(|requirement| match requirement {
            Requirement::In(key, values) => get(key).is_some_and(|value| values.contains(value)),
            Requirement::NotIn(key, values) => get(key).is_none_or(|value| !values.contains(value)),
            Requirement::Exists(key) => get(key).is_some(),
            Requirement::NotExists(key) => get(key).is_none(),
        })
    }

    /// Do name and namespace match, as far as the fields ask for them?
    #[must_use]
    pub(crate) fn matches_key(&self, namespace: &str, name: &str) -> bool {
        self.fields.iter().all(|(path, equal, value)| match path.as_str() {
            "metadata.name" => (name == value) == *equal,
            "metadata.namespace" => (namespace == value) == *equal,
            _ => true,
        })
    }

    /// Does it ask for fields that only the object itself tells?
    #[must_use]
    pub(crate) fn needs_object(&self) -> bool {
        self.fields.iter().any(|(path, ..)| path != "metadata.name" && path != "metadata.namespace")
    }

    /// Do the other fields match?
    #[must_use]
    pub(crate) fn matches_object(&self, object: &Value) -> bool {
        self.fields.iter().all(|(path, equal, wanted)| {
            let found = match meta::at_path(object, path) {
                Value::String(text) => text.clone(),
                Value::Null => String::new(),
                other => other.to_string(),
            };
            (found == *wanted) == *equal
        })
    }
}

fn parse_fields(text: &str) -> Result<Vec<(String, bool, String)>, String> {
    text.split(',')
        .filter(|part| !part.trim().is_empty())
        .map(|part| {
            let part = part.trim();
            if let Some((path, value)) = part.split_once("!=") {
                Ok((path.to_owned(), false, value.to_owned()))
            } else if let Some((path, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
                Ok((path.to_owned(), true, value.to_owned()))
            } else {
                Err(format!("invalid selector: '{text}'; can't understand '{part}'"))
            }
        })
        .collect()
}

/// Splits at commas that are not inside brackets.
fn split_requirements(text: &str) -> Vec<&str> {
    let (mut depth, mut start, mut out) = (0_u32, 0, Vec::new());
    for (place, letter) in text.char_indices() {
        match letter {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                out.push(&text[start..place]);
                start = place + 1;
            }
            _ => {}
        }
    }
    out.push(&text[start..]);
    out
}

fn parse_labels(text: &str) -> Result<Vec<Requirement>, String> {
    split_requirements(text)
        .into_iter()
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(|part| parse_requirement(part).ok_or_else(|| format!("unable to parse requirement: {part:?}")))
        .collect()
}

fn parse_requirement(part: &str) -> Option<Requirement> {
    let key = |text: &str| {
        let text = text.trim();
        let fine = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
        (!text.is_empty() && text.chars().all(fine)).then(|| text.to_owned())
    };
    if let Some(rest) = part.strip_prefix('!') {
        return key(rest).map(Requirement::NotExists);
    }
    if let Some(open) = part.find('(') {
        let values = part[open + 1..].strip_suffix(')')?;
        let values = values.split(',').map(|value| value.trim().to_owned()).collect();
        let mut words = part[..open].split_whitespace();
        let (name, operator) = (key(words.next()?)?, words.next()?);
        return match operator {
            "in" => Some(Requirement::In(name, values)),
            "notin" => Some(Requirement::NotIn(name, values)),
            _ => None,
        };
    }
    if let Some((name, value)) = part.split_once("!=") {
        return Some(Requirement::NotIn(key(name)?, vec![value.trim().to_owned()]));
    }
    if let Some((name, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
        return Some(Requirement::In(key(name)?, vec![value.trim().to_owned()]));
    }
    key(part).map(Requirement::Exists)
}

/// Does a `LabelSelector` of an object match these labels? An empty one matches all, a null one nothing.
#[must_use]
pub(crate) fn label_selector_matches(selector: &Value, labels: &[(String, String)]) -> bool {
    if selector.is_null() {
        return false;
    }
    let get = |key: &str| labels.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str());
    let mut exact = selector["matchLabels"].as_object().into_iter().flatten();
    let mut expressions = selector["matchExpressions"].as_array().into_iter().flatten();
    exact.all(|(key, value)| get(key) == value.as_str())
        && expressions.all(|expression| {
            let found = get(expression["key"].as_str().unwrap_or_default());
            let values = meta::strings(&expression["values"]);
            let listed = found.is_some_and(|found| values.iter().any(|value| value == found));
            match expression["operator"].as_str() {
                Some("In") => listed,
                Some("NotIn") => !listed,
                Some("Exists") => found.is_some(),
                Some("DoesNotExist") => found.is_none(),
                _ => false,
            }
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(selector: &str, labels: &[(&str, &str)]) -> bool {
        let labels: Vec<(String, String)> =
            labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Selector::parse(selector, "").unwrap().matches_labels(&labels)
    }

    #[test]
    fn label_selectors_match_as_documented() {
        let labels = [("app", "web"), ("tier", "front")];
        for (selector, expected) in [
            ("app=web", true),
            ("app==web,tier!=back", true),
            ("app in (web, api)", true),
            ("app notin (web)", false),
            ("tier", true),
            ("!tier", false),
            ("!gone", true),
            ("gone!=x", true),
            ("app in (api),tier", false),
            ("", true),
        ] {
            assert_eq!(matches(selector, &labels), expected, "{selector}");
        }
        assert!(Selector::parse("app in web", "").is_err());
        assert!(Selector::parse("", "metadata.name").is_err());
    }
}
