//! What identifies an object, and its labels and annotations.

use serde_json::{Map, Value};

use super::{ObjectKey, VARIABLE_START, shape};
use crate::field::FieldError;
use crate::name::check_dns_label;
use crate::selector::{check_label_key, check_label_value};

/// The label by which an agent marks what belongs to an application. Manifests must not set it.
pub const APPLICATION_LABEL: &str = "nave.dev/application";
/// The label that names the application's project. Manifests must not set it.
pub const PROJECT_LABEL: &str = "nave.dev/project";

/// The longest object name, in bytes, of any kind (an RFC 1123 subdomain).
const MAX_NAME_BYTES: usize = 253;

type Fields = Map<String, Value>;

/// The API version and key of an object whose identity, labels and annotations are legal.
pub(super) fn check(object: &Fields) -> Result<(String, ObjectKey), FieldError> {
    let api_version = required(object, "apiVersion", "expected a group and version, such as apps/v1")?;
    let group = group_of(api_version).map_err(|problem| FieldError::new("apiVersion", problem))?;
    let kind = required(object, "kind", "expected a kind, such as Deployment")?;
    check_kind(kind).map_err(|problem| FieldError::new("kind", problem))?;
    if kind.ends_with("List") && object.get("items").is_some_and(Value::is_array) {
        return Err(FieldError::new(
            "kind",
            format!(
                "is {kind}, a list of objects; expected one object (files may hold lists, patches and inline manifests may not)"
            ),
        ));
    }
    if kind == "List" && group.is_empty() {
        let problem = match object.get("items") {
            Some(other) => format!("is {}; expected a list of objects", shape(other)),
            None => "is missing; expected a list of objects".to_owned(),
        };
        return Err(FieldError::new("items", problem));
    }
    let metadata = match object.get("metadata") {
        Some(Value::Object(metadata)) => metadata,
        Some(other) => {
            return Err(FieldError::new(
                "metadata",
                format!("is {}; expected a map with a name", shape(other)),
            ));
        }
        None => return Err(FieldError::new("metadata", "is missing; expected a map with a name")),
    };
    let key = identity(group, kind, metadata).map_err(|error| error.under("metadata"))?;
    check_labels(metadata).map_err(|error| error.under("metadata"))?;
    Ok((api_version.to_owned(), key))
}

fn identity(group: &str, kind: &str, metadata: &Fields) -> Result<ObjectKey, FieldError> {
    if !metadata.contains_key("name") && metadata.contains_key("generateName") {
        return Err(FieldError::new(
            "generateName",
            "is not taken: what is kept as it is wanted needs a fixed name; expected metadata.name",
        ));
    }
    let name = required(metadata, "name", "expected the object's name")?;
    check_object_name(name).map_err(|problem| FieldError::new("name", problem))?;
    let namespace = string(metadata, "namespace")?;
    if let Some(namespace) = namespace {
        no_variable(namespace).and_then(|()| check_dns_label(namespace)).map_err(|problem| {
            FieldError::new("namespace", format!("{:?} is not valid: {problem}", shortened(namespace)))
        })?;
    }
    Ok(ObjectKey {
        group: group.to_owned(),
        kind: kind.to_owned(),
        namespace: namespace.map(str::to_owned),
        name: name.to_owned(),
    })
}

/// As lenient as the API server's rule for path segments: RBAC names hold ':', CRD names hold '.', and so on.
fn check_object_name(name: &str) -> Result<(), String> {
    no_variable(name)?;
    let shown = shortened(name);
    if name == "." || name == ".." || name.contains(['/', '%']) {
        return Err(format!("{shown:?} is not valid: '/', '%', \".\" and \"..\" are not allowed"));
    }
    if name.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(format!("{shown:?} is not valid: white space and control characters are not allowed"));
    }
    if name.len() > MAX_NAME_BYTES {
        return Err(format!("is {} bytes long; at most {MAX_NAME_BYTES} are allowed", name.len()));
    }
    Ok(())
}

fn no_variable(text: &str) -> Result<(), String> {
    if text.contains(VARIABLE_START) {
        return Err("variables are not allowed in what identifies an object".into());
    }
    Ok(())
}

/// The group of `v1` is empty, that of `apps/v1` is `apps`.
fn group_of(api_version: &str) -> Result<&str, String> {
    let (group, version) = match api_version.split_once('/') {
        Some((group, version)) => (Some(group), version),
        None => (None, api_version),
    };
    let legal_group = group.is_none_or(|group| {
        group.len() <= MAX_NAME_BYTES && group.split('.').all(|part| check_dns_label(part).is_ok())
    });
    if !legal_group || check_dns_label(version).is_err() {
        return Err(format!(
            "{:?} is not valid; expected a group and version such as apps/v1, or v1 for the core group",
            shortened(api_version)
        ));
    }
    Ok(group.unwrap_or_default())
}

fn check_kind(kind: &str) -> Result<(), String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if kind.len() > 63 || !kind.chars().all(legal) || !kind.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return Err(format!("{:?} is not valid; expected a kind, such as Deployment", shortened(kind)));
    }
    Ok(())
}

/// Labels by the Kubernetes rules; values that hold a variable are checked once they are rendered.
fn check_labels(metadata: &Fields) -> Result<(), FieldError> {
    check_strings(metadata, "labels")?;
    check_strings(metadata, "annotations")?;
    for (key, value) in entries(metadata, "labels") {
        let at = || format!("labels[{key:?}]");
        if key == APPLICATION_LABEL || key == PROJECT_LABEL {
            return Err(FieldError::new(at(), "is set by Nave itself; expected it to be left out"));
        }
        check_label_key(key).map_err(|problem| FieldError::new(at(), problem))?;
        if let Some(text) = value.as_str()
            && !text.contains(VARIABLE_START)
        {
            check_label_value(text).map_err(|problem| FieldError::new(at(), problem))?;
        }
    }
    for (key, _) in entries(metadata, "annotations") {
        // The API server looks at the keys of annotations in lower case.
        check_label_key(&key.to_lowercase()).map_err(|problem| {
            FieldError::new(
                format!("annotations[{key:?}]"),
                problem.replacen("label key", "annotation key", 1),
            )
        })?;
    }
    Ok(())
}

fn entries<'a>(fields: &'a Fields, name: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    fields.get(name).and_then(Value::as_object).into_iter().flatten()
}

/// Checks that the field, if it is there, is a map from strings to strings.
pub(super) fn check_strings(fields: &Fields, name: &str) -> Result<(), FieldError> {
    match fields.get(name) {
        None => Ok(()),
        Some(Value::Object(map)) => map.iter().try_for_each(|(key, value)| {
            if value.is_string() { Ok(()) } else { Err(no_string(format!("{name}[{key:?}]"), value)) }
        }),
        Some(other) => Err(FieldError::new(name, format!("is {}; expected a map of strings", shape(other)))),
    }
}

/// The error for a value that must be a string. It does not quote the value.
pub(super) fn no_string(path: impl Into<String>, value: &Value) -> FieldError {
    let advice = match value {
        Value::Number(_) | Value::Bool(_) => "expected a string; quote it",
        _ => "expected a string",
    };
    FieldError::new(path, format!("is {}; {advice}", shape(value)))
}

fn string<'a>(fields: &'a Fields, name: &str) -> Result<Option<&'a str>, FieldError> {
    match fields.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(no_string(name, other)),
    }
}

fn required<'a>(fields: &'a Fields, name: &str, expected: &str) -> Result<&'a str, FieldError> {
    match string(fields, name)? {
        Some("") => Err(FieldError::new(name, format!("is empty; {expected}"))),
        Some(text) => Ok(text),
        None => Err(FieldError::new(name, format!("is missing; {expected}"))),
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(80).collect()
}
