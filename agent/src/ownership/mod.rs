//! Ownership: which fields of a live object are Nave's, and what stands in them.
//!
//! The API server keeps for every object which manager owns which fields (`managedFields`,
//! <https://kubernetes.io/docs/reference/using-api/server-side-apply/>). From the answer to an apply this module takes
//! one digest over Nave's own field set and the values there, as the server gave them back. An object whose digest is
//! another later on has drifted: a foreign value, or a field that was taken out of Nave's set by whoever changed it.
//!
//! Pure: it reads objects and decides nothing.

pub mod exclusion;
pub mod fields;
pub mod fingerprint;

use std::collections::BTreeMap;

use nave_common::digest::Digest;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use self::exclusion::Exclusion;
use self::fields::Leaf;

/// What Nave owns of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ownership {
    /// The digest over the owned paths and the values there.
    pub digest: Digest,
    /// The owned paths, as sorted hashes of their text: enough to tell whether a path was owned, in eight bytes each.
    pub paths: Box<[u64]>,
}

impl Ownership {
    fn new(hasher: Sha256, mut paths: Vec<u64>) -> Self {
        paths.sort_unstable();
        paths.dedup();
        let digest = fingerprint::embed(hasher.finalize().into(), fingerprint::of(&paths));
        Self { digest, paths: paths.into_boxed_slice() }
    }
}

/// A field that another manager owns now.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Taken {
    /// Its path as the API server writes it, such as `.spec.replicas`.
    pub path: String,
    /// The manager that has it.
    pub manager: String,
}

/// One manager's entry in `managedFields`.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// The manager's name.
    pub manager: &'a str,
    /// `Apply` or `Update`.
    pub operation: &'a str,
    /// The subresource through which it wrote; empty for the object itself.
    pub subresource: &'a str,
    /// Its field set.
    pub fields: &'a Value,
}

impl Entry<'_> {
    /// Whether this is what `manager` owns by server-side apply.
    #[must_use]
    pub fn is_apply_of(&self, manager: &str) -> bool {
        self.manager == manager && self.operation == "Apply" && self.subresource.is_empty()
    }
}

/// The entries of an object's `managedFields`.
pub fn entries(object: &Value) -> impl Iterator<Item = Entry<'_>> {
    object["metadata"]["managedFields"].as_array().into_iter().flatten().map(|entry| Entry {
        manager: entry["manager"].as_str().unwrap_or_default(),
        operation: entry["operation"].as_str().unwrap_or_default(),
        subresource: entry["subresource"].as_str().unwrap_or_default(),
        fields: &entry["fieldsV1"],
    })
}

/// Whether `manager` owns any field of the object by server-side apply.
#[must_use]
pub fn has_apply_entry(object: &Value, manager: &str) -> bool {
    entries(object).any(|entry| entry.is_apply_of(manager))
}

/// What `manager` owns of `object`, but for what is excluded. `None` where the object has no `managedFields` at all:
/// they were cleared, or its API does not keep them.
#[must_use]
pub fn of(object: &Value, manager: &str, exclusions: &[Exclusion]) -> Option<Ownership> {
    let managed = object["metadata"]["managedFields"].as_array()?;
    if managed.is_empty() {
        return None;
    }
    let mut hasher = Sha256::new();
    let mut paths = Vec::new();
    let empty = Value::Null;
    let own = entries(object).find(|entry| entry.is_apply_of(manager)).map_or(&empty, |entry| entry.fields);
    fields::walk(own, object, exclusions, &mut |path, leaf| {
        paths.push(hash(path));
        feed(&mut hasher, path, &leaf, || is_deeper_owned_by_others(object, manager, path));
    });
    Some(Ownership::new(hasher, paths))
}

/// What stands in `object` in the places that `manifest` fills: for objects without `managedFields`.
#[must_use]
pub fn by_shape(object: &Value, manifest: &Value, exclusions: &[Exclusion]) -> Ownership {
    let mut hasher = Sha256::new();
    let mut paths = Vec::new();
    fields::walk_shape(manifest, object, exclusions, &mut |path, leaf| {
        paths.push(hash(path));
        feed(&mut hasher, path, &leaf, || false);
    });
    Ownership::new(hasher, paths)
}

/// The paths that Nave owned after its last apply, where nothing but the digest of that time is known: what it owns
/// `now`, and what others have that was Nave's then.
#[must_use]
pub fn restore(object: &Value, manager: &str, now: &Ownership, last: &Digest) -> Option<Box<[u64]>> {
    let mut candidates = Vec::new();
    for entry in entries(object).filter(|entry| !entry.is_apply_of(manager)) {
        fields::walk(entry.fields, object, &[], &mut |path, _| {
            let hashed = hash(path);
            if now.paths.binary_search(&hashed).is_err() && !path.starts_with(".status") {
                candidates.push(hashed);
            }
        });
    }
    fingerprint::restore(fingerprint::extract(last), &now.paths, &candidates)
}

/// The paths that were owned (their hashes are in `last`), that `manager` owns no longer, and who has them.
#[must_use]
pub fn taken(object: &Value, manager: &str, last: &[u64]) -> Vec<Taken> {
    let mut now = Vec::new();
    for entry in entries(object).filter(|entry| entry.is_apply_of(manager)) {
        fields::walk(entry.fields, object, &[], &mut |path, _| now.push(hash(path)));
    }
    let mut taken = Vec::new();
    for entry in entries(object).filter(|entry| !entry.is_apply_of(manager)) {
        fields::walk(entry.fields, object, &[], &mut |path, _| {
            let hashed = hash(path);
            if last.binary_search(&hashed).is_ok() && !now.contains(&hashed) {
                taken.push(Taken { path: path.to_owned(), manager: entry.manager.to_owned() });
            }
        });
    }
    taken.sort();
    taken.dedup();
    taken
}

/// Whether some manager other than `manager` owns what `exclusion` names.
#[must_use]
pub fn is_owned_by_other(object: &Value, manager: &str, exclusion: &Exclusion) -> bool {
    let mut found = false;
    for entry in entries(object).filter(|entry| !entry.is_apply_of(manager)) {
        fields::walk_only(entry.fields, object, exclusion, &mut |_, _| found = true);
    }
    found
}

/// The autoscaler that sets the object's replicas through its scale subresource, if one does.
///
/// A person's `kubectl scale` goes the same way, so autoscalers are known by name.
#[must_use]
pub fn scaler(object: &Value) -> Option<&str> {
    entries(object)
        .find(|entry| {
            entry.subresource == "scale"
                && is_autoscaler(entry.manager)
                && !entry.fields["f:spec"]["f:replicas"].is_null()
        })
        .map(|entry| entry.manager)
}

/// Whether a field manager is known to be an autoscaler: the HorizontalPodAutoscaler's controller, which writes under
/// the name of the controller manager, KEDA, or one that says so in its name.
#[must_use]
pub fn is_autoscaler(manager: &str) -> bool {
    manager == "kube-controller-manager" || manager.contains("autoscaler") || manager.contains("keda")
}

/// The hash of the empty text.
pub const HASH_START: u64 = 0xcbf2_9ce4_8422_2325;

/// The hash under which a path is remembered (FNV-1a, 64 bits).
#[must_use]
pub fn hash(path: &str) -> u64 {
    hash_on(HASH_START, path)
}

/// The hash of a text that goes on with `more`.
#[must_use]
pub fn hash_on(hash: u64, more: &str) -> u64 {
    more.bytes().fold(hash, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// Adds one path to a digest. `shared` is asked for a value that is a map or a list: a manager that owns `{}` owns only
/// that there is one, and others may own what is in it; a manager that owns an atomic map owns all of it.
fn feed(hasher: &mut Sha256, path: &str, leaf: &Leaf<'_>, shared: impl FnOnce() -> bool) {
    hasher.update((path.len() as u64).to_be_bytes());
    hasher.update(path.as_bytes());
    let value = match leaf {
        Leaf::Present(present) => return hasher.update([u8::from(*present)]),
        Leaf::Value(None) => return hasher.update([0]),
        Leaf::Value(Some(value)) => value,
    };
    let is_container = value.is_object() || value.is_array();
    let is_empty = value.as_object().is_some_and(serde_json::Map::is_empty)
        || value.as_array().is_some_and(Vec::is_empty);
    if is_empty || (is_container && shared()) {
        return hasher.update([1]);
    }
    let text = value.to_string();
    hasher.update([2]);
    hasher.update((text.len() as u64).to_be_bytes());
    hasher.update(text.as_bytes());
}

/// Whether another manager owns something below `path`, which then is no atomic value.
fn is_deeper_owned_by_others(object: &Value, manager: &str, path: &str) -> bool {
    let mut found = false;
    for entry in entries(object).filter(|entry| !entry.is_apply_of(manager)) {
        fields::walk(entry.fields, object, &[], &mut |other, _| {
            found |= other.len() > path.len()
                && other.starts_with(path)
                && matches!(other.as_bytes()[path.len()], b'.' | b'[');
        });
    }
    found
}

/// The managers that own fields of the object itself, and when each last wrote: for people.
#[must_use]
pub fn managers(object: &Value) -> Vec<String> {
    let mut names = BTreeMap::new();
    for entry in entries(object).filter(|entry| entry.subresource.is_empty()) {
        names.insert(entry.manager.to_owned(), ());
    }
    names.into_keys().collect()
}

#[cfg(test)]
mod tests;
