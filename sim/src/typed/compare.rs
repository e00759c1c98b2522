//! What differs between two values of a type.

use std::collections::BTreeMap;

use serde_json::Value;

use super::element_of;
use crate::fields::{Element, Set};
use crate::schema::{ListKind, ListType, MapType, Shape, Type};

/// Paths by what happened to them from the first value to the second.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Comparison {
    /// Only in the second.
    pub added: Set,
    /// In both and different.
    pub modified: Set,
    /// Only in the first.
    pub removed: Set,
}

/// Compares two values of one type.
#[must_use]
pub(crate) fn compare(ty: &Type, left: &Value, right: &Value) -> Comparison {
    let mut walker = Walker { path: Vec::new(), out: Comparison::default() };
    walker.walk(ty, Some(left), Some(right));
    walker.out
}

struct Walker {
    path: Vec<Element>,
    out: Comparison,
}

impl Walker {
    fn walk(&mut self, ty: &Type, left: Option<&Value>, right: Option<&Value>) {
        let Some(model) = right.or(left) else { return };
        let mut leaf = false;
        match ty.shape_of(model) {
            Shape::Scalar(_) | Shape::Any => leaf = true,
            Shape::Map(map, atomic) => {
                let (l, r) = (entries(left), entries(right));
                if atomic || (is_empty(left) && is_empty(right)) || mixed(left, right) {
                    leaf = true;
                } else {
                    self.walk_map(map, l, r);
                }
            }
            Shape::List(list) => {
                if list.how == ListKind::Atomic || (is_empty(left) && is_empty(right)) || mixed(left, right) {
                    leaf = true;
                } else {
                    self.walk_list(list, items(left), items(right));
                }
            }
        }
        match (left, right) {
            (None, Some(_)) => self.out.added.insert(&self.path),
            (Some(_), None) => self.out.removed.insert(&self.path),
            (Some(l), Some(r)) if leaf && l != r => self.out.modified.insert(&self.path),
            _ => {}
        }
    }

    fn walk_map(
        &mut self,
        map: &MapType,
        left: Option<&serde_json::Map<String, Value>>,
        right: Option<&serde_json::Map<String, Value>>,
    ) {
        let ours = left.into_iter().flatten().map(|(key, value)| (key, Some(value)));
        let theirs = right
            .into_iter()
            .flatten()
            .filter(|(key, _)| !left.is_some_and(|left| left.contains_key(*key)))
            .map(|(key, _)| (key, None));
        for (key, ours) in ours.chain(theirs) {
            let Some(ty) = map.field(key) else { continue };
            self.path.push(Element::field(key));
            self.walk(ty, ours, right.and_then(|right| right.get(key)));
            self.path.pop();
        }
    }

    fn walk_list(&mut self, list: &ListType, left: &[Value], right: &[Value]) {
        let (left, right) = (by_element(list, left), by_element(list, right));
        let mut all: Vec<&Element> = left.keys().collect();
        all.extend(right.keys().filter(|element| !left.contains_key(element)));
        for element in all {
            let empty = Vec::new();
            let (l, r) = (left.get(element).unwrap_or(&empty), right.get(element).unwrap_or(&empty));
            self.path.push(element.clone());
            if l.len() <= 1 && r.len() <= 1 {
                self.walk(&list.item, l.first().copied(), r.first().copied());
            } else if l.len() >= 2 && r.len() >= 2 {
                if l != r {
                    self.out.modified.insert(&self.path);
                }
            } else if l.len() >= 2 {
                if let Some(r) = r.first() {
                    self.walk(&list.item, None, Some(r));
                }
                self.out.removed.insert(&self.path);
            } else {
                if let Some(l) = l.first() {
                    self.walk(&list.item, Some(l), None);
                }
                self.out.added.insert(&self.path);
            }
            self.path.pop();
        }
    }
}

fn by_element<'a>(list: &ListType, items: &'a [Value]) -> BTreeMap<Element, Vec<&'a Value>> {
    let mut out: BTreeMap<Element, Vec<&Value>> = BTreeMap::new();
    for item in items {
        if let Ok(element) = element_of(list, item) {
            out.entry(element).or_default().push(item);
        }
    }
    out
}

fn entries(value: Option<&Value>) -> Option<&serde_json::Map<String, Value>> {
    value.and_then(Value::as_object)
}

fn items(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Empty, null or not there. Two of them are a leaf, so that empty and null stay apart.
fn is_empty(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null) => true,
        Some(Value::Object(map)) => map.is_empty(),
        Some(Value::Array(list)) => list.is_empty(),
        Some(_) => false,
    }
}

/// One is a map or list and the other something else: compared whole.
fn mixed(left: Option<&Value>, right: Option<&Value>) -> bool {
    let (Some(left), Some(right)) = (left, right) else { return false };
    !left.is_null()
        && !right.is_null()
        && (left.is_object() != right.is_object() || left.is_array() != right.is_array())
}
