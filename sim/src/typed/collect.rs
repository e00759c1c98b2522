//! Which paths a value sets.

use serde_json::Value;

use super::element_of;
use crate::fields::{Element, Node, Set};
use crate::schema::{ListKind, Shape, Type};

/// The paths that applying this value owns.
#[must_use]
pub(crate) fn field_set(ty: &Type, value: &Value) -> Set {
    let mut root = Node::default();
    fill(ty, value, &mut root);
    root.children
}

fn fill(ty: &Type, value: &Value, out: &mut Node) {
    match ty.shape_of(value) {
        Shape::Scalar(_) | Shape::Any | Shape::Map(_, true) => out.member = true,
        Shape::List(list) if list.how == ListKind::Atomic => out.member = true,
        Shape::List(list) => {
            let Value::Array(items) = value else { return };
            for item in items {
                let Ok(element) = element_of(list, item) else { continue };
                let node = out.children.nodes.entry(element).or_default();
                if node.member {
                    node.children = Set::default(); // A duplicate: only the item itself is owned.
                } else {
                    fill(&list.item, item, node);
                    node.member = true;
                }
            }
        }
        Shape::Map(map, false) => {
            let Value::Object(entries) = value else { return };
            for (key, entry) in entries {
                let Some(ty) = map.field(key) else { continue };
                let mut node = Node::default();
                fill(ty, entry, &mut node);
                let empty = entry.is_null() || entry.as_object().is_some_and(serde_json::Map::is_empty);
                node.member |= empty || !map.fields.contains_key(key.as_str());
                out.children.put(Element::field(key), node);
            }
        }
    }
}

/// The set with every named field on the way to a path as a member too: taking `a.b` may then take `a`.
#[must_use]
pub(crate) fn with_named_fields(ty: &Type, set: &Set) -> Set {
    let mut out = Set::default();
    for (element, node) in &set.nodes {
        let (below, named) = match (ty.shape(), element) {
            (Shape::Map(map, _), Element::Field(name)) => {
                (map.field(name), map.fields.contains_key(name.as_str()))
            }
            (Shape::List(list), _) => (Some(&list.item), false),
            _ => (None, false),
        };
        let children = match below {
            Some(below) => with_named_fields(below, &node.children),
            None => node.children.clone(),
        };
        let member = node.member || (named && !node.children.is_empty());
        out.put(element.clone(), Node { member, children });
    }
    out
}
