//! Garbage collection: dependents go with their owners, in the background or before them, or are let go of.

use jiff::Timestamp;
use serde_json::Value;

use crate::delete::{FOREGROUND, ORPHAN};
use crate::meta;
use crate::state::State;
use crate::store::{Key, Object};

/// Looks at one changed object, as an owner and as a dependent.
pub(crate) fn collect(state: &mut State, object: &Object, now: Timestamp) {
    if object.deleting {
        let value = object.value();
        let finalizers = meta::finalizers(&value);
        if finalizers.iter().any(|have| have == ORPHAN) {
            release(state, object, now);
        } else if finalizers.iter().any(|have| have == FOREGROUND) {
            take_dependents_first(state, object, now);
        }
    }
    if !object.owners.is_empty() && !object.deleting {
        follow_owners(state, object, now);
    }
}

/// Deletes the dependents of an object that waits for them, and lets it go when none is left that blocks.
fn take_dependents_first(state: &mut State, object: &Object, now: Timestamp) {
    let mut blocked = false;
    for key in state.store.dependents(&object.uid) {
        let Some(dependent) = state.store.get(&key) else { continue };
        let value = dependent.value();
        let blocks =
            owners(&value).any(|owner| owner["uid"] == *object.uid && owner["blockOwnerDeletion"] == true);
        let has_own = value["metadata"]["finalizers"].as_array().is_some_and(|list| !list.is_empty());
        if !dependent.deleting {
            delete_foreground(state, &key, &dependent, has_own, now);
        }
        blocked |= blocks && state.store.get(&key).is_some();
    }
    if !blocked {
        state.drop_finalizer(&object.key, FOREGROUND);
    }
}

/// The policy goes down: a dependent with dependents of its own waits for them, too.
fn delete_foreground(state: &mut State, key: &Key, dependent: &Object, has_own: bool, now: Timestamp) {
    if has_own || state.store.dependents(&dependent.uid).is_empty() {
        state.delete_as(key, now);
        return;
    }
    let mut value = dependent.value();
    meta::set_finalizers(&mut value, &[FOREGROUND.to_owned()]);
    let metadata = meta::metadata_mut(&mut value);
    metadata.insert("deletionTimestamp".to_owned(), Value::from(meta::time_text(now)));
    metadata.insert("deletionGracePeriodSeconds".to_owned(), Value::from(0));
    state.store.put(key, value);
}

/// Takes the owner out of its dependents, then lets it go.
fn release(state: &mut State, object: &Object, now: Timestamp) {
    let uid = object.uid.to_string();
    for key in state.store.dependents(&uid) {
        drop_owner(state, &key, &[uid.as_str()], now);
    }
    state.drop_finalizer(&object.key, ORPHAN);
}

fn drop_owner(state: &mut State, key: &Key, uids: &[&str], now: Timestamp) {
    state.change_as(key, "kube-controller-manager", "", now, |value| {
        let metadata = meta::metadata_mut(value);
        if let Some(Value::Array(list)) = metadata.get_mut("ownerReferences") {
            list.retain(|owner| !owner["uid"].as_str().is_some_and(|uid| uids.contains(&uid)));
            if list.is_empty() {
                metadata.remove("ownerReferences");
            }
        }
    });
}

/// An object whose owners are all gone goes too; one that has others left only forgets those that are gone.
fn follow_owners(state: &mut State, object: &Object, now: Timestamp) {
    let gone: Vec<&str> =
        object.owners.iter().map(String::as_str).filter(|uid| state.store.find_uid(uid).is_none()).collect();
    if gone.is_empty() {
        return;
    }
    if gone.len() == object.owners.len() {
        state.delete_as(&object.key, now);
    } else {
        drop_owner(state, &object.key, &gone, now);
    }
}

fn owners(value: &Value) -> impl Iterator<Item = &Value> {
    value["metadata"]["ownerReferences"].as_array().into_iter().flatten()
}
