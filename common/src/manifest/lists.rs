//! Lists whose items have keys: server-side apply refuses one key twice, so it is refused before anything is sent.

use serde_json::Value;

use super::meta::no_string;
use super::{ObjectKey, pod, shape};
use crate::field::FieldError;

/// A field that takes part in an item's key, and what it is where it is left out; `None`: it must be there.
type KeyField = (&'static str, Option<&'static str>);

const BY_NAME: &[KeyField] = &[("name", None)];
/// The names of references may be left out since Kubernetes 1.31; they are then empty.
const BY_REFERENCE: &[KeyField] = &[("name", Some(""))];

/// The keyed lists of a container.
const CONTAINER_LISTS: &[(&str, &[KeyField])] = &[
    ("ports", &[("containerPort", None), ("protocol", Some("TCP"))]),
    ("env", BY_NAME),
    ("volumeMounts", &[("mountPath", None)]),
    ("volumeDevices", &[("devicePath", None)]),
];
/// The keyed lists of a pod, but for its containers.
const POD_LISTS: &[(&str, &[KeyField])] = &[
    ("volumes", BY_NAME),
    ("imagePullSecrets", BY_REFERENCE),
    ("hostAliases", &[("ip", None)]),
    ("topologySpreadConstraints", &[("topologyKey", None), ("whenUnsatisfiable", None)]),
    ("resourceClaims", BY_NAME),
    ("schedulingGates", BY_NAME),
];

/// Checks the keyed lists of the kinds that Nave knows.
pub(super) fn check(key: &ObjectKey, object: &Value) -> Result<(), FieldError> {
    match (key.group.as_str(), key.kind.as_str()) {
        ("", "Service") => {
            check_at(object, &["spec"], "ports", &[("port", None), ("protocol", Some("TCP"))])?;
        }
        ("", "ServiceAccount") => check_at(object, &[], "secrets", BY_REFERENCE)?,
        ("apiextensions.k8s.io", "CustomResourceDefinition") => {
            check_at(object, &["spec"], "versions", BY_NAME)?;
        }
        (
            "admissionregistration.k8s.io",
            "ValidatingWebhookConfiguration" | "MutatingWebhookConfiguration",
        ) => check_at(object, &[], "webhooks", BY_NAME)?,
        _ => {}
    }
    let Some(path) = pod::spec_path(key) else { return Ok(()) };
    let Some(spec) = descend(object, path)? else { return Ok(()) };
    check_pod(spec).map_err(|error| error.under(&path.join(".")))
}

fn check_pod(spec: &Value) -> Result<(), FieldError> {
    for field in pod::CONTAINER_FIELDS {
        for (index, container) in check_list(spec, field, BY_NAME)?.iter().enumerate() {
            check_container(container).map_err(|error| error.under(&format!("{field}[{index}]")))?;
        }
    }
    POD_LISTS.iter().try_for_each(|(field, keys)| check_list(spec, field, keys).map(drop))
}

fn check_container(container: &Value) -> Result<(), FieldError> {
    for (field, keys) in CONTAINER_LISTS {
        check_list(container, field, keys)?;
    }
    for (index, variable) in list(container, "env")?.iter().enumerate() {
        if let Some(value) = variable.get("value")
            && !value.is_string()
        {
            return Err(no_string(format!("env[{index}].value"), value));
        }
    }
    for field in ["command", "args"] {
        for (index, word) in list(container, field)?.iter().enumerate() {
            if !word.is_string() {
                return Err(no_string(format!("{field}[{index}]"), word));
            }
        }
    }
    Ok(())
}

fn check_at(object: &Value, path: &[&str], field: &str, keys: &[KeyField]) -> Result<(), FieldError> {
    let Some(parent) = descend(object, path)? else { return Ok(()) };
    check_list(parent, field, keys).map(drop).map_err(|error| match path {
        [] => error,
        path => error.under(&path.join(".")),
    })
}

/// The map at `path`; `None` where it ends early, which is the API server's to judge.
fn descend<'a>(object: &'a Value, path: &[&str]) -> Result<Option<&'a Value>, FieldError> {
    let mut at = object;
    for (depth, field) in path.iter().enumerate() {
        match at.get(field) {
            Some(next) if next.is_object() => at = next,
            Some(other) => {
                let path = path[..=depth].join(".");
                return Err(FieldError::new(path, format!("is {}; expected a map", shape(other))));
            }
            None => return Ok(None),
        }
    }
    Ok(Some(at))
}

/// The items of a list of maps in which no key comes twice.
fn check_list<'a>(parent: &'a Value, field: &str, keys: &[KeyField]) -> Result<&'a [Value], FieldError> {
    let items = list(parent, field)?;
    let mut seen = std::collections::BTreeMap::new();
    for (index, item) in items.iter().enumerate() {
        let at = format!("{field}[{index}]");
        if !item.is_object() {
            return Err(FieldError::new(at, format!("is {}; expected a map", shape(item))));
        }
        let key = key_of(item, keys).map_err(|error| error.under(&at))?;
        if let Some(first) = seen.insert(key.clone(), index) {
            return Err(FieldError::new(
                at,
                format!("has {key} again, like {field}[{first}]; expected it once"),
            ));
        }
    }
    Ok(items)
}

/// An item's key in words, such as `containerPort 80 and protocol "TCP"`.
fn key_of(item: &Value, keys: &[KeyField]) -> Result<String, FieldError> {
    let mut parts = Vec::with_capacity(keys.len());
    for (field, default) in keys {
        match (item.get(field), default) {
            (Some(value @ (Value::String(_) | Value::Number(_) | Value::Bool(_))), _) => {
                parts.push(format!("{field} {value}"));
            }
            (None, Some(default)) => parts.push(format!("{field} {default:?}")),
            (Some(other), _) => {
                return Err(FieldError::new(
                    *field,
                    format!("is {}; expected a plain value, which tells the items apart", shape(other)),
                ));
            }
            (None, None) => {
                return Err(FieldError::new(
                    *field,
                    "is missing; expected a value, which tells the items apart",
                ));
            }
        }
    }
    Ok(parts.join(" and "))
}

fn list<'a>(parent: &'a Value, field: &str) -> Result<&'a [Value], FieldError> {
    match parent.get(field) {
        None => Ok(&[]),
        Some(Value::Array(items)) => Ok(items),
        Some(other) => Err(FieldError::new(field, format!("is {}; expected a list", shape(other)))),
    }
}
