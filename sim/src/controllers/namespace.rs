//! Namespaces: what they hold from the start, and emptying them when they go.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::MANAGER;
use super::conditions::{Condition, set};
use crate::state::State;
use crate::store::{Key, Object};

pub(crate) fn reconcile(state: &mut State, object: &Object, now: Timestamp) {
    if object.deleting {
        return empty(state, object, now);
    }
    let name = object.key.name.to_string();
    if state.store.get(&Key::new(state.id("", "serviceaccounts"), &name, "default")).is_none() {
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": {"name": "default", "namespace": name}});
        state.create_as(MANAGER, account, now);
    }
    if state.store.get(&Key::new(state.id("", "configmaps"), &name, "kube-root-ca.crt")).is_none() {
        let authority = json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "kube-root-ca.crt", "namespace": name, "annotations": {
                "kubernetes.io/description": "Contains a CA bundle that can be used to verify the kube-apiserver \
                 when using internal endpoints such as the internal service IP or kubernetes.default.svc. No other \
                 usage is guaranteed across distributions of Kubernetes clusters."}},
            "data": {"ca.crt": ""}});
        state.create_as(MANAGER, authority, now);
    }
}

/// Deletes what is in a namespace; when nothing is left, it goes.
fn empty(state: &mut State, object: &Object, now: Timestamp) {
    let name = object.key.name.to_string();
    let content = content(state, &name);
    for key in &content {
        state.delete_as(key, now);
    }
    let left = self::content(state, &name);
    if left.is_empty() {
        state.change_as(&object.key, MANAGER, "finalize", now, |namespace| {
            namespace["spec"] = Value::Null;
        });
        return;
    }
    let held = left
        .iter()
        .filter_map(|key| state.store.get(key))
        .any(|object| !crate::meta::finalizers(&object.value()).is_empty());
    state.change_as(&object.key, MANAGER, "status", now, |namespace| {
        let status = &mut namespace["status"];
        let text = "All content successfully deleted, may be waiting on finalization";
        let deleted = Condition {
            kind: "NamespaceDeletionContentFailure",
            holds: false,
            reason: "ContentDeleted",
            message: text,
        };
        set(status, &deleted, now, false);
        let (reason, message) = if held {
            ("SomeFinalizersRemain", "Some content in the namespace has finalizers remaining")
        } else {
            ("ContentHasNoFinalizers", "All content-preserving finalizers finished")
        };
        let condition = Condition { kind: "NamespaceFinalizersRemaining", holds: held, reason, message };
        set(status, &condition, now, false);
    });
}

fn content(state: &State, namespace: &str) -> Vec<Key> {
    let ids: Vec<u32> = state.store.tables().map(|(id, _)| id).collect();
    ids.into_iter()
        .flat_map(|id| state.store.list(id, Some(namespace)))
        .filter(|object| !object.key.namespace.is_empty())
        .map(|object| object.key.clone())
        .collect()
}

/// Something in a namespace is gone: the namespace may be waiting for that, or has to make it again.
pub(crate) fn content_went(state: &mut State, key: &Key) {
    let namespace = Key::new(state.id("", "namespaces"), "", &key.namespace);
    let own = matches!(&*key.name, "default" | "kube-root-ca.crt");
    if state.store.get(&namespace).is_some_and(|object| object.deleting || own) {
        state.store.mark(namespace);
    }
}
