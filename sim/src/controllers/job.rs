//! Jobs: pods until enough of them have succeeded. Cron jobs never fire here.

use jiff::Timestamp;
use serde_json::Value;

use super::MANAGER;
use super::conditions::{Condition, set};
use super::templates::{Pod, create_pod, pods_of, set_count};
use crate::meta;
use crate::state::State;
use crate::store::Object;
use crate::watch::later;

pub(crate) fn reconcile(state: &mut State, object: &Object, now: Timestamp) {
    let job = object.value();
    let done = super::conditions::holds(&job["status"], "Complete");
    if done {
        return expire(state, object, &job, now);
    }
    if object.deleting {
        return;
    }
    let spec = &job["spec"];
    let parallelism = spec["parallelism"].as_i64().unwrap_or(1);
    let completions = spec["completions"].as_i64().unwrap_or(parallelism);
    let pods = pods_of(state, &object.uid);
    let (succeeded, active) = counts(&pods);
    let suspended = spec["suspend"] == true;
    let missing = if suspended { 0 } else { (completions - succeeded).min(parallelism) - active };
    for _ in 0..missing.max(0) {
        create_pod(state, &job, &spec["template"], None, |_| {}, now);
    }
    if suspended {
        for pod in pods.iter().filter(|pod| pod.is_active()) {
            state.delete_as(&pod.object.key, now);
        }
    }
    let pods = pods_of(state, &object.uid);
    let (succeeded, active) = counts(&pods);
    let ready = pods.iter().filter(|pod| pod.ready && pod.is_active()).count();
    state.change_as(&object.key, MANAGER, "status", now, |job| {
        let status = &mut job["status"];
        let time = meta::time_text(now);
        if status["startTime"].is_null() && !suspended {
            status["startTime"] = Value::from(time.as_str());
        }
        set_count(status, "active", active);
        set_count(status, "succeeded", succeeded);
        status["ready"] = Value::from(ready);
        status["terminating"] = Value::from(0);
        status["uncountedTerminatedPods"] = serde_json::json!({});
        if suspended {
            let condition = Condition {
                kind: "Suspended",
                holds: true,
                reason: "JobSuspended",
                message: "Job suspended",
            };
            set(status, &condition, now, false);
        } else if succeeded >= completions {
            let message = "Reached expected number of succeeded pods";
            for kind in ["SuccessCriteriaMet", "Complete"] {
                let condition = Condition { kind, holds: true, reason: "CompletionsReached", message };
                set(status, &condition, now, false);
            }
            status["completionTime"] = Value::from(time);
        }
        for condition in status["conditions"].as_array_mut().into_iter().flatten() {
            condition["lastProbeTime"] = condition["lastTransitionTime"].clone();
        }
    });
}

fn counts(pods: &[Pod]) -> (i64, i64) {
    let count = |fits: &dyn Fn(&Pod) -> bool| {
        i64::try_from(pods.iter().filter(|pod| fits(pod)).count()).unwrap_or(i64::MAX)
    };
    (count(&|pod| pod.phase == "Succeeded"), count(&Pod::is_active))
}

/// Removes a finished job once its time to live is over.
fn expire(state: &mut State, object: &Object, job: &Value, now: Timestamp) {
    let Some(seconds) = job["spec"]["ttlSecondsAfterFinished"].as_u64() else { return };
    let Some(finished) = job["status"]["completionTime"].as_str().and_then(meta::parse_time) else { return };
    let at = later(finished, std::time::Duration::from_secs(seconds));
    if at <= now {
        state.delete_as(&object.key, now);
    } else {
        state.wake(object.key.clone(), at);
    }
}
