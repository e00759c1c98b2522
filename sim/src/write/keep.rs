//! What a write cannot change, and whether it changes anything.

use serde_json::Value;

use crate::managers;
use crate::meta;
use crate::state::Call;

/// What a writer cannot change in `metadata`.
pub(super) fn keep_system_metadata(live: &Value, object: &mut Value) {
    let metadata = meta::metadata_mut(object);
    for field in [
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
        "selfLink",
        "resourceVersion",
        "generateName",
    ] {
        match live["metadata"].get(field) {
            Some(value) => metadata.insert(field.to_owned(), value.clone()),
            None => metadata.remove(field),
        };
    }
}

pub(super) fn keep_other_parts(call: &Call<'_>, live: &Value, object: &mut Value) {
    let keep = |object: &mut Value, field: &str| match live.get(field) {
        Some(value) => object[field] = value.clone(),
        None => {
            if let Value::Object(map) = object {
                map.remove(field);
            }
        }
    };
    match call.subresource() {
        "status" => {
            let fields: Vec<String> = live
                .as_object()
                .into_iter()
                .chain(object.as_object())
                .flat_map(|map| map.keys().cloned())
                .filter(|field| field != "status")
                .collect();
            for field in fields {
                keep(object, &field);
            }
        }
        "finalize" => keep(object, "status"),
        _ if call.version.status => keep(object, "status"),
        _ => {}
    }
}

pub(super) fn bump_generation(live: &Value, object: &mut Value) {
    let desired = |value: &Value| -> Vec<(String, Value)> {
        let mut parts: Vec<(String, Value)> = value
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(field, _)| !matches!(field.as_str(), "apiVersion" | "kind" | "metadata" | "status"))
            .map(|(field, value)| (field.clone(), value.clone()))
            .collect();
        parts.sort_by(|a, b| a.0.cmp(&b.0));
        parts
    };
    if desired(live) != desired(object) {
        let generation = live["metadata"]["generation"].as_i64().unwrap_or(0) + 1;
        meta::metadata_mut(object).insert("generation".to_owned(), Value::from(generation));
    }
}

/// Equal, apart from when managers last wrote.
pub(super) fn same_but_times(live: &Value, object: &Value) -> bool {
    let without = |value: &Value| {
        let mut entries = managers::read(value);
        for entry in &mut entries {
            entry.time = None;
        }
        entries.sort_by(|a, b| {
            (a.operation, &a.manager, &a.api_version, &a.subresource).cmp(&(
                b.operation,
                &b.manager,
                &b.api_version,
                &b.subresource,
            ))
        });
        let mut value = value.clone();
        managers::strip(&mut value);
        (value, entries)
    };
    live == object || without(live) == without(object)
}
