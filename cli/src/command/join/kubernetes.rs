//! The cluster of a kubeconfig, as far as joining needs it: server-side apply, one object after the other.

use std::path::Path;
use std::time::Duration;

use kube::api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use serde_json::Value;

use crate::exit::{Failure, Outcome};

/// The field manager under which the agent's own objects are written.
const FIELD_MANAGER: &str = "nave-join";
/// How long the API server may take for one object.
const TIMEOUT: Duration = Duration::from_secs(30);

pub(super) struct Kubernetes {
    client: Client,
    address: String,
}

impl Kubernetes {
    pub(super) async fn connect(kubeconfig: Option<&Path>, context: Option<&str>) -> Outcome<Self> {
        let options =
            KubeConfigOptions { context: context.map(str::to_owned), ..KubeConfigOptions::default() };
        let refused = |error: &dyn std::error::Error| {
            Failure::failed(format!("cannot use the kubeconfig: {}", whole(error)))
                .hint("name one with --kubeconfig FILE and --kube-context NAME, or use --print and apply what it prints")
        };
        let config = match kubeconfig {
            Some(path) => {
                let file = Kubeconfig::read_from(path).map_err(|error| refused(&error))?;
                Config::from_custom_kubeconfig(file, &options).await
            }
            None => Config::from_kubeconfig(&options).await,
        };
        let mut config = config.map_err(|error| refused(&error))?;
        config.connect_timeout = Some(TIMEOUT);
        config.read_timeout = Some(TIMEOUT);
        let address = config.cluster_url.to_string();
        let client = Client::try_from(config).map_err(|error| refused(&error))?;
        Ok(Self { client, address })
    }

    pub(super) fn address(&self) -> &str {
        self.address.trim_end_matches('/')
    }

    /// Applies one object. The answer is a word for what was done.
    pub(super) async fn apply(&self, manifest: &Value, dry_run: bool) -> Outcome<&'static str> {
        let text = |pointer: &str| manifest.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let (group, version) = text("/apiVersion").split_once('/').unwrap_or(("", text("/apiVersion")));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, text("/kind")));
        let namespace = text("/metadata/namespace");
        let api: Api<DynamicObject> = if namespace.is_empty() {
            Api::all_with(self.client.clone(), &resource)
        } else {
            Api::namespaced_with(self.client.clone(), namespace, &resource)
        };
        let params = PatchParams { dry_run, ..PatchParams::apply(FIELD_MANAGER).force() };
        match api.patch(text("/metadata/name"), &params, &Patch::Apply(manifest)).await {
            Ok(_) => Ok("applied"),
            // A dry run makes no namespace, so what would stand in a new one cannot be looked at.
            Err(kube::Error::Api(status)) if dry_run && status.code == 404 && !namespace.is_empty() => {
                Ok("would be applied; its namespace is not there yet")
            }
            Err(error) => Err(self.refused(&error).about(name(manifest))),
        }
    }

    fn refused(&self, error: &kube::Error) -> Failure {
        match error {
            kube::Error::Api(status) => {
                let failure = Failure::failed(&status.message);
                match status.code {
                    401 | 403 => failure.hint("joining needs the rights of a cluster administrator"),
                    _ => failure,
                }
            }
            other => {
                Failure::failed(format!("cannot reach the cluster at {}: {}", self.address, whole(other)))
            }
        }
    }
}

/// `Deployment nave-system/nave-agent`
pub(super) fn name(manifest: &Value) -> String {
    let text = |pointer: &str| manifest.pointer(pointer).and_then(Value::as_str);
    let kind = text("/kind").unwrap_or_default();
    let name = text("/metadata/name").unwrap_or_default();
    match text("/metadata/namespace") {
        Some(namespace) => format!("{kind} {namespace}/{name}"),
        None => format!("{kind} {name}"),
    }
}

/// An error with all its causes, each once.
fn whole(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let why = error.to_string();
        if !text.contains(&why) {
            text = format!("{text}: {why}");
        }
        cause = error.source();
    }
    text
}
