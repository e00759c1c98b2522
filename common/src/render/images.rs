//! Images by container name, or by the image's present name without tag and digest.
//!
//! A container that both kinds of entry match takes the image under its own name, which is the narrower one.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Draft, Error, variables};
use crate::manifest::{pod_spec, pod_spec_mut, repository};
use crate::suggest::did_you_mean;

const CONTAINER_FIELDS: [&str; 2] = ["containers", "initContainers"];

/// Sets the images in every pod template. An entry that matches nothing is an error: it was meant for something.
pub(super) fn set(drafts: &mut [Draft], images: &BTreeMap<String, String>) -> Result<(), Error> {
    if images.is_empty() {
        return Ok(());
    }
    if let Some((name, _)) = images.iter().find(|(_, image)| variables::is_in(image)) {
        return Err(Error(format!(
            "images[{name:?}]: variables are filled in in manifests only; expected an image"
        )));
    }
    let mut known = BTreeSet::new();
    for draft in drafts {
        // Looked at first, so that objects without a match stay shared.
        let Some(spec) = pod_spec(draft.key(), draft.object()) else { continue };
        let mut matches = false;
        for container in containers(spec) {
            for name in names(container) {
                matches |= images.contains_key(name);
                known.insert(name.to_owned());
            }
        }
        if matches {
            let key = draft.key().clone();
            set_in(pod_spec_mut(&key, draft.object_mut()), images);
        }
    }
    match images.keys().find(|name| !known.contains(*name)) {
        None => Ok(()),
        Some(name) => {
            let hint = did_you_mean(name, known.iter().map(String::as_str));
            Err(Error(format!("images[{name:?}]: no container and no image has this name{hint}")))
        }
    }
}

fn set_in(spec: Option<&mut Value>, images: &BTreeMap<String, String>) {
    let Some(spec) = spec else { return };
    for field in CONTAINER_FIELDS {
        for container in spec.get_mut(field).and_then(Value::as_array_mut).into_iter().flatten() {
            let image = names(container).find_map(|name| images.get(name)).cloned();
            if let (Some(image), Value::Object(fields)) = (image, container) {
                fields.insert("image".to_owned(), Value::String(image));
            }
        }
    }
}

/// Under which names a container's image can be set, the narrower one first.
fn names(container: &Value) -> impl Iterator<Item = &str> {
    let text = |field| container.get(field).and_then(Value::as_str);
    text("name").into_iter().chain(text("image").map(repository))
}

fn containers(spec: &Value) -> impl Iterator<Item = &Value> {
    CONTAINER_FIELDS.iter().flat_map(|field| spec.get(field).and_then(Value::as_array).into_iter().flatten())
}
