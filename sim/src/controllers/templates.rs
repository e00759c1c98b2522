//! Pods made from templates, and the pods that a controller has.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::MANAGER;
use super::conditions::holds;
use crate::meta;
use crate::state::State;
use crate::store::{Key, Object};

/// A pod of a controller, with what decides about it.
pub(crate) struct Pod {
    pub(crate) object: Arc<Object>,
    pub(crate) value: Value,
    pub(crate) ready: bool,
    pub(crate) phase: String,
}

impl Pod {
    /// It neither ended nor is on its way out.
    pub(crate) fn is_active(&self) -> bool {
        !self.object.deleting && self.phase != "Succeeded" && self.phase != "Failed"
    }

    /// Ready for at least that long.
    pub(crate) fn is_available(&self, seconds: i64, now: Timestamp) -> bool {
        self.ready && self.available_at(seconds).is_none_or(|at| at <= now)
    }

    /// When it will have been ready for long enough.
    pub(crate) fn available_at(&self, seconds: i64) -> Option<Timestamp> {
        if seconds <= 0 {
            return None;
        }
        let condition = super::conditions::find(&self.value["status"], "Ready")?;
        let since = meta::parse_time(condition["lastTransitionTime"].as_str()?)?;
        since.checked_add(jiff::SignedDuration::from_secs(seconds)).ok()
    }
}

/// The pods that this object controls, by name.
pub(crate) fn pods_of(state: &State, uid: &str) -> Vec<Pod> {
    let pods = state.id("", "pods");
    state
        .store
        .dependents(uid)
        .into_iter()
        .filter(|key| key.resource == pods)
        .filter_map(|key| state.store.get(&key))
        .map(|object| {
            let value = object.value();
            let ready = holds(&value["status"], "Ready");
            let phase = value["status"]["phase"].as_str().unwrap_or_default().to_owned();
            Pod { object, value, ready, phase }
        })
        .filter(|pod| meta::controller_uid(&pod.value) == Some(uid))
        .collect()
}

/// Wakes the owner when the next of these pods becomes available by time alone.
pub(crate) fn wake_for_available(state: &mut State, key: &Key, pods: &[Pod], seconds: i64, now: Timestamp) {
    let next = pods.iter().filter(|pod| pod.ready).filter_map(|pod| pod.available_at(seconds));
    if let Some(at) = next.filter(|at| *at > now).min() {
        state.wake(key.clone(), at);
    }
}

/// Makes a pod of a template. With no name it gets one from the owner's.
pub(crate) fn create_pod(
    state: &mut State,
    owner: &Value,
    template: &Value,
    name: Option<&str>,
    adjust: impl FnOnce(&mut Value),
    now: Timestamp,
) -> Option<Key> {
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {}, "spec": template["spec"]});
    for field in ["labels", "annotations"] {
        if template["metadata"][field].is_object() {
            pod["metadata"][field] = template["metadata"][field].clone();
        }
    }
    pod["metadata"]["namespace"] = Value::from(meta::namespace(owner));
    match name {
        Some(name) => pod["metadata"]["name"] = Value::from(name),
        None => pod["metadata"]["generateName"] = Value::from(format!("{}-", meta::name(owner))),
    }
    pod["metadata"]["ownerReferences"] = json!([meta::controller_reference(owner)]);
    adjust(&mut pod);
    state.create_as(MANAGER, pod, now)
}

/// The hash of a pod template, as a label value.
pub(crate) fn template_hash(template: &Value) -> String {
    let mut template = template.clone();
    if let Value::Object(labels) = &mut template["metadata"]["labels"] {
        labels.remove("pod-template-hash");
        labels.remove("controller-revision-hash");
    }
    crate::random::short_hash(sorted(&template).to_string().as_bytes())
}

/// The same value with its keys in order, so that equal templates hash alike.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<(&String, &Value)> =
                map.iter().filter(|(_, value)| !value.is_null()).collect();
            entries.sort_by_key(|(key, _)| *key);
            Value::Object(entries.into_iter().map(|(key, value)| (key.clone(), sorted(value))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        other => other.clone(),
    }
}

/// A number that may be a share of another, such as `25%`.
pub(crate) fn share(value: &Value, of: i64, round_up: bool) -> i64 {
    if let Some(number) = value.as_i64() {
        return number;
    }
    let percent: i64 = value
        .as_str()
        .and_then(|text| text.strip_suffix('%'))
        .and_then(|text| text.parse().ok())
        .unwrap_or(0);
    if round_up { (of * percent + 99) / 100 } else { of * percent / 100 }
}

/// Sets a number of a status, leaving zero out as the server does.
pub(crate) fn set_count(status: &mut Value, field: &str, count: i64) {
    if count != 0 {
        status[field] = Value::from(count);
    } else if let Value::Object(map) = status {
        map.remove(field);
    }
}
