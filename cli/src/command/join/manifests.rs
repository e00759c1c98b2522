//! What an agent needs in its cluster, as manifests.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nave_common::SYSTEM_NAMESPACE;
use nave_common::metadata::Labels;
use nave_common::name::ClusterName;
use serde_json::{Value, json};

/// The name of everything that belongs to the agent.
const AGENT: &str = "nave-agent";
/// Where the agent serves its probes and metrics.
const HTTP_PORT: u16 = 7481;
/// The user of the agent's image.
const USER: u32 = 65532;

/// What is wanted of an agent.
pub(super) struct Wanted<'a> {
    pub(super) token: &'a str,
    pub(super) name: &'a ClusterName,
    pub(super) labels: &'a Labels,
    pub(super) image: &'a str,
    /// The size of the volume for its identity and cache; `None`: they live in the pod.
    pub(super) volume_size: Option<&'a str>,
}

impl Wanted<'_> {
    /// In the order in which they are applied.
    pub(super) fn manifests(&self) -> Vec<Value> {
        let mut manifests = vec![namespace(), service_account(), role_binding(), self.token_secret()];
        manifests.extend(self.volume_size.map(volume_claim));
        manifests.push(self.deployment());
        manifests
    }

    fn token_secret(&self) -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": metadata(),
            "type": "Opaque",
            "data": {"token": STANDARD.encode(self.token)},
        })
    }

    fn deployment(&self) -> Value {
        let selector = json!({"app.kubernetes.io/name": AGENT});
        json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": metadata(),
            "spec": {
                "replicas": 1,
                // Two agents would work against each other, so the old one goes first.
                "strategy": {"type": "Recreate"},
                "selector": {"matchLabels": selector},
                "template": {
                    "metadata": {"labels": selector},
                    "spec": {
                        "serviceAccountName": AGENT,
                        "securityContext": {
                            "runAsNonRoot": true,
                            "runAsUser": USER,
                            "fsGroup": USER,
                            "seccompProfile": {"type": "RuntimeDefault"},
                        },
                        "containers": [self.container()],
                        "volumes": self.volumes(),
                    },
                },
            },
        })
    }

    fn container(&self) -> Value {
        let probe = |path: &str| json!({"httpGet": {"path": path, "port": "http"}, "periodSeconds": 10});
        json!({
            "name": "agent",
            "image": self.image,
            "args": self.arguments(),
            "ports": [{"name": "http", "containerPort": HTTP_PORT}],
            "livenessProbe": probe("/healthz"),
            "readinessProbe": probe("/readyz"),
            "resources": {
                "requests": {"cpu": "50m", "memory": "64Mi"},
                "limits": {"memory": "256Mi"},
            },
            "securityContext": {
                "allowPrivilegeEscalation": false,
                "readOnlyRootFilesystem": true,
                "capabilities": {"drop": ["ALL"]},
            },
            "volumeMounts": [
                {"name": "data", "mountPath": "/var/lib/nave-agent"},
                {"name": "token", "mountPath": "/var/run/nave", "readOnly": true},
            ],
        })
    }

    fn arguments(&self) -> Vec<String> {
        let mut arguments = vec![
            format!("--name={}", self.name),
            "--token-file=/var/run/nave/token".to_owned(),
            format!("--http-listen=0.0.0.0:{HTTP_PORT}"),
        ];
        arguments.extend(self.labels.iter().map(|(key, value)| format!("--label={key}={value}")));
        arguments
    }

    fn volumes(&self) -> Value {
        let data = match self.volume_size {
            Some(_) => json!({"name": "data", "persistentVolumeClaim": {"claimName": AGENT}}),
            None => json!({"name": "data", "emptyDir": {}}),
        };
        json!([data, {"name": "token", "secret": {"secretName": AGENT, "defaultMode": 0o440}}])
    }
}

fn metadata() -> Value {
    json!({
        "name": AGENT,
        "namespace": SYSTEM_NAMESPACE,
        "labels": {"app.kubernetes.io/name": AGENT, "app.kubernetes.io/part-of": "nave"},
    })
}

fn namespace() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": SYSTEM_NAMESPACE,
            "labels": {
                "app.kubernetes.io/part-of": "nave",
                "pod-security.kubernetes.io/enforce": "restricted",
            },
        },
    })
}

fn service_account() -> Value {
    json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata()})
}

/// The agent applies whatever applications hold, roles and custom resources too; anything less than everything would
/// have to be widened for every new kind.
fn role_binding() -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {
            "name": AGENT,
            "labels": {"app.kubernetes.io/name": AGENT, "app.kubernetes.io/part-of": "nave"},
        },
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "name": AGENT, "namespace": SYSTEM_NAMESPACE}],
    })
}

/// The agent's identity outlives its pod, so that a pod that moves to another node need not enrol again.
fn volume_claim(size: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": metadata(),
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}},
    })
}

#[cfg(test)]
mod tests {
    use nave_common::manifest::Manifest;

    use super::*;

    #[test]
    fn every_manifest_passes_the_check_of_manifests() {
        let labels = [("region".to_owned(), "eu".to_owned())].into();
        let name = "eu-1".parse().unwrap();
        for volume_size in [None, Some("1Gi")] {
            let wanted =
                Wanted { token: "secret", name: &name, labels: &labels, image: "agent:1", volume_size };
            let manifests = wanted.manifests();
            for manifest in &manifests {
                Manifest::new(manifest.clone()).unwrap();
            }
            assert_eq!(manifests.len(), if volume_size.is_some() { 6 } else { 5 });
        }
    }
}
