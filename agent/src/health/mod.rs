//! Health: how well a live object is, and why. Pure; one file per family of kinds.
//!
//! The rules are those of kstatus (<https://github.com/kubernetes-sigs/cli-utils/tree/master/pkg/kstatus>): a controller
//! that has not seen the newest generation yet says nothing of it, so the object is on its way.

pub mod cluster;
pub mod conditions;
pub mod diagnosis;
pub mod job;
pub mod network;
pub mod pod;
pub mod storage;
pub mod workload;

use nave_common::health::{Health, HealthReport};
use nave_common::time::Timestamp;
use serde_json::Value;

/// How well an object is.
#[must_use]
pub fn assess(object: &Value, now: Timestamp) -> HealthReport {
    if !object["metadata"]["deletionTimestamp"].is_null() {
        return HealthReport::new(Health::Progressing, deletion(object));
    }
    let api_version = object["apiVersion"].as_str().unwrap_or_default();
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    match (group, object["kind"].as_str().unwrap_or_default()) {
        ("apps", "Deployment") => workload::deployment(object),
        ("apps", "StatefulSet") => workload::stateful_set(object),
        ("apps", "DaemonSet") => workload::daemon_set(object),
        ("apps", "ReplicaSet") | ("", "ReplicationController") => workload::replica_set(object),
        ("batch", "Job") => job::job(object),
        ("batch", "CronJob") => job::cron_job(object),
        ("", "Pod") => pod::pod(object, now),
        ("", "PersistentVolumeClaim") => storage::claim(object),
        ("", "Service") => network::service(object),
        ("", "Namespace") => cluster::namespace(object),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => cluster::definition(object),
        ("apiregistration.k8s.io", "APIService") => cluster::api_service(object, now),
        ("autoscaling", "HorizontalPodAutoscaler") => workload::autoscaler(object, now),
        // These are read by others, or report conditions that do not say how well they are themselves.
        ("networking.k8s.io" | "policy", "Ingress" | "NetworkPolicy" | "PodDisruptionBudget") => healthy(),
        _ => conditions::generic(object),
    }
}

fn healthy() -> HealthReport {
    HealthReport::new(Health::Healthy, "")
}

fn progressing(reason: impl Into<String>) -> HealthReport {
    HealthReport::new(Health::Progressing, reason)
}

fn degraded(reason: impl Into<String>) -> HealthReport {
    HealthReport::new(Health::Degraded, reason)
}

fn suspended(reason: impl Into<String>) -> HealthReport {
    HealthReport::new(Health::Suspended, reason)
}

fn deletion(object: &Value) -> String {
    let finalizers: Vec<_> =
        object["metadata"]["finalizers"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if finalizers.is_empty() {
        "it is being deleted".into()
    } else {
        format!("it is being deleted and waits for its finalizers: {}", finalizers.join(", "))
    }
}

/// Whether the controller has yet to see the newest generation.
fn is_unobserved(object: &Value) -> bool {
    match (object["metadata"]["generation"].as_i64(), object["status"]["observedGeneration"].as_i64()) {
        (Some(generation), Some(observed)) => observed < generation,
        _ => false,
    }
}

fn unobserved() -> HealthReport {
    progressing("its controller has not seen the latest change yet")
}

/// A whole number in a status; 0 where the field is left out, as the API does for zero.
fn count(value: &Value) -> i64 {
    value.as_i64().unwrap_or(0)
}

#[cfg(test)]
mod tests;
