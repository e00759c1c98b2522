//! Kinds that run pods, and what scales them.

use std::time::Duration;

use nave_common::health::HealthReport;
use nave_common::time::Timestamp;
use serde_json::Value;

use super::{conditions, count, degraded, healthy, is_unobserved, progressing, suspended, unobserved};

/// For how long missing metrics are put down to the start of a workload.
const METRICS_GRACE: Duration = Duration::from_secs(300);

pub(super) fn deployment(object: &Value) -> HealthReport {
    let (spec, status) = (&object["spec"], &object["status"]);
    if is_unobserved(object) || status["observedGeneration"].is_null() {
        return unobserved();
    }
    if spec["paused"] == true {
        return suspended("the rollout of this Deployment is paused (spec.paused)");
    }
    let wanted = spec["replicas"].as_i64().unwrap_or(1);
    let ready = count(&status["readyReplicas"]);
    let updated = count(&status["updatedReplicas"]);
    let late = conditions::find(object, "Progressing").filter(|it| it.reason == "ProgressDeadlineExceeded");
    if late.is_some() {
        return degraded(format!("{ready} of {wanted} ready: its progress deadline is exceeded"));
    }
    if let Some(failure) = conditions::is_true(object, "ReplicaFailure") {
        return degraded(format!("{ready} of {wanted} ready: {}", failure.text()));
    }
    if ready < wanted {
        return progressing(format!("{ready} of {wanted} ready"));
    }
    if updated < wanted {
        return progressing(format!("{updated} of {wanted} updated"));
    }
    let old = count(&status["replicas"]) - updated;
    if old > 0 {
        return progressing(format!("{old} of the old replicas are still there"));
    }
    let available = count(&status["availableReplicas"]);
    if available < wanted {
        return progressing(format!("{available} of {wanted} available"));
    }
    healthy()
}

pub(super) fn stateful_set(object: &Value) -> HealthReport {
    let (spec, status) = (&object["spec"], &object["status"]);
    if is_unobserved(object) || status["observedGeneration"].is_null() {
        return unobserved();
    }
    let wanted = spec["replicas"].as_i64().unwrap_or(1);
    let ready = count(&status["readyReplicas"]);
    if ready < wanted {
        return progressing(format!("{ready} of {wanted} ready"));
    }
    if count(&status["replicas"]) > wanted {
        return progressing(format!("{} replicas are ending", count(&status["replicas"]) - wanted));
    }
    if spec["updateStrategy"]["type"] == "OnDelete" {
        return healthy();
    }
    let partition = count(&spec["updateStrategy"]["rollingUpdate"]["partition"]);
    let updated = count(&status["updatedReplicas"]);
    let to_update = (wanted - partition).max(0);
    if partition > 0 && updated < to_update {
        return progressing(format!("{updated} of {to_update} updated (partition {partition})"));
    }
    if partition == 0 && status["currentRevision"] != status["updateRevision"] {
        return progressing(format!("{updated} of {wanted} updated"));
    }
    healthy()
}

pub(super) fn daemon_set(object: &Value) -> HealthReport {
    let (spec, status) = (&object["spec"], &object["status"]);
    if is_unobserved(object) || status["observedGeneration"].is_null() {
        return unobserved();
    }
    let wanted = count(&status["desiredNumberScheduled"]);
    for (field, word) in [("numberReady", "ready"), ("numberAvailable", "available")] {
        let there = count(&status[field]);
        if there < wanted {
            return progressing(format!("{there} of {wanted} {word}"));
        }
    }
    let updated = count(&status["updatedNumberScheduled"]);
    if spec["updateStrategy"]["type"] != "OnDelete" && updated < wanted {
        return progressing(format!("{updated} of {wanted} updated"));
    }
    healthy()
}

pub(super) fn replica_set(object: &Value) -> HealthReport {
    let (spec, status) = (&object["spec"], &object["status"]);
    if is_unobserved(object) || status["observedGeneration"].is_null() {
        return unobserved();
    }
    let wanted = spec["replicas"].as_i64().unwrap_or(1);
    let ready = count(&status["readyReplicas"]);
    if let Some(failure) = conditions::is_true(object, "ReplicaFailure") {
        return degraded(format!("{ready} of {wanted} ready: {}", failure.text()));
    }
    if ready < wanted {
        return progressing(format!("{ready} of {wanted} ready"));
    }
    if count(&status["replicas"]) > wanted {
        return progressing(format!("{} replicas are ending", count(&status["replicas"]) - wanted));
    }
    healthy()
}

pub(super) fn autoscaler(object: &Value, now: Timestamp) -> HealthReport {
    if let Some(condition) = conditions::find(object, "AbleToScale").filter(conditions::Condition::is_false) {
        return degraded(condition.text());
    }
    match conditions::find(object, "ScalingActive") {
        Some(condition) if condition.is_false() && condition.reason == "ScalingDisabled" => {
            suspended(condition.text())
        }
        Some(condition) if condition.is_false() && condition.age(now) < METRICS_GRACE => {
            progressing(condition.text())
        }
        Some(condition) if condition.is_false() => degraded(condition.text()),
        Some(_) => healthy(),
        // autoscaling/v1 keeps its conditions in an annotation.
        None if object["apiVersion"] == "autoscaling/v1" => healthy(),
        None => progressing("the autoscaler has not looked at its target yet"),
    }
}
