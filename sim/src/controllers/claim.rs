//! Claims are bound to a volume that is made for them.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::MANAGER;
use crate::meta;
use crate::state::State;
use crate::store::{Key, Object};

pub(crate) fn reconcile(state: &mut State, object: &Object, now: Timestamp) {
    let claim = object.value();
    if object.deleting {
        let volume = claim["spec"]["volumeName"].as_str().unwrap_or_default().to_owned();
        state.drop_finalizer(&object.key, "kubernetes.io/pvc-protection");
        let key = Key::new(state.id("", "persistentvolumes"), "", &volume);
        if state.store.get(&key).is_some() {
            state.drop_finalizer(&key, "kubernetes.io/pv-protection");
            state.delete_as(&key, now);
        }
        return;
    }
    if claim["status"]["phase"] == "Bound" {
        return;
    }
    let name = match claim["spec"]["volumeName"].as_str() {
        Some(name) => name.to_owned(),
        None => make_volume(state, &claim, now),
    };
    state.change_as(&object.key, MANAGER, "", now, |claim| {
        claim["spec"]["volumeName"] = Value::from(name.as_str());
        for key in ["pv.kubernetes.io/bind-completed", "pv.kubernetes.io/bound-by-controller"] {
            claim["metadata"]["annotations"][key] = Value::from("yes");
        }
    });
    state.change_as(&object.key, MANAGER, "status", now, |claim| {
        claim["status"] = json!({"phase": "Bound", "accessModes": claim["spec"]["accessModes"],
            "capacity": {"storage": claim["spec"]["resources"]["requests"]["storage"]}});
    });
}

fn make_volume(state: &mut State, claim: &Value, now: Timestamp) -> String {
    let name = format!("pvc-{}", meta::uid(claim));
    let volume = json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": {
        "accessModes": claim["spec"]["accessModes"],
        "capacity": {"storage": claim["spec"]["resources"]["requests"]["storage"]},
        "persistentVolumeReclaimPolicy": "Delete", "storageClassName": claim["spec"]["storageClassName"],
        "hostPath": {"path": format!("/sim/{name}")},
        "claimRef": {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "name": meta::name(claim),
            "namespace": meta::namespace(claim), "uid": meta::uid(claim)}}});
    if let Some(key) = state.create_as(MANAGER, volume, now) {
        state.change_as(&key, MANAGER, "status", now, |volume| {
            volume["status"]["phase"] = Value::from("Bound");
        });
    }
    name
}
