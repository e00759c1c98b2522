//! Merges an applied value into a live one: what is applied wins, what it does not name stays.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::element_of;
use crate::fields::Element;
use crate::schema::{ListKind, ListType, MapType, Shape, Type};

/// The live value with the applied one merged in.
#[must_use]
pub(crate) fn merge(ty: &Type, live: &Value, applied: &Value) -> Value {
    merged(ty, Some(live), Some(applied)).unwrap_or(Value::Null)
}

fn merged(ty: &Type, live: Option<&Value>, applied: Option<&Value>) -> Option<Value> {
    let model = applied.filter(|value| !value.is_null()).or(live).or(applied)?;
    let leaf = || applied.or(live).cloned();
    match ty.shape_of(model) {
        Shape::Scalar(_) | Shape::Any | Shape::Map(_, true) => leaf(),
        Shape::Map(map, false) => {
            let (l, r) = (live.and_then(Value::as_object), applied.and_then(Value::as_object));
            if l.is_none_or(Map::is_empty) && r.is_none_or(Map::is_empty) {
                return leaf();
            }
            merge_map(map, l, r)
        }
        Shape::List(list) => {
            let (l, r) = (live.and_then(Value::as_array), applied.and_then(Value::as_array));
            if list.how == ListKind::Atomic || (l.is_none_or(Vec::is_empty) && r.is_none_or(Vec::is_empty)) {
                return leaf();
            }
            merge_list(list, l.map_or(&[], Vec::as_slice), r.map_or(&[], Vec::as_slice))
        }
    }
}

fn merge_map(
    map: &MapType,
    live: Option<&Map<String, Value>>,
    applied: Option<&Map<String, Value>>,
) -> Option<Value> {
    let mut out = Map::new();
    for (key, ours) in live.into_iter().flatten() {
        let ty = map.field(key).unwrap_or(&Type::Any);
        if let Some(value) = merged(ty, Some(ours), applied.and_then(|applied| applied.get(key))) {
            out.insert(key.clone(), value);
        }
    }
    for (key, theirs) in applied.into_iter().flatten() {
        if live.is_some_and(|live| live.contains_key(key)) {
            continue;
        }
        let ty = map.field(key).unwrap_or(&Type::Any);
        if let Some(value) = merged(ty, None, Some(theirs)) {
            out.insert(key.clone(), value);
        }
    }
    (!out.is_empty()).then_some(Value::Object(out))
}

/// Items of one list by element; an element that occurs twice has no single item.
struct Side<'a> {
    elements: Vec<Element>,
    items: Vec<&'a Value>,
    single: BTreeMap<Element, Option<&'a Value>>,
}

impl<'a> Side<'a> {
    fn new(list: &ListType, values: &'a [Value]) -> Side<'a> {
        let mut side = Side { elements: Vec::new(), items: Vec::new(), single: BTreeMap::new() };
        for item in values {
            let Ok(element) = element_of(list, item) else { continue };
            side.single.entry(element.clone()).and_modify(|single| *single = None).or_insert(Some(item));
            side.elements.push(element);
            side.items.push(item);
        }
        side
    }

    fn get(&self, element: &Element) -> Option<&'a Value> {
        self.single.get(element).copied().flatten()
    }
}

/// The order is that of the applied list; items that only the live one has keep their place between.
fn merge_list(list: &ListType, live: &[Value], applied: &[Value]) -> Option<Value> {
    let (live, applied) = (Side::new(list, live), Side::new(list, applied));
    let mut shared = applied.elements.iter().filter(|element| live.single.contains_key(*element));
    let mut next_shared = shared.next();
    let mut done = BTreeSet::new();
    let mut out = Vec::new();
    let (mut l, mut r) = (0, 0);
    while l < live.elements.len() || r < applied.elements.len() {
        if let (Some(ours), Some(theirs)) = (live.elements.get(l), applied.elements.get(r)) {
            if ours == theirs {
                done.insert(ours);
                out.extend(merged(&list.item, live.get(ours), applied.get(ours)));
                (l, r) = (l + 1, r + 1);
                next_shared = shared.next();
                continue;
            }
            if applied.single.contains_key(ours) && next_shared.is_some_and(|next| next != ours) {
                l += 1;
                continue;
            }
        }
        if let Some(ours) = live.elements.get(l) {
            if !applied.single.contains_key(ours) {
                out.extend(merged(&list.item, live.items.get(l).copied(), None));
                l += 1;
                continue;
            }
            if done.contains(ours) {
                l += 1;
            }
        }
        if let Some(theirs) = applied.elements.get(r) {
            done.insert(theirs);
            out.extend(merged(&list.item, live.get(theirs), applied.get(theirs)));
            r += 1;
            if next_shared == Some(theirs) {
                next_shared = shared.next();
            }
        }
    }
    (!out.is_empty()).then_some(Value::Array(out))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::builtin;
    use serde_json::json;

    fn names(value: &Value) -> Vec<&str> {
        value["containers"].as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap()).collect()
    }

    #[test]
    fn applied_order_wins_and_live_only_items_keep_their_place() {
        let pod = builtin().find("core.v1.PodSpec").unwrap();
        let live = json!({"containers": [{"name": "a", "image": "1"}, {"name": "x"}, {"name": "b"}]});
        let applied = json!({"containers": [{"name": "b"}, {"name": "a", "image": "2"}]});
        let out = merge(&pod, &live, &applied);
        assert_eq!(names(&out), ["x", "b", "a"]);
        assert_eq!(out["containers"][2]["image"], "2");
        let same = merge(&pod, &live, &json!({"containers": [{"name": "a"}, {"name": "b"}]}));
        assert_eq!(names(&same), ["a", "x", "b"]);
    }
}
