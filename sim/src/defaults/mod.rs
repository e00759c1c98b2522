//! What the server fills in, and what it keeps from being written.
//!
//! `fill` is the defaulting that decoding does, so it is seen by field tracking. `prepare_create` and
//! `prepare_update` are what the rules of a kind do after it (status, allocated addresses): nobody owns that.

mod kinds;
mod pods;

use serde_json::{Value, json};

use crate::decode::decode;
use crate::kinds::Resource;
use crate::meta;
use crate::state::State;

pub(crate) use pods::image_tag;

/// The annotation that counts templates.
const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";

/// Sets a field that is not there, or is an empty text.
pub(crate) fn set(object: &mut Value, field: &str, value: impl Into<Value>) {
    let empty = object.get(field).is_none_or(|have| have.is_null() || have == "");
    if empty && (object.is_object() || object.is_null()) {
        object[field] = value.into();
    }
}

/// Every item of a list field, if it is there.
pub(crate) fn items<'a>(object: &'a mut Value, field: &str) -> impl Iterator<Item = &'a mut Value> {
    object.get_mut(field).and_then(Value::as_array_mut).into_iter().flatten()
}

/// A part of an object, if it is there.
pub(crate) fn part<'a>(object: &'a mut Value, field: &str) -> Option<&'a mut Value> {
    object.get_mut(field).filter(|value| value.is_object())
}

/// The defaults of a built-in kind.
pub(crate) fn fill(resource: &Resource, object: &mut Value) {
    if !resource.custom {
        kinds::fill(resource, object);
    }
}

/// What creation sets after field tracking.
pub(crate) fn prepare_create(state: &mut State, resource: &Resource, status: bool, object: &mut Value) {
    let keeps_status = resource.is("", "nodes");
    if status
        && !keeps_status
        && let Value::Object(map) = object
        && map.remove("status").is_some()
        && !resource.custom
    {
        map.insert("status".to_owned(), json!({}));
    }
    match (resource.group.as_str(), resource.plural.as_str()) {
        ("", "namespaces") => {
            object["spec"] = json!({"finalizers": ["kubernetes"]});
            object["status"] = json!({"phase": "Active"});
        }
        ("", "pods") => pods::prepare(object),
        ("", "services") => {
            allocate_service(state, object, &Value::Null);
            object["status"] = json!({"loadBalancer": {}});
        }
        ("", "persistentvolumeclaims") => {
            object["status"] = json!({"phase": "Pending"});
            protect(object, "kubernetes.io/pvc-protection");
        }
        ("", "persistentvolumes") => {
            let created = object["metadata"]["creationTimestamp"].clone();
            object["status"] = json!({"phase": "Pending", "lastPhaseTransitionTime": created});
            protect(object, "kubernetes.io/pv-protection");
        }
        ("batch", "jobs") => prepare_job(object),
        ("apiextensions.k8s.io", _) => {
            let versions = object["spec"]["versions"].as_array().into_iter().flatten();
            let stored: Vec<Value> = versions
                .filter(|version| version["storage"] == true)
                .map(|version| version["name"].clone())
                .collect();
            object["status"] = json!({"storedVersions": stored});
        }
        ("networking.k8s.io", "ingresses") => object["status"] = json!({"loadBalancer": {}}),
        _ => {}
    }
    // The status has the fields that are there even when zero.
    if let Some(version) = resource.versions.first().filter(|_| !resource.custom) {
        decode(&version.ty, object);
    }
}

fn protect(object: &mut Value, finalizer: &str) {
    let mut finalizers = meta::finalizers(object);
    if !finalizers.iter().any(|have| have == finalizer) {
        finalizers.push(finalizer.to_owned());
    }
    meta::set_finalizers(object, &finalizers);
}

/// A job selects its pods by its own UID, and its template carries the labels for that.
fn prepare_job(object: &mut Value) {
    if object["spec"]["manualSelector"] == true {
        return;
    }
    let (uid, name) = (meta::uid(object).to_owned(), meta::name(object).to_owned());
    let labels = &mut object["spec"]["template"]["metadata"]["labels"];
    for (key, value) in [
        ("batch.kubernetes.io/controller-uid", &uid),
        ("batch.kubernetes.io/job-name", &name),
        ("controller-uid", &uid),
        ("job-name", &name),
    ] {
        labels[key] = Value::from(value.as_str());
    }
    object["spec"]["selector"] = json!({"matchLabels": {"batch.kubernetes.io/controller-uid": uid}});
    if object["metadata"]["labels"].is_null() {
        object["metadata"]["labels"] = object["spec"]["template"]["metadata"]["labels"].clone();
    }
}

/// Each change of a daemon set's template is counted in an annotation, for old clients.
fn count_template(live: &Value, object: &mut Value) {
    let old = live["metadata"]["annotations"][TEMPLATE_GENERATION].as_str();
    let count: i64 = old.and_then(|text| text.parse().ok()).unwrap_or(0);
    let changed = live["spec"]["template"] != object["spec"]["template"];
    let count = if changed { count + 1 } else { count.max(1) };
    object["metadata"]["annotations"][TEMPLATE_GENERATION] = Value::from(count.to_string());
}

/// What an update keeps from the live object.
pub(crate) fn prepare_update(state: &mut State, resource: &Resource, live: &Value, object: &mut Value) {
    match (resource.group.as_str(), resource.plural.as_str()) {
        ("", "services") => allocate_service(state, object, live),
        ("batch", "jobs") => {
            for path in [".spec.selector", ".spec.template.metadata.labels"] {
                if meta::at_path(object, path).is_null() || path.ends_with("labels") {
                    meta::set_at_path(object, path, meta::at_path(live, path).clone());
                }
            }
        }
        ("", "persistentvolumeclaims") if object["spec"]["volumeName"].is_null() => {
            let name = live["spec"]["volumeName"].clone();
            if !name.is_null() {
                object["spec"]["volumeName"] = name;
            }
        }
        ("", "pods") => pods::keep(live, object),
        ("apps", "daemonsets") => count_template(live, object),
        _ => {}
    }
}

/// Gives a service its address and its node ports, or keeps those it has.
fn allocate_service(state: &mut State, object: &mut Value, live: &Value) {
    let spec = &mut object["spec"];
    let kind = spec["type"].as_str().unwrap_or("ClusterIP").to_owned();
    if kind == "ExternalName" {
        return;
    }
    let old = &live["spec"];
    for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "healthCheckNodePort"] {
        if spec[field].is_null() && !old[field].is_null() {
            spec[field] = old[field].clone();
        }
        meta::drop_null(spec, field);
    }
    let outside = spec["externalIPs"].as_array().is_some_and(|list| !list.is_empty());
    if kind == "ClusterIP" && !outside && spec["externalTrafficPolicy"] == old["externalTrafficPolicy"] {
        spec["externalTrafficPolicy"] = Value::Null;
        meta::drop_null(spec, "externalTrafficPolicy");
    }
    if spec["clusterIP"].as_str().unwrap_or_default().is_empty() {
        state.addresses += 1;
        let number = state.addresses;
        spec["clusterIP"] = Value::from(format!("10.96.{}.{}", (number >> 8) & 255, number & 255));
    }
    let address = spec["clusterIP"].clone();
    set(spec, "clusterIPs", json!([address]));
    set(spec, "ipFamilies", json!(["IPv4"]));
    set(spec, "ipFamilyPolicy", "SingleStack");
    if kind == "ClusterIP" {
        return;
    }
    for port in items(spec, "ports") {
        if port["nodePort"].as_i64().unwrap_or(0) == 0 {
            let same = old["ports"]
                .as_array()
                .into_iter()
                .flatten()
                .find(|have| have["port"] == port["port"] && have["protocol"] == port["protocol"]);
            let kept = same.map(|have| have["nodePort"].clone()).filter(|have| !have.is_null());
            state.addresses += 1;
            port["nodePort"] = kept.unwrap_or_else(|| Value::from(30_000 + state.addresses % 2_768));
        }
    }
}
