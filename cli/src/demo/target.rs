//! The object of an application that a demo changes and breaks: found in whatever manifests were given.

use anyhow::Context as _;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::discovery::{self, Scope};
use nave_common::bundle::Bundle;
use nave_common::manifest::Manifest;
use serde_json::{Value, json};

/// The annotation that the demo's change sets. It is there for whoever looks at the object, and nothing reads it.
pub(crate) const ANNOTATION: &str = "demo.nave.dev/change";

/// The object that is changed and broken, and what can be done with it.
pub(crate) struct Target {
    manifest: Manifest,
    namespace: String,
}

impl Target {
    /// A Deployment, if there is one; else the first object.
    pub(crate) fn choose(bundle: &Bundle, namespace: &str) -> anyhow::Result<Self> {
        let manifests = bundle.manifests();
        let found = manifests.iter().find(|manifest| is_deployment(manifest)).or(manifests.first());
        let manifest = found.context("there are no manifests")?.clone();
        let namespace = manifest.key().namespace.clone().unwrap_or_else(|| namespace.to_owned());
        Ok(Self { manifest, namespace })
    }

    /// A small object that can be deleted by hand without harm to what it serves for long: a Service or a ConfigMap.
    pub(crate) fn deletable(bundle: &Bundle, namespace: &str) -> Option<Self> {
        let small = |kind: &str| bundle.manifests().iter().find(|manifest| manifest.key().kind == kind);
        let manifest = small("Service").or_else(|| small("ConfigMap"))?.clone();
        let namespace = manifest.key().namespace.clone().unwrap_or_else(|| namespace.to_owned());
        Some(Self { manifest, namespace })
    }

    /// How many replicas the manifests want, if it is a Deployment.
    pub(crate) fn replicas(&self) -> Option<u32> {
        let replicas = self.manifest.object().pointer("/spec/replicas").and_then(Value::as_u64).unwrap_or(1);
        is_deployment(&self.manifest).then(|| u32::try_from(replicas).unwrap_or(u32::MAX))
    }

    /// The change, as an override rule of an Application.
    pub(crate) fn change(&self, value: &str) -> nave_common::overrides::OverrideRule {
        let key = self.manifest.key();
        let target = nave_common::overrides::Target {
            group: Some(key.group.clone()),
            kind: key.kind.clone(),
            name: Some(key.name.clone()),
            namespace: None,
        };
        let merge = json!({"metadata": {"annotations": {ANNOTATION: value}}});
        let patch = nave_common::overrides::Patch { target, json: None, merge: Some(merge) };
        let replicas =
            self.replicas().map(|count| (format!("{}/{}", key.kind, key.name), count.saturating_add(1)));
        nave_common::overrides::OverrideRule {
            replicas: replicas.into_iter().collect(),
            patches: vec![patch],
            ..Default::default()
        }
    }

    /// Whether the object in this cluster is as `value` and, for a Deployment, `replicas` say.
    pub(crate) async fn is(
        &self,
        client: &kube::Client,
        value: &str,
        replicas: Option<u32>,
    ) -> anyhow::Result<bool> {
        let Some(live) = self.api(client).await?.get_opt(&self.manifest.key().name).await? else {
            return Ok(false);
        };
        let annotation = live.metadata.annotations.as_ref().and_then(|all| all.get(ANNOTATION));
        let count = live.data.pointer("/spec/replicas").and_then(Value::as_u64);
        Ok(annotation.is_some_and(|found| found == value)
            && replicas.is_none_or(|wanted| count == Some(u64::from(wanted))))
    }

    /// Breaks the object as a person would: by another field manager, to something else.
    pub(crate) async fn break_by_hand(&self, client: &kube::Client) -> anyhow::Result<()> {
        let mut patch = json!({"metadata": {"annotations": {ANNOTATION: "broken by hand"}}});
        if is_deployment(&self.manifest) {
            patch["spec"] = json!({"replicas": 0});
        }
        let by = PatchParams { field_manager: Some("a-person".into()), ..PatchParams::default() };
        self.api(client).await?.patch(&self.manifest.key().name, &by, &Patch::Merge(patch)).await?;
        Ok(())
    }

    /// Deletes the object.
    pub(crate) async fn delete_by_hand(&self, client: &kube::Client) -> anyhow::Result<()> {
        self.api(client).await?.delete(&self.manifest.key().name, &DeleteParams::default()).await?;
        Ok(())
    }

    /// The UID of the object, if it is there.
    pub(crate) async fn uid(&self, client: &kube::Client) -> anyhow::Result<Option<String>> {
        let live = self.api(client).await?.get_opt(&self.manifest.key().name).await?;
        Ok(live.and_then(|object| object.metadata.uid))
    }

    /// `Deployment shop/frontend`.
    pub(crate) fn shown(&self) -> String {
        self.manifest.key().to_string()
    }

    async fn api(&self, client: &kube::Client) -> anyhow::Result<Api<DynamicObject>> {
        let (group, version) =
            self.manifest.api_version().split_once('/').unwrap_or(("", self.manifest.api_version()));
        let gvk = GroupVersionKind::gvk(group, version, &self.manifest.key().kind);
        let (resource, capabilities) = discovery::pinned_kind(client, &gvk).await?;
        Ok(match capabilities.scope {
            Scope::Cluster => Api::all_with(client.clone(), &resource),
            Scope::Namespaced => Api::namespaced_with(client.clone(), &self.namespace, &resource),
        })
    }
}

fn is_deployment(manifest: &Manifest) -> bool {
    manifest.key().kind == "Deployment" && manifest.key().group == "apps"
}
