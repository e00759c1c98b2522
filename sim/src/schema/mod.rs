//! Types: what a field of an object is, and how its maps and lists merge.
//!
//! One model serves built-in kinds (a table parsed once for the process) and custom resources (from the
//! schema in their definition). It describes; it never changes a value.

mod custom;
mod parse;

use std::collections::BTreeMap;
use std::sync::{LazyLock, OnceLock};

use serde_json::Value;

pub(crate) use custom::from_openapi;

/// The type of a value.
#[derive(Debug, Clone)]
pub(crate) enum Type {
    /// A single value.
    Scalar(Scalar),
    /// Anything: maps merge by key, lists are replaced whole.
    Any,
    /// A type of the built-in table.
    Named(usize),
    /// A type of the built-in table that this field replaces whole.
    AtomicNamed(usize),
    /// A struct or a map.
    Map(Box<MapType>),
    /// A list.
    List(Box<ListType>),
}

/// The single values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scalar {
    /// Text.
    String,
    /// An integer or a float.
    Number,
    /// True or false.
    Bool,
    /// A resource quantity, kept in canonical form.
    Quantity,
    /// A number or a text such as `25%`.
    IntOrString,
}

/// A struct (named fields), a map (any key), or both.
#[derive(Debug, Clone, Default)]
pub(crate) struct MapType {
    /// The name of a built-in struct, as messages show it; else empty.
    pub name: Box<str>,
    /// The named fields.
    pub fields: BTreeMap<Box<str>, Field>,
    /// The type of every other key; `None` means that there are no others.
    pub rest: Option<Type>,
    /// Replaced whole, owned whole.
    pub atomic: bool,
}

/// A named field of a struct.
#[derive(Debug, Clone)]
pub(crate) struct Field {
    /// Its type.
    pub ty: Type,
    /// Used where the field is part of a list key and left out.
    pub default: Option<Value>,
    /// What the server does with a zero value.
    pub zero: Zero,
}

/// How a zero value comes back from the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Zero {
    /// As it was given.
    Keep,
    /// Left out.
    Omit,
    /// A struct that is always there, `{}` at least.
    Struct,
    /// There even when zero: `0`, an empty text, null.
    Show,
    /// Null when zero: times.
    Null,
    /// As it was given, null too.
    Nullable,
}

/// A list.
#[derive(Debug, Clone)]
pub(crate) struct ListType {
    /// The type of each item.
    pub item: Type,
    /// How items of two lists find each other.
    pub how: ListKind,
}

/// How items of two lists find each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ListKind {
    /// They do not: the list is replaced whole.
    Atomic,
    /// By their value.
    Set,
    /// By these fields.
    Map(Vec<Box<str>>),
}

/// A type with its reference resolved.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Shape<'a> {
    /// A single value.
    Scalar(Scalar),
    /// Anything.
    Any,
    /// A struct or a map, and whether it is replaced whole here.
    Map(&'a MapType, bool),
    /// A list.
    List(&'a ListType),
}

/// The table of built-in types.
#[derive(Debug, Default)]
pub(crate) struct Types {
    list: Vec<MapType>,
    index: BTreeMap<Box<str>, usize>,
}

impl Types {
    /// The type of this short name, such as `apps.v1.Deployment`.
    #[must_use]
    pub(crate) fn find(&self, name: &str) -> Option<Type> {
        self.index.get(name).map(|&index| Type::Named(index))
    }
}

static BUILTIN: OnceLock<Types> = OnceLock::new();
static ANY_MAP: LazyLock<MapType> = LazyLock::new(|| MapType { rest: Some(Type::Any), ..MapType::default() });
static ANY_LIST: LazyLock<ListType> = LazyLock::new(|| ListType { item: Type::Any, how: ListKind::Atomic });

/// The types of the built-in kinds.
pub(crate) fn builtin() -> &'static Types {
    BUILTIN.get_or_init(|| parse::parse(include_str!("../../schema/builtin.txt")))
}

/// The metadata of every object.
#[must_use]
pub(crate) fn object_meta() -> Type {
    builtin().find("meta.v1.ObjectMeta").unwrap_or(Type::Any)
}

impl Type {
    /// The type with its reference resolved.
    #[must_use]
    pub(crate) fn shape(&self) -> Shape<'_> {
        match self {
            Type::Scalar(scalar) => Shape::Scalar(*scalar),
            Type::Any => Shape::Any,
            Type::Named(index) => match builtin().list.get(*index) {
                Some(map) => Shape::Map(map, map.atomic),
                None => Shape::Any,
            },
            Type::AtomicNamed(index) => match builtin().list.get(*index) {
                Some(map) => Shape::Map(map, true),
                None => Shape::Any,
            },
            Type::Map(map) => Shape::Map(map, map.atomic),
            Type::List(list) => Shape::List(list),
        }
    }

    /// The shape this value has: `Any` becomes what the value is.
    #[must_use]
    pub(crate) fn shape_of(&self, value: &Value) -> Shape<'_> {
        match self.shape() {
            Shape::Any => match value {
                Value::Object(_) => Shape::Map(&ANY_MAP, false),
                Value::Array(_) => Shape::List(&ANY_LIST),
                _ => Shape::Any,
            },
            shape => shape,
        }
    }
}

impl MapType {
    /// The type of the value at this key.
    #[must_use]
    pub(crate) fn field(&self, key: &str) -> Option<&Type> {
        self.fields.get(key).map(|field| &field.ty).or(self.rest.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builtin_table_parses_with_list_keys_and_defaults() {
        let deployment = builtin().find("apps.v1.Deployment").unwrap();
        assert!(matches!(deployment.shape(), Shape::Map(map, false) if map.fields.contains_key("spec")));
        let port = builtin().find("core.v1.ContainerPort").unwrap();
        let Shape::Map(map, false) = port.shape() else { panic!("a struct") };
        assert_eq!(map.fields["protocol"].default, Some(Value::from("TCP")));
        let selector = builtin().find("meta.v1.LabelSelector").unwrap();
        assert!(matches!(selector.shape(), Shape::Map(_, true)));
    }
}
