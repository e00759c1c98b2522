//! Reads `schema/builtin.txt`: the built-in types, one line a field.
//!
//! `T name` (or `T! name`, replaced whole) opens a type. A field line is ` name[flags] type`, where the
//! flags are `?` (left out when zero), `+` (a struct that is always there), `-` (there even when zero), `~` (null
//! when zero) and `=value` (default in a list key). A type is
//! `s`, `n`, `b`, `q` (quantity), `i` (number or text), `u` (anything), `@name`, or a prefix before another
//! type: `%` map, `*` list replaced whole, `$` set, `(a,b)` list keyed by a and b, `!` replaced whole.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Field, ListKind, ListType, MapType, Scalar, Type, Types, Zero};

/// Parses the table. Lines that it cannot read become fields of any type: the table is our own.
pub(super) fn parse(text: &str) -> Types {
    let mut index = BTreeMap::new();
    let names = text.lines().filter(|line| line.starts_with('T')).filter_map(|line| line.split(' ').nth(1));
    for (number, name) in names.enumerate() {
        index.insert(Box::from(name), number);
    }
    let mut list: Vec<MapType> = Vec::with_capacity(index.len());
    for line in text.lines() {
        if line.starts_with('T') {
            let name = line.rsplit('.').next().map(Box::from).unwrap_or_default();
            list.push(MapType { name, atomic: line.starts_with("T!"), ..MapType::default() });
        } else if let Some(line) = line.strip_prefix(' ')
            && let Some((name, ty)) = line.split_once(' ')
            && let Some(current) = list.last_mut()
        {
            let (name, field) = field(name, ty, &index);
            current.fields.insert(name, field);
        }
    }
    Types { list, index }
}

fn field(name: &str, ty: &str, index: &BTreeMap<Box<str>, usize>) -> (Box<str>, Field) {
    let (name, default) = match name.split_once('=') {
        Some((name, default)) => (name, Some(Value::from(default))),
        None => (name, None),
    };
    let flag = name.chars().last().filter(|flag| "?+-~".contains(*flag));
    let zero = match flag {
        Some('?') => Zero::Omit,
        Some('+') => Zero::Struct,
        Some('-') => Zero::Show,
        Some('~') => Zero::Null,
        _ => Zero::Keep,
    };
    let name = flag.map_or(name, |flag| name.trim_end_matches(flag));
    (Box::from(name), Field { ty: parse_type(ty, index), default, zero })
}

fn parse_type(text: &str, index: &BTreeMap<Box<str>, usize>) -> Type {
    let Some(first) = text.chars().next() else { return Type::Any };
    let rest = &text[1..];
    match first {
        's' => Type::Scalar(Scalar::String),
        'n' => Type::Scalar(Scalar::Number),
        'b' => Type::Scalar(Scalar::Bool),
        'q' => Type::Scalar(Scalar::Quantity),
        'i' => Type::Scalar(Scalar::IntOrString),
        '@' => index.get(rest).map_or(Type::Any, |&number| Type::Named(number)),
        '%' => map_of(parse_type(rest, index)),
        '*' => list_of(parse_type(rest, index), ListKind::Atomic),
        '$' => list_of(parse_type(rest, index), ListKind::Set),
        '(' => {
            let (keys, item) = rest.split_once(')').unwrap_or(("", rest));
            list_of(parse_type(item, index), ListKind::Map(keys.split(',').map(Box::from).collect()))
        }
        '!' => match parse_type(rest, index) {
            Type::Named(number) => Type::AtomicNamed(number),
            Type::Map(mut map) => {
                map.atomic = true;
                Type::Map(map)
            }
            other => other,
        },
        _ => Type::Any,
    }
}

fn map_of(item: Type) -> Type {
    Type::Map(Box::new(MapType { rest: Some(item), ..MapType::default() }))
}

fn list_of(item: Type, how: ListKind) -> Type {
    Type::List(Box::new(ListType { item, how }))
}
