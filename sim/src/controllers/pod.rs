//! Scheduler and kubelet in one: a pod gets a node at once and is ready after the configured delay.
//!
//! An image with the tag `broken` cannot be pulled, ever. A pod that does not restart (of a job) succeeds.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::conditions::{Condition, set};
use crate::defaults::image_tag;
use crate::meta;
use crate::state::State;
use crate::store::{Key, Object};
use crate::watch::later;

/// Every pod says that its node has this address.
const NODE_ADDRESS: &str = "10.1.0.1";
/// The image tag that never runs.
const BROKEN: &str = "broken";

pub(crate) fn reconcile(state: &mut State, object: &Object, now: Timestamp) {
    mark_budgets(state, &object.key);
    let pod = object.value();
    if pod["spec"]["nodeName"].is_null() && !object.deleting {
        return place(state, object, &pod, now);
    }
    if is_silent(state, &pod) {
        return;
    }
    if object.deleting {
        return end(state, object, &pod, now);
    }
    let phase = pod["status"]["phase"].as_str().unwrap_or("Pending");
    if matches!(phase, "Succeeded" | "Failed") {
        return;
    }
    if pod["status"]["startTime"].is_null() {
        return start(state, object, now);
    }
    let broken = broken_image(&pod);
    let due = is_due(state, &object.key, now);
    match (phase, broken) {
        ("Pending", Some(image)) if due => fail_pull(state, object, image, now),
        ("Pending", None) if due => become_ready(state, object, &pod, now),
        ("Running", Some(image)) => fail_pull(state, object, image, now),
        ("Running", None) if due && job_pod(&pod) => succeed(state, object, now),
        // Its node was not Ready for a while.
        ("Running", None) if !super::conditions::holds(&pod["status"], "Ready") => {
            become_ready(state, object, &pod, now);
        }
        _ => {}
    }
}

/// Whether its node does nothing about it: it is not Ready, or not there.
fn is_silent(state: &State, pod: &Value) -> bool {
    let Some(node) = pod["spec"]["nodeName"].as_str() else { return false };
    let key = Key::new(state.id("", "nodes"), "", node);
    state.store.get(&key).is_none_or(|node| !is_ready(&node.value()))
}

fn is_ready(node: &Value) -> bool {
    super::conditions::holds(&node["status"], "Ready")
}

/// A node changed: its pods go on, or stand still, and those that have no node yet are looked at again. Those of a node
/// that is not Ready are no longer ready.
pub(crate) fn node_changed(state: &mut State, node: &Object, now: Timestamp) {
    let is_ready = is_ready(&node.value());
    for pod in state.store.list(state.id("", "pods"), None) {
        let value = pod.value();
        // One without a node may have waited for one such as this.
        if value["spec"]["nodeName"].as_str().is_some_and(|name| name != &*node.key.name) {
            continue;
        }
        if !is_ready && super::conditions::holds(&value["status"], "Ready") {
            state.change_as(&pod.key, super::MANAGER, "status", now, |pod| {
                let (reason, message) = ("NodeNotReady", "the node of this pod is not Ready");
                for kind in ["Ready", "ContainersReady"] {
                    set(&mut pod["status"], &Condition { kind, holds: false, reason, message }, now, false);
                }
            });
        }
        state.store.mark(pod.key.clone());
    }
}

/// Forgets a pod that is gone.
pub(crate) fn went(state: &mut State, key: &Key) {
    state.pods_due.remove(key);
    mark_budgets(state, key);
}

/// Disruption budgets count pods.
fn mark_budgets(state: &mut State, key: &Key) {
    for budget in state.store.list(state.id("policy", "poddisruptionbudgets"), Some(&key.namespace)) {
        state.store.mark(budget.key.clone());
    }
}

/// Times in objects are whole seconds, so the next step of a pod is kept beside them.
fn is_due(state: &State, key: &Key, now: Timestamp) -> bool {
    state.pods_due.get(key).is_none_or(|at| *at <= now)
}

fn broken_image(pod: &Value) -> Option<&str> {
    containers(pod)
        .filter_map(|container| container["image"].as_str())
        .find(|image| image_tag(image) == BROKEN)
}

fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    ["initContainers", "containers"]
        .into_iter()
        .flat_map(|field| pod["spec"][field].as_array().into_iter().flatten())
}

fn job_pod(pod: &Value) -> bool {
    matches!(pod["spec"]["restartPolicy"].as_str(), Some("Never" | "OnFailure"))
}

/// Binds the pod to a node, or says why not.
fn place(state: &mut State, object: &Object, pod: &Value, now: Timestamp) {
    let nodes = state.store.list(state.id("", "nodes"), None);
    let wanted = pod["spec"]["nodeSelector"].as_object();
    let fits = |node: &&std::sync::Arc<Object>| {
        let value = node.value();
        value["spec"]["unschedulable"] != true
            && is_ready(&value)
            && wanted.into_iter().flatten().all(|(key, value)| {
                node.labels.iter().any(|(name, have)| name == key && Some(have.as_str()) == value.as_str())
            })
    };
    let fitting: Vec<_> = nodes.iter().filter(fits).collect();
    let count = u64::try_from(fitting.len()).unwrap_or(0);
    if count == 0 {
        let message = format!("0/{} nodes are available", nodes.len());
        state.change_as(&object.key, "kube-scheduler", "status", now, |pod| {
            let condition =
                Condition { kind: "PodScheduled", holds: false, reason: "Unschedulable", message: &message };
            set(&mut pod["status"], &condition, now, false);
        });
        return;
    }
    let chosen = usize::try_from(state.random.next() % count).unwrap_or(0);
    let Some(node) = fitting.get(chosen) else { return };
    let name = node.key.name.to_string();
    // The real scheduler's binding is no tracked write either.
    let Some(stored) = state.store.get(&object.key) else { return };
    let mut value = stored.value();
    value["spec"]["nodeName"] = Value::from(name);
    let condition = Condition { kind: "PodScheduled", holds: true, reason: "", message: "" };
    set(&mut value["status"], &condition, now, false);
    state.store.put(&object.key, value);
}

/// The kubelet has seen the pod: it pulls images from now on.
fn start(state: &mut State, object: &Object, now: Timestamp) {
    write_status(state, &object.key, now, |pod, status| {
        status["startTime"] = Value::from(meta::time_text(now));
        status["hostIP"] = Value::from(NODE_ADDRESS);
        status["hostIPs"] = json!([{"ip": NODE_ADDRESS}]);
        ready_conditions(status, false, now);
        status["containerStatuses"] =
            pod_containers(pod, false, |_| json!({"waiting": {"reason": "ContainerCreating"}}));
    });
    let at = later(now, state.config.ready_delay);
    state.pod_due(&object.key, at);
}

fn ready_conditions(status: &mut Value, ready: bool, now: Timestamp) {
    let reason = if ready { "" } else { "ContainersNotReady" };
    let message = if ready { "" } else { "containers are not ready" };
    for kind in ["Initialized", "Ready", "ContainersReady"] {
        let (holds, reason, message) =
            if kind == "Initialized" { (true, "", "") } else { (ready, reason, message) };
        set(status, &Condition { kind, holds, reason, message }, now, false);
    }
}

fn pod_containers(pod: &Value, ready: bool, state: impl Fn(&Value) -> Value) -> Value {
    let list = pod["spec"]["containers"].as_array().into_iter().flatten();
    list.map(|container| {
        json!({"name": container["name"], "image": container["image"], "imageID": "", "ready": ready,
            "started": ready, "restartCount": 0, "state": state(container), "lastState": {}})
    })
    .collect()
}

fn become_ready(state: &mut State, object: &Object, pod: &Value, now: Timestamp) {
    let number = state.random.next();
    let address = format!("10.244.{}.{}", (number >> 8) & 255, number & 255);
    write_status(state, &object.key, now, |pod, status| {
        status["phase"] = Value::from("Running");
        status["podIP"] = Value::from(address.as_str());
        status["podIPs"] = json!([{"ip": address}]);
        ready_conditions(status, true, now);
        let started = meta::time_text(now);
        status["containerStatuses"] =
            pod_containers(pod, true, |_| json!({"running": {"startedAt": started}}));
    });
    if job_pod(pod) {
        let at = later(now, state.config.ready_delay);
        state.pod_due(&object.key, at);
    }
}

fn fail_pull(state: &mut State, object: &Object, image: &str, now: Timestamp) {
    let message = format!(
        "Back-off pulling image \"{image}\": ErrImagePull: failed to pull and unpack image \"{image}\": not found"
    );
    write_status(state, &object.key, now, |pod, status| {
        ready_conditions(status, false, now);
        status["phase"] = Value::from("Pending");
        status["containerStatuses"] = pod_containers(pod, false, |container| {
            if image_tag(container["image"].as_str().unwrap_or_default()) == BROKEN {
                json!({"waiting": {"reason": "ImagePullBackOff", "message": message}})
            } else {
                json!({"running": {"startedAt": meta::time_text(now)}})
            }
        });
    });
}

fn succeed(state: &mut State, object: &Object, now: Timestamp) {
    write_status(state, &object.key, now, |pod, status| {
        status["phase"] = Value::from("Succeeded");
        ready_conditions(status, false, now);
        let time = meta::time_text(now);
        status["containerStatuses"] = pod_containers(
            pod,
            false,
            |_| json!({"terminated": {"exitCode": 0, "reason": "Completed", "startedAt": time, "finishedAt": time}}),
        );
    });
}

/// A pod on its way out is gone once its node has stopped it.
fn end(state: &mut State, object: &Object, pod: &Value, now: Timestamp) {
    if !meta::finalizers(pod).is_empty() {
        return;
    }
    if is_due(state, &object.key, now) {
        state.store.remove(&object.key);
    }
}

fn write_status(state: &mut State, key: &Key, now: Timestamp, change: impl FnOnce(&Value, &mut Value)) {
    state.change_as(key, "kubelet", "status", now, |pod| {
        let mut status = pod["status"].take();
        change(pod, &mut status);
        pod["status"] = status;
    });
}
