//! The plan: what is to be done about each object of one application, from what is wanted and what the inventory
//! holds. Pure; whoever carries it out has no choice left but when.
//!
//! **Invariant:** what the inventory does not hold is never deleted, and nothing is deleted because something could not
//! be found out.

use std::collections::{BTreeMap, BTreeSet};

use nave_common::digest::Digest;
use nave_common::inventory::InventoryEntry;
use nave_common::manifest::ObjectKey;
use nave_common::name::ApplicationKey;

use super::adopt::claimed_by;

/// One object as it is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Its place in the rendering.
    pub index: u32,
    /// The manifest's digest.
    pub digest: Digest,
    /// The API version under which it is applied.
    pub api_version: String,
}

/// What another application has to do with an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rival {
    /// The other application.
    pub application: ApplicationKey,
    /// Whether it wants the object.
    pub wants: bool,
    /// The object's entry in its inventory.
    pub entry: Option<InventoryEntry>,
}

/// A manifest of a kind that the API server does not know, so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unresolved {
    /// Its place in the rendering.
    pub index: u32,
    /// Why, in words on which a person can act.
    pub reason: String,
    /// Its key as the manifest has it: whether its kind has namespaces is not known.
    pub key: ObjectKey,
}

/// What decides.
pub struct Inputs<'a> {
    /// The application.
    pub application: &'a ApplicationKey,
    /// Whether everything of it goes.
    pub remove: bool,
    /// What is wanted.
    pub wanted: &'a BTreeMap<ObjectKey, Wanted>,
    /// What is wanted of unknown kinds.
    pub unresolved: &'a [Unresolved],
    /// What Nave made for it.
    pub inventory: &'a BTreeMap<ObjectKey, InventoryEntry>,
    /// Whether what is no longer wanted is deleted.
    pub prune: bool,
    /// Whether that holds for what was taken over, too.
    pub prune_adopted: bool,
    /// Objects that may be shared: where another application has one, it is left to it and that is no problem.
    pub shared: &'a BTreeSet<ObjectKey>,
    /// What other applications have to do with an object.
    pub rival: &'a dyn Fn(&ObjectKey) -> Option<Rival>,
}

/// What is done about one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// It is wanted and the inventory does not hold it: look whether it is there, and whose it is.
    Look,
    /// It is wanted, and Nave made it: apply where digests differ, keep it so.
    Keep,
    /// It is wanted, and another application that no longer wants it has it.
    Take(InventoryEntry),
    /// It is wanted, and stays with another application without a word.
    Share,
    /// It is wanted and not applied; this is why.
    Refuse(String),
    /// It is deleted.
    Prune,
    /// It stays, and Nave lets go of it.
    Release,
    /// It is no longer wanted and stays all the same; this is why.
    Retain(String),
    /// It stays, for another application to take.
    HandOver(ApplicationKey),
    /// The inventory lets go of it; nothing is done to it.
    Forget,
}

/// Decides about every object that is wanted or held.
#[must_use]
pub fn plan(inputs: &Inputs<'_>) -> BTreeMap<ObjectKey, Step> {
    let mut steps = BTreeMap::new();
    for key in inputs.wanted.keys() {
        steps.insert(key.clone(), wanted_step(inputs, key));
    }
    let wanted_uids: BTreeSet<&str> =
        inputs.wanted.keys().filter_map(|key| inputs.inventory.get(key)?.uid.as_deref()).collect();
    for (key, entry) in inputs.inventory {
        if !inputs.wanted.contains_key(key) {
            steps.insert(key.clone(), unwanted_step(inputs, key, entry, &wanted_uids));
        }
    }
    steps
}

fn wanted_step(inputs: &Inputs<'_>, key: &ObjectKey) -> Step {
    let held = inputs.inventory.get(key).filter(|entry| entry.uid.is_some());
    let Some(rival) = (inputs.rival)(key) else {
        return if held.is_some() { Step::Keep } else { Step::Look };
    };
    let refusal = || {
        if inputs.shared.contains(key) {
            Step::Share
        } else {
            Step::Refuse(claimed_by(&rival.application, inputs.application))
        }
    };
    match (held, &rival.entry, rival.wants) {
        (None, Some(_), true) => refusal(),
        (None, Some(entry), false) => Step::Take(entry.clone()),
        // Both are new to it, or, after a crash in a handover, both hold it: then the name decides, the same everywhere.
        (None, None, true) | (Some(_), Some(_), true) if rival.application < *inputs.application => refusal(),
        (None, None, _) => Step::Look,
        (Some(_), _, _) => Step::Keep,
    }
}

fn unwanted_step(
    inputs: &Inputs<'_>,
    key: &ObjectKey,
    entry: &InventoryEntry,
    wanted_uids: &BTreeSet<&str>,
) -> Step {
    if inputs.unresolved.iter().any(|unresolved| may_be(&unresolved.key, key)) {
        return Step::Retain("its kind is not known to the API server at the moment".into());
    }
    if entry.uid.as_deref().is_some_and(|uid| wanted_uids.contains(uid)) {
        // One object that two groups serve, such as an Ingress: deleting it by its old name deletes the new one.
        return Step::Forget;
    }
    match (inputs.rival)(key) {
        Some(rival) if rival.wants && rival.entry.is_none() => return Step::HandOver(rival.application),
        Some(rival) if rival.wants => return Step::Forget,
        _ => {}
    }
    if inputs.remove {
        return if entry.adopted && !inputs.prune_adopted { Step::Release } else { Step::Prune };
    }
    if inputs.wanted.is_empty() && inputs.unresolved.is_empty() {
        return Step::Retain("what is wanted holds no object at all, and that deletes nothing".into());
    }
    if !inputs.prune {
        return Step::Retain("it is no longer wanted and stays because sync.prune is false".into());
    }
    if entry.adopted && !inputs.prune_adopted { Step::Release } else { Step::Prune }
}

/// Whether a manifest of an unknown kind may be the object `key`.
fn may_be(manifest: &ObjectKey, key: &ObjectKey) -> bool {
    manifest.group == key.group
        && manifest.kind == key.kind
        && manifest.name == key.name
        && (manifest.namespace.is_none() || key.namespace.is_none() || manifest.namespace == key.namespace)
}

#[cfg(test)]
mod tests;
