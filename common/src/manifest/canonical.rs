//! The canonical form: what is dropped, folded and rewritten, so that equal wishes have equal bytes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Number, Value};

use super::meta::check_strings;
use super::{ObjectKey, VARIABLE_START};
use crate::field::FieldError;

/// How deep maps and lists may stand in each other. Below serde_json's limit for reading (128), so that every manifest
/// that was taken can be read back, and below that of [`crate::yaml`]; twice what the deepest schemas need.
const MAX_DEPTH: usize = 64;

/// The largest whole number that a float holds without loss.
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;

/// Set by a server alone; wishing for them is refused by it or means nothing.
const SERVER_METADATA: [&str; 6] =
    ["managedFields", "resourceVersion", "uid", "generation", "creationTimestamp", "selfLink"];

/// Drops fields that are null and writes whole floats as integers (`1.0` as `1`), as kubectl sends them.
pub(super) fn tidy(value: &mut Value, depth: usize) -> Result<(), FieldError> {
    if depth > MAX_DEPTH {
        return Err(FieldError::new("", format!("stands more than {MAX_DEPTH} levels deep")));
    }
    match value {
        Value::Object(fields) => {
            fields.retain(|_, field| !field.is_null());
            for (name, field) in fields {
                tidy(field, depth + 1).map_err(|error| error.within(name))?;
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                tidy(item, depth + 1).map_err(|error| error.at_index(index))?;
            }
        }
        Value::Number(number) if number.is_f64() => {
            if let Some(float) = number.as_f64()
                && float.fract() == 0.0
                && float.abs() < MAX_EXACT
            {
                *number = Number::from(float as i64);
            }
        }
        _ => {}
    }
    Ok(())
}

/// Removes what only a server sets, and a namespace that names none.
pub(super) fn remove_idle_fields(object: &mut Map<String, Value>) {
    object.remove("status");
    if let Some(Value::Object(metadata)) = object.get_mut("metadata") {
        for field in SERVER_METADATA {
            metadata.remove(field);
        }
        if metadata.get("namespace").and_then(Value::as_str) == Some("") {
            metadata.remove("namespace");
        }
    }
}

/// Checks the data of ConfigMaps and Secrets, and brings that of Secrets into one form.
pub(super) fn check_data(key: &ObjectKey, object: &mut Map<String, Value>) -> Result<(), FieldError> {
    if !key.group.is_empty() {
        return Ok(());
    }
    match key.kind.as_str() {
        "ConfigMap" => {
            check_strings(object, "data")?;
            check_strings(object, "binaryData")
        }
        "Secret" => fold_secret(object),
        _ => Ok(()),
    }
}

/// Moves `stringData` into `data`, as the API server does at a write; `stringData` wins. Line breaks within base64 go,
/// so that the same bytes have the same text.
fn fold_secret(object: &mut Map<String, Value>) -> Result<(), FieldError> {
    check_strings(object, "data")?;
    check_strings(object, "stringData")?;
    if let Some(Value::Object(data)) = object.get_mut("data") {
        for (name, value) in data {
            let Value::String(text) = value else { continue };
            text.retain(|c| c != '\n' && c != '\r');
            let bytes = STANDARD.decode(&*text).map_err(|_| {
                FieldError::new(
                    format!("data[{name:?}]"),
                    "is not base64; expected base64 (plain text goes under stringData)",
                )
            })?;
            *text = STANDARD.encode(bytes);
        }
    }
    let Some(Value::Object(plain)) = object.remove("stringData") else { return Ok(()) };
    let data = object.entry("data").or_insert_with(|| Value::Object(Map::new()));
    let Value::Object(data) = data else { return Ok(()) };
    for (name, value) in plain {
        let Value::String(text) = value else { continue };
        if text.contains(VARIABLE_START) {
            return Err(FieldError::new(
                format!("stringData[{name:?}]"),
                "holds a variable, but variables do not reach into Secrets; expected plain text, or a patch in spec.overrides",
            ));
        }
        data.insert(name, Value::String(STANDARD.encode(text)));
    }
    Ok(())
}
