//! What server-side apply does with values of a known type: which paths a value sets, how two values merge,
//! what differs between them, what stays when paths are taken away.
//!
//! The rules are those of Kubernetes' structured merge. Pure: nothing here knows of managers or of time.

mod collect;
mod compare;
mod merge;
mod remove;
mod validate;

use serde_json::Value;

use crate::fields::{Atom, Element};
use crate::schema::{ListKind, ListType, Shape};

pub(crate) use collect::{field_set, with_named_fields};
pub(crate) use compare::{Comparison, compare};
pub(crate) use merge::merge;
pub(crate) use remove::remove;
pub(crate) use validate::problems_text;
pub(crate) use validate::validate;

/// The path element of an item of an associative list, or why it has none.
pub(crate) fn element_of(list: &ListType, item: &Value) -> Result<Element, String> {
    match &list.how {
        ListKind::Atomic => Err("invalid indexing of non-associative list".to_owned()),
        ListKind::Set => match item {
            Value::Object(_) => {
                Err("associative list without keys has an element that's a map type".to_owned())
            }
            Value::Array(_) => Err("not supported: associative list with lists as elements".to_owned()),
            Value::Null => {
                Err("associative list without keys has an element that's an explicit null".to_owned())
            }
            scalar => {
                Atom::from_json(scalar).map(Element::Value).ok_or_else(|| "invalid set element".to_owned())
            }
        },
        ListKind::Map(keys) => keyed_element(list, keys, item),
    }
}

fn keyed_element(list: &ListType, keys: &[Box<str>], item: &Value) -> Result<Element, String> {
    let Value::Object(map) = item else {
        let what = if item.is_null() { "a null element" } else { "non-map elements" };
        return Err(format!("associative list with keys may not have {what}"));
    };
    let mut found = Vec::with_capacity(keys.len());
    for key in keys {
        let default = || match list.item.shape() {
            Shape::Map(item, _) => item.fields.get(key).and_then(|field| field.default.as_ref()),
            _ => None,
        };
        if let Some(atom) = map.get(&**key).or_else(default).and_then(Atom::from_json) {
            found.push((key.to_string(), atom));
        }
    }
    if found.is_empty() {
        let names: Vec<String> = keys.iter().map(|key| format!("{key:?}")).collect();
        return Err(format!(
            "associative list with keys has an element that omits all key fields [{}] (and doesn't have \
             default values for any key fields)",
            names.join(" ")
        ));
    }
    found.sort();
    Ok(Element::Key(found))
}
