//! Parking, and the marks of Exclusive work.
//!
//! Parked, an application's objects are there and nothing of it runs: workloads stand at zero, Jobs are suspended,
//! volumes and everything else are kept. Each kind that runs something has a rule; for kinds that nobody here knows an
//! application brings its own ([`ParkRule`]). An autoscaler leaves a workload alone that stands at zero (Kubernetes,
//! "Horizontal Pod Autoscaling": implicit maintenance-mode deactivation); KEDA's objects are paused by their annotation.
//!
//! Every pod of Exclusive work carries a label by which the agent finds it, and its epoch as an annotation and an
//! environment variable.

use serde_json::{Map, Value, json};

use super::{Draft, Error, ExclusiveMark};
use crate::assignment::Activity;
use crate::digest::Digest;
use crate::failover::ParkRule;
use crate::manifest::{Manifest, ObjectKey};
use crate::name::ApplicationKey;

/// The label of every pod of Exclusive work; its value is [`pod_label`].
pub const EXCLUSIVE_LABEL: &str = "nave.dev/exclusive";
/// The annotation of every pod of Exclusive work with its epoch, as a decimal number.
pub const EPOCH_ANNOTATION: &str = "nave.dev/epoch";
/// The environment variable of every container of Exclusive work with its epoch, as a decimal number.
pub const EPOCH_VARIABLE: &str = "NAVE_EPOCH";
/// The node label that a parked DaemonSet asks for, and that no node has.
pub const PARKED_NODE_LABEL: &str = "nave.dev/parked";

/// The kinds with a replica count.
const SCALED: [(&str, &str); 5] = [
    ("apps", "Deployment"),
    ("apps", "StatefulSet"),
    ("apps", "ReplicaSet"),
    ("", "ReplicationController"),
    ("argoproj.io", "Rollout"),
];

/// API groups whose objects run no pods, but for the kinds that have a rule above.
const KNOWN_GROUPS: [&str; 12] = [
    "",
    "apps",
    "batch",
    "autoscaling",
    "policy",
    "keda.sh",
    "argoproj.io",
    "cert-manager.io",
    "external-secrets.io",
    "bitnami.com",
    "gateway.networking.k8s.io",
    "snapshot.storage.k8s.io",
];

/// The value of [`EXCLUSIVE_LABEL`]: short and legal whatever the application's name.
#[must_use]
pub fn pod_label(application: &ApplicationKey) -> String {
    let digest = Digest::of(application.to_string().as_bytes()).hex();
    digest.chars().take(16).collect()
}

/// The first manifest that may run something which nobody knows how to stop, with what to do about it.
#[must_use]
pub fn unstoppable(manifests: &[Manifest], rules: &[ParkRule]) -> Option<String> {
    let problem = |key: &ObjectKey| {
        if rules.iter().any(|rule| rule.matches(key)) {
            return None;
        }
        if key.group.is_empty() && key.kind == "Pod" {
            return Some(format!(
                "{key} cannot be stopped without deleting it; use a Deployment with one replica"
            ));
        }
        let is_known = KNOWN_GROUPS.contains(&key.group.as_str()) || key.group.ends_with(".k8s.io");
        (!is_known).then(|| {
            format!("nobody knows how to stop what {key} runs; add a rule for {} to failover.park", key.kind)
        })
    };
    manifests.iter().map(Manifest::key).find_map(problem)
}

/// Whether parking stops what objects of this kind run; of all others it changes nothing.
#[must_use]
pub fn is_stopped(key: &ObjectKey, rules: &[ParkRule]) -> bool {
    if let Some(rule) = rules.iter().find(|rule| rule.matches(key)) {
        return rule.merge.as_object().is_some_and(|merge| !merge.is_empty());
    }
    stopped_by(key).is_some() || (key.group.is_empty() && key.kind == "Pod")
}

/// The first object that parking stops and whose pods carry no mark, because nobody knows where its template stands: that
/// they have ended cannot be seen.
#[must_use]
pub fn unseen<'a>(manifests: &'a [Manifest], rules: &[ParkRule]) -> Option<&'a ObjectKey> {
    let is_unseen = |manifest: &&Manifest| {
        let key = manifest.key();
        is_stopped(key, rules)
            && key.group != "keda.sh"
            && template_path(key).iter().try_fold(manifest.object(), |at, field| at.get(field)).is_none()
    };
    manifests.iter().find(is_unseen).map(Manifest::key)
}

/// Marks the pods of Exclusive work.
pub(super) fn mark(drafts: &mut [Draft], mark: Option<ExclusiveMark<'_>>) -> Result<(), Error> {
    let Some(mark) = mark else { return Ok(()) };
    let (label, epoch) = (pod_label(mark.application), mark.epoch.to_string());
    for draft in drafts {
        let key = draft.key().clone();
        let template = template_path(&key).iter().try_fold(draft.object(), |at, field| at.get(field));
        if template.is_none_or(|template| template["spec"]["containers"].is_null()) {
            continue;
        }
        let marked = mark_pods(&key, draft.object_mut(), &label, &epoch);
        marked.map_err(|field| {
            draft.refuse(format!("{field}: expected a map, in which to mark Exclusive work"))
        })?;
    }
    Ok(())
}

/// The field in whose way something else stands is the error.
fn mark_pods(key: &ObjectKey, object: &mut Value, label: &str, epoch: &str) -> Result<(), &'static str> {
    let template = template_path(key).iter().try_fold(object, |at, field| at.get_mut(field));
    let Some(template) = template else { return Ok(()) };
    let metadata = child(template, "metadata").ok_or("template.metadata")?;
    for (field, name, value) in [("labels", EXCLUSIVE_LABEL, label), ("annotations", EPOCH_ANNOTATION, epoch)]
    {
        let map = child_of(metadata, field).ok_or("template.metadata")?;
        map.insert(name.to_owned(), Value::from(value));
    }
    let variable = if key.group == "batch" && key.kind == "Job" {
        // Of a Job that has not begun the annotations may still change, and its variables may not.
        let path = format!("metadata.annotations['{EPOCH_ANNOTATION}']");
        json!({"name": EPOCH_VARIABLE, "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}})
    } else {
        json!({"name": EPOCH_VARIABLE, "value": epoch})
    };
    for containers in ["initContainers", "containers"] {
        let containers = template.get_mut("spec").and_then(|spec| spec.get_mut(containers));
        let Some(Value::Array(containers)) = containers else { continue };
        for container in containers {
            set_variable(container, &variable)?;
        }
    }
    Ok(())
}

fn set_variable(container: &mut Value, variable: &Value) -> Result<(), &'static str> {
    let Value::Object(container) = container else { return Err("containers") };
    let env = container.entry("env").or_insert_with(|| Value::Array(Vec::new()));
    let Value::Array(env) = env else { return Err("containers.env") };
    env.retain(|variable| variable.get("name").and_then(Value::as_str) != Some(EPOCH_VARIABLE));
    env.push(variable.clone());
    Ok(())
}

/// Where the template of an object's pods stands, if it has one: its metadata is the pods'.
fn template_path(key: &ObjectKey) -> &'static [&'static str] {
    match (key.group.as_str(), key.kind.as_str()) {
        ("", "Pod") => &[],
        ("", "PodTemplate") => &["template"],
        ("batch", "CronJob") => &["spec", "jobTemplate", "spec", "template"],
        ("keda.sh", "ScaledJob") => &["spec", "jobTargetRef", "template"],
        _ => &["spec", "template"],
    }
}

/// Parks what runs.
pub(super) fn set(drafts: &mut Vec<Draft>, activity: Activity, rules: &[ParkRule]) -> Result<(), Error> {
    if activity.is_active() {
        return Ok(());
    }
    // To stop a bare pod is to delete it, which is what scaling to zero does to the pods of others.
    drafts.retain(|draft| !(draft.key().group.is_empty() && draft.key().kind == "Pod"));
    for draft in drafts {
        park(draft, rules)?;
    }
    Ok(())
}

fn park(draft: &mut Draft, rules: &[ParkRule]) -> Result<(), Error> {
    let key = draft.key().clone();
    if let Some(rule) = rules.iter().find(|rule| rule.matches(&key)) {
        json_patch::merge(draft.object_mut(), &rule.merge);
        return Ok(());
    }
    if let Some(changes) = stopped_by(&key) {
        json_patch::merge(draft.object_mut(), &changes);
    }
    Ok(())
}

/// The merge patch that stops what an object of a kind that has a rule here runs.
fn stopped_by(key: &ObjectKey) -> Option<Value> {
    let (group, kind) = (key.group.as_str(), key.kind.as_str());
    Some(match (group, kind) {
        _ if SCALED.contains(&(group, kind)) => json!({"spec": {"replicas": 0}}),
        ("batch", "Job" | "CronJob") => json!({"spec": {"suspend": true}}),
        ("apps", "DaemonSet") => {
            json!({"spec": {"template": {"spec": {"nodeSelector": {PARKED_NODE_LABEL: "true"}}}}})
        }
        ("keda.sh", "ScaledObject") => {
            json!({"metadata": {"annotations": {"autoscaling.keda.sh/paused-replicas": "0"}}})
        }
        ("keda.sh", "ScaledJob") => {
            json!({"metadata": {"annotations": {"autoscaling.keda.sh/paused": "true"}}})
        }
        _ => return None,
    })
}

/// The map under `field`, made where it is missing; `None` where something else is there.
fn child<'a>(object: &'a mut Value, field: &str) -> Option<&'a mut Map<String, Value>> {
    child_of(object.as_object_mut()?, field)
}

fn child_of<'a>(map: &'a mut Map<String, Value>, field: &str) -> Option<&'a mut Map<String, Value>> {
    let slot = map.entry(field).or_insert_with(|| Value::Object(Map::new()));
    if slot.is_null() {
        *slot = Value::Object(Map::new());
    }
    slot.as_object_mut()
}

#[cfg(test)]
mod tests;
