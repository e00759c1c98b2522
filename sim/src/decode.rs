//! Turns a JSON object into the one the server would keep: unknown fields and zero values left out,
//! quantities canonical, structs that are always there present.
//!
//! Reports what was unknown and what has the wrong type; answering is the caller's.

use serde_json::{Map, Value, json};

use crate::quantity;
use crate::schema::{Scalar, Shape, Type, Zero};

/// What decoding found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Paths that the type does not have, such as `spec.replica`; they were left out.
    pub unknown: Vec<String>,
    /// The first value of a wrong type, as the server words it.
    pub wrong: Option<String>,
    /// The struct and the field names on the way to the present value, as Go reports them.
    within: (Box<str>, Vec<String>),
}

/// Decodes in place.
pub(crate) fn decode(ty: &Type, value: &mut Value) -> Found {
    let mut found = Found::default();
    walk(ty, value, &mut String::new(), &mut found);
    found
}

fn walk(ty: &Type, value: &mut Value, path: &mut String, found: &mut Found) {
    match ty.shape() {
        Shape::Any => {}
        Shape::Scalar(scalar) => walk_scalar(scalar, value, found),
        Shape::List(list) => match value {
            Value::Array(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    let length = path.len();
                    path.push_str(&format!("[{index}]"));
                    walk(&list.item, item, path, found);
                    path.truncate(length);
                }
            }
            other => wrong(found, other, "a list"),
        },
        Shape::Map(map, _) => match value {
            Value::Object(entries) => {
                let prune = map.rest.is_none();
                if prune {
                    prune_unknown(map, entries, path, found);
                }
                for (key, entry) in entries.iter_mut() {
                    let Some(ty) = map.field(key) else { continue };
                    if entry.is_null() {
                        continue;
                    }
                    let length = path.len();
                    if !path.is_empty() {
                        path.push('.');
                    }
                    path.push_str(key);
                    let outer = found.within.0.clone();
                    let named = map.fields.contains_key(key.as_str());
                    if named {
                        found.within.0 = map.name.clone();
                        found.within.1.push(key.clone());
                    }
                    walk(ty, entry, path, found);
                    if named {
                        found.within.1.pop();
                        found.within.0 = outer;
                    }
                    path.truncate(length);
                }
                settle_zeros(map, entries);
            }
            other => wrong(found, other, "a map"),
        },
    }
}

fn prune_unknown(
    map: &crate::schema::MapType,
    entries: &mut Map<String, Value>,
    path: &str,
    found: &mut Found,
) {
    if entries.keys().all(|key| map.fields.contains_key(key.as_str())) {
        return;
    }
    entries.retain(|key, _| {
        let known = map.fields.contains_key(key.as_str());
        if !known {
            let dot = if path.is_empty() { "" } else { "." };
            found.unknown.push(format!("{path}{dot}{key}"));
        }
        known
    });
}

fn settle_zeros(map: &crate::schema::MapType, entries: &mut Map<String, Value>) {
    let custom = map.name.is_empty();
    entries.retain(|key, entry| match map.fields.get(key.as_str()) {
        Some(field) => {
            let omitted = field.zero == Zero::Omit && is_zero(entry);
            !(omitted || (entry.is_null() && field.zero == Zero::Keep))
        }
        None => custom || !entry.is_null(),
    });
    for (name, field) in &map.fields {
        let absent = entries.get(&**name).is_none_or(Value::is_null);
        match field.zero {
            Zero::Struct if absent => {
                let mut value = json!({});
                walk(&field.ty, &mut value, &mut String::new(), &mut Found::default());
                entries.insert(name.to_string(), value);
            }
            Zero::Null if absent => {
                entries.insert(name.to_string(), Value::Null);
            }
            Zero::Show if absent => {
                entries.insert(name.to_string(), zero_of(&field.ty));
            }
            _ => {}
        }
    }
}

/// The zero value of a type, as Go writes it.
fn zero_of(ty: &Type) -> Value {
    match ty {
        Type::Scalar(Scalar::String) => Value::from(""),
        Type::Scalar(Scalar::Number) => Value::from(0),
        Type::Scalar(Scalar::Bool) => Value::from(false),
        _ => Value::Null,
    }
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
    }
}

fn walk_scalar(scalar: Scalar, value: &mut Value, found: &mut Found) {
    match scalar {
        Scalar::Quantity => {
            let text = match value {
                Value::String(text) => text.clone(),
                Value::Number(number) => number.to_string(),
                other => return wrong(found, other, "resource.Quantity"),
            };
            match quantity::canonical(&text) {
                Some(text) => *value = Value::from(text),
                None if found.wrong.is_none() => {
                    found.wrong = Some(
                        "quantities must match the regular expression \
                         '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
                            .to_owned(),
                    );
                }
                None => {}
            }
        }
        Scalar::String if !value.is_string() => wrong(found, value, "string"),
        Scalar::Number if !value.is_number() => wrong(found, value, "int32"),
        Scalar::Bool if !value.is_boolean() => wrong(found, value, "bool"),
        Scalar::IntOrString if !value.is_string() && !value.is_number() => {
            wrong(found, value, "intstr.IntOrString");
        }
        _ => {}
    }
}

fn wrong(found: &mut Found, value: &Value, wanted: &str) {
    let got = match value {
        Value::Null => return,
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    if found.wrong.is_none() {
        let (name, fields) = &found.within;
        let field = format!("{name}.{}", fields.join("."));
        found.wrong =
            Some(format!("json: cannot unmarshal {got} into Go struct field {field} of type {wanted}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::builtin;

    #[test]
    fn unknown_and_zero_fields_go_and_quantities_settle() {
        let ty = builtin().find("core.v1.PodSpec").unwrap();
        let mut spec = json!({"hostNetwork": false, "nodeSelector": {}, "bogus": 1, "containers": [
            {"name": "a", "env": [], "resources": {"limits": {"cpu": "1000m", "memory": 1024}}},
            {"name": "b"}]});
        let found = decode(&ty, &mut spec);
        assert_eq!(found.unknown, ["bogus"]);
        assert_eq!(
            spec,
            json!({"containers": [
                {"name": "a", "resources": {"limits": {"cpu": "1", "memory": "1024"}}},
                {"name": "b", "resources": {}}]})
        );
        let mut bad = json!({"containers": [{"name": 1}]});
        assert!(decode(&ty, &mut bad).wrong.unwrap().contains("Container.containers.name"));
    }
}
