//! Reading and writing the metadata of an object held as JSON.
//!
//! Missing parts read as empty and are made when written. Nothing here knows of stores or of kinds.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// `metadata`, made if it is not there.
pub(crate) fn metadata_mut(object: &mut Value) -> &mut Map<String, Value> {
    if !object.is_object() {
        *object = json!({});
    }
    let slot = &mut object["metadata"];
    if !slot.is_object() {
        *slot = json!({});
    }
    match slot {
        Value::Object(map) => map,
        _ => unreachable!("it was made an object above"),
    }
}

/// A text in `metadata`; empty if it is not there.
#[must_use]
pub(crate) fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object["metadata"][field].as_str().unwrap_or_default()
}

/// The name.
#[must_use]
pub(crate) fn name(object: &Value) -> &str {
    text(object, "name")
}

/// The namespace; empty for cluster-wide objects.
#[must_use]
pub(crate) fn namespace(object: &Value) -> &str {
    text(object, "namespace")
}

/// The UID.
#[must_use]
pub(crate) fn uid(object: &Value) -> &str {
    text(object, "uid")
}

/// It is on its way out.
#[must_use]
pub(crate) fn is_deleting(object: &Value) -> bool {
    object["metadata"]["deletionTimestamp"].is_string()
}

/// The finalizers.
#[must_use]
pub(crate) fn finalizers(object: &Value) -> Vec<String> {
    strings(&object["metadata"]["finalizers"])
}

/// Replaces the finalizers.
pub(crate) fn set_finalizers(object: &mut Value, finalizers: &[String]) {
    let metadata = metadata_mut(object);
    if finalizers.is_empty() {
        metadata.remove("finalizers");
    } else {
        metadata.insert("finalizers".to_owned(), json!(finalizers));
    }
}

/// The labels, sorted.
#[must_use]
pub(crate) fn labels(object: &Value) -> Vec<(String, String)> {
    let mut out: Vec<(String, String)> = object["metadata"]["labels"]
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect();
    out.sort();
    out
}

/// The UIDs of the owners.
#[must_use]
pub(crate) fn owner_uids(object: &Value) -> Vec<String> {
    object["metadata"]["ownerReferences"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|owner| Some(owner["uid"].as_str()?.to_owned()))
        .collect()
}

/// The UID of the controlling owner.
#[must_use]
pub(crate) fn controller_uid(object: &Value) -> Option<&str> {
    object["metadata"]["ownerReferences"]
        .as_array()?
        .iter()
        .find(|owner| owner["controller"] == true)
        .and_then(|owner| owner["uid"].as_str())
}

/// A reference to this object as the controlling owner.
#[must_use]
pub(crate) fn controller_reference(owner: &Value) -> Value {
    json!({"apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": name(owner), "uid": uid(owner),
        "controller": true, "blockOwnerDeletion": true})
}

/// A list of texts.
#[must_use]
pub(crate) fn strings(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(|item| Some(item.as_str()?.to_owned())).collect()
}

/// An instant as the API writes it: whole seconds, UTC.
#[must_use]
pub(crate) fn time_text(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Reads an instant of the API.
#[must_use]
pub(crate) fn parse_time(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}

/// The value at a path such as `.spec.replicas`.
#[must_use]
pub(crate) fn at_path<'a>(object: &'a Value, path: &str) -> &'a Value {
    path.split('.').filter(|step| !step.is_empty()).fold(object, |value, step| &value[step])
}

/// Puts a value at a path such as `.spec.replicas`.
pub(crate) fn set_at_path(object: &mut Value, path: &str, value: Value) {
    let slot = path.split('.').filter(|step| !step.is_empty()).fold(object, |slot, step| {
        if !slot.is_object() {
            *slot = json!({});
        }
        &mut slot[step]
    });
    *slot = value;
}

/// Drops nulls of the top maps that writing by index may have left.
pub(crate) fn drop_null(object: &mut Value, field: &str) {
    if let Value::Object(map) = object
        && map.get(field).is_some_and(Value::is_null)
    {
        map.remove(field);
    }
}
