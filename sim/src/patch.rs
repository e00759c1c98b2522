//! The patches that are not server-side apply: JSON patch, merge patch and strategic merge patch.
//!
//! Strategic merging uses the list keys of server-side apply. Where the real server has another merge key
//! (ports of containers and services) the first of the keys is it.

use serde_json::{Map, Value};

use crate::schema::{ListKind, ListType, Shape, Type};
use crate::status::{Failure, Result};

/// RFC 6902.
///
/// # Errors
/// If the patch is malformed (400) or does not fit the object (422).
pub(crate) fn json_patch(object: &mut Value, body: &Value) -> Result<()> {
    let patch: json_patch::Patch =
        serde_json::from_value(body.clone()).map_err(|error| Failure::bad_request(error.to_string()))?;
    json_patch::patch(object, &patch).map_err(|_| {
        let mut failure =
            Failure::other(422, "Invalid", "the server rejected our request due to an error in our request");
        failure.details = Some(serde_json::json!({}));
        failure
    })
}

/// RFC 7386.
pub(crate) fn merge_patch(object: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *object = patch.clone();
        return;
    };
    if !object.is_object() {
        *object = Value::Object(Map::new());
    }
    let Value::Object(target) = object else { return };
    for (key, value) in patch {
        if value.is_null() {
            target.remove(key);
        } else {
            merge_patch(target.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}

/// Strategic merge patch.
pub(crate) fn strategic_patch(ty: &Type, object: &mut Value, patch: &Value) {
    match (ty.shape_of(patch), patch) {
        (Shape::Map(map, _), Value::Object(patch)) => {
            if patch.get("$patch").is_some_and(|directive| directive == "replace") {
                *object = Value::Object(without_directives(patch));
                return;
            }
            if !object.is_object() {
                *object = Value::Object(Map::new());
            }
            let Value::Object(target) = object else { return };
            retain_keys(target, patch);
            for (key, value) in patch {
                if let Some(list) = key.strip_prefix("$deleteFromPrimitiveList/") {
                    delete_from_list(target.get_mut(list), value);
                } else if key.starts_with('$') {
                    continue;
                } else if value.is_null() {
                    target.remove(key);
                } else {
                    let ty = map.field(key).unwrap_or(&Type::Any);
                    let before = target.get(key).filter(|have| have.is_array()).cloned();
                    let slot = target.entry(key.clone()).or_insert(Value::Null);
                    strategic_patch(ty, slot, value);
                    let order = patch.get(&format!("$setElementOrder/{key}")).unwrap_or(value);
                    reorder(ty, slot, order, before.as_ref());
                }
            }
        }
        (Shape::List(list), Value::Array(items)) if list.how != ListKind::Atomic => {
            if !object.is_array() {
                *object = Value::Array(Vec::new());
            }
            if let Value::Array(target) = object {
                patch_list(list, target, items);
            }
        }
        _ => *object = patch.clone(),
    }
}

fn without_directives(patch: &Map<String, Value>) -> Map<String, Value> {
    patch.iter().filter(|(key, _)| !key.starts_with('$')).map(|(k, v)| (k.clone(), v.clone())).collect()
}

fn retain_keys(target: &mut Map<String, Value>, patch: &Map<String, Value>) {
    if let Some(Value::Array(keys)) = patch.get("$retainKeys") {
        target.retain(|key, _| keys.iter().any(|kept| kept == key));
    }
}

fn delete_from_list(target: Option<&mut Value>, gone: &Value) {
    if let (Some(Value::Array(target)), Value::Array(gone)) = (target, gone) {
        target.retain(|item| !gone.contains(item));
    }
}

fn merge_key(list: &ListType) -> Option<&str> {
    match &list.how {
        ListKind::Map(keys) => keys.first().map(|key| &**key),
        _ => None,
    }
}

fn patch_list(list: &ListType, target: &mut Vec<Value>, items: &[Value]) {
    let Some(key) = merge_key(list) else {
        for item in items {
            if !target.contains(item) {
                target.push(item.clone());
            }
        }
        return;
    };
    if items.iter().any(|item| item["$patch"] == "replace") {
        target.clear();
    }
    for item in items {
        let place = target.iter().position(|have| have[key] == item[key]);
        match (item["$patch"].as_str(), place) {
            (Some("delete"), Some(place)) => {
                target.remove(place);
            }
            (Some("delete" | "replace"), _) if item.as_object().is_some_and(|map| map.len() <= 1) => {}
            (Some("delete"), None) => {}
            (_, Some(place)) => {
                if let Some(slot) = target.get_mut(place) {
                    strategic_patch(&list.item, slot, item);
                }
            }
            (_, None) => {
                let mut fresh = Value::Null;
                strategic_patch(&list.item, &mut fresh, item);
                target.push(fresh);
            }
        }
    }
}

/// Items that the patch names come in its order; the others stay before those that they stood before.
fn reorder(ty: &Type, slot: &mut Value, order: &Value, before: Option<&Value>) {
    let (Shape::List(list), Value::Array(items), Value::Array(order)) = (ty.shape(), slot, order) else {
        return;
    };
    let key = merge_key(list);
    if list.how == ListKind::Atomic {
        return;
    }
    let same = |item: &Value, other: &Value| match key {
        Some(key) => item[key] == other[key],
        None => item == other,
    };
    let place = |list: &[Value], item: &Value| list.iter().position(|other| same(item, other));
    let before = before.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let (mut named, others): (Vec<Value>, Vec<Value>) =
        std::mem::take(items).into_iter().partition(|item| place(order, item).is_some());
    named.sort_by_key(|item| place(order, item));
    let mut others = others.into_iter().peekable();
    for item in named {
        let at = place(before, &item);
        while let Some(other) = others.peek()
            && at.is_some_and(|at| place(before, other).is_some_and(|other| other < at))
        {
            items.extend(others.next());
        }
        items.push(item);
    }
    items.extend(others);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::builtin;
    use serde_json::json;

    #[test]
    fn strategic_patch_merges_containers_by_name() {
        let ty = builtin().find("core.v1.PodSpec").unwrap();
        let mut spec = json!({"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "1"}]});
        let patch = json!({"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}],
            "containers": [{"name": "b", "image": "2"}]});
        strategic_patch(&ty, &mut spec, &patch);
        assert_eq!(spec["containers"], json!([{"name": "b", "image": "2"}, {"name": "a", "image": "1"}]));
        strategic_patch(&ty, &mut spec, &json!({"containers": [{"name": "a", "$patch": "delete"}]}));
        assert_eq!(spec["containers"], json!([{"name": "b", "image": "2"}]));
    }
}
