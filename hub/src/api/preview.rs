//! What an application would come to, before anything is changed: where it runs, and whether it can be rendered there.

use std::collections::BTreeMap;
use std::sync::Arc;

use nave_common::application::Application;
use nave_common::bundle::Bundle;
use nave_common::cluster::Cluster;
use nave_common::digest::Digest;
use nave_common::manifest::Manifest;
use nave_common::overrides::Override;
use nave_common::placement::Verdict;
use nave_common::status::PlacementReport;

use super::exclusive;
use super::source::Resolved;
use crate::control;
use crate::error::Error;
use crate::parts::Parts;
use crate::plan::assign;

/// Kinds that have no namespace; others are taken to have one.
const CLUSTER_WIDE_KINDS: [&str; 16] = [
    "APIService",
    "ClusterRole",
    "ClusterRoleBinding",
    "ClusterIssuer",
    "CSIDriver",
    "CustomResourceDefinition",
    "GatewayClass",
    "IngressClass",
    "MutatingWebhookConfiguration",
    "Namespace",
    "Node",
    "PersistentVolume",
    "PriorityClass",
    "RuntimeClass",
    "StorageClass",
    "ValidatingWebhookConfiguration",
];

/// What an application would come to.
#[derive(Debug, Clone)]
pub(super) struct Preview {
    /// Where it would run, and why.
    pub placement: PlacementReport,
    /// The clusters on which it would run.
    pub clusters: Vec<Arc<Cluster>>,
    /// What is legal but probably not meant.
    pub warnings: Vec<String>,
}

/// Plans the application, and renders it for every cluster that its placement matches, also those where it does not run
/// now: it may have to go there when nobody is there to mend it.
///
/// # Errors
/// Where it cannot be rendered for one of them; the error names that cluster.
pub(super) async fn preview(
    parts: &Parts,
    application: &Application,
    resolved: &Resolved,
) -> Result<Preview, Error> {
    let requests = resolved.bundle.requests();
    let (placement, clusters, matching) = parts.world.read(|state| {
        let placement = control::preview(state, application, requests);
        let of = |wanted: &[Verdict]| -> Vec<Arc<Cluster>> {
            let some = placement.decisions.iter().filter(|decision| wanted.contains(&decision.verdict));
            let some = some.filter_map(|decision| state.clusters().get(&decision.cluster));
            some.map(|entry| entry.record.value.clone()).collect()
        };
        let (chosen, matching) = (of(&[Verdict::Chosen]), of(&[Verdict::Chosen, Verdict::NotNow]));
        (placement, chosen, matching)
    });
    exclusive::check_bundle(application, resolved.bundle.manifests())?;
    let groups = distinct(application, &matching);
    let (bundle, digest, application_copy) = (resolved.bundle.clone(), resolved.digest, application.clone());
    let rendered =
        tokio::task::spawn_blocking(move || render_all(&application_copy, digest, &bundle, &groups));
    rendered.await.map_err(|error| Error::Internal(format!("a rendering was broken off: {error}")))??;
    let mut warnings = warnings(application, &resolved.bundle);
    warnings.extend(exclusive::warnings(application, matching.len()));
    if clusters.is_empty() {
        warnings.push("no cluster runs it as things are; nave describe application says why".into());
    }
    warnings.extend(placement.problems.iter().cloned());
    Ok(Preview { placement, clusters, warnings })
}

/// One cluster for each set of changes: clusters with the same changes get the same rendering.
fn distinct(application: &Application, clusters: &[Arc<Cluster>]) -> Vec<Arc<Cluster>> {
    let rules = &application.spec.overrides;
    if rules.is_empty() {
        return clusters.first().cloned().into_iter().collect();
    }
    let mut groups: BTreeMap<Digest, Arc<Cluster>> = BTreeMap::new();
    for cluster in clusters {
        let changes = Override::for_cluster(rules, &cluster.metadata.labels).digest();
        groups.entry(changes).or_insert_with(|| cluster.clone());
    }
    groups.into_values().collect()
}

fn render_all(
    application: &Application,
    digest: Digest,
    bundle: &Bundle,
    clusters: &[Arc<Cluster>],
) -> Result<(), Error> {
    for cluster in clusters {
        let rendered = assign::run_for(application, 0, digest, bundle, cluster);
        let (run, rendering) = rendered.map_err(|error| {
            Error::field("spec", format!("cannot be rendered for cluster {}: {error}", cluster.metadata.name))
        })?;
        exclusive::check_rendering(application, bundle, &run, &rendering.manifests)?;
    }
    Ok(())
}

/// What is legal but probably not meant.
fn warnings(application: &Application, bundle: &Bundle) -> Vec<String> {
    let mut warnings = Vec::new();
    if application.spec.namespace.is_none() {
        let homeless = bundle.manifests().iter().filter(|manifest| is_homeless(manifest)).count();
        if homeless > 0 {
            warnings.push(format!(
                "spec.namespace is left out and {homeless} manifests name no namespace: they go to namespace default"
            ));
        }
    }
    let floating: Vec<&str> =
        bundle.manifests().iter().flat_map(Manifest::images).filter(|it| is_floating(it)).collect();
    if let [named, ..] = floating.as_slice() {
        let more =
            if floating.len() > 1 { format!(" and {} more", floating.len() - 1) } else { String::new() };
        warnings.push(format!(
            "image {named}{more} has no fixed version: clusters may run different builds of it, and undo may not undo it"
        ));
    }
    let sync = &application.spec.sync;
    let place = match (sync.suspended, sync.suspended_clusters.len()) {
        (true, _) => Some("everywhere".into()),
        (false, 0) => None,
        (false, 1) => Some("in 1 cluster".into()),
        (false, count) => Some(format!("in {count} clusters")),
    };
    warnings.extend(place.map(|place| {
        format!("writes are suspended {place} until nave resume lets them go on; an apply does not")
    }));
    warnings
}

fn is_homeless(manifest: &Manifest) -> bool {
    let key = manifest.key();
    key.namespace.is_none() && !CLUSTER_WIDE_KINDS.contains(&key.kind.as_str())
}

/// Whether an image has the tag `latest`, or none.
fn is_floating(image: &str) -> bool {
    if image.contains('@') || image.contains("${nave:") {
        return false;
    }
    let name = image.rsplit('/').next().unwrap_or(image);
    name.split_once(':').is_none_or(|(_, tag)| tag == "latest")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_without_a_fixed_version_are_seen() {
        for (image, floating) in [
            ("nginx", true),
            ("nginx:latest", true),
            ("registry:5000/nginx", true),
            ("registry:5000/nginx:1.27", false),
            ("nginx@sha256:00", false),
            ("nginx:${nave:TAG}", false),
        ] {
            assert_eq!(is_floating(image), floating, "{image}");
        }
    }
}
