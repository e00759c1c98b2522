//! Objects of custom kinds against the schema of their definition: defaults and a light validation.
//!
//! Types, required fields, enums, numeric bounds and lengths are checked. Patterns, formats and CEL rules
//! are not. Unknown fields are pruned by `decode`, since the schema becomes the type of the kind.

use serde_json::Value;

use crate::status::Cause;

/// Fills the defaults of the schema in.
pub(crate) fn fill_defaults(schema: &Value, value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (name, property) in schema["properties"].as_object().into_iter().flatten() {
                if let Some(default) = property.get("default")
                    && map.get(name).is_none_or(|have| have.is_null() && property["nullable"] != true)
                {
                    map.insert(name.clone(), default.clone());
                }
                if let Some(have) = map.get_mut(name) {
                    fill_defaults(property, have);
                }
            }
            if let Some(additional) = schema.get("additionalProperties").filter(|rest| rest.is_object()) {
                map.values_mut().for_each(|value| fill_defaults(additional, value));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| fill_defaults(&schema["items"], item)),
        _ => {}
    }
}

/// Checks the object, apart from its metadata.
pub(crate) fn check(schema: &Value, object: &Value, causes: &mut Vec<Cause>) {
    let Value::Object(map) = object else { return };
    required(schema, map, "", causes);
    for (name, value) in map {
        if !matches!(name.as_str(), "apiVersion" | "kind" | "metadata")
            && let Some(property) = schema["properties"].get(name)
        {
            walk(property, value, name, causes);
        }
    }
}

fn required(schema: &Value, map: &serde_json::Map<String, Value>, path: &str, causes: &mut Vec<Cause>) {
    for name in crate::meta::strings(&schema["required"]) {
        if !map.contains_key(&name) {
            let dot = if path.is_empty() { "" } else { "." };
            causes.push(Cause::required(&format!("{path}{dot}{name}"), ""));
        }
    }
}

fn walk(schema: &Value, value: &Value, path: &str, causes: &mut Vec<Cause>) {
    if value.is_null() {
        return;
    }
    let int_or_string = schema["x-kubernetes-int-or-string"] == true;
    if let Some(wanted) = schema["type"].as_str().filter(|_| !int_or_string)
        && !fits(wanted, value)
    {
        let shown = Value::from(type_name(value));
        let why = format!("{path} in body must be of type {wanted}: {shown}");
        causes.push(Cause { reason: "FieldValueTypeInvalid", ..Cause::invalid(path, &shown, &why) });
        return;
    }
    if let Some(allowed) = schema["enum"].as_array()
        && !allowed.contains(value)
    {
        let words: Vec<&str> = allowed.iter().filter_map(Value::as_str).collect();
        causes.push(Cause::unsupported(path, value, &words));
    }
    bounds(schema, value, path, causes);
    match value {
        Value::Object(map) => {
            required(schema, map, path, causes);
            for (name, value) in map {
                let property = schema["properties"].get(name).unwrap_or(&schema["additionalProperties"]);
                if property.is_object() {
                    walk(property, value, &format!("{path}.{name}"), causes);
                }
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                walk(&schema["items"], item, &format!("{path}[{index}]"), causes);
            }
        }
        _ => {}
    }
}

fn bounds(schema: &Value, value: &Value, path: &str, causes: &mut Vec<Cause>) {
    let mut check = |limit: &str, found: f64, broken: fn(f64, f64) -> bool, words: &str| {
        if let Some(limit) = schema[limit].as_f64()
            && broken(found, limit)
        {
            causes.push(Cause::invalid(path, value, &format!("{path} in body should be {words} {limit}")));
        }
    };
    match value {
        Value::Number(number) => {
            let found = number.as_f64().unwrap_or(0.0);
            check("minimum", found, |found, limit| found < limit, "greater than or equal to");
            check("maximum", found, |found, limit| found > limit, "less than or equal to");
        }
        Value::String(text) => {
            let found = f64::from(u32::try_from(text.chars().count()).unwrap_or(u32::MAX));
            check("minLength", found, |found, limit| found < limit, "at least");
            check("maxLength", found, |found, limit| found > limit, "at most");
        }
        Value::Array(items) => {
            let found = f64::from(u32::try_from(items.len()).unwrap_or(u32::MAX));
            check("minItems", found, |found, limit| found < limit, "at least");
            check("maxItems", found, |found, limit| found > limit, "at most");
        }
        _ => {}
    }
}

fn fits(wanted: &str, value: &Value) -> bool {
    match wanted {
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|n| n.fract() == 0.0),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => true,
    }
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
