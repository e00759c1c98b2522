//! From manifests to objects of known kinds: which namespace each gets, and which kinds are not known. Pure.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use nave_common::digest::Digest;
use nave_common::manifest::{Manifest, ObjectKey};

use super::object::Wanted;
use crate::api::{Gvk, Resource};
use crate::apply::order;
use crate::apply::plan::Unresolved;

/// One object as it is wanted, and its kind.
#[derive(Debug, Clone)]
pub struct Target {
    /// What is wanted of it.
    pub wanted: Wanted,
    /// Its kind.
    pub resource: Arc<Resource>,
    /// Whether its kind is not served yet, though its CRD is among what is wanted.
    pub awaits_kind: bool,
}

/// The objects that are wanted.
#[derive(Debug, Default)]
pub struct Resolved {
    /// Those of known kinds.
    pub targets: BTreeMap<ObjectKey, Target>,
    /// The others.
    pub unresolved: Vec<Unresolved>,
}

/// A kind, and how the API server serves it, if that is known.
type Kind = (Gvk, Option<Arc<Resource>>);

/// Finds the kind of each manifest, and its namespace: `namespace` where it names none. `digests` are theirs, in the
/// same order.
#[must_use]
pub fn resolve(
    manifests: &[Manifest],
    digests: &[Digest],
    namespace: &str,
    known: impl Fn(&Gvk) -> Option<Arc<Resource>>,
) -> Resolved {
    let defined = definitions(manifests);
    let mut resolved = Resolved::default();
    let mut kinds = HashMap::<(&str, &str), Kind>::new();
    for ((index, manifest), digest) in (0_u32..).zip(manifests).zip(digests) {
        let named = (manifest.api_version(), manifest.key().kind.as_str());
        let (gvk, served) = kinds.entry(named).or_insert_with(|| {
            let gvk = Gvk::new(named.0, named.1);
            let served = known(&gvk);
            (gvk, served)
        });
        let served = served.clone();
        let awaits_kind = served.is_none();
        let Some(resource) = served.or_else(|| defined.get(gvk).cloned()) else {
            let reason = unknown_kind(gvk);
            resolved.unresolved.push(Unresolved { index, reason, key: manifest.key().clone() });
            continue;
        };
        let key = place(manifest.key(), &resource, namespace);
        if resolved.targets.contains_key(&key) {
            let reason = format!("{key} is wanted twice: once with its namespace and once without");
            resolved.unresolved.push(Unresolved { index, reason, key: manifest.key().clone() });
            continue;
        }
        let wanted = Wanted { index, digest: *digest };
        resolved.targets.insert(key, Target { wanted, resource, awaits_kind });
    }
    resolved
}

/// The key that an object gets in the cluster.
fn place(key: &ObjectKey, resource: &Resource, namespace: &str) -> ObjectKey {
    let namespace =
        resource.namespaced.then(|| key.namespace.clone().unwrap_or_else(|| namespace.to_owned()));
    ObjectKey { namespace, ..key.clone() }
}

/// The kinds that CRDs among the manifests define.
fn definitions(manifests: &[Manifest]) -> BTreeMap<Gvk, Arc<Resource>> {
    let mut defined = BTreeMap::new();
    let definitions = manifests
        .iter()
        .filter(|manifest| order::rank(&manifest.key().group, &manifest.key().kind) == order::DEFINITIONS);
    for manifest in definitions {
        let spec = &manifest.object()["spec"];
        let (Some(group), Some(kind), Some(plural)) =
            (spec["group"].as_str(), spec["names"]["kind"].as_str(), spec["names"]["plural"].as_str())
        else {
            continue;
        };
        let versions = spec["versions"].as_array().into_iter().flatten();
        for version in versions.filter(|version| version["served"] == true) {
            let Some(version) = version["name"].as_str() else { continue };
            let gvk = Gvk::new(&format!("{group}/{version}"), kind);
            let resource = Resource {
                gvk: gvk.clone(),
                plural: plural.to_owned(),
                namespaced: spec["scope"] == "Namespaced",
            };
            defined.insert(gvk, Arc::new(resource));
        }
    }
    defined
}

fn unknown_kind(gvk: &Gvk) -> String {
    let hint = if order::is_built_in(&gvk.group) {
        "is the API version right for this cluster?"
    } else {
        "is its CustomResourceDefinition installed?"
    };
    format!("the API server knows no {} in {}: {hint}", gvk.kind, gvk.api_version())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn manifests(objects: &[Value]) -> (Vec<Manifest>, Vec<Digest>) {
        let manifests: Vec<_> = objects.iter().map(|object| Manifest::new(object.clone()).unwrap()).collect();
        let digests = manifests.iter().map(Manifest::digest).collect();
        (manifests, digests)
    }

    fn known(gvk: &Gvk) -> Option<Arc<Resource>> {
        let resource = match gvk.kind.as_str() {
            "ConfigMap" => Resource::core("ConfigMap", "configmaps", true),
            "Namespace" => Resource::core("Namespace", "namespaces", false),
            "CustomResourceDefinition" => {
                Resource { gvk: gvk.clone(), plural: "customresourcedefinitions".into(), namespaced: false }
            }
            _ => return None,
        };
        Some(Arc::new(resource))
    }

    fn names(resolved: &Resolved) -> Vec<String> {
        resolved.targets.keys().map(ToString::to_string).collect()
    }

    #[test]
    fn namespace_comes_from_the_manifest_the_application_or_is_default() {
        let config_map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}});
        let elsewhere =
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "b", "namespace": "x"}});
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}});
        let (manifests, digests) = manifests(&[config_map, elsewhere, namespace]);
        let resolved = resolve(&manifests, &digests, "shop", known);
        assert_eq!(names(&resolved), ["ConfigMap shop/a", "ConfigMap x/b", "Namespace shop"]);
        let resolved = resolve(&manifests, &digests, "default", known);
        assert_eq!(names(&resolved), ["ConfigMap default/a", "ConfigMap x/b", "Namespace shop"]);
    }

    #[test]
    fn kind_whose_definition_comes_along_is_waited_for_and_others_are_unknown() {
        let definition = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": "databases.example.com"}, "spec": {"group": "example.com", "scope": "Namespaced",
            "names": {"kind": "Database", "plural": "databases"}, "versions": [{"name": "v1", "served": true}]}});
        let database = json!({"apiVersion": "example.com/v1", "kind": "Database", "metadata": {"name": "a"}});
        let other = json!({"apiVersion": "example.com/v1", "kind": "Queue", "metadata": {"name": "a"}});
        let (manifests, digests) = manifests(&[definition, database, other]);
        let resolved = resolve(&manifests, &digests, "default", known);
        let database = resolved.targets.iter().find(|(key, _)| key.kind == "Database").unwrap();
        assert_eq!(database.0.namespace.as_deref(), Some("default"));
        assert!(database.1.awaits_kind);
        assert_eq!(resolved.unresolved.len(), 1);
        assert!(resolved.unresolved[0].reason.contains("CustomResourceDefinition"), "{resolved:?}");
    }

    #[test]
    fn object_that_is_named_twice_is_applied_once_and_reported() {
        let config_map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}});
        let mut same = config_map.clone();
        same["metadata"]["namespace"] = "default".into();
        let (manifests, digests) = manifests(&[config_map, same]);
        let resolved = resolve(&manifests, &digests, "default", known);
        assert_eq!((resolved.targets.len(), resolved.unresolved.len()), (1, 1));
    }
}
