//! Load balancers get an address, API services are available, disruption budgets count their pods.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::MANAGER;
use super::conditions::{Condition, holds, set};
use super::templates::share;
use crate::selector::label_selector_matches;
use crate::state::State;
use crate::store::Object;

pub(crate) fn reconcile(state: &mut State, object: &Object, now: Timestamp) {
    let service = object.value();
    let balanced = service["spec"]["type"] == "LoadBalancer";
    let has = !service["status"]["loadBalancer"]["ingress"].is_null();
    if balanced == has || object.deleting {
        return;
    }
    state.addresses += 1;
    let address = format!("172.18.{}.{}", (state.addresses >> 8) & 255, state.addresses & 255);
    state.change_as(&object.key, "cloud-controller-manager", "status", now, |service| {
        service["status"]["loadBalancer"] =
            if balanced { json!({"ingress": [{"ip": address, "ipMode": "VIP"}]}) } else { json!({}) };
    });
}

pub(crate) fn api_service(state: &mut State, object: &Object, now: Timestamp) {
    state.change_as(&object.key, "kube-apiserver", "status", now, |service| {
        let message = "all checks passed";
        let condition = Condition { kind: "Available", holds: true, reason: "Passed", message };
        set(&mut service["status"], &condition, now, false);
    });
}

pub(crate) fn disruption_budget(state: &mut State, object: &Object, now: Timestamp) {
    let budget = object.value();
    let spec = &budget["spec"];
    let pods = state.store.list(state.id("", "pods"), Some(&object.key.namespace));
    let chosen: Vec<Value> = pods
        .iter()
        .filter(|pod| !pod.deleting && label_selector_matches(&spec["selector"], &pod.labels))
        .map(|pod| pod.value())
        .collect();
    let all = i64::try_from(chosen.len()).unwrap_or(i64::MAX);
    let healthy = chosen.iter().filter(|pod| holds(&pod["status"], "Ready")).count();
    let healthy = i64::try_from(healthy).unwrap_or(i64::MAX);
    let wanted = if spec["minAvailable"].is_null() {
        (all - share(&spec["maxUnavailable"], all, true)).max(0)
    } else {
        share(&spec["minAvailable"], all, true)
    };
    state.change_as(&object.key, MANAGER, "status", now, |budget| {
        let generation = budget["metadata"]["generation"].clone();
        let status = &mut budget["status"];
        status["observedGeneration"] = generation;
        for (field, value) in [
            ("currentHealthy", healthy),
            ("desiredHealthy", wanted),
            ("disruptionsAllowed", (healthy - wanted).max(0)),
            ("expectedPods", all),
        ] {
            status[field] = Value::from(value);
        }
        let allowed = healthy > wanted;
        let reason = if allowed { "SufficientPods" } else { "InsufficientPods" };
        let condition = Condition { kind: "DisruptionAllowed", holds: allowed, reason, message: "" };
        set(status, &condition, now, false);
        let generation = status["observedGeneration"].clone();
        for condition in status["conditions"].as_array_mut().into_iter().flatten() {
            condition["observedGeneration"] = generation.clone();
        }
    });
}
