//! Replica counts by `Kind/name`.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{Draft, Error};
use crate::manifest::ObjectKey;
use crate::suggest::did_you_mean;

/// The kinds of group `apps` that have a replica count.
const KINDS: [&str; 3] = ["Deployment", "StatefulSet", "ReplicaSet"];

/// Sets the counts. An entry that finds no object is an error; one that finds several (in several namespaces) sets all.
pub(super) fn set(drafts: &mut [Draft], replicas: &BTreeMap<String, u32>) -> Result<(), Error> {
    for (target, count) in replicas {
        let (kind, name) = target.split_once('/').unwrap_or((target, ""));
        if !KINDS.contains(&kind) {
            return Err(Error(format!(
                "replicas[{target:?}]: has no replica count; expected Deployment/NAME, StatefulSet/NAME or ReplicaSet/NAME"
            )));
        }
        let is_meant = |key: &ObjectKey| key.group == "apps" && key.kind == kind && key.name == name;
        let mut found = false;
        for draft in drafts.iter_mut().filter(|draft| is_meant(draft.key())) {
            found = true;
            set_in(draft, *count)?;
        }
        if !found {
            return Err(Error(not_found(target, drafts)));
        }
    }
    Ok(())
}

fn set_in(draft: &mut Draft, count: u32) -> Result<(), Error> {
    let Value::Object(object) = draft.object_mut() else { return Ok(()) };
    let spec = object.entry("spec").or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(spec) = spec {
        spec.insert("replicas".to_owned(), Value::from(count));
        return Ok(());
    }
    Err(draft.refuse("spec: expected a map, in which to set replicas"))
}

fn not_found(target: &str, drafts: &[Draft]) -> String {
    let known: Vec<String> = drafts
        .iter()
        .map(Draft::key)
        .filter(|key| key.group == "apps" && KINDS.contains(&key.kind.as_str()))
        .map(|key| format!("{}/{}", key.kind, key.name))
        .collect();
    let hint = did_you_mean(target, known.iter().map(String::as_str));
    format!("replicas[{target:?}]: is not among the manifests{hint}")
}
