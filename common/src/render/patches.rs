//! JSON patches (RFC 6902) and JSON merge patches (RFC 7386) on the objects that a target names.

use json_patch::PatchOperation;
use serde_json::Value;

use super::{Draft, Error};
use crate::manifest::MAX_MANIFEST_BYTES;
use crate::overrides::{Patch, Target};
use crate::suggest::did_you_mean;

/// Applies the patches in order. One that finds no object, does not apply, or changes what identifies an object is an
/// error.
pub(super) fn apply(drafts: &mut [Draft], patches: &[Patch]) -> Result<(), Error> {
    for (index, patch) in patches.iter().enumerate() {
        let refused = |problem: String| Error(format!("patches[{index}]: {problem}"));
        let change = Change::read(patch).map_err(refused)?;
        let mut found = false;
        for draft in drafts.iter_mut().filter(|draft| patch.target.matches(draft.key())) {
            found = true;
            change
                .apply(draft.object_mut())
                .map_err(|problem| refused(format!("{}: {problem}", draft.key())))?;
            if let Some(field) = draft.changed_identity() {
                return Err(refused(format!(
                    "{}: changes {field}; expected what identifies an object to stay",
                    draft.key()
                )));
            }
        }
        if !found {
            return Err(refused(not_found(&patch.target, drafts)));
        }
    }
    Ok(())
}

enum Change<'a> {
    Json(Vec<PatchOperation>),
    Merge(&'a Value),
}

impl<'a> Change<'a> {
    fn read(patch: &'a Patch) -> Result<Self, String> {
        match (&patch.json, &patch.merge) {
            (Some(json), None) => serde_json::from_value::<json_patch::Patch>(json.clone())
                .map(|json_patch::Patch(operations)| Self::Json(operations))
                .map_err(|error| format!("json: is no RFC 6902 patch: {error}")),
            (None, Some(merge)) => Ok(Self::Merge(merge)),
            _ => Err("needs exactly one of json and merge".to_owned()),
        }
    }

    fn apply(&self, object: &mut Value) -> Result<(), String> {
        match self {
            Self::Merge(merge) => json_patch::merge(object, merge),
            Self::Json(operations) => {
                for (index, operation) in operations.iter().enumerate() {
                    // One by one: a chain of copies doubles the object each time, so its size is looked at in between.
                    json_patch::patch(object, std::slice::from_ref(operation))
                        .map_err(|error| format!("json[{index}]: {}", reason(&error, operation)))?;
                    if matches!(operation, PatchOperation::Copy(_)) && !fits(object) {
                        return Err(format!(
                            "json[{index}]: makes the object larger than {MAX_MANIFEST_BYTES} bytes"
                        ));
                    }
                }
            }
        }
        Ok(())
    }
}

/// What went wrong, without the numbering of json-patch, which sees one operation at a time.
fn reason(error: &json_patch::PatchError, operation: &PatchOperation) -> String {
    format!("{} at {:?}", error.kind, operation.path().as_str())
}

/// Whether the object's JSON may still be within the limit: counts no more than it has to.
fn fits(object: &Value) -> bool {
    fn take(value: &Value, room: &mut usize) -> bool {
        let own = match value {
            Value::String(text) => text.len() + 2,
            Value::Object(fields) => fields.keys().map(|name| name.len() + 4).sum::<usize>() + 2,
            Value::Array(items) => items.len() + 1,
            _ => 1,
        };
        let Some(rest) = room.checked_sub(own) else { return false };
        *room = rest;
        match value {
            Value::Array(items) => items.iter().all(|item| take(item, room)),
            Value::Object(fields) => fields.values().all(|field| take(field, room)),
            _ => true,
        }
    }
    take(object, &mut { MAX_MANIFEST_BYTES })
}

fn not_found(target: &Target, drafts: &[Draft]) -> String {
    let Some(name) = &target.name else {
        let hint = did_you_mean(&target.kind, drafts.iter().map(|draft| draft.key().kind.as_str()));
        return format!(
            "target: no manifest is of kind {:?} and otherwise as the target wants{hint}",
            target.kind
        );
    };
    let same_kind = drafts.iter().map(Draft::key).filter(|key| key.kind == target.kind);
    let hint = did_you_mean(name, same_kind.map(|key| key.name.as_str()));
    format!("target: no manifest is {} {name} and otherwise as the target wants{hint}", target.kind)
}
