//! What every cluster has from its start: namespaces, nodes, the service of the API itself, some roles.

use jiff::Timestamp;
use serde_json::json;

use crate::state::State;

/// Fills an empty cluster.
pub(crate) fn fill(state: &mut State, now: Timestamp) {
    for name in ["kube-system", "default", "kube-node-lease", "kube-public"] {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        state.create_as("kube-apiserver", namespace, now);
    }
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "kubernetes",
        "namespace": "default", "labels": {"component": "apiserver", "provider": "kubernetes"}},
        "spec": {"clusterIP": "10.96.0.1", "ports": [{"name": "https", "port": 443, "targetPort": 6443}]}});
    state.create_as("kube-apiserver", service, now);
    for (name, verbs) in [("cluster-admin", json!(["*"])), ("view", json!(["get", "list", "watch"]))] {
        let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": {"name": name, "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"}},
            "rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": verbs}]});
        state.create_as("kube-apiserver", role, now);
    }
    for number in 1..=state.config.nodes {
        node(state, number, now);
    }
}

fn node(state: &mut State, number: usize, now: Timestamp) {
    let name = format!("node-{number}");
    let mut labels = json!({"kubernetes.io/arch": "amd64", "kubernetes.io/os": "linux",
        "kubernetes.io/hostname": name});
    for (key, value) in state.config.node_labels.clone() {
        labels[key] = json!(value);
    }
    let config = &state.config;
    let capacity = json!({"cpu": config.node_cpu, "memory": config.node_memory, "pods": "110",
        "ephemeral-storage": "100Gi"});
    let time = crate::meta::time_text(now);
    let condition = |kind: &str, status: &str, reason: &str| {
        json!({"type": kind, "status": status, "reason": reason, "message": "",
            "lastHeartbeatTime": time, "lastTransitionTime": time})
    };
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels},
        "spec": {"podCIDR": format!("10.244.{number}.0/24"), "providerID": format!("sim://{}/{name}", config.name)},
        "status": {"capacity": capacity, "allocatable": capacity,
            "conditions": [condition("MemoryPressure", "False", "KubeletHasSufficientMemory"),
                condition("DiskPressure", "False", "KubeletHasNoDiskPressure"),
                condition("PIDPressure", "False", "KubeletHasSufficientPID"),
                condition("Ready", "True", "KubeletReady")],
            "addresses": [{"type": "InternalIP", "address": format!("10.1.0.{}", number % 250 + 1)},
                {"type": "Hostname", "address": name}],
            "nodeInfo": {"kubeletVersion": config.version, "kubeProxyVersion": "", "architecture": "amd64",
                "operatingSystem": "linux", "osImage": "Nave simulated node", "kernelVersion": "6.0.0",
                "containerRuntimeVersion": "sim://1.0", "machineID": name, "systemUUID": name, "bootID": name}}});
    state.create_as("kubelet", node, now);
}
