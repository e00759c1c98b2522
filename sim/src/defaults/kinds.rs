//! Defaults of the other built-in kinds.

use base64::Engine as _;
use serde_json::{Value, json};

use super::{items, part, pods, set};
use crate::kinds::Resource;
use crate::meta;

pub(crate) fn fill(resource: &Resource, object: &mut Value) {
    match (resource.group.as_str(), resource.plural.as_str()) {
        ("", "pods") => {
            pods::fill_spec(&mut object["spec"]);
            pods::fill_pod(object);
        }
        ("", "services") => service(&mut object["spec"]),
        ("", "secrets") => secret(object),
        ("", "namespaces") => {
            let name = meta::name(object).to_owned();
            if !name.is_empty() {
                meta::metadata_mut(object);
                set(&mut object["metadata"]["labels"], "kubernetes.io/metadata.name", name);
            }
        }
        ("", "persistentvolumeclaims") => set(&mut object["spec"], "volumeMode", "Filesystem"),
        ("", "persistentvolumes") => {
            set(&mut object["spec"], "persistentVolumeReclaimPolicy", "Retain");
            set(&mut object["spec"], "volumeMode", "Filesystem");
            if let Some(path) = part(&mut object["spec"], "hostPath") {
                set(path, "type", "");
            }
        }
        ("", "limitranges") => {
            for limit in items(&mut object["spec"], "limits").filter(|limit| limit["type"] == "Container") {
                let default = limit["default"].clone();
                for (name, value) in default.as_object().into_iter().flatten() {
                    set(&mut limit["defaultRequest"], name, value.clone());
                }
            }
        }
        ("discovery.k8s.io", _) => {
            for port in items(object, "ports") {
                set(port, "name", "");
                set(port, "protocol", "TCP");
            }
        }
        ("apps" | "batch", _) | ("", "replicationcontrollers") => workload(resource, object),
        ("rbac.authorization.k8s.io", _) => rbac(object),
        ("autoscaling", _) => autoscaler(&mut object["spec"]),
        ("networking.k8s.io", "networkpolicies") => network_policy(&mut object["spec"]),
        ("apiextensions.k8s.io", _) => definition(&mut object["spec"]),
        ("apiregistration.k8s.io", _) => {
            if let Some(service) = part(&mut object["spec"], "service") {
                set(service, "port", 443);
            }
        }
        ("admissionregistration.k8s.io", _) => admission(resource, object),
        ("storage.k8s.io", "storageclasses") => {
            set(object, "reclaimPolicy", "Delete");
            set(object, "volumeBindingMode", "Immediate");
        }
        ("scheduling.k8s.io", _) => set(object, "preemptionPolicy", "PreemptLowerPriority"),
        _ => {}
    }
}

fn service(spec: &mut Value) {
    set(spec, "sessionAffinity", "None");
    set(spec, "type", "ClusterIP");
    if spec["sessionAffinity"] == "ClientIP" && spec["sessionAffinityConfig"].is_null() {
        spec["sessionAffinityConfig"] = json!({"clientIP": {"timeoutSeconds": 10_800}});
    }
    if spec["sessionAffinity"] == "None" {
        spec["sessionAffinityConfig"] = Value::Null;
    }
    for port in items(spec, "ports") {
        set(port, "protocol", "TCP");
        let number = port["port"].clone();
        if port["targetPort"].is_null() || port["targetPort"] == 0 || port["targetPort"] == "" {
            port["targetPort"] = number;
        }
    }
    let kind = spec["type"].as_str().unwrap_or_default().to_owned();
    if kind != "ExternalName" {
        set(spec, "internalTrafficPolicy", "Cluster");
    }
    let open = spec["externalIPs"].as_array().is_some_and(|list| !list.is_empty());
    if kind == "NodePort" || kind == "LoadBalancer" || (kind == "ClusterIP" && open) {
        set(spec, "externalTrafficPolicy", "Cluster");
    }
    if kind == "LoadBalancer" {
        set(spec, "allocateLoadBalancerNodePorts", true);
    }
    meta::drop_null(spec, "sessionAffinityConfig");
}

/// `stringData` is write-only: it is folded into `data`.
fn secret(object: &mut Value) {
    set(object, "type", "Opaque");
    let Value::Object(map) = object else { return };
    let Some(Value::Object(plain)) = map.remove("stringData") else { return };
    let data = map.entry("data").or_insert_with(|| json!({}));
    if !data.is_object() {
        *data = json!({});
    }
    for (key, value) in plain {
        let text = value.as_str().unwrap_or_default();
        data[key] = Value::from(base64::engine::general_purpose::STANDARD.encode(text));
    }
}

fn workload(resource: &Resource, object: &mut Value) {
    if !object["spec"].is_object() {
        return;
    }
    if resource.plural == "daemonsets" {
        set(&mut object["metadata"]["annotations"], super::TEMPLATE_GENERATION, "1");
    }
    let spec = &mut object["spec"];
    match resource.plural.as_str() {
        "deployments" => {
            set(spec, "replicas", 1);
            set(spec, "revisionHistoryLimit", 10);
            set(spec, "progressDeadlineSeconds", 600);
            let strategy = &mut spec["strategy"];
            set(strategy, "type", "RollingUpdate");
            if strategy["type"] == "RollingUpdate" {
                set(&mut strategy["rollingUpdate"], "maxUnavailable", "25%");
                set(&mut strategy["rollingUpdate"], "maxSurge", "25%");
            }
            meta::drop_null(strategy, "rollingUpdate");
        }
        "statefulsets" => stateful_set(spec),
        "daemonsets" => {
            set(spec, "revisionHistoryLimit", 10);
            let strategy = &mut spec["updateStrategy"];
            set(strategy, "type", "RollingUpdate");
            if strategy["type"] == "RollingUpdate" {
                set(&mut strategy["rollingUpdate"], "maxUnavailable", 1);
                set(&mut strategy["rollingUpdate"], "maxSurge", 0);
            }
            meta::drop_null(strategy, "rollingUpdate");
        }
        "replicasets" | "replicationcontrollers" => set(spec, "replicas", 1),
        "jobs" => job(spec),
        "cronjobs" => {
            set(spec, "concurrencyPolicy", "Allow");
            set(spec, "suspend", false);
            set(spec, "successfulJobsHistoryLimit", 3);
            set(spec, "failedJobsHistoryLimit", 1);
            if let Some(spec) = part(spec, "jobTemplate").and_then(|template| part(template, "spec"))
                && let Some(template) = part(spec, "template")
            {
                pods::fill_spec(&mut template["spec"]);
                meta::drop_null(template, "spec");
            }
        }
        _ => {}
    }
    if let Some(template) = part(spec, "template") {
        pods::fill_spec(&mut template["spec"]);
        meta::drop_null(template, "spec");
    }
}

fn stateful_set(spec: &mut Value) {
    set(spec, "replicas", 1);
    set(spec, "revisionHistoryLimit", 10);
    set(spec, "podManagementPolicy", "OrderedReady");
    let strategy = &mut spec["updateStrategy"];
    set(strategy, "type", "RollingUpdate");
    if strategy["type"] == "RollingUpdate" {
        set(&mut strategy["rollingUpdate"], "partition", 0);
        set(&mut strategy["rollingUpdate"], "maxUnavailable", 1);
    }
    meta::drop_null(strategy, "rollingUpdate");
    let retention = &mut spec["persistentVolumeClaimRetentionPolicy"];
    set(retention, "whenDeleted", "Retain");
    set(retention, "whenScaled", "Retain");
    for claim in items(spec, "volumeClaimTemplates") {
        set(claim, "apiVersion", "v1");
        set(claim, "kind", "PersistentVolumeClaim");
        set(&mut claim["spec"], "volumeMode", "Filesystem");
        claim["status"] = json!({"phase": "Pending"});
    }
}

fn job(spec: &mut Value) {
    if spec["completions"].is_null() && spec["parallelism"].is_null() {
        spec["completions"] = Value::from(1);
        spec["parallelism"] = Value::from(1);
    }
    set(spec, "parallelism", 1);
    set(spec, "backoffLimit", 6);
    set(spec, "completionMode", "NonIndexed");
    set(spec, "manualSelector", false);
    set(spec, "suspend", false);
    if spec["podFailurePolicy"].is_null() {
        set(spec, "podReplacementPolicy", "TerminatingOrFailed");
    }
    for field in ["completions", "podFailurePolicy"] {
        meta::drop_null(spec, field);
    }
}

fn rbac(object: &mut Value) {
    const GROUP: &str = "rbac.authorization.k8s.io";
    if let Some(role) = part(object, "roleRef") {
        set(role, "apiGroup", GROUP);
    }
    for subject in items(object, "subjects") {
        if matches!(subject["kind"].as_str(), Some("User" | "Group")) {
            set(subject, "apiGroup", GROUP);
        }
    }
}

fn autoscaler(spec: &mut Value) {
    set(spec, "minReplicas", 1);
    if spec["metrics"].as_array().is_none_or(Vec::is_empty) {
        spec["metrics"] = json!([{"type": "Resource", "resource": {"name": "cpu",
            "target": {"type": "Utilization", "averageUtilization": 80}}}]);
    }
}

fn network_policy(spec: &mut Value) {
    for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
        for rule in items(spec, direction) {
            for port in items(rule, "ports") {
                set(port, "protocol", "TCP");
            }
            let _ = peers;
        }
    }
    if spec["policyTypes"].as_array().is_none_or(Vec::is_empty) {
        let egress = spec["egress"].as_array().is_some_and(|rules| !rules.is_empty());
        spec["policyTypes"] = if egress { json!(["Ingress", "Egress"]) } else { json!(["Ingress"]) };
    }
}

fn definition(spec: &mut Value) {
    let kind = spec["names"]["kind"].as_str().unwrap_or_default().to_owned();
    set(&mut spec["names"], "singular", kind.to_lowercase());
    set(&mut spec["names"], "listKind", format!("{kind}List"));
    set(&mut spec["conversion"], "strategy", "None");
}

fn admission(resource: &Resource, object: &mut Value) {
    for webhook in items(object, "webhooks") {
        set(webhook, "failurePolicy", "Fail");
        set(webhook, "matchPolicy", "Equivalent");
        set(webhook, "namespaceSelector", json!({}));
        set(webhook, "objectSelector", json!({}));
        set(webhook, "timeoutSeconds", 10);
        if resource.plural.starts_with("mutating") {
            set(webhook, "reinvocationPolicy", "Never");
        }
        if let Some(service) = part(webhook, "clientConfig").and_then(|config| part(config, "service")) {
            set(service, "port", 443);
        }
        for rule in items(webhook, "rules") {
            set(rule, "scope", "*");
        }
    }
    let Some(spec) = part(object, "spec") else { return };
    if matches!(resource.plural.as_str(), "validatingadmissionpolicies" | "mutatingadmissionpolicies") {
        set(spec, "failurePolicy", "Fail");
    }
    for field in ["matchConstraints", "matchResources"] {
        if let Some(constraints) = part(spec, field) {
            set(constraints, "matchPolicy", "Equivalent");
            set(constraints, "namespaceSelector", json!({}));
            set(constraints, "objectSelector", json!({}));
            for list in ["resourceRules", "excludeResourceRules"] {
                for rule in items(constraints, list) {
                    set(rule, "scope", "*");
                }
            }
        }
    }
}
