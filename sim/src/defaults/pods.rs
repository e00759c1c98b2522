//! Defaults of pods and of pod templates.

use serde_json::{Value, json};

use super::{items, part, set};

/// The mode of files that volumes project, `0644`.
const FILE_MODE: i64 = 0o644;

/// The tag of an image; `latest` if it has none, empty if it is named by its digest.
#[must_use]
pub(crate) fn image_tag(image: &str) -> &str {
    let name = image.rsplit('/').next().unwrap_or(image);
    match (name.contains('@'), name.rsplit_once(':')) {
        (true, _) => "",
        (false, Some((_, tag))) => tag,
        (false, None) => "latest",
    }
}

/// The defaults of a pod spec, in a pod or a template.
pub(crate) fn fill_spec(spec: &mut Value) {
    if !spec.is_object() {
        return;
    }
    set(spec, "restartPolicy", "Always");
    set(spec, "terminationGracePeriodSeconds", 30);
    set(spec, "dnsPolicy", "ClusterFirst");
    set(spec, "securityContext", json!({}));
    set(spec, "schedulerName", "default-scheduler");
    let account = spec["serviceAccountName"].as_str().or(spec["serviceAccount"].as_str()).map(str::to_owned);
    if let Value::Object(map) = spec {
        map.retain(|_, value| !value.is_null());
    }
    if let Some(account) = account {
        spec["serviceAccountName"] = Value::from(account.as_str());
        spec["serviceAccount"] = Value::from(account);
    }
    for field in ["initContainers", "containers", "ephemeralContainers"] {
        for container in items(spec, field) {
            fill_container(container);
        }
    }
    for volume in items(spec, "volumes") {
        fill_volume(volume);
    }
}

fn fill_container(container: &mut Value) {
    if !container.is_object() {
        return;
    }
    let image = container["image"].as_str().unwrap_or_default();
    let always = image_tag(image) == "latest";
    set(container, "imagePullPolicy", if always { "Always" } else { "IfNotPresent" });
    set(container, "terminationMessagePath", "/dev/termination-log");
    set(container, "terminationMessagePolicy", "File");
    for port in items(container, "ports") {
        set(port, "protocol", "TCP");
    }
    for variable in items(container, "env") {
        if let Some(field) = part(variable, "valueFrom").and_then(|from| part(from, "fieldRef")) {
            set(field, "apiVersion", "v1");
        }
    }
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = part(container, probe) {
            set(probe, "timeoutSeconds", 1);
            set(probe, "periodSeconds", 10);
            set(probe, "successThreshold", 1);
            set(probe, "failureThreshold", 3);
            fill_action(probe);
        }
    }
    if let Some(lifecycle) = part(container, "lifecycle") {
        for hook in ["postStart", "preStop"] {
            if let Some(hook) = part(lifecycle, hook) {
                fill_action(hook);
            }
        }
    }
    if let Value::Object(map) = container {
        map.retain(|_, value| !value.is_null());
    }
}

fn fill_action(action: &mut Value) {
    if let Some(http) = part(action, "httpGet") {
        set(http, "path", "/");
        set(http, "scheme", "HTTP");
    }
    if let Some(grpc) = part(action, "grpc") {
        set(grpc, "service", "");
    }
}

fn fill_volume(volume: &mut Value) {
    if volume.as_object().is_some_and(|map| map.len() == 1) {
        volume["emptyDir"] = json!({});
    }
    for source in ["secret", "configMap", "downwardAPI", "projected"] {
        if let Some(source) = part(volume, source) {
            set(source, "defaultMode", FILE_MODE);
        }
    }
    if let Some(path) = part(volume, "hostPath") {
        set(path, "type", "");
    }
    if let Some(projected) = part(volume, "projected") {
        for source in items(projected, "sources") {
            if let Some(token) = part(source, "serviceAccountToken") {
                set(token, "expirationSeconds", 3600);
            }
        }
    }
    let claim = part(volume, "ephemeral").and_then(|volume| part(volume, "volumeClaimTemplate"));
    if let Some(spec) = claim.and_then(|template| part(template, "spec")) {
        set(spec, "volumeMode", "Filesystem");
    }
}

/// The defaults that only a pod gets, no template.
pub(crate) fn fill_pod(pod: &mut Value) {
    let spec = &mut pod["spec"];
    set(spec, "enableServiceLinks", true);
    for field in ["initContainers", "containers"] {
        for container in items(spec, field) {
            let limits = container["resources"]["limits"].clone();
            for (name, limit) in limits.as_object().into_iter().flatten() {
                set(&mut container["resources"]["requests"], name, limit.clone());
            }
        }
    }
}

/// What admission and creation set on a pod.
pub(crate) fn prepare(pod: &mut Value) {
    let class = quality_of_service(&pod["spec"]);
    let spec = &mut pod["spec"];
    set(spec, "serviceAccountName", "default");
    let account = spec["serviceAccountName"].clone();
    set(spec, "serviceAccount", account);
    set(spec, "priority", 0);
    set(spec, "preemptionPolicy", "PreemptLowerPriority");
    pod["status"] = json!({"phase": "Pending", "qosClass": class});
}

fn quality_of_service(spec: &Value) -> &'static str {
    let containers = ["initContainers", "containers"]
        .iter()
        .flat_map(|field| spec[*field].as_array().into_iter().flatten());
    let (mut any, mut guaranteed) = (false, true);
    for container in containers {
        let (limits, requests) = (&container["resources"]["limits"], &container["resources"]["requests"]);
        let empty = |value: &Value| value.as_object().is_none_or(serde_json::Map::is_empty);
        any |= !empty(limits) || !empty(requests);
        let full = !limits["cpu"].is_null() && !limits["memory"].is_null();
        guaranteed &= full && (empty(requests) || requests == limits);
    }
    match (any, guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

/// What the cluster set on a pod and an update that does not name it keeps.
pub(crate) fn keep(live: &Value, pod: &mut Value) {
    for field in
        ["nodeName", "serviceAccountName", "serviceAccount", "priority", "preemptionPolicy", "tolerations"]
    {
        let kept = &live["spec"][field];
        if !kept.is_null() && pod["spec"].get(field).is_none_or(Value::is_null) {
            pod["spec"][field] = kept.clone();
        }
    }
}
