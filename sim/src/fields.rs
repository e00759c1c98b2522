//! Sets of field paths, and their `FieldsV1` form in `managedFields`.
//!
//! Owns the path elements and the set algebra that ownership is made of. It knows nothing of types.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value, json};

/// A single value inside a path: part of a list key, or a member of a set.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Atom {
    /// A float, by its text.
    Float(String),
    /// An integer.
    Int(i64),
    /// Text.
    String(String),
    /// True or false.
    Bool(bool),
    /// Nothing.
    Null,
}

impl Atom {
    /// The atom of a JSON value; maps and lists have none.
    #[must_use]
    pub(crate) fn from_json(value: &Value) -> Option<Atom> {
        match value {
            Value::Null => Some(Atom::Null),
            Value::Bool(value) => Some(Atom::Bool(*value)),
            Value::Number(number) => {
                Some(number.as_i64().map_or_else(|| Atom::Float(number.to_string()), Atom::Int))
            }
            Value::String(text) => Some(Atom::String(text.clone())),
            Value::Array(_) | Value::Object(_) => None,
        }
    }

    fn to_json(&self) -> Value {
        match self {
            Atom::Float(text) => text.parse::<f64>().map_or(Value::Null, Value::from),
            Atom::Int(number) => Value::from(*number),
            Atom::String(text) => Value::from(text.as_str()),
            Atom::Bool(value) => Value::from(*value),
            Atom::Null => Value::Null,
        }
    }
}

impl fmt::Display for Atom {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.to_json())
    }
}

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Element {
    /// A field of a struct or a key of a map.
    Field(String),
    /// An item of a keyed list, by its sorted keys.
    Key(Vec<(String, Atom)>),
    /// A member of a set.
    Value(Atom),
    /// A place in a list.
    Index(i64),
}

impl Element {
    /// A field of this name.
    #[must_use]
    pub(crate) fn field(name: &str) -> Element {
        Element::Field(name.to_owned())
    }

    fn encode(&self) -> String {
        match self {
            Element::Field(name) => format!("f:{name}"),
            Element::Key(keys) => {
                let map: Map<String, Value> =
                    keys.iter().map(|(name, value)| (name.clone(), value.to_json())).collect();
                format!("k:{}", Value::Object(map))
            }
            Element::Value(value) => format!("v:{}", value.to_json()),
            Element::Index(index) => format!("i:{index}"),
        }
    }

    fn decode(text: &str) -> Option<Element> {
        let (kind, rest) = text.split_once(':')?;
        match kind {
            "f" => Some(Element::field(rest)),
            "k" => {
                let Value::Object(map) = serde_json::from_str(rest).ok()? else { return None };
                let mut keys = Vec::with_capacity(map.len());
                for (name, value) in &map {
                    keys.push((name.clone(), Atom::from_json(value)?));
                }
                keys.sort();
                Some(Element::Key(keys))
            }
            "v" => Some(Element::Value(Atom::from_json(&serde_json::from_str(rest).ok()?)?)),
            "i" => Some(Element::Index(rest.parse().ok()?)),
            _ => None,
        }
    }
}

impl fmt::Display for Element {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Element::Field(name) => write!(out, ".{name}"),
            Element::Key(keys) => {
                write!(out, "[")?;
                for (number, (name, value)) in keys.iter().enumerate() {
                    let comma = if number == 0 { "" } else { "," };
                    write!(out, "{comma}{name}={value}")?;
                }
                write!(out, "]")
            }
            Element::Value(value) => write!(out, "[={value}]"),
            Element::Index(index) => write!(out, "[{index}]"),
        }
    }
}

/// A set of paths, as a tree. A node that is no member and has no children is never kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Set {
    /// The first steps of the paths.
    pub nodes: BTreeMap<Element, Node>,
}

/// A step in the tree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Node {
    /// The path that ends here is in the set.
    pub member: bool,
    /// Paths that go on.
    pub children: Set,
}

impl Node {
    /// Neither a member nor on the way to one.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        !self.member && self.children.is_empty()
    }
}

impl Set {
    /// No paths.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Adds one path.
    pub(crate) fn insert(&mut self, path: &[Element]) {
        let Some((first, rest)) = path.split_first() else { return };
        let node = self.nodes.entry(first.clone()).or_default();
        if rest.is_empty() { node.member = true } else { node.children.insert(rest) }
    }

    /// Puts a node in place unless it is empty.
    pub(crate) fn put(&mut self, element: Element, node: Node) {
        if !node.is_empty() {
            self.nodes.insert(element, node);
        }
    }

    /// Paths in either.
    #[must_use]
    pub(crate) fn union(&self, other: &Set) -> Set {
        let mut out = self.clone();
        for (element, theirs) in &other.nodes {
            let node = out.nodes.entry(element.clone()).or_default();
            node.member |= theirs.member;
            node.children = node.children.union(&theirs.children);
        }
        out
    }

    /// Paths in both.
    #[must_use]
    pub(crate) fn intersection(&self, other: &Set) -> Set {
        let mut out = Set::default();
        for (element, ours) in &self.nodes {
            if let Some(theirs) = other.nodes.get(element) {
                let node = Node {
                    member: ours.member && theirs.member,
                    children: ours.children.intersection(&theirs.children),
                };
                out.put(element.clone(), node);
            }
        }
        out
    }

    /// Paths here and not there. A path is taken out alone, not with what is below it.
    #[must_use]
    pub(crate) fn difference(&self, other: &Set) -> Set {
        let mut out = Set::default();
        for (element, ours) in &self.nodes {
            let node = match other.nodes.get(element) {
                Some(theirs) => Node {
                    member: ours.member && !theirs.member,
                    children: ours.children.difference(&theirs.children),
                },
                None => ours.clone(),
            };
            out.put(element.clone(), node);
        }
        out
    }

    /// Without this path and everything below it.
    #[must_use]
    pub(crate) fn without_below(&self, path: &[Element]) -> Set {
        let Some((first, rest)) = path.split_first() else { return Set::default() };
        let mut out = self.clone();
        if let Some(mut node) = out.nodes.remove(first)
            && !rest.is_empty()
        {
            node.children = node.children.without_below(rest);
            out.put(first.clone(), node);
        }
        out
    }

    /// Every path, parents before what is below them, members of one level first.
    #[must_use]
    pub(crate) fn paths(&self) -> Vec<Vec<Element>> {
        let mut out = Vec::new();
        self.collect(&mut Vec::new(), &mut out);
        out
    }

    fn collect(&self, prefix: &mut Vec<Element>, out: &mut Vec<Vec<Element>>) {
        for (element, node) in &self.nodes {
            if node.member {
                let mut path = prefix.clone();
                path.push(element.clone());
                out.push(path);
            }
        }
        for (element, node) in &self.nodes {
            prefix.push(element.clone());
            node.children.collect(prefix, out);
            prefix.pop();
        }
    }

    /// The `fieldsV1` form.
    #[must_use]
    pub(crate) fn to_json(&self) -> Value {
        let mut map = Map::new();
        for (element, node) in &self.nodes {
            let mut value = node.children.to_json();
            if node.member
                && !node.children.is_empty()
                && let Value::Object(inner) = &mut value
            {
                inner.insert(".".to_owned(), json!({}));
            }
            map.insert(element.encode(), value);
        }
        Value::Object(map)
    }

    /// Reads the `fieldsV1` form; `None` if it is not one.
    #[must_use]
    pub(crate) fn from_json(value: &Value) -> Option<Set> {
        let mut set = Set::default();
        for (text, below) in value.as_object()? {
            if text == "." {
                continue;
            }
            let below_map = below.as_object()?;
            let children = Set::from_json(below)?;
            let member = below_map.is_empty() || below_map.contains_key(".");
            set.put(Element::decode(text)?, Node { member, children });
        }
        Some(set)
    }
}

/// A path as messages show it, such as `.spec.containers[name="c"].image`.
#[must_use]
pub(crate) fn path_text(path: &[Element]) -> String {
    path.iter().map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_v1_round_trips_with_dots_keys_and_values() {
        let fields = json!({"f:metadata": {"f:finalizers": {".": {}, "v:\"a/b\"": {}}},
            "f:spec": {"f:ports": {"k:{\"port\":80,\"protocol\":\"TCP\"}": {".": {}, "f:port": {}}}}});
        let set = Set::from_json(&fields).unwrap();
        assert_eq!(set.to_json(), fields);
        let texts: Vec<String> = set.paths().iter().map(|path| path_text(path)).collect();
        assert_eq!(
            texts,
            [
                ".metadata.finalizers",
                ".metadata.finalizers[=\"a/b\"]",
                ".spec.ports[port=80,protocol=\"TCP\"]",
                ".spec.ports[port=80,protocol=\"TCP\"].port"
            ]
        );
    }

    #[test]
    fn difference_takes_a_parent_and_leaves_its_children() {
        let mut parent = Set::default();
        parent.insert(&[Element::field("a")]);
        let mut both = parent.clone();
        both.insert(&[Element::field("a"), Element::field("b")]);
        let left = both.difference(&parent);
        assert_eq!(left.to_json(), json!({"f:a": {"f:b": {}}}));
        assert!(both.intersection(&parent).nodes[&Element::field("a")].children.is_empty());
    }
}
