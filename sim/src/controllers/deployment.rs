//! Deployments: a replica set for each template, rolled from the old ones to the new.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::MANAGER;
use super::conditions::{Condition, find, holds, set, set_unknown};
use super::templates::{set_count, share, template_hash};
use crate::meta;
use crate::state::State;
use crate::store::{Key, Object};
use crate::watch::later;

const REVISION: &str = "deployment.kubernetes.io/revision";

/// A replica set of the deployment.
struct Replicas {
    key: Key,
    value: Value,
    revision: i64,
}

impl Replicas {
    fn wanted(&self) -> i64 {
        self.value["spec"]["replicas"].as_i64().unwrap_or(1)
    }

    fn status(&self, field: &str) -> i64 {
        self.value["status"][field].as_i64().unwrap_or(0)
    }
}

pub(crate) fn reconcile(state: &mut State, object: &Object, now: Timestamp) {
    if object.deleting {
        return;
    }
    let deployment = object.value();
    let hash = template_hash(&deployment["spec"]["template"]);
    let (mut new, mut old) = split(state, &object.uid, &hash);
    if new.is_none() && deployment["spec"]["paused"] != true {
        create_set(state, &deployment, &hash, &old, now);
        (new, old) = split(state, &object.uid, &hash);
    }
    if let Some(new) = &new {
        if deployment["spec"]["paused"] == true {
            scale_paused(state, &deployment, new, &old, now);
        } else {
            roll(state, &deployment, new, &old, now);
        }
        mark_revision(state, new, &old, now);
    }
    tidy(state, &deployment, &old, now);
    let (new, old) = split(state, &object.uid, &hash);
    write_status(state, object, &deployment, new.as_ref(), &old, now);
}

/// The set of the present template, and the others, oldest first.
fn split(state: &State, uid: &str, hash: &str) -> (Option<Replicas>, Vec<Replicas>) {
    let resource = state.id("apps", "replicasets");
    let mut all: Vec<Replicas> = state
        .store
        .dependents(uid)
        .into_iter()
        .filter(|key| key.resource == resource)
        .filter_map(|key| Some((key.clone(), state.store.get(&key)?)))
        .filter(|(_, object): &(Key, Arc<Object>)| !object.deleting)
        .map(|(key, object)| {
            let value = object.value();
            let revision = value["metadata"]["annotations"][REVISION]
                .as_str()
                .and_then(|text| text.parse().ok())
                .unwrap_or(0);
            Replicas { key, value, revision }
        })
        .collect();
    all.sort_by_key(|set| set.revision);
    let place = all.iter().position(|set| set.value["metadata"]["labels"]["pod-template-hash"] == hash);
    let new = place.map(|place| all.remove(place));
    (new, all)
}

fn create_set(state: &mut State, deployment: &Value, hash: &str, old: &[Replicas], now: Timestamp) {
    let mut template = deployment["spec"]["template"].clone();
    template["metadata"]["labels"]["pod-template-hash"] = Value::from(hash);
    let labels = template["metadata"]["labels"].clone();
    let mut selector = deployment["spec"]["selector"].clone();
    selector["matchLabels"]["pod-template-hash"] = Value::from(hash);
    let last = old.iter().map(|set| set.revision).max().unwrap_or(0);
    let mut annotations = deployment["metadata"]["annotations"].clone();
    if !annotations.is_object() {
        annotations = json!({});
    }
    if let Value::Object(map) = &mut annotations {
        map.remove("kubectl.kubernetes.io/last-applied-configuration");
    }
    annotations[REVISION] = Value::from((last + 1).to_string());
    for (key, count) in counts(deployment) {
        annotations[key] = Value::from(count.to_string());
    }
    let replicas = if old.is_empty() { deployment["spec"]["replicas"].as_i64().unwrap_or(1) } else { 0 };
    let set = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {
        "name": format!("{}-{hash}", meta::name(deployment)), "namespace": meta::namespace(deployment),
        "labels": labels, "annotations": annotations,
        "ownerReferences": [meta::controller_reference(deployment)]},
        "spec": {"replicas": replicas, "selector": selector, "template": template,
            "minReadySeconds": deployment["spec"]["minReadySeconds"]}});
    state.create_as(MANAGER, set, now);
}

/// What its sets are told about the whole deployment.
fn counts(deployment: &Value) -> [(&'static str, i64); 2] {
    let wanted = deployment["spec"]["replicas"].as_i64().unwrap_or(1);
    let surge = share(&deployment["spec"]["strategy"]["rollingUpdate"]["maxSurge"], wanted, true);
    [
        ("deployment.kubernetes.io/desired-replicas", wanted),
        ("deployment.kubernetes.io/max-replicas", wanted + surge),
    ]
}

fn scale(state: &mut State, deployment: &Value, set: &Replicas, replicas: i64, now: Timestamp) {
    if set.wanted() == replicas {
        return;
    }
    let counts = counts(deployment);
    state.change_as(&set.key, MANAGER, "", now, |value| {
        value["spec"]["replicas"] = Value::from(replicas);
        for (key, count) in counts {
            value["metadata"]["annotations"][key] = Value::from(count.to_string());
        }
    });
}

/// A paused deployment still follows its count, with the sets it has.
fn scale_paused(state: &mut State, deployment: &Value, new: &Replicas, old: &[Replicas], now: Timestamp) {
    let wanted = deployment["spec"]["replicas"].as_i64().unwrap_or(1);
    let elsewhere: i64 = old.iter().map(Replicas::wanted).sum();
    scale(state, deployment, new, (wanted - elsewhere).max(0), now);
}

/// How many pods more, and how many available ones fewer, a rollout may have.
fn limits(deployment: &Value) -> (i64, i64) {
    let wanted = deployment["spec"]["replicas"].as_i64().unwrap_or(1);
    let rolling = &deployment["spec"]["strategy"]["rollingUpdate"];
    let surge = share(&rolling["maxSurge"], wanted, true);
    let unavailable = share(&rolling["maxUnavailable"], wanted, false).min(wanted);
    (surge, if surge == 0 && unavailable == 0 { 1 } else { unavailable })
}

/// One step of the rollout.
fn roll(state: &mut State, deployment: &Value, new: &Replicas, old: &[Replicas], now: Timestamp) {
    let wanted = deployment["spec"]["replicas"].as_i64().unwrap_or(1);
    if deployment["spec"]["strategy"]["type"] == "Recreate" {
        for set in old {
            scale(state, deployment, set, 0, now);
        }
        let left: i64 = old.iter().map(|set| set.status("replicas")).sum();
        if left == 0 {
            scale(state, deployment, new, wanted, now);
        }
        return;
    }
    let surge = limits(deployment).0;
    let old_wanted: i64 = old.iter().map(Replicas::wanted).sum();
    let target = if old_wanted == 0 {
        wanted
    } else {
        (wanted + surge - old_wanted).clamp(new.wanted().min(wanted), wanted)
    };
    scale(state, deployment, new, target, now);
    if old_wanted > 0 {
        shrink_old(state, deployment, new, old, now);
    }
}

/// Takes pods from the old sets, those that are not available first, and keeps enough available ones.
fn shrink_old(state: &mut State, deployment: &Value, new: &Replicas, old: &[Replicas], now: Timestamp) {
    let wanted = deployment["spec"]["replicas"].as_i64().unwrap_or(1);
    let available_min = wanted - limits(deployment).1;
    let new_unavailable = new.wanted() - new.status("availableReplicas");
    let all: i64 = new.wanted() + old.iter().map(Replicas::wanted).sum::<i64>();
    let mut room = all - available_min - new_unavailable;
    let mut wanted: Vec<i64> = old.iter().map(Replicas::wanted).collect();
    for (set, wanted) in old.iter().zip(&mut wanted) {
        let dead = (*wanted - set.status("availableReplicas")).clamp(0, room.max(0));
        *wanted -= dead;
        room -= dead;
    }
    let available: i64 = new.status("availableReplicas")
        + old
            .iter()
            .zip(&wanted)
            .map(|(set, wanted)| set.status("availableReplicas").min(*wanted))
            .sum::<i64>();
    let mut spare = available - available_min;
    for wanted in &mut wanted {
        let taken = (*wanted).clamp(0, spare.max(0));
        *wanted -= taken;
        spare -= taken;
    }
    for (set, wanted) in old.iter().zip(wanted) {
        scale(state, deployment, set, wanted, now);
    }
}

/// The set in use has the highest revision, also after going back to an old one.
fn mark_revision(state: &mut State, new: &Replicas, old: &[Replicas], now: Timestamp) {
    let last = old.iter().map(|set| set.revision).max().unwrap_or(0);
    if new.revision <= last {
        state.change_as(&new.key, MANAGER, "", now, |set| {
            set["metadata"]["annotations"][REVISION] = Value::from((last + 1).to_string());
        });
    }
}

/// Removes empty old sets beyond the limit.
fn tidy(state: &mut State, deployment: &Value, old: &[Replicas], now: Timestamp) {
    let limit = deployment["spec"]["revisionHistoryLimit"].as_u64().unwrap_or(10);
    let empty: Vec<&Replicas> =
        old.iter().filter(|set| set.wanted() == 0 && set.status("replicas") == 0).collect();
    let surplus = empty.len().saturating_sub(usize::try_from(limit).unwrap_or(usize::MAX));
    for set in empty.into_iter().take(surplus) {
        state.delete_as(&set.key, now);
    }
}

fn write_status(
    state: &mut State,
    object: &Object,
    deployment: &Value,
    new: Option<&Replicas>,
    old: &[Replicas],
    now: Timestamp,
) {
    let sum = |field: &str| new.into_iter().chain(old).map(|set| set.status(field)).sum::<i64>();
    let (all, ready, available) = (sum("replicas"), sum("readyReplicas"), sum("availableReplicas"));
    let terminating = sum("terminatingReplicas");
    let paused = deployment["spec"]["paused"] == true;
    let updated = new.map_or(0, |set| set.status("replicas"));
    let wanted = deployment["spec"]["replicas"].as_i64().unwrap_or(1);
    let unavailable_max =
        share(&deployment["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"], wanted, false);
    let expected = new.map_or(0, Replicas::wanted) + old.iter().map(Replicas::wanted).sum::<i64>();
    let complete = updated == wanted && all == wanted && available == wanted && new.is_some();
    let set_name = new.map_or_else(String::new, |set| meta::name(&set.value).to_owned());
    let deadline = deployment["spec"]["progressDeadlineSeconds"].as_i64().unwrap_or(600);
    let late = !complete && is_late(&deployment["status"], deadline, now);
    let progressed = updated > deployment["status"]["updatedReplicas"].as_i64().unwrap_or(0)
        || available > deployment["status"]["availableReplicas"].as_i64().unwrap_or(0)
        || deployment["status"]["observedGeneration"] != deployment["metadata"]["generation"];
    let revision = new.map(|set| set.revision.to_string());
    state.change_as(&object.key, MANAGER, "status", now, |value| {
        if let Some(revision) = &revision {
            value["metadata"]["annotations"][REVISION] = Value::from(revision.as_str());
        }
        let generation = value["metadata"]["generation"].clone();
        let status = &mut value["status"];
        status["observedGeneration"] = generation;
        set_count(status, "replicas", all);
        set_count(status, "updatedReplicas", updated);
        set_count(status, "readyReplicas", ready);
        set_count(status, "availableReplicas", available);
        set_count(status, "unavailableReplicas", (expected - available).max(0));
        status["terminatingReplicas"] = Value::from(terminating);
        if paused {
            let (reason, message) = ("DeploymentPaused", "Deployment is paused");
            let condition = Condition { kind: "Progressing", holds: false, reason, message };
            set_unknown(status, &condition, now);
        }
        let enough = available >= wanted - unavailable_max;
        let (reason, message) = if enough {
            ("MinimumReplicasAvailable", "Deployment has minimum availability.")
        } else {
            ("MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
        };
        set(status, &Condition { kind: "Available", holds: enough, reason, message }, now, true);
        if !paused {
            progressing(status, &set_name, complete, late && !progressed, progressed, now);
        }
    });
    if !complete && !paused && deadline < i64::from(i32::MAX) {
        wake_at_deadline(state, &object.key, deadline, now);
    }
}

fn progressing(status: &mut Value, name: &str, complete: bool, late: bool, progressed: bool, now: Timestamp) {
    let (holds, reason, message) = if complete {
        let message = format!("ReplicaSet \"{name}\" has successfully progressed.");
        (true, "NewReplicaSetAvailable", message)
    } else if late {
        let message = format!("ReplicaSet \"{name}\" has timed out progressing.");
        (false, "ProgressDeadlineExceeded", message)
    } else {
        (true, "ReplicaSetUpdated", format!("ReplicaSet \"{name}\" is progressing."))
    };
    // The deadline counts from the last progress.
    if progressed
        && !complete
        && let Some(list) = status["conditions"].as_array_mut()
    {
        list.retain(|condition| condition["type"] != "Progressing");
    }
    set(status, &Condition { kind: "Progressing", holds, reason, message: &message }, now, true);
}

fn is_late(status: &Value, deadline: i64, now: Timestamp) -> bool {
    let Some(condition) = find(status, "Progressing") else { return false };
    if condition["reason"] == "NewReplicaSetAvailable" {
        return false;
    }
    let since = condition["lastUpdateTime"].as_str().and_then(meta::parse_time);
    let at = since.and_then(|since| since.checked_add(jiff::SignedDuration::from_secs(deadline)).ok());
    !holds(status, "Progressing") || at.is_some_and(|at| at <= now)
}

fn wake_at_deadline(state: &mut State, key: &Key, deadline: i64, now: Timestamp) {
    let at = later(now, std::time::Duration::from_secs(deadline.unsigned_abs() + 1));
    state.wake(key.clone(), at);
}
