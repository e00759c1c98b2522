//! Pod templates: where they stand in each kind, what they request, which images they run.

use serde_json::Value;

use super::{Manifest, ObjectKey};
use crate::quantity;
use crate::resources::Resources;

/// The lists of containers in a pod.
pub(super) const CONTAINER_FIELDS: [&str; 3] = ["containers", "initContainers", "ephemeralContainers"];

/// Where the pod's spec stands in an object of this kind; `None` where the kind has no pod.
pub(super) fn spec_path(key: &ObjectKey) -> Option<&'static [&'static str]> {
    match (key.group.as_str(), key.kind.as_str()) {
        ("", "Pod") => Some(&["spec"]),
        ("", "PodTemplate") => Some(&["template", "spec"]),
        ("", "ReplicationController")
        | ("apps", "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet")
        | ("batch", "Job") => Some(&["spec", "template", "spec"]),
        ("batch", "CronJob") => Some(&["spec", "jobTemplate", "spec", "template", "spec"]),
        _ => None,
    }
}

/// The pod's spec in an object of this kind.
pub(crate) fn pod_spec<'a>(key: &ObjectKey, object: &'a Value) -> Option<&'a Value> {
    spec_path(key)?.iter().try_fold(object, |at, field| at.get(field))
}

/// As [`pod_spec`], for changes.
pub(crate) fn pod_spec_mut<'a>(key: &ObjectKey, object: &'a mut Value) -> Option<&'a mut Value> {
    spec_path(key)?.iter().try_fold(object, |at, field| at.get_mut(field))
}

/// An image's name without tag and digest: `registry:5000/shop/cart` of `registry:5000/shop/cart:1.9@sha256:…`.
pub(crate) fn repository(image: &str) -> &str {
    let named = image.split_once('@').map_or(image, |(named, _)| named);
    match named.rsplit_once(':') {
        // A colon before the last '/' is that of a registry's port.
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => named,
    }
}

impl Manifest {
    /// The spec of the pods that this object makes; `None` where it makes none.
    #[must_use]
    pub fn pod_spec(&self) -> Option<&Value> {
        pod_spec(self.key(), self.object())
    }

    /// The images of its containers and init containers, in order.
    pub fn images(&self) -> impl Iterator<Item = &str> {
        self.pod_spec()
            .into_iter()
            .flat_map(|spec| CONTAINER_FIELDS.iter().flat_map(|field| items(spec, field)))
            .filter_map(|container| container.get("image")?.as_str())
    }

    /// How many pods run at once: replicas of a workload, parallelism of a Job, one of a bare Pod.
    ///
    /// A CronJob counts as the one Job that it starts, since its cluster needs the room when the hour comes. Suspended
    /// Jobs count nothing. A DaemonSet counts nothing, too: it runs once a node, wherever the application is placed,
    /// so it says nothing about which cluster has room, and its number is not known before one is chosen.
    #[must_use]
    pub fn pod_count(&self) -> u64 {
        let field = |path: &str| self.object().pointer(path);
        let count = |path: &str| field(path).and_then(Value::as_u64).unwrap_or(1);
        let suspended = || field("/spec/suspend").and_then(Value::as_bool).unwrap_or(false);
        match (self.key().group.as_str(), self.key().kind.as_str()) {
            ("", "Pod") => 1,
            ("", "ReplicationController") | ("apps", "Deployment" | "StatefulSet" | "ReplicaSet") => {
                count("/spec/replicas")
            }
            ("batch", "Job" | "CronJob") if suspended() => 0,
            ("batch", "Job") => count("/spec/parallelism"),
            ("batch", "CronJob") => count("/spec/jobTemplate/spec/parallelism"),
            _ => 0,
        }
    }

    /// What all its pods together request, as the scheduler counts it.
    #[must_use]
    pub fn requests(&self) -> Resources {
        let count = self.pod_count();
        match self.pod_spec() {
            Some(spec) if count > 0 => pod_requests(spec).times(count),
            _ => Resources::default(),
        }
    }
}

/// What one pod requests: its containers together with its sidecars, or its init containers where one of those needs
/// more. See <https://kubernetes.io/docs/concepts/workloads/pods/init-containers/#resource-sharing-within-containers>.
fn pod_requests(spec: &Value) -> Resources {
    let (mut sidecars, mut peak) = (Resources::default(), Resources::default());
    for container in items(spec, "initContainers") {
        let requests = container_requests(container);
        if container.get("restartPolicy").and_then(Value::as_str) == Some("Always") {
            sidecars = sidecars.plus(requests);
            peak = greatest(peak, sidecars);
        } else {
            peak = greatest(peak, sidecars.plus(requests));
        }
    }
    let running = items(spec, "containers").map(container_requests).fold(sidecars, Resources::plus);
    let mut requests = greatest(running, peak);
    // A pod's own requests, where it has some, stand for all its containers.
    if let Some(own) = spec.pointer("/resources/requests") {
        requests.cpu_millicores = cpu(own).unwrap_or(requests.cpu_millicores);
        requests.memory_bytes = memory(own).unwrap_or(requests.memory_bytes);
    }
    if let Some(overhead) = spec.get("overhead") {
        requests.cpu_millicores = requests.cpu_millicores.saturating_add(cpu(overhead).unwrap_or(0));
        requests.memory_bytes = requests.memory_bytes.saturating_add(memory(overhead).unwrap_or(0));
    }
    Resources { pods: 1, ..requests }
}

/// What one container requests; its limit where it does not say.
fn container_requests(container: &Value) -> Resources {
    let either = |read: fn(&Value) -> Option<u64>| {
        let of = |path| container.pointer(path).and_then(read);
        of("/resources/requests").or_else(|| of("/resources/limits")).unwrap_or(0)
    };
    Resources { cpu_millicores: either(cpu), memory_bytes: either(memory), pods: 0 }
}

fn cpu(amounts: &Value) -> Option<u64> {
    amount(amounts, "cpu").as_deref().and_then(quantity::millicores)
}

fn memory(amounts: &Value) -> Option<u64> {
    amount(amounts, "memory").as_deref().and_then(quantity::bytes)
}

/// A quantity as text; people write `cpu: 2` as often as `cpu: "2"`.
fn amount(amounts: &Value, resource: &str) -> Option<String> {
    match amounts.get(resource)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn greatest(a: Resources, b: Resources) -> Resources {
    Resources {
        cpu_millicores: a.cpu_millicores.max(b.cpu_millicores),
        memory_bytes: a.memory_bytes.max(b.memory_bytes),
        pods: a.pods.max(b.pods),
    }
}

fn items<'a>(parent: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> {
    parent.get(field).and_then(Value::as_array).into_iter().flatten()
}
