//! Types of custom resources, from the `openAPIV3Schema` of their definition.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Field, ListKind, ListType, MapType, Scalar, Type, Zero, object_meta};

/// The type of a whole object of this schema: `apiVersion`, `kind` and `metadata` are those of every object.
#[must_use]
pub(crate) fn from_openapi(schema: &Value) -> Type {
    let mut root = match convert(schema) {
        Type::Map(map) => *map,
        _ => MapType { rest: Some(Type::Any), ..MapType::default() },
    };
    for name in ["apiVersion", "kind"] {
        root.fields.insert(Box::from(name), plain(Type::Scalar(Scalar::String)));
    }
    root.fields.insert(Box::from("metadata"), plain(object_meta()));
    Type::Map(Box::new(root))
}

fn plain(ty: Type) -> Field {
    Field { ty, default: None, zero: Zero::Keep }
}

fn convert(schema: &Value) -> Type {
    if schema["x-kubernetes-int-or-string"] == true {
        return Type::Scalar(Scalar::IntOrString);
    }
    match schema["type"].as_str() {
        Some("string") => Type::Scalar(Scalar::String),
        Some("integer" | "number") => Type::Scalar(Scalar::Number),
        Some("boolean") => Type::Scalar(Scalar::Bool),
        Some("array") => list(schema),
        Some("object") => object(schema),
        _ if schema.get("properties").is_some() => object(schema),
        _ => Type::Any,
    }
}

fn list(schema: &Value) -> Type {
    let how = match schema["x-kubernetes-list-type"].as_str() {
        Some("set") => ListKind::Set,
        Some("map") => ListKind::Map(
            schema["x-kubernetes-list-map-keys"]
                .as_array()
                .map(|keys| keys.iter().filter_map(Value::as_str).map(Box::from).collect())
                .unwrap_or_default(),
        ),
        _ => ListKind::Atomic,
    };
    Type::List(Box::new(ListType { item: convert(&schema["items"]), how }))
}

fn object(schema: &Value) -> Type {
    let mut fields = BTreeMap::new();
    if let Some(properties) = schema["properties"].as_object() {
        for (name, property) in properties {
            let default = property.get("default").cloned();
            let zero = if property["nullable"] == true { Zero::Nullable } else { Zero::Keep };
            fields.insert(Box::from(name.as_str()), Field { ty: convert(property), default, zero });
        }
    }
    let open = schema["x-kubernetes-preserve-unknown-fields"] == true;
    let rest = match schema.get("additionalProperties") {
        Some(Value::Object(_)) => Some(convert(&schema["additionalProperties"])),
        Some(Value::Bool(true)) => Some(Type::Any),
        _ if open => Some(Type::Any),
        _ => None,
    };
    if schema["x-kubernetes-embedded-resource"] == true {
        for name in ["apiVersion", "kind"] {
            fields.entry(Box::from(name)).or_insert_with(|| plain(Type::Scalar(Scalar::String)));
        }
        fields.insert(Box::from("metadata"), plain(object_meta()));
    }
    let atomic = schema["x-kubernetes-map-type"] == "atomic";
    Type::Map(Box::new(MapType { fields, rest, atomic, ..MapType::default() }))
}
