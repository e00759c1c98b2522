//! Daemon sets: a pod on each node that the template's node selector allows.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::MANAGER;
use super::templates::{Pod, create_pod, pods_of, set_count, share, template_hash, wake_for_available};
use crate::state::State;
use crate::store::Object;

const HASH: &str = "controller-revision-hash";

pub(crate) fn reconcile(state: &mut State, object: &Object, now: Timestamp) {
    let set = object.value();
    let hash = template_hash(&set["spec"]["template"]);
    let nodes = fitting_nodes(state, &set);
    if !object.deleting {
        let pods = pods_of(state, &object.uid);
        for node in &nodes {
            if !pods.iter().any(|pod| pod.value["spec"]["nodeName"] == **node) {
                create_pod(
                    state,
                    &set,
                    &set["spec"]["template"],
                    None,
                    |pod| {
                        pod["metadata"]["labels"][HASH] = Value::from(hash.as_str());
                        pod["spec"]["nodeName"] = Value::from(node.as_str());
                    },
                    now,
                );
            }
        }
        for pod in pods.iter().filter(|pod| {
            !pod.object.deleting && !nodes.iter().any(|node| pod.value["spec"]["nodeName"] == **node)
        }) {
            state.delete_as(&pod.object.key, now);
        }
        replace_old(state, &set, &pods, &hash, nodes.len(), now);
    }
    write_status(state, object, &set, &hash, nodes.len(), now);
}

fn fitting_nodes(state: &State, set: &Value) -> Vec<String> {
    let wanted = set["spec"]["template"]["spec"]["nodeSelector"].as_object();
    state
        .store
        .list(state.id("", "nodes"), None)
        .iter()
        .filter(|node| {
            wanted.into_iter().flatten().all(|(key, value)| {
                node.labels.iter().any(|(name, have)| name == key && Some(have.as_str()) == value.as_str())
            })
        })
        .map(|node| node.key.name.to_string())
        .collect()
}

fn replace_old(state: &mut State, set: &Value, pods: &[Pod], hash: &str, nodes: usize, now: Timestamp) {
    if set["spec"]["updateStrategy"]["type"] == "OnDelete" {
        return;
    }
    let nodes = i64::try_from(nodes).unwrap_or(i64::MAX);
    let limit = &set["spec"]["updateStrategy"]["rollingUpdate"]["maxUnavailable"];
    let down = pods.iter().filter(|pod| !pod.ready || pod.object.deleting).count();
    let mut room = share(limit, nodes, true).max(1) - i64::try_from(down).unwrap_or(i64::MAX);
    for pod in pods.iter().filter(|pod| !pod.object.deleting) {
        if pod.value["metadata"]["labels"][HASH] == hash {
            continue;
        }
        if !pod.ready || room > 0 {
            room -= i64::from(pod.ready);
            state.delete_as(&pod.object.key, now);
        }
    }
}

fn write_status(state: &mut State, object: &Object, set: &Value, hash: &str, nodes: usize, now: Timestamp) {
    let pods: Vec<Pod> = pods_of(state, &object.uid).into_iter().filter(Pod::is_active).collect();
    let seconds = set["spec"]["minReadySeconds"].as_i64().unwrap_or(0);
    let count = |fits: &dyn Fn(&Pod) -> bool| {
        i64::try_from(pods.iter().filter(|pod| fits(pod)).count()).unwrap_or(i64::MAX)
    };
    let (all, ready) = (count(&|_| true), count(&|pod| pod.ready));
    let available = count(&|pod| pod.is_available(seconds, now));
    let updated = count(&|pod| pod.value["metadata"]["labels"][HASH] == hash);
    state.change_as(&object.key, MANAGER, "status", now, |set| {
        let generation = set["metadata"]["generation"].clone();
        let status = &mut set["status"];
        let wanted = i64::try_from(nodes).unwrap_or(i64::MAX);
        status["observedGeneration"] = generation;
        for (field, value) in [
            ("currentNumberScheduled", all),
            ("desiredNumberScheduled", wanted),
            ("numberMisscheduled", 0),
            ("numberReady", ready),
        ] {
            status[field] = json!(value);
        }
        set_count(status, "numberAvailable", available);
        set_count(status, "numberUnavailable", (wanted - available).max(0));
        set_count(status, "updatedNumberScheduled", updated);
    });
    wake_for_available(state, &object.key, &pods, seconds, now);
}
