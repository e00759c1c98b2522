//! Just enough of `/openapi/v3` for `kubectl apply`: that the server validates fields itself.
//!
//! It lists each version and the paths of its resources with the parameters that clients look for. There are
//! no schemas in it, so `kubectl explain` has nothing to tell.

use serde_json::{Map, Value, json};

use crate::kinds::{Registry, Resource};
use crate::state::Reply;
use crate::status::{Failure, Result};

/// The versions that there are.
pub(crate) fn index(registry: &Registry) -> Reply {
    let mut paths = Map::new();
    for resource in registry.all() {
        for version in &resource.versions {
            let path = base(resource, &version.name);
            let url = format!("/openapi/v3/{path}");
            paths.insert(path, json!({"serverRelativeURL": url}));
        }
    }
    Reply::json(200, &json!({"paths": paths}))
}

/// The paths of one version, such as `apis/apps/v1`.
pub(crate) fn version(registry: &Registry, wanted: &str) -> Result<Reply> {
    let mut paths = Map::new();
    for resource in registry.all() {
        for version in &resource.versions {
            let path = base(resource, &version.name);
            if path == wanted {
                add_paths(resource, &version.name, &path, &mut paths);
            }
        }
    }
    if paths.is_empty() {
        return Err(Failure::no_such_path());
    }
    Ok(Reply::json(
        200,
        &json!({"openapi": "3.0.0", "info": {"title": "Kubernetes", "version": "sim"}, "paths": paths,
            "components": {"schemas": {}}}),
    ))
}

fn base(resource: &Resource, version: &str) -> String {
    if resource.group.is_empty() {
        format!("api/{version}")
    } else {
        format!("apis/{}/{version}", resource.group)
    }
}

fn add_paths(resource: &Resource, version: &str, base: &str, paths: &mut Map<String, Value>) {
    let place = if resource.namespaced { "/namespaces/{namespace}" } else { "" };
    let parameter = |name: &str| json!({"name": name, "in": "query", "schema": {"type": "string"}});
    let operation = json!({
        "parameters": [parameter("dryRun"), parameter("fieldManager"), parameter("fieldValidation")],
        "x-kubernetes-group-version-kind": {"group": resource.group, "version": version, "kind": resource.kind},
        "responses": {}});
    let many = format!("/{base}{place}/{}", resource.plural);
    paths.insert(format!("{many}/{{name}}"), json!({"patch": operation, "put": operation}));
    paths.insert(many, json!({"post": operation}));
}
