//! Stateful sets: pods with numbers, one after the other, each with its claims.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::MANAGER;
use super::templates::{Pod, create_pod, pods_of, set_count, template_hash, wake_for_available};
use crate::meta;
use crate::state::State;
use crate::store::Object;

const HASH: &str = "controller-revision-hash";

pub(crate) fn reconcile(state: &mut State, object: &Object, now: Timestamp) {
    let set = object.value();
    let revision = format!("{}-{}", meta::name(&set), template_hash(&set["spec"]["template"]));
    if !object.deleting {
        step(state, object, &set, &revision, now);
    }
    write_status(state, object, &set, &revision, now);
}

fn number_of(pod: &Pod) -> i64 {
    meta::name(&pod.value).rsplit_once('-').and_then(|(_, number)| number.parse().ok()).unwrap_or(-1)
}

fn revision_of(pod: &Pod) -> &str {
    pod.value["metadata"]["labels"][HASH].as_str().unwrap_or_default()
}

/// The next thing to do: one pod more, one less, or one replaced.
fn step(state: &mut State, object: &Object, set: &Value, revision: &str, now: Timestamp) {
    let wanted = set["spec"]["replicas"].as_i64().unwrap_or(1);
    let parallel = set["spec"]["podManagementPolicy"] == "Parallel";
    let pods = pods_of(state, &object.uid);
    for number in 0..wanted {
        match pods.iter().find(|pod| number_of(pod) == number) {
            None => {
                create_numbered(state, set, revision, number, now);
                if !parallel {
                    return;
                }
            }
            Some(pod) if !parallel && (!pod.ready || pod.object.deleting) => {
                // A pod of an old template that never got ready may still be replaced.
                if revision_of(pod) == revision || pod.object.deleting {
                    return;
                }
                break;
            }
            Some(_) => {}
        }
    }
    let mut surplus: Vec<&Pod> =
        pods.iter().filter(|pod| number_of(pod) >= wanted && !pod.object.deleting).collect();
    surplus.sort_by_key(|pod| std::cmp::Reverse(number_of(pod)));
    let count = if parallel { surplus.len() } else { 1 };
    if !surplus.is_empty() {
        for pod in surplus.into_iter().take(count) {
            state.delete_as(&pod.object.key, now);
        }
        return;
    }
    replace_old(state, set, &pods, revision, now);
}

/// Replaces the highest pod of an old template, down to the partition.
fn replace_old(state: &mut State, set: &Value, pods: &[Pod], revision: &str, now: Timestamp) {
    if set["spec"]["updateStrategy"]["type"] == "OnDelete" {
        return;
    }
    let partition = set["spec"]["updateStrategy"]["rollingUpdate"]["partition"].as_i64().unwrap_or(0);
    let mut order: Vec<&Pod> = pods.iter().filter(|pod| number_of(pod) >= partition).collect();
    order.sort_by_key(|pod| std::cmp::Reverse(number_of(pod)));
    for pod in order {
        if pod.object.deleting {
            return;
        }
        if revision_of(pod) != revision {
            state.delete_as(&pod.object.key, now);
            return;
        }
        if !pod.ready {
            return;
        }
    }
}

fn create_numbered(state: &mut State, set: &Value, revision: &str, number: i64, now: Timestamp) {
    let name = format!("{}-{number}", meta::name(set));
    let mut volumes = Vec::new();
    for claim in set["spec"]["volumeClaimTemplates"].as_array().into_iter().flatten() {
        let volume = meta::name(claim);
        let claim_name = format!("{volume}-{name}");
        let object = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {
            "name": claim_name, "namespace": meta::namespace(set),
            "labels": set["spec"]["selector"]["matchLabels"]}, "spec": claim["spec"]});
        state.create_as(MANAGER, object, now);
        volumes.push(json!({"name": volume, "persistentVolumeClaim": {"claimName": claim_name}}));
    }
    create_pod(
        state,
        set,
        &set["spec"]["template"],
        Some(&name),
        |pod| {
            let labels = &mut pod["metadata"]["labels"];
            labels[HASH] = Value::from(revision);
            labels["statefulset.kubernetes.io/pod-name"] = Value::from(name.as_str());
            labels["apps.kubernetes.io/pod-index"] = Value::from(number.to_string());
            pod["metadata"]["generateName"] = Value::from(format!("{}-", meta::name(set)));
            pod["spec"]["hostname"] = Value::from(name.as_str());
            if !set["spec"]["serviceName"].is_null() {
                pod["spec"]["subdomain"] = set["spec"]["serviceName"].clone();
            }
            if !volumes.is_empty() {
                let mut all = pod["spec"]["volumes"].as_array().cloned().unwrap_or_default();
                all.extend(volumes.iter().cloned());
                pod["spec"]["volumes"] = Value::Array(all);
            }
        },
        now,
    );
}

fn write_status(state: &mut State, object: &Object, set: &Value, revision: &str, now: Timestamp) {
    let pods: Vec<Pod> = pods_of(state, &object.uid).into_iter().filter(Pod::is_active).collect();
    let seconds = set["spec"]["minReadySeconds"].as_i64().unwrap_or(0);
    let wanted = set["spec"]["replicas"].as_i64().unwrap_or(1);
    let count = |fits: &dyn Fn(&Pod) -> bool| {
        i64::try_from(pods.iter().filter(|pod| fits(pod)).count()).unwrap_or(i64::MAX)
    };
    let (all, ready) = (count(&|_| true), count(&|pod| pod.ready));
    let (available, updated) =
        (count(&|pod| pod.is_available(seconds, now)), count(&|pod| revision_of(pod) == revision));
    state.change_as(&object.key, MANAGER, "status", now, |set| {
        let generation = set["metadata"]["generation"].clone();
        let status = &mut set["status"];
        let before = status["currentRevision"].as_str().unwrap_or(revision).to_owned();
        let current = if updated == wanted && ready == wanted { revision.to_owned() } else { before };
        status["observedGeneration"] = generation;
        status["replicas"] = Value::from(all);
        set_count(status, "readyReplicas", ready);
        status["availableReplicas"] = Value::from(available);
        set_count(status, "updatedReplicas", updated);
        let of_current = if current == revision { updated } else { all - updated };
        set_count(status, "currentReplicas", of_current);
        status["currentRevision"] = Value::from(current);
        status["updateRevision"] = Value::from(revision);
        status["collisionCount"] = Value::from(0);
    });
    wake_for_available(state, &object.key, &pods, seconds, now);
}
