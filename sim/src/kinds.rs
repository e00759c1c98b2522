//! The kinds that the server knows: one table of built-in kinds, and the custom kinds of one cluster.
//!
//! A `Resource` is one plural of one group; the same one serves all its versions. It never holds objects.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::schema::{self, Type};

/// Number of a resource in its cluster's registry.
pub(crate) type ResourceId = u32;

/// A plural of a group.
#[derive(Debug, Clone)]
pub(crate) struct Resource {
    /// Its number.
    pub id: ResourceId,
    /// The API group; empty for core.
    pub group: String,
    /// The kind, such as `Deployment`.
    pub kind: String,
    /// The plural, such as `deployments`.
    pub plural: String,
    /// The singular.
    pub singular: String,
    /// Short names.
    pub short: Vec<String>,
    /// Categories, such as `all`.
    pub categories: Vec<String>,
    /// Whether objects live in namespaces.
    pub namespaced: bool,
    /// Whether `metadata.generation` counts changes of the desired state.
    pub generation: bool,
    /// An update makes an object that is not there.
    pub created_by_update: bool,
    /// Its deletion answers with the object, not with a status.
    pub returned_by_delete: bool,
    /// The served versions, the preferred one first.
    pub versions: Vec<Version>,
    /// Where objects are stored, as it is in `status.storedVersions`.
    pub custom: bool,
}

/// A served version of a resource.
#[derive(Debug, Clone)]
pub(crate) struct Version {
    /// Such as `v1`.
    pub name: String,
    /// The type of its objects.
    pub ty: Type,
    /// It has a `status` subresource.
    pub status: bool,
    /// It has a `scale` subresource.
    pub scale: Option<Scale>,
    /// The OpenAPI schema of a custom kind.
    pub openapi: Option<Arc<Value>>,
}

/// Where the `scale` subresource finds its values.
#[derive(Debug, Clone)]
pub(crate) struct Scale {
    /// Such as `.spec.replicas`.
    pub spec_path: String,
    /// Such as `.status.replicas`.
    pub status_path: String,
    /// Such as `.status.selector`, or the selector of the spec for built-in kinds.
    pub selector_path: Option<String>,
}

impl Resource {
    /// `v1` or `apps/v1`.
    #[must_use]
    pub(crate) fn api_version(&self, version: &str) -> String {
        if self.group.is_empty() { version.to_owned() } else { format!("{}/{version}", self.group) }
    }

    /// The version of this name, if it is served.
    #[must_use]
    pub(crate) fn version(&self, name: &str) -> Option<&Version> {
        self.versions.iter().find(|version| version.name == name)
    }

    /// Is this the built-in resource of this group and plural?
    #[must_use]
    pub(crate) fn is(&self, group: &str, plural: &str) -> bool {
        self.group == group && self.plural == plural
    }
}

/// The letters of the table: `n` namespaced, `s` status, `c` scale, `g` generation, `u` made by an update if it is
/// not there, `d` its deletion answers with the object, `a` category `all`, `e`
/// category `api-extensions`.
type Row = (&'static str, &'static str, &'static str, &'static str, &'static str, &'static str);

/// Group, version, kind, plural, short names, letters.
const TABLE: &[Row] = &[
    ("", "v1", "Namespace", "namespaces", "ns", "s"),
    ("", "v1", "Node", "nodes", "no", "s"),
    ("", "v1", "PersistentVolume", "persistentvolumes", "pv", "sd"),
    ("", "v1", "Pod", "pods", "po", "nsgad"),
    ("", "v1", "Service", "services", "svc", "nsaud"),
    ("", "v1", "ConfigMap", "configmaps", "cm", "n"),
    ("", "v1", "Secret", "secrets", "", "n"),
    ("", "v1", "ServiceAccount", "serviceaccounts", "sa", "nd"),
    ("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims", "pvc", "nsd"),
    ("", "v1", "Event", "events", "ev", "nu"),
    ("", "v1", "Endpoints", "endpoints", "ep", "nu"),
    ("", "v1", "LimitRange", "limitranges", "limits", "nu"),
    ("", "v1", "ResourceQuota", "resourcequotas", "quota", "nsd"),
    ("", "v1", "ReplicationController", "replicationcontrollers", "rc", "nscga"),
    ("", "v1", "PodTemplate", "podtemplates", "", "ngd"),
    (
        "admissionregistration.k8s.io",
        "v1",
        "MutatingWebhookConfiguration",
        "mutatingwebhookconfigurations",
        "",
        "ge",
    ),
    (
        "admissionregistration.k8s.io",
        "v1",
        "ValidatingWebhookConfiguration",
        "validatingwebhookconfigurations",
        "",
        "ge",
    ),
    (
        "admissionregistration.k8s.io",
        "v1",
        "ValidatingAdmissionPolicy",
        "validatingadmissionpolicies",
        "",
        "sge",
    ),
    (
        "admissionregistration.k8s.io",
        "v1",
        "ValidatingAdmissionPolicyBinding",
        "validatingadmissionpolicybindings",
        "",
        "ge",
    ),
    ("admissionregistration.k8s.io", "v1", "MutatingAdmissionPolicy", "mutatingadmissionpolicies", "", "ge"),
    (
        "admissionregistration.k8s.io",
        "v1",
        "MutatingAdmissionPolicyBinding",
        "mutatingadmissionpolicybindings",
        "",
        "ge",
    ),
    (
        "apiextensions.k8s.io",
        "v1",
        "CustomResourceDefinition",
        "customresourcedefinitions",
        "crd,crds",
        "sge",
    ),
    ("apiregistration.k8s.io", "v1", "APIService", "apiservices", "", "se"),
    ("apps", "v1", "ControllerRevision", "controllerrevisions", "", "n"),
    ("apps", "v1", "DaemonSet", "daemonsets", "ds", "nsga"),
    ("apps", "v1", "Deployment", "deployments", "deploy", "nscga"),
    ("apps", "v1", "ReplicaSet", "replicasets", "rs", "nscga"),
    ("apps", "v1", "StatefulSet", "statefulsets", "sts", "nscga"),
    ("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers", "hpa", "nsga"),
    ("batch", "v1", "CronJob", "cronjobs", "cj", "nsga"),
    ("batch", "v1", "Job", "jobs", "", "nsga"),
    ("certificates.k8s.io", "v1", "CertificateSigningRequest", "certificatesigningrequests", "csr", "s"),
    ("coordination.k8s.io", "v1", "Lease", "leases", "", "nu"),
    ("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices", "", "ng"),
    ("networking.k8s.io", "v1", "Ingress", "ingresses", "ing", "nsg"),
    ("networking.k8s.io", "v1", "IngressClass", "ingressclasses", "", "g"),
    ("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies", "netpol", "ng"),
    ("node.k8s.io", "v1", "RuntimeClass", "runtimeclasses", "", "u"),
    ("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets", "pdb", "nsg"),
    ("rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles", "", "u"),
    ("rbac.authorization.k8s.io", "v1", "ClusterRoleBinding", "clusterrolebindings", "", "u"),
    ("rbac.authorization.k8s.io", "v1", "Role", "roles", "", "nu"),
    ("rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings", "", "nu"),
    ("scheduling.k8s.io", "v1", "PriorityClass", "priorityclasses", "pc", "g"),
    ("storage.k8s.io", "v1", "CSIDriver", "csidrivers", "", "d"),
    ("storage.k8s.io", "v1", "CSINode", "csinodes", "", "d"),
    ("storage.k8s.io", "v1", "StorageClass", "storageclasses", "sc", "d"),
    ("storage.k8s.io", "v1", "VolumeAttachment", "volumeattachments", "", "sd"),
];

fn builtin_resource(id: ResourceId, row: &Row) -> Resource {
    let &(group, version, kind, plural, short, letters) = row;
    let package = match group {
        "" => "core",
        other => other.split('.').next().unwrap_or(other),
    };
    let ty = schema::builtin().find(&format!("{package}.{version}.{kind}")).unwrap_or(Type::Any);
    let scale = letters.contains('c').then(|| Scale {
        spec_path: ".spec.replicas".to_owned(),
        status_path: ".status.replicas".to_owned(),
        selector_path: None,
    });
    Resource {
        id,
        group: group.to_owned(),
        kind: kind.to_owned(),
        plural: plural.to_owned(),
        singular: kind.to_lowercase(),
        short: short.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect(),
        categories: [('a', "all"), ('e', "api-extensions")]
            .into_iter()
            .filter(|(letter, _)| letters.contains(*letter))
            .map(|(_, category)| category.to_owned())
            .collect(),
        namespaced: letters.contains('n'),
        generation: letters.contains('g'),
        created_by_update: letters.contains('u'),
        returned_by_delete: letters.contains('d'),
        versions: vec![Version {
            name: version.to_owned(),
            ty,
            status: letters.contains('s'),
            scale,
            openapi: None,
        }],
        custom: false,
    }
}

/// The built-in resources, shared by every cluster of the process.
fn builtins() -> &'static [Arc<Resource>] {
    static LIST: std::sync::OnceLock<Vec<Arc<Resource>>> = std::sync::OnceLock::new();
    LIST.get_or_init(|| (0_u32..).zip(TABLE).map(|(id, row)| Arc::new(builtin_resource(id, row))).collect())
}

/// The resources of one cluster.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    custom: BTreeMap<(String, String), Arc<Resource>>,
    numbers: BTreeMap<(String, String), ResourceId>,
}

impl Registry {
    /// The resource of this group and plural.
    #[must_use]
    pub(crate) fn find(&self, group: &str, plural: &str) -> Option<Arc<Resource>> {
        builtins()
            .iter()
            .find(|resource| resource.is(group, plural))
            .or_else(|| self.custom.get(&(group.to_owned(), plural.to_owned())))
            .cloned()
    }

    /// The resource of this number.
    #[must_use]
    pub(crate) fn get(&self, id: ResourceId) -> Option<Arc<Resource>> {
        builtins()
            .get(id as usize)
            .or_else(|| self.custom.values().find(|resource| resource.id == id))
            .cloned()
    }

    /// All resources, built-in ones first.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Resource>> {
        builtins().iter().chain(self.custom.values())
    }

    /// Adds or replaces a custom resource. It keeps its number for as long as the cluster lives.
    pub(crate) fn put(&mut self, mut resource: Resource) -> ResourceId {
        let key = (resource.group.clone(), resource.plural.clone());
        let next = u32::try_from(builtins().len() + self.numbers.len()).unwrap_or(u32::MAX);
        resource.id = *self.numbers.entry(key.clone()).or_insert(next);
        let id = resource.id;
        self.custom.insert(key, Arc::new(resource));
        id
    }

    /// Stops serving a custom resource.
    pub(crate) fn remove(&mut self, group: &str, plural: &str) -> Option<Arc<Resource>> {
        self.custom.remove(&(group.to_owned(), plural.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_builtin_kind_has_a_type() {
        for resource in builtins() {
            assert!(!matches!(resource.versions[0].ty, Type::Any), "{}", resource.kind);
        }
    }
}
