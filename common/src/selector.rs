//! Label selectors, in the Kubernetes shape and in kubectl's text form.
//!
//! See <https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/>.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::field::FieldError;
use crate::metadata::Labels;

/// The most requirements one selector may have.
pub const MAX_REQUIREMENTS: usize = 64;

/// What labels must be like. An empty selector matches everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Selector {
    /// Labels that must be there with these values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub match_labels: BTreeMap<String, String>,
    /// Further requirements, all of which must hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub match_expressions: Vec<Requirement>,
}

/// One requirement of a selector.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Requirement {
    /// The label's key.
    pub key: String,
    /// How its value is looked at.
    pub operator: Operator,
    /// The values of `In` and `NotIn`; empty for the others.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub values: BTreeSet<String>,
}

/// How a requirement looks at a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Operator {
    /// The label is there and its value is one of the values.
    In,
    /// The label is not there, or its value is none of the values.
    NotIn,
    /// The label is there.
    Exists,
    /// The label is not there.
    DoesNotExist,
}

impl Selector {
    /// Whether `labels` are as this selector wants them.
    #[must_use]
    pub fn matches(&self, labels: &Labels) -> bool {
        self.match_labels.iter().all(|(key, value)| labels.get(key) == Some(value))
            && self.match_expressions.iter().all(|requirement| requirement.matches(labels))
    }

    /// Whether this selector matches everything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.match_labels.is_empty() && self.match_expressions.is_empty()
    }

    /// Checks keys, values and the values that each operator takes.
    ///
    /// # Errors
    /// The first problem, with its path below the selector.
    pub fn check(&self) -> Result<(), FieldError> {
        let count = self.match_labels.len() + self.match_expressions.len();
        if count > MAX_REQUIREMENTS {
            let problem = format!("has {count} requirements; at most {MAX_REQUIREMENTS} are allowed");
            return Err(FieldError::new("", problem));
        }
        check_labels(&self.match_labels).map_err(|error| error.under("matchLabels"))?;
        for (index, requirement) in self.match_expressions.iter().enumerate() {
            requirement.check().map_err(|error| error.under(&format!("matchExpressions[{index}]")))?;
        }
        Ok(())
    }
}

impl Requirement {
    fn matches(&self, labels: &Labels) -> bool {
        let found = labels.get(&self.key);
        match self.operator {
            Operator::In => found.is_some_and(|value| self.values.contains(value)),
            Operator::NotIn => found.is_none_or(|value| !self.values.contains(value)),
            Operator::Exists => found.is_some(),
            Operator::DoesNotExist => found.is_none(),
        }
    }

    fn check(&self) -> Result<(), FieldError> {
        check_label_key(&self.key).map_err(|problem| FieldError::new("key", problem))?;
        match (self.operator, self.values.is_empty()) {
            (Operator::In | Operator::NotIn, true) => {
                return Err(FieldError::new(
                    "values",
                    format!("{:?} needs at least one value", self.operator),
                ));
            }
            (Operator::Exists | Operator::DoesNotExist, false) => {
                return Err(FieldError::new("values", format!("{:?} takes no values", self.operator)));
            }
            _ => {}
        }
        for value in &self.values {
            check_label_value(value).map_err(|problem| FieldError::new("values", problem))?;
        }
        Ok(())
    }
}

/// Checks every key and value by the Kubernetes rules for labels.
///
/// # Errors
/// The first problem, with the key as its path.
pub fn check_labels(labels: &Labels) -> Result<(), FieldError> {
    for (key, value) in labels {
        check_label_key(key).map_err(|problem| FieldError::new(format!("[{key:?}]"), problem))?;
        check_label_value(value).map_err(|problem| FieldError::new(format!("[{key:?}]"), problem))?;
    }
    Ok(())
}

pub(crate) fn check_label_key(key: &str) -> Result<(), String> {
    // Quoted in what is said of it, and anybody may send it.
    let shown: String = key.chars().take(80).collect();
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    if let Some(prefix) = prefix
        && (prefix.len() > 253 || prefix.split('.').any(|part| crate::name::check_dns_label(part).is_err()))
    {
        return Err(format!(
            "label key {shown:?} has a prefix that is no DNS subdomain; expected one such as example.com"
        ));
    }
    if name.is_empty() || !is_qualified(name) {
        return Err(format!(
            "label key {shown:?} is not valid: expected letters, digits, '-', '_' and '.', 1 to 63 bytes, with a letter or digit first and last"
        ));
    }
    Ok(())
}

pub(crate) fn check_label_value(value: &str) -> Result<(), String> {
    if value.is_empty() || is_qualified(value) {
        return Ok(());
    }
    let shown: String = value.chars().take(80).collect();
    Err(format!(
        "label value {shown:?} is not valid: expected letters, digits, '-', '_' and '.', at most 63 bytes, with a letter or digit first and last"
    ))
}

fn is_qualified(text: &str) -> bool {
    text.len() <= 63
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        && text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
        && text.bytes().last().is_some_and(|b| b.is_ascii_alphanumeric())
}

/// A text that is no selector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "selector {text:?} is not valid: {problem}; expected terms such as env=prod, env!=dev, zone in (a,b), zone notin (c), gpu, !spot"
)]
pub struct InvalidSelector {
    /// The refused text.
    pub text: String,
    /// What is wrong.
    pub problem: String,
}

impl std::str::FromStr for Selector {
    type Err = InvalidSelector;

    /// Reads kubectl's form: terms separated by commas, all of which must hold.
    fn from_str(text: &str) -> Result<Self, InvalidSelector> {
        let refused = |problem: String| InvalidSelector { text: text.chars().take(200).collect(), problem };
        let mut selector = Self::default();
        for term in split_terms(text) {
            let requirement = parse_term(term.trim()).map_err(refused)?;
            selector.match_expressions.push(requirement);
        }
        selector.check().map_err(|error| refused(error.problem))?;
        Ok(selector)
    }
}

/// Splits at commas that stand outside parentheses.
fn split_terms(text: &str) -> Vec<&str> {
    let (mut terms, mut depth, mut start) = (Vec::new(), 0_u32, 0);
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                terms.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    terms.push(&text[start..]);
    terms.retain(|term| !term.trim().is_empty());
    terms
}

fn parse_term(term: &str) -> Result<Requirement, String> {
    let requirement = |key: &str, operator, values: BTreeSet<String>| Requirement {
        key: key.trim().to_owned(),
        operator,
        values,
    };
    if let Some((head, list)) = term.split_once('(') {
        let list = list.strip_suffix(')').ok_or_else(|| format!("{term:?} has no closing parenthesis"))?;
        let values = list.split(',').map(|value| value.trim().to_owned()).collect();
        return match head.split_whitespace().collect::<Vec<_>>().as_slice() {
            [key, "in"] => Ok(requirement(key, Operator::In, values)),
            [key, "notin"] => Ok(requirement(key, Operator::NotIn, values)),
            _ => Err(format!("{term:?} is neither KEY in (…) nor KEY notin (…)")),
        };
    }
    let one = |value: &str| BTreeSet::from([value.trim().to_owned()]);
    if let Some((key, value)) = term.split_once("!=") {
        return Ok(requirement(key, Operator::NotIn, one(value)));
    }
    if let Some((key, value)) = term.split_once("==").or_else(|| term.split_once('=')) {
        return Ok(requirement(key, Operator::In, one(value)));
    }
    match term.strip_prefix('!') {
        Some(key) => Ok(requirement(key, Operator::DoesNotExist, BTreeSet::new())),
        None => Ok(requirement(term, Operator::Exists, BTreeSet::new())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn text_selectors_match_as_kubectl_has_it() {
        let eu = labels(&[("env", "prod"), ("zone", "a")]);
        for (text, expected) in [
            ("", true),
            ("env=prod", true),
            ("env==prod,zone in (a, b)", true),
            ("env!=prod", false),
            ("gpu!=yes", true),
            ("zone notin (a)", false),
            ("gpu", false),
            ("!gpu,env", true),
        ] {
            assert_eq!(text.parse::<Selector>().unwrap().matches(&eu), expected, "{text}");
        }
        for bad in ["=x", "zone in (a", "zone of (a)", "a b", "env=é", "!"] {
            assert!(bad.parse::<Selector>().is_err(), "{bad}");
        }
    }

    #[test]
    fn operators_take_the_values_they_need() {
        let bad = Selector {
            match_expressions: vec![Requirement {
                key: "zone".into(),
                operator: Operator::In,
                values: BTreeSet::new(),
            }],
            ..Selector::default()
        };
        assert_eq!(
            bad.check().unwrap_err().to_string(),
            "matchExpressions[0].values: In needs at least one value"
        );
    }
}
