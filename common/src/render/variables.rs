//! Variables: `${nave:NAME}` in string values, anywhere in a manifest.
//!
//! `$${nave:NAME}` stands for the text `${nave:NAME}`. Keys are left alone, and so is what identifies an object, in which
//! a manifest may hold no variable. The data of Secrets is base64 by the time it gets here, in which no variable can
//! stand; [`Manifest::new`](crate::manifest::Manifest::new) refuses one in `stringData`, so that none is silently left.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Draft, Error};
use crate::field::FieldError;
use crate::manifest::{MAX_MANIFEST_BYTES, VARIABLE_START};
use crate::suggest::did_you_mean;

type Variables = BTreeMap<String, String>;

/// Replaces the variables in every manifest that holds one.
pub(super) fn fill_in(drafts: &mut [Draft], variables: &Variables) -> Result<(), Error> {
    for draft in drafts.iter_mut().filter(|draft| draft.manifest().has_variables()) {
        let mut room = MAX_MANIFEST_BYTES;
        if let Err(error) = fill_value(draft.object_mut(), variables, &mut room) {
            return Err(draft.refuse(error));
        }
    }
    Ok(())
}

/// `room`: how many bytes of text may still be written, so that a long value used often cannot fill the memory.
fn fill_value(value: &mut Value, variables: &Variables, room: &mut usize) -> Result<(), FieldError> {
    match value {
        Value::String(text) if text.contains(VARIABLE_START) => {
            *text = fill_text(text, variables, room).map_err(|problem| FieldError::new("", problem))?;
        }
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                fill_value(item, variables, room).map_err(|error| error.at_index(index))?;
            }
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                fill_value(field, variables, room).map_err(|error| error.within(name))?;
            }
        }
        _ => {}
    }
    Ok(())
}

fn fill_text(text: &str, variables: &Variables, room: &mut usize) -> Result<String, String> {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(VARIABLE_START) {
        let (before, from_start) = rest.split_at(start);
        let after = &from_start[VARIABLE_START.len()..];
        if let Some(unescaped) = before.strip_suffix('$') {
            filled.push_str(unescaped);
            filled.push_str(VARIABLE_START);
            rest = after;
        } else {
            let (name, next) = after.split_once('}').ok_or_else(|| {
                format!("holds {VARIABLE_START:?} without a closing brace; expected ${{nave:NAME}}")
            })?;
            let value = variables.get(name).ok_or_else(|| undefined(name, variables))?;
            filled.push_str(before);
            filled.push_str(value);
            rest = next;
        }
        if filled.len() > *room {
            return Err(format!("grows past {MAX_MANIFEST_BYTES} bytes with its variables filled in"));
        }
    }
    filled.push_str(rest);
    *room = room.saturating_sub(filled.len());
    Ok(filled)
}

fn undefined(name: &str, variables: &Variables) -> String {
    let shown: String = name.chars().take(80).collect();
    let hint = did_you_mean(&shown, variables.keys().map(String::as_str));
    format!("the variable {shown:?} is not defined for this cluster{hint}")
}

/// Whether a variable stands in a text of the changes themselves, where none is filled in.
pub(super) fn is_in(text: &str) -> bool {
    text.contains(VARIABLE_START)
}
