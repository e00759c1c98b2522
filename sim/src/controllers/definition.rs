//! Custom resource definitions: established after a moment, then served; their objects go before they do.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::conditions::{Condition, holds, set};
use crate::discovery::priority;
use crate::kinds::{Resource, Scale, Version};
use crate::meta;
use crate::schema::{Type, from_openapi};
use crate::state::State;
use crate::store::{Key, Object};
use crate::watch::later;

/// Held by the definition until its objects are gone.
pub(crate) const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";
const SERVER: &str = "kube-apiserver";

pub(crate) fn reconcile(state: &mut State, key: &Key, object: Option<&Object>, now: Timestamp) {
    let Some(object) = object else {
        if let Some((plural, group)) = key.name.split_once('.') {
            state.registry.remove(group, plural);
        }
        return;
    };
    let definition = object.value();
    if object.deleting {
        return empty(state, key, &definition, now);
    }
    if !holds(&definition["status"], "Established") {
        let at = state.pods_due.get(key).copied();
        let due = at.unwrap_or_else(|| later(now, state.config.established_delay));
        if at.is_none() || due > now {
            state.pod_due(key, due);
            return accept(state, key, now);
        }
        state.pods_due.remove(key);
        establish(state, key, now);
    }
    state.registry.put(resource(&definition));
}

fn accept(state: &mut State, key: &Key, now: Timestamp) {
    state.change_as(key, SERVER, "status", now, |definition| {
        let names = definition["spec"]["names"].clone();
        let status = &mut definition["status"];
        status["acceptedNames"] = names;
        let message = "no conflicts found";
        let condition = Condition { kind: "NamesAccepted", holds: true, reason: "NoConflicts", message };
        set(status, &condition, now, false);
    });
}

fn establish(state: &mut State, key: &Key, now: Timestamp) {
    state.change_as(key, SERVER, "status", now, |definition| {
        let status = &mut definition["status"];
        let message = "the initial names have been accepted";
        let condition =
            Condition { kind: "Established", holds: true, reason: "InitialNamesAccepted", message };
        set(status, &condition, now, false);
    });
}

/// Deletes the objects of a definition that goes; when none is left, it is let go.
fn empty(state: &mut State, key: &Key, definition: &Value, now: Timestamp) {
    let spec = &definition["spec"];
    let (group, plural) =
        (spec["group"].as_str().unwrap_or_default(), spec["names"]["plural"].as_str().unwrap_or_default());
    if let Some(resource) = state.registry.find(group, plural).filter(|resource| resource.custom) {
        for object in state.store.list(resource.id, None) {
            state.delete_as(&object.key, now);
        }
        if !state.store.list(resource.id, None).is_empty() {
            return state.change_as(key, SERVER, "status", now, |definition| {
                let message = "CustomResource deletion is in progress";
                let condition = Condition {
                    kind: "Terminating",
                    holds: true,
                    reason: "InstanceDeletionInProgress",
                    message,
                };
                set(&mut definition["status"], &condition, now, false);
            });
        }
    }
    state.drop_finalizer(key, CLEANUP);
}

/// An object of a custom kind is gone: its definition may be waiting for that.
pub(crate) fn instance_went(state: &mut State, resource: &Arc<Resource>) {
    let name = format!("{}.{}", resource.plural, resource.group);
    let key = Key::new(state.id("apiextensions.k8s.io", "customresourcedefinitions"), "", &name);
    if state.store.get(&key).is_some_and(|object| object.deleting) {
        state.store.mark(key);
    }
}

fn resource(definition: &Value) -> Resource {
    let spec = &definition["spec"];
    let names = &spec["names"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut versions: Vec<Version> = spec["versions"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|version| version["served"] == true)
        .map(version)
        .collect();
    versions.sort_by_key(|version| std::cmp::Reverse(priority(&version.name)));
    Resource {
        id: 0,
        group: text(&spec["group"]),
        kind: text(&names["kind"]),
        plural: text(&names["plural"]),
        singular: text(&names["singular"]),
        short: meta::strings(&names["shortNames"]),
        categories: meta::strings(&names["categories"]),
        namespaced: spec["scope"] == "Namespaced",
        generation: true,
        created_by_update: false,
        returned_by_delete: false,
        versions,
        custom: true,
    }
}

fn version(version: &Value) -> Version {
    let schema = version["schema"].get("openAPIV3Schema");
    let scale = &version["subresources"]["scale"];
    let text = |field: &str, default: &str| scale[field].as_str().unwrap_or(default).to_owned();
    Version {
        name: version["name"].as_str().unwrap_or_default().to_owned(),
        ty: schema.map_or(Type::Any, from_openapi),
        status: !version["subresources"]["status"].is_null(),
        scale: (!scale.is_null()).then(|| Scale {
            spec_path: text("specReplicasPath", ".spec.replicas"),
            status_path: text("statusReplicasPath", ".status.replicas"),
            selector_path: Some(text("labelSelectorPath", ".status.selector")),
        }),
        openapi: schema.map(|schema| Arc::new(schema.clone())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_definition_becomes_a_resource_with_its_preferred_version_first() {
        let definition = json!({"spec": {"group": "demo.io", "scope": "Namespaced",
            "names": {"plural": "widgets", "kind": "Widget", "singular": "widget"},
            "versions": [{"name": "v1beta1", "served": true, "storage": false},
                {"name": "v1", "served": true, "storage": true, "subresources": {"status": {}}},
                {"name": "v0", "served": false, "storage": false}]}});
        let resource = resource(&definition);
        let names: Vec<&str> = resource.versions.iter().map(|version| version.name.as_str()).collect();
        assert_eq!(names, ["v1", "v1beta1"]);
        assert!(resource.versions[0].status && !resource.versions[1].status);
    }
}
