//! Walks a field set (`fieldsV1`) along the object that it speaks of.
//!
//! The format: `f:NAME` is a field, `k:{…}` an item of a list by its key fields, `v:…` an item of a set by its value,
//! `i:N` an item by its place, and `.` the thing itself. A path's text is what the API server writes in conflicts.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::exclusion::{self, Exclusion};

/// What a set says of one path.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Leaf<'a> {
    /// The value there is owned.
    Value(Option<&'a Value>),
    /// Only that something is there is owned.
    Present(bool),
}

/// One step of a path.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// A field by its name.
    Field(String),
    /// An item of a list by some of its fields.
    Key(Map<String, Value>),
    /// An item of a set.
    Item(Value),
    /// An item by its place.
    Index(usize),
}

impl Step {
    /// Reads a step as a field set writes it; `None` for `.` and for what is unknown.
    fn parse(text: &str) -> Option<Self> {
        let (kind, rest) = text.split_once(':')?;
        match kind {
            "f" => Some(Self::Field(rest.to_owned())),
            "k" => serde_json::from_str(rest).ok().map(Self::Key),
            "v" => serde_json::from_str(rest).ok().map(Self::Item),
            "i" => rest.parse().ok().map(Self::Index),
            _ => None,
        }
    }

    fn write(&self, path: &mut String) {
        // Writing to a String cannot fail.
        let _ = match self {
            Self::Field(name) => write!(path, ".{name}"),
            Self::Item(value) => write!(path, "[={value}]"),
            Self::Index(index) => write!(path, "[{index}]"),
            Self::Key(key) => {
                let fields: Vec<_> = key.iter().map(|(name, value)| format!("{name}={value}")).collect();
                write!(path, "[{}]", fields.join(","))
            }
        };
    }

    /// What the step leads to.
    fn follow<'a>(&self, value: &'a Value) -> Option<&'a Value> {
        match self {
            Self::Field(name) => value.get(name),
            Self::Key(key) => value.as_array()?.iter().find(|item| has_key(item, key)),
            Self::Item(wanted) => value.as_array()?.iter().find(|item| *item == wanted),
            Self::Index(index) => value.as_array()?.get(*index),
        }
    }
}

fn has_key(item: &Value, key: &Map<String, Value>) -> bool {
    key.iter().all(|(name, value)| item.get(name) == Some(value))
}

/// Calls `visit` with every path that `set` holds and what is there in `object`, but for what is excluded.
pub fn walk<'a>(
    set: &Value,
    object: &'a Value,
    exclusions: &[Exclusion],
    visit: &mut impl FnMut(&str, Leaf<'a>),
) {
    let Some(set) = set.as_object() else { return };
    let excluded: Vec<_> = exclusions.iter().map(|exclusion| &exclusion.steps[..]).collect();
    descend(set, Some(object), &excluded, &mut String::new(), visit);
}

/// Calls `visit` with every path that `set` holds at or below what `only` names.
pub fn walk_only<'a>(
    set: &Value,
    object: &'a Value,
    only: &Exclusion,
    visit: &mut impl FnMut(&str, Leaf<'a>),
) {
    let mut set = set;
    let mut value = Some(object);
    for wanted in &only.steps {
        let Some(children) = set.as_object() else { return };
        let found = children.iter().find_map(|(text, child)| {
            let step = Step::parse(text)?;
            wanted.matches(&step).then_some((step, child))
        });
        match found {
            // An atomic value above what is named holds it too.
            Some((_, child)) if child.as_object().is_some_and(Map::is_empty) => {
                return visit("", Leaf::Present(true));
            }
            Some((step, child)) => {
                value = value.and_then(|value| step.follow(value));
                set = child;
            }
            None => return,
        }
    }
    match set.as_object() {
        Some(children) if !children.is_empty() => {
            descend(children, value, &[], &mut String::new(), visit);
        }
        _ => visit("", Leaf::Present(true)),
    }
}

fn descend<'a>(
    set: &Map<String, Value>,
    value: Option<&'a Value>,
    excluded: &[&[exclusion::Step]],
    path: &mut String,
    visit: &mut impl FnMut(&str, Leaf<'a>),
) {
    for (text, child) in set {
        let Some(step) = Step::parse(text) else {
            if text == "." {
                visit(path, Leaf::Present(value.is_some()));
            }
            continue;
        };
        let deeper: Vec<_> = excluded
            .iter()
            .filter_map(|steps| steps.split_first())
            .filter(|(first, _)| first.matches(&step))
            .map(|(_, rest)| rest)
            .collect();
        if deeper.iter().any(|rest| rest.is_empty()) {
            continue;
        }
        let length = path.len();
        step.write(path);
        let next = value.and_then(|value| step.follow(value));
        match child.as_object() {
            Some(children) if !children.is_empty() => descend(children, next, &deeper, path, visit),
            _ if matches!(step, Step::Field(_) | Step::Index(_)) => visit(path, Leaf::Value(next)),
            _ => visit(path, Leaf::Present(next.is_some())),
        }
        path.truncate(length);
    }
}

/// Calls `visit` with every value that `manifest` holds and what is there in `object`. List items are matched by what
/// names them, or else by their place.
pub fn walk_shape<'a>(
    manifest: &Value,
    object: &'a Value,
    exclusions: &[Exclusion],
    visit: &mut impl FnMut(&str, Leaf<'a>),
) {
    let excluded: Vec<_> = exclusions.iter().map(|exclusion| &exclusion.steps[..]).collect();
    descend_shape(manifest, Some(object), &excluded, &mut String::new(), visit);
}

/// Fields that every object has and nobody owns.
const IDENTITY: [&str; 4] = [".apiVersion", ".kind", ".metadata.name", ".metadata.namespace"];

fn descend_shape<'a>(
    shape: &Value,
    value: Option<&'a Value>,
    excluded: &[&[exclusion::Step]],
    path: &mut String,
    visit: &mut impl FnMut(&str, Leaf<'a>),
) {
    let children: Vec<(Step, &Value)> = match shape {
        Value::Object(fields) => {
            fields.iter().map(|(name, child)| (Step::Field(name.clone()), child)).collect()
        }
        Value::Array(items) => {
            items.iter().enumerate().map(|(index, item)| (item_step(index, item), item)).collect()
        }
        _ => Vec::new(),
    };
    if children.is_empty() {
        if !IDENTITY.contains(&path.as_str()) {
            visit(path, Leaf::Value(value));
        }
        return;
    }
    for (step, child) in children {
        let deeper: Vec<_> = excluded
            .iter()
            .filter_map(|steps| steps.split_first())
            .filter(|(first, _)| first.matches(&step))
            .map(|(_, rest)| rest)
            .collect();
        if deeper.iter().any(|rest| rest.is_empty()) {
            continue;
        }
        let length = path.len();
        step.write(path);
        let next = value.and_then(|value| step.follow(value));
        descend_shape(child, next, &deeper, path, visit);
        path.truncate(length);
    }
}

fn item_step(index: usize, item: &Value) -> Step {
    match item.get("name") {
        Some(name) => Step::Key(Map::from_iter([("name".to_owned(), name.clone())])),
        None => Step::Index(index),
    }
}
