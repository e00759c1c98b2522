//! Replica sets: as many pods as wanted.

use jiff::Timestamp;
use serde_json::Value;

use super::MANAGER;
use super::templates::{Pod, create_pod, pods_of, set_count, wake_for_available};
use crate::state::State;
use crate::store::Object;

pub(crate) fn reconcile(state: &mut State, object: &Object, now: Timestamp) {
    let set = object.value();
    let wanted = set["spec"]["replicas"].as_i64().unwrap_or(1);
    let pods: Vec<Pod> = pods_of(state, &object.uid).into_iter().filter(Pod::is_active).collect();
    if !object.deleting {
        let have = i64::try_from(pods.len()).unwrap_or(i64::MAX);
        for _ in have..wanted {
            create_pod(state, &set, &set["spec"]["template"], None, |_| {}, now);
        }
        if have > wanted {
            // Those that are not ready go first, then the youngest.
            let mut order: Vec<&Pod> = pods.iter().collect();
            order.sort_by_key(|pod| (pod.ready, std::cmp::Reverse(pod.object.revision)));
            for pod in order.into_iter().take(usize::try_from(have - wanted).unwrap_or(0)) {
                state.delete_as(&pod.object.key, now);
            }
        }
    }
    let (pods, ending): (Vec<Pod>, Vec<Pod>) =
        pods_of(state, &object.uid).into_iter().partition(Pod::is_active);
    let terminating = ending.iter().filter(|pod| pod.object.deleting).count();
    let seconds = set["spec"]["minReadySeconds"].as_i64().unwrap_or(0);
    let count = |fits: &dyn Fn(&Pod) -> bool| {
        i64::try_from(pods.iter().filter(|pod| fits(pod)).count()).unwrap_or(i64::MAX)
    };
    let (all, ready) = (count(&|_| true), count(&|pod| pod.ready));
    let available = count(&|pod| pod.is_available(seconds, now));
    let generation = set["metadata"]["generation"].clone();
    state.change_as(&object.key, MANAGER, "status", now, |set| {
        let status = &mut set["status"];
        status["replicas"] = Value::from(all);
        set_count(status, "fullyLabeledReplicas", all);
        set_count(status, "readyReplicas", ready);
        set_count(status, "availableReplicas", available);
        status["terminatingReplicas"] = Value::from(terminating);
        status["observedGeneration"] = generation;
    });
    wake_for_available(state, &object.key, &pods, seconds, now);
}
