//! What serde says of a value that does not fit its type, in words for the person who wrote it.

use serde_path_to_error::{Path, Segment};

use crate::field::FieldError;
use crate::suggest::did_you_mean;

/// The error with its field path, such as `spec.placement.count: is "many"; expected a whole number`.
pub(super) fn field_error(error: &serde_path_to_error::Error<serde_json::Error>) -> FieldError {
    let path = field_path(error.path());
    let message = error.inner().to_string();
    if let Some(field) = message.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`')) {
        return at(&path, field, "is missing");
    }
    if let Some((field, known)) = named(&message, "unknown field `") {
        let problem = format!("is no field of this{}", expected(field, &known));
        // The path may or may not hold the field itself already.
        return if path.ends_with_name(field) {
            FieldError::new(path.0, problem)
        } else {
            at(&path, field, &problem)
        };
    }
    if let Some((value, known)) = named(&message, "unknown variant `") {
        return FieldError::new(path.0, format!("is {value:?}{}", expected(value, &known)));
    }
    FieldError::new(path.0, translated(&message))
}

/// A field path in text.
struct FieldPath(String);

impl FieldPath {
    fn ends_with_name(&self, field: &str) -> bool {
        let suffix = FieldError::new("", "").within(field).path;
        self.0 == suffix
            || self.0.ends_with(&format!(".{suffix}"))
            || suffix.starts_with('[') && self.0.ends_with(&suffix)
    }
}

fn at(path: &FieldPath, field: &str, problem: &str) -> FieldError {
    let error = FieldError::new("", problem).within(field);
    if path.0.is_empty() { error } else { error.under(&path.0) }
}

fn field_path(path: &Path) -> FieldPath {
    let mut error = FieldError::new("", "");
    let mut segments: Vec<&Segment> = path.iter().collect();
    while let Some(segment) = segments.pop() {
        error = match segment {
            Segment::Seq { index } => error.at_index(*index),
            Segment::Map { key } => error.within(key),
            Segment::Enum { variant } => error.within(variant),
            Segment::Unknown => error,
        };
    }
    FieldPath(error.path)
}

/// The name in back quotes after `prefix`, and the names that were expected instead.
fn named<'m>(message: &'m str, prefix: &str) -> Option<(&'m str, Vec<&'m str>)> {
    let (name, rest) = message.strip_prefix(prefix)?.split_once("`, ").or_else(|| {
        // A list of no names at all: "there are no fields".
        Some((message.strip_prefix(prefix)?, ""))
    })?;
    Some((name, rest.split('`').skip(1).step_by(2).collect()))
}

fn expected(typed: &str, known: &[&str]) -> String {
    match known {
        [] => "; expected nothing here".to_owned(),
        [one] => format!("; expected {one}"),
        known => format!("; expected one of {}{}", and(known), did_you_mean(typed, known.iter().copied())),
    }
}

/// `a, b and c`.
pub(super) fn and(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// `invalid type: string "x", expected u32` as `is "x"; expected a whole number, 0 or more`.
fn translated(message: &str) -> String {
    let found = message.strip_prefix("invalid type: ").or_else(|| message.strip_prefix("invalid value: "));
    let Some((found, expected)) = found.and_then(|rest| rest.rsplit_once(", expected ")) else {
        return message.to_owned();
    };
    let found = match found.split_once(' ') {
        Some(("string", quoted)) => quoted,
        Some(("integer" | "boolean", number)) => number.trim_matches('`'),
        Some(("floating", rest)) => rest.trim_start_matches("point ").trim_matches('`'),
        _ => match found {
            "map" => "a map",
            "sequence" => "a list",
            "unit value" => "null",
            other => other,
        },
    };
    let expected = match expected {
        "u32" if found.parse::<u64>().is_ok() => "at most 4294967295",
        "u8" | "u16" | "u32" | "u64" | "usize" if is_quoted_number(found) => {
            "a whole number, 0 or more, without quotes"
        }
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, 0 or more",
        "i8" | "i16" | "i32" | "i64" => "a whole number",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        other if other.starts_with("struct ") => "a map",
        other if other.starts_with("internally tagged enum ") => "a map",
        other if other.starts_with("enum ") || other == "string or map" => "a word",
        other => other,
    };
    if expected == "a string" && (found.parse::<f64>().is_ok() || found == "true" || found == "false") {
        return format!("is {found}; expected a string; quote it");
    }
    format!("is {found}; expected {expected}")
}

/// Whether it is a number that somebody put in quotes.
fn is_quoted_number(found: &str) -> bool {
    found
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .is_some_and(|text| text.parse::<u64>().is_ok())
}
