//! Masking: an object as it may be shown, without the values of a Secret.
//!
//! The mark is fixed. A digest of the value would tell equal passwords apart and give away short ones.

use serde_json::Value;

/// What stands in place of a value of a Secret.
pub const MASK: &str = "***";
/// What stands in place of a value that differs from the one it is compared with.
pub const MASK_CHANGED: &str = "*** (changed)";

/// The maps of a Secret that hold what is secret.
const SECRET_FIELDS: [&str; 2] = ["data", "stringData"];
/// kubectl keeps the whole object here, values and all.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The object with the values of a Secret replaced by [`MASK`]; other objects as they are. Lists are masked item by item.
#[must_use]
pub fn masked(object: &Value) -> Value {
    let mut shown = object.clone();
    mask(&mut shown, None);
    shown
}

/// Two states of one object as a diff may show them: a value of a Secret that differs is [`MASK_CHANGED`] in the second.
#[must_use]
pub fn masked_pair(before: &Value, after: &Value) -> (Value, Value) {
    let mut shown = after.clone();
    mask(&mut shown, Some(before));
    (masked(before), shown)
}

/// A Secret or a part of one, such as a merge patch, which need not say that it is a Secret.
pub(crate) fn masked_secret(object: &Value) -> Value {
    let mut shown = object.clone();
    mask_secret(&mut shown, None);
    shown
}

/// A JSON patch of a Secret: every value in it.
pub(crate) fn masked_json_patch(patch: &Value) -> Value {
    let mut shown = patch.clone();
    for operation in shown.as_array_mut().into_iter().flatten() {
        if let Some(value) = operation.get_mut("value") {
            mask_one(value, None);
        }
    }
    shown
}

fn mask(object: &mut Value, before: Option<&Value>) {
    if let Some(Value::Array(items)) = object.get_mut("items") {
        for (index, item) in items.iter_mut().enumerate() {
            mask(item, before.and_then(|list| list.get("items")?.get(index)));
        }
    }
    if is_secret(object) {
        mask_secret(object, before);
    }
}

fn mask_secret(object: &mut Value, before: Option<&Value>) {
    for field in SECRET_FIELDS {
        if let Some(content) = object.get_mut(field) {
            mask_all(content, before.and_then(|before| before.get(field)));
        }
    }
    let last = |object: &Value| object.get("metadata")?.get("annotations")?.get(LAST_APPLIED).cloned();
    let old = before.and_then(last);
    if let Some(text) =
        object.pointer_mut("/metadata/annotations").and_then(|annotations| annotations.get_mut(LAST_APPLIED))
    {
        mask_one(text, old.as_ref());
    }
}

fn mask_all(content: &mut Value, before: Option<&Value>) {
    match content {
        Value::Object(entries) => {
            for (name, value) in entries {
                mask_one(value, before.and_then(|before| before.get(name)));
            }
        }
        // No legal Secret, but what stands here is secret all the same.
        other => mask_one(other, before),
    }
}

fn mask_one(value: &mut Value, before: Option<&Value>) {
    let changed = before.is_some_and(|before| before != value);
    *value = Value::from(if changed { MASK_CHANGED } else { MASK });
}

fn is_secret(object: &Value) -> bool {
    object.get("kind").and_then(Value::as_str) == Some("Secret")
}
