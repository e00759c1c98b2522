//! What is served: health, version, groups and resources, plain and aggregated.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::kinds::{Registry, Resource, Version};
use crate::openapi;
use crate::request::Request;
use crate::state::{Reply, State};
use crate::status::{Failure, Result};

/// The verbs of every resource.
const VERBS: [&str; 8] = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

/// The same for custom resources, in the order that the server gives them.
const CUSTOM_VERBS: [&str; 8] =
    ["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"];

/// Namespaces are deleted one by one.
const NAMESPACE_VERBS: [&str; 7] = ["create", "delete", "get", "list", "patch", "update", "watch"];

fn verbs(resource: &Resource) -> &'static [&'static str] {
    match resource.custom {
        true => &CUSTOM_VERBS,
        false if resource.is("", "namespaces") => &NAMESPACE_VERBS,
        false => &VERBS,
    }
}

/// Answers every path that is not of a resource.
pub(crate) fn answer(state: &State, request: &Request) -> Result<Reply> {
    let steps: Vec<&str> = request.path.split('/').filter(|step| !step.is_empty()).collect();
    let registry = &state.registry;
    let aggregated = request.accept.contains("as=APIGroupDiscoveryList");
    match steps.as_slice() {
        ["readyz" | "livez" | "healthz", ..] => Ok(Reply::text(200, "ok")),
        ["version"] => Ok(Reply::json(200, &version(&state.config.version))),
        ["api"] if aggregated => Ok(aggregate(&aggregated_groups(registry, true))),
        ["apis"] if aggregated => Ok(aggregate(&aggregated_groups(registry, false))),
        ["api"] => Ok(Reply::json(
            200,
            &json!({"kind": "APIVersions", "versions": ["v1"],
            "serverAddressByClientCIDRs": []}),
        )),
        ["apis"] => Ok(Reply::json(200, &groups(registry))),
        ["apis", group] => {
            let all = group_versions(registry);
            let versions = all.get(*group).ok_or_else(Failure::no_such_path)?;
            let mut value = group_value(group, versions);
            value["kind"] = Value::from("APIGroup");
            value["apiVersion"] = Value::from("v1");
            Ok(Reply::json(200, &value))
        }
        ["api", version] => resources(registry, "", version),
        ["apis", group, version] => resources(registry, group, version),
        ["openapi", "v3"] => Ok(openapi::index(registry)),
        ["openapi", "v3", rest @ ..] => openapi::version(registry, &rest.join("/")),
        [] => Ok(Reply::json(
            200,
            &json!({"paths": ["/api", "/apis", "/healthz", "/livez", "/readyz", "/version"]}),
        )),
        _ => Err(Failure::no_such_path()),
    }
}

fn version(version: &str) -> Value {
    let mut parts = version.trim_start_matches('v').split('.');
    let (major, minor) = (parts.next().unwrap_or("1"), parts.next().unwrap_or("0"));
    json!({"major": major, "minor": minor, "gitVersion": version, "gitCommit": "", "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z", "goVersion": "go1.26", "compiler": "gc", "platform": "linux/amd64"})
}

/// The versions of each named group, the preferred one first.
fn group_versions(registry: &Registry) -> BTreeMap<&str, Vec<&str>> {
    let mut out: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for resource in registry.all().filter(|resource| !resource.group.is_empty()) {
        let versions = out.entry(&resource.group).or_default();
        for version in &resource.versions {
            if !versions.contains(&version.name.as_str()) {
                versions.push(&version.name);
            }
        }
    }
    for versions in out.values_mut() {
        versions.sort_by_key(|version| std::cmp::Reverse(priority(version)));
    }
    out
}

/// Versions in the order of preference: `v2`, `v1`, `v1beta2`, `v1beta1`, `v1alpha1`, then the others.
pub(crate) fn priority(version: &str) -> (u32, u32, u32) {
    let Some(rest) = version.strip_prefix('v') else { return (0, 0, 0) };
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (major, rest) = rest.split_at(end);
    let Ok(major) = major.parse() else { return (0, 0, 0) };
    let minor = |text: &str| text.parse().unwrap_or(0);
    match (rest, rest.strip_prefix("beta"), rest.strip_prefix("alpha")) {
        ("", ..) => (3, major, 0),
        (_, Some(number), _) => (2, major, minor(number)),
        (_, _, Some(number)) => (1, major, minor(number)),
        _ => (0, 0, 0),
    }
}

fn group_value(group: &str, versions: &[&str]) -> Value {
    let list: Vec<Value> = versions
        .iter()
        .map(|version| json!({"groupVersion": format!("{group}/{version}"), "version": version}))
        .collect();
    json!({"name": group, "versions": list, "preferredVersion": list.first()})
}

fn groups(registry: &Registry) -> Value {
    let list: Vec<Value> =
        group_versions(registry).iter().map(|(group, versions)| group_value(group, versions)).collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": list})
}

fn resources(registry: &Registry, group: &str, version: &str) -> Result<Reply> {
    let mut list = Vec::new();
    for resource in registry.all().filter(|resource| resource.group == group) {
        if let Some(served) = resource.version(version) {
            plain_resource(resource, served, &mut list);
        }
    }
    if list.is_empty() {
        return Err(Failure::no_such_path());
    }
    let group_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    Ok(Reply::json(
        200,
        &json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version,
        "resources": list}),
    ))
}

fn plain_resource(resource: &Resource, version: &Version, list: &mut Vec<Value>) {
    let mut value = json!({"name": resource.plural, "singularName": resource.singular,
        "namespaced": resource.namespaced, "kind": resource.kind, "verbs": verbs(resource)});
    if !resource.short.is_empty() {
        value["shortNames"] = json!(resource.short);
    }
    if !resource.categories.is_empty() {
        value["categories"] = json!(resource.categories);
    }
    list.push(value);
    let (plural, namespaced) = (&resource.plural, resource.namespaced);
    let scale = version.scale.is_some().then(|| {
        json!({"name": format!("{plural}/scale"), "singularName": "", "namespaced": namespaced,
            "group": "autoscaling", "version": "v1", "kind": "Scale", "verbs": ["get", "patch", "update"]})
    });
    let status = version.status.then(|| {
        json!({"name": format!("{plural}/status"), "singularName": "", "namespaced": namespaced,
            "kind": resource.kind, "verbs": ["get", "patch", "update"]})
    });
    let below = if resource.custom { [status, scale] } else { [scale, status] };
    list.extend(below.into_iter().flatten());
}

fn aggregate(list: &Value) -> Reply {
    let body = serde_json::to_vec(list).unwrap_or_default().into();
    let content_type = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    Reply::Whole { code: 200, content_type, body, warnings: Vec::new() }
}

fn aggregated_groups(registry: &Registry, core: bool) -> Value {
    let all = if core { BTreeMap::from([("", vec!["v1"])]) } else { group_versions(registry) };
    let items: Vec<Value> = all
        .iter()
        .map(|(group, versions)| {
            let versions: Vec<Value> = versions
                .iter()
                .map(|version| {
                    json!({"version": version, "freshness": "Current",
                        "resources": aggregated_resources(registry, group, version)})
                })
                .collect();
            let mut metadata = json!({"creationTimestamp": null});
            if !group.is_empty() {
                metadata["name"] = Value::from(*group);
            }
            json!({"metadata": metadata, "versions": versions})
        })
        .collect();
    json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items})
}

fn aggregated_resources(registry: &Registry, group: &str, version: &str) -> Vec<Value> {
    let of_group = registry.all().filter(|resource| resource.group == group);
    of_group
        .filter_map(|resource| {
            let served = resource.version(version)?;
            let kind = json!({"group": group, "version": version, "kind": resource.kind});
            let scope = if resource.namespaced { "Namespaced" } else { "Cluster" };
            let mut value = json!({"resource": resource.plural, "responseKind": kind, "scope": scope,
                "singularResource": resource.singular, "verbs": verbs(resource)});
            if !resource.short.is_empty() {
                value["shortNames"] = json!(resource.short);
            }
            if !resource.categories.is_empty() {
                value["categories"] = json!(resource.categories);
            }
            let mut below = Vec::new();
            if served.scale.is_some() {
                below.push(json!({"subresource": "scale", "verbs": ["get", "patch", "update"],
                    "responseKind": {"group": "autoscaling", "version": "v1", "kind": "Scale"}}));
            }
            if served.status {
                below.push(json!({"subresource": "status", "responseKind": kind,
                    "verbs": ["get", "patch", "update"]}));
            }
            if !below.is_empty() {
                value["subresources"] = Value::Array(below);
            }
            Some(value)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::priority;

    #[test]
    fn stable_versions_come_before_beta_ones() {
        let mut versions = ["v1alpha1", "v1beta1", "v2", "v1", "v1beta2", "foo"];
        versions.sort_by_key(|version| std::cmp::Reverse(priority(version)));
        assert_eq!(versions, ["v2", "v1", "v1beta2", "v1beta1", "v1alpha1", "foo"]);
    }
}
