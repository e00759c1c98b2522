//! Takes paths out of a value.

use serde_json::{Map, Value};

use super::element_of;
use crate::fields::{Element, Set};
use crate::schema::{ListKind, Shape, Type};

/// The value without these paths. What becomes empty by it becomes null, which decoding drops.
#[must_use]
pub(crate) fn remove(ty: &Type, value: &Value, paths: &Set) -> Value {
    if paths.is_empty() {
        return value.clone();
    }
    match (ty.shape_of(value), value) {
        (Shape::Map(map, false), Value::Object(entries)) => {
            let mut out = Map::new();
            for (key, entry) in entries {
                match paths.nodes.get(&Element::field(key)) {
                    Some(node) if node.member => {}
                    Some(node) => {
                        let ty = map.field(key).unwrap_or(&Type::Any);
                        out.insert(key.clone(), remove(ty, entry, &node.children));
                    }
                    None => {
                        out.insert(key.clone(), entry.clone());
                    }
                }
            }
            if out.is_empty() { Value::Null } else { Value::Object(out) }
        }
        (Shape::List(list), Value::Array(items)) if list.how != ListKind::Atomic => {
            let mut out = Vec::with_capacity(items.len());
            for item in items {
                let node = element_of(list, item).ok().and_then(|element| paths.nodes.get(&element));
                match node {
                    Some(node) if node.member => {}
                    Some(node) => out.push(remove(&list.item, item, &node.children)),
                    None => out.push(item.clone()),
                }
            }
            if out.is_empty() { Value::Null } else { Value::Array(out) }
        }
        (Shape::Scalar(_), _) => value.clone(),
        _ => Value::Null,
    }
}
