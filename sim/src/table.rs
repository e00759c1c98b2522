//! Tables, as `kubectl get` shows them: columns for the kinds that people look at, name and age for all others.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::kinds::Resource;
use crate::meta;

/// The columns of a kind after its name, before its age.
fn columns(resource: &Resource) -> &'static [&'static str] {
    match (resource.group.as_str(), resource.plural.as_str()) {
        ("", "pods") => &["Ready", "Status", "Restarts"],
        ("", "services") => &["Type", "Cluster-IP", "External-IP", "Port(s)"],
        ("", "nodes") => &["Status", "Version"],
        ("", "namespaces") => &["Status"],
        ("", "configmaps") => &["Data"],
        ("", "secrets") => &["Type", "Data"],
        ("", "persistentvolumeclaims") => &["Status", "Volume", "Capacity"],
        ("apps", "deployments") => &["Ready", "Up-to-date", "Available"],
        ("apps", "replicasets") => &["Desired", "Current", "Ready"],
        ("apps", "statefulsets") => &["Ready"],
        ("apps", "daemonsets") => &["Desired", "Current", "Ready", "Up-to-date", "Available"],
        ("batch", "jobs") => &["Status", "Completions"],
        ("networking.k8s.io", "ingresses") => &["Class", "Hosts"],
        _ => &[],
    }
}

/// The definitions of all columns.
pub(crate) fn definitions(resource: &Resource) -> Value {
    let names = ["Name"].iter().chain(columns(resource)).chain(&["Age"]);
    let definition = |name: &&str| {
        let format = if *name == "Name" { "name" } else { "" };
        json!({"name": name, "type": "string", "format": format, "description": "", "priority": 0})
    };
    names.map(definition).collect()
}

/// The row of one object.
pub(crate) fn row(resource: &Resource, object: &Value, now: Timestamp) -> Value {
    let mut cells = vec![Value::from(meta::name(object))];
    cells.extend(cells_of(resource, object));
    let created = meta::parse_time(meta::text(object, "creationTimestamp")).unwrap_or(now);
    cells.push(Value::from(age(now.duration_since(created).as_secs())));
    let metadata = json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
        "metadata": object["metadata"]});
    json!({"cells": cells, "object": metadata})
}

fn cells_of(resource: &Resource, object: &Value) -> Vec<Value> {
    let (spec, status) = (&object["spec"], &object["status"]);
    let count = |value: &Value| Value::from(value.as_i64().unwrap_or(0));
    let of = |have: &Value, wanted: &Value| {
        Value::from(format!("{}/{}", have.as_i64().unwrap_or(0), wanted.as_i64().unwrap_or(0)))
    };
    let length = |value: &Value| Value::from(value.as_object().map_or(0, serde_json::Map::len));
    match (resource.group.as_str(), resource.plural.as_str()) {
        ("", "pods") => pod(object),
        ("", "services") => {
            let ports: Vec<String> = spec["ports"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|port| format!("{}/{}", port["port"], port["protocol"].as_str().unwrap_or("TCP")))
                .collect();
            let outside = status["loadBalancer"]["ingress"][0]["ip"].as_str().unwrap_or("<none>");
            vec![
                spec["type"].clone(),
                spec["clusterIP"].clone(),
                Value::from(outside),
                Value::from(ports.join(",")),
            ]
        }
        ("", "nodes") => {
            let conditions = status["conditions"].as_array().into_iter().flatten();
            let ready = conditions.into_iter().any(|one| one["type"] == "Ready" && one["status"] == "True");
            vec![
                Value::from(if ready { "Ready" } else { "NotReady" }),
                status["nodeInfo"]["kubeletVersion"].clone(),
            ]
        }
        ("", "namespaces") => vec![status["phase"].clone()],
        ("", "configmaps") => vec![length(&object["data"])],
        ("", "secrets") => vec![object["type"].clone(), length(&object["data"])],
        ("", "persistentvolumeclaims") => {
            vec![status["phase"].clone(), spec["volumeName"].clone(), status["capacity"]["storage"].clone()]
        }
        ("apps", "deployments") => vec![
            of(&status["readyReplicas"], &spec["replicas"]),
            count(&status["updatedReplicas"]),
            count(&status["availableReplicas"]),
        ],
        ("apps", "replicasets") => {
            vec![count(&spec["replicas"]), count(&status["replicas"]), count(&status["readyReplicas"])]
        }
        ("apps", "statefulsets") => vec![of(&status["readyReplicas"], &spec["replicas"])],
        ("apps", "daemonsets") => vec![
            count(&status["desiredNumberScheduled"]),
            count(&status["currentNumberScheduled"]),
            count(&status["numberReady"]),
            count(&status["updatedNumberScheduled"]),
            count(&status["numberAvailable"]),
        ],
        ("batch", "jobs") => {
            let done = !status["completionTime"].is_null();
            let state = if done { "Complete" } else { "Running" };
            vec![Value::from(state), of(&status["succeeded"], &spec["completions"])]
        }
        ("networking.k8s.io", "ingresses") => {
            let rules = spec["rules"].as_array().into_iter().flatten();
            let hosts: Vec<&str> = rules.filter_map(|rule| rule["host"].as_str()).collect();
            vec![spec["ingressClassName"].clone(), Value::from(hosts.join(","))]
        }
        _ => Vec::new(),
    }
}

fn pod(object: &Value) -> Vec<Value> {
    let statuses = object["status"]["containerStatuses"].as_array().map_or(&[][..], Vec::as_slice);
    let ready = statuses.iter().filter(|status| status["ready"] == true).count();
    let all = object["spec"]["containers"].as_array().map_or(0, Vec::len);
    let waiting = statuses.iter().find_map(|status| status["state"]["waiting"]["reason"].as_str());
    let ended = statuses.iter().find_map(|status| status["state"]["terminated"]["reason"].as_str());
    let phase = object["status"]["phase"].as_str().unwrap_or_default();
    let state = if meta::is_deleting(object) { "Terminating" } else { waiting.or(ended).unwrap_or(phase) };
    vec![Value::from(format!("{ready}/{all}")), Value::from(state), Value::from(0)]
}

/// An age in the words of kubectl.
fn age(seconds: i64) -> String {
    let seconds = seconds.max(0);
    let (minutes, hours) = (seconds / 60, seconds / 3_600);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..600 => match seconds % 60 {
            0 => format!("{minutes}m"),
            rest => format!("{minutes}m{rest}s"),
        },
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => match minutes % 60 {
            0 => format!("{hours}h"),
            rest => format!("{hours}h{rest}m"),
        },
        28_800..172_800 => format!("{hours}h"),
        _ => format!("{}d", hours / 24),
    }
}

#[cfg(test)]
mod tests {
    use super::age;

    #[test]
    fn ages_are_in_the_words_of_kubectl() {
        let cases = [
            (5, "5s"),
            (119, "119s"),
            (150, "2m30s"),
            (180, "3m"),
            (700, "11m"),
            (11_000, "3h3m"),
            (180_000, "2d"),
        ];
        for (seconds, text) in cases {
            assert_eq!(age(seconds), text);
        }
    }
}
