//! Whether a value is of its type, as server-side apply checks it.

use std::collections::BTreeSet;

use serde_json::Value;

use super::element_of;
use crate::schema::{ListKind, Scalar, Shape, Type};

/// One thing wrong with a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// Where, as messages show it.
    pub path: String,
    /// What.
    pub message: String,
}

/// Everything wrong with a value.
#[must_use]
pub(crate) fn validate(ty: &Type, value: &Value) -> Vec<Problem> {
    let mut out = Vec::new();
    check(ty, value, &mut String::new(), &mut out);
    out
}

fn check(ty: &Type, value: &Value, path: &mut String, out: &mut Vec<Problem>) {
    if value.is_null() {
        return;
    }
    let mut problem = |message: String| out.push(Problem { path: path.clone(), message });
    match (ty.shape_of(value), value) {
        (Shape::Scalar(scalar), _) => {
            if let Some(message) = scalar_problem(scalar, value) {
                problem(message);
            }
        }
        (Shape::Any, _) => {}
        (Shape::Map(map, _), Value::Object(entries)) => {
            for (key, entry) in entries {
                let length = path.len();
                path.push('.');
                path.push_str(key);
                match map.field(key) {
                    Some(ty) => check(ty, entry, path, out),
                    None => out.push(Problem {
                        path: path.clone(),
                        message: "field not declared in schema".to_owned(),
                    }),
                }
                path.truncate(length);
            }
        }
        (Shape::Map(..), _) => problem(format!("expected map, got {}", go_value(value))),
        (Shape::List(list), Value::Array(items)) => {
            let mut seen = BTreeSet::new();
            for (index, item) in items.iter().enumerate() {
                let length = path.len();
                if list.how == ListKind::Atomic {
                    path.push_str(&format!("[{index}]"));
                } else {
                    match element_of(list, item) {
                        Ok(element) => {
                            let text = element.to_string();
                            if !seen.insert(element) {
                                out.push(Problem {
                                    path: path.clone(),
                                    message: format!("duplicate entries for key {text}"),
                                });
                            }
                            path.push_str(&text);
                        }
                        Err(message) => {
                            out.push(Problem {
                                path: path.clone(),
                                message: format!("element {index}: {message}"),
                            });
                            return;
                        }
                    }
                }
                check(&list.item, item, path, out);
                path.truncate(length);
            }
        }
        (Shape::List(_), _) => problem(format!("expected list, got {}", go_value(value))),
    }
}

fn scalar_problem(scalar: Scalar, value: &Value) -> Option<String> {
    let fits = match scalar {
        Scalar::String => value.is_string(),
        Scalar::Number => value.is_number(),
        Scalar::Bool => value.is_boolean(),
        Scalar::Quantity | Scalar::IntOrString => !value.is_object() && !value.is_array(),
    };
    if fits {
        return None;
    }
    Some(match scalar {
        Scalar::Number => format!("expected numeric (int or float), got {}", go_type(value)),
        Scalar::String => format!("expected string, got {}", go_syntax(value)),
        Scalar::Bool => format!("expected boolean, got {}", go_value(value)),
        Scalar::Quantity | Scalar::IntOrString => {
            format!("expected any scalar, got {}", go_value(value))
        }
    })
}

fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_i64() => "int64",
        Value::Number(_) => "float64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

/// The value as Go's `%#v` prints the server's wrapper of it.
fn go_syntax(value: &Value) -> String {
    format!("&value.valueUnstructured{{Value:{value}}}")
}

/// The value as Go's `%v` prints the server's wrapper of it.
fn go_value(value: &Value) -> String {
    fn plain(value: &Value) -> String {
        match value {
            Value::Null => "<nil>".to_owned(),
            Value::String(text) => text.clone(),
            Value::Array(items) => {
                format!("[{}]", items.iter().map(plain).collect::<Vec<String>>().join(" "))
            }
            Value::Object(map) => {
                let entries: Vec<String> =
                    map.iter().map(|(key, value)| format!("{key}:{}", plain(value))).collect();
                format!("map[{}]", entries.join(" "))
            }
            other => other.to_string(),
        }
    }
    format!("&{{{}}}", plain(value))
}

/// All problems in one text, as the server joins them.
#[must_use]
pub(crate) fn problems_text(problems: &[Problem]) -> String {
    let one = |problem: &Problem| {
        if problem.path.is_empty() {
            problem.message.clone()
        } else {
            format!("{}: {}", problem.path, problem.message)
        }
    };
    match problems {
        [problem] => one(problem),
        _ => {
            let mut text = "errors:".to_owned();
            for problem in problems {
                text.push_str("\n  ");
                text.push_str(&one(problem));
            }
            text
        }
    }
}
