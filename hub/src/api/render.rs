//! Renderings and their differences, for people: values of Secrets are masked.

use std::collections::BTreeMap;
use std::sync::Arc;

use nave_common::application::Application;
use nave_common::assignment::{Desired, Run};
use nave_common::bundle::Bundle;
use nave_common::cluster::Cluster;
use nave_common::digest::Digest;
use nave_common::manifest::{Manifest, ObjectKey, masked, masked_pair};
use nave_common::name::{ApplicationKey, ClusterName};
use nave_common::render::{self, Inputs, Rendering};
use nave_proto::v1::{self, render_application_request::What};

use super::source::{self, Resolved};
use super::{apply, preview, read, view};
use crate::error::Error;
use crate::parts::Parts;
use crate::plan::assign;

/// The most bytes of manifests in one answer.
const MAX_ANSWER_BYTES: usize = 48 << 20;

/// What one cluster runs, or would run.
///
/// # Errors
/// Where there is no such application or cluster, or it cannot be rendered.
pub(super) async fn render(
    parts: &Parts,
    request: v1::RenderApplicationRequest,
) -> Result<v1::RenderApplicationResponse, Error> {
    let name = read::cluster("cluster", &request.cluster)?;
    let _place = parts.heavy_place().await?;
    let what = request.what.ok_or_else(|| Error::field("what", "is missing; expected key or application"))?;
    let cluster = cluster(parts, &name)?;
    let (application, resolved) = match what {
        What::Application(wire) => {
            let application = apply::read(Some(wire))?;
            let resolved = source::resolve(parts, &application.spec.source).await?;
            (application, resolved)
        }
        What::Key(key) => {
            let key = read::key(Some(key))?;
            if let Some(run) = told(parts, &name, &key) {
                let rendering = told_rendering(parts, &key, &run).await?;
                return answer(&rendering);
            }
            stored(parts, &key).await?
        }
    };
    let rendering = rendered(application, resolved, vec![cluster]).await?.pop();
    let (_, rendering) = rendering.ok_or_else(|| Error::Internal("nothing was rendered".into()))?;
    answer(&rendering)
}

fn answer(rendering: &Rendering) -> Result<v1::RenderApplicationResponse, Error> {
    let size_bytes: usize = rendering.manifests.iter().map(Manifest::byte_count).sum();
    if size_bytes > MAX_ANSWER_BYTES {
        return Err(Error::Exhausted(format!(
            "the rendering takes {size_bytes} bytes, too many for one answer"
        )));
    }
    let manifests = rendering.manifests.iter().map(|it| masked(it.object()).to_string().into()).collect();
    Ok(v1::RenderApplicationResponse { manifests, rendering: rendering.digest.to_string() })
}

/// What an apply would change, in which clusters.
///
/// # Errors
/// Where the application is refused, or there is no such cluster.
pub(super) async fn diff(
    parts: &Parts,
    request: v1::DiffApplicationRequest,
) -> Result<v1::DiffApplicationResponse, Error> {
    let names = read::clusters("clusters", &request.clusters)?;
    parts.world.read(|state| names.iter().try_for_each(|name| view::known_cluster(state, name)))?;
    let _place = parts.heavy_place().await?;
    let wire = request.application.ok_or_else(|| Error::field("application", "is missing"))?;
    let (key, after) = if wire.spec.is_some() {
        let application = apply::read(Some(wire))?;
        let resolved = source::resolve(parts, &application.spec.source).await?;
        let chosen = preview::preview(parts, &application, &resolved).await?.clusters;
        let chosen =
            chosen.into_iter().filter(|it| names.is_empty() || names.contains(&it.metadata.name)).collect();
        (application.key(), rendered(application, resolved, chosen).await?)
    } else {
        let metadata = wire.metadata.ok_or_else(|| Error::field("application.metadata", "is missing"))?;
        let key = v1::ApplicationKey { project: metadata.project, name: metadata.name };
        let key = read::key(Some(key))?;
        if parts.world.read(|state| !state.applications().contains_key(&key)) {
            return Err(view::no_application(&key));
        }
        (key, Vec::new())
    };
    let mut pairs: BTreeMap<ClusterName, Pair> = BTreeMap::new();
    for (name, rendering) in after {
        pairs.entry(name).or_default().after = Some(rendering);
    }
    let told: Vec<(ClusterName, Run)> = all_told(parts, &key);
    let mut known: BTreeMap<Digest, Arc<Rendering>> = BTreeMap::new();
    for (name, run) in told.into_iter().filter(|(name, _)| names.is_empty() || names.contains(name)) {
        let rendering = match known.get(&run.rendering) {
            Some(rendering) => rendering.clone(),
            None => {
                let rendering = told_rendering(parts, &key, &run).await?;
                known.insert(run.rendering, rendering.clone());
                rendering
            }
        };
        pairs.entry(name).or_default().before = Some(rendering);
    }
    Ok(v1::DiffApplicationResponse { diffs: grouped(pairs) })
}

/// What a cluster runs, and what it would run.
#[derive(Debug, Default)]
struct Pair {
    before: Option<Arc<Rendering>>,
    after: Option<Arc<Rendering>>,
}

impl Pair {
    /// Equal for clusters in which the same changes.
    fn digests(&self) -> [Option<Digest>; 2] {
        [&self.before, &self.after].map(|rendering| rendering.as_ref().map(|it| it.digest))
    }
}

/// Clusters with the same difference are named together.
fn grouped(pairs: BTreeMap<ClusterName, Pair>) -> Vec<v1::ClusterDiff> {
    let mut groups: BTreeMap<[Option<Digest>; 2], v1::ClusterDiff> = BTreeMap::new();
    for (name, pair) in pairs {
        let digests = pair.digests();
        if digests[0] != digests[1] {
            let group = groups.entry(digests);
            let diff = || v1::ClusterDiff { clusters: Vec::new(), objects: objects(&pair) };
            group.or_insert_with(diff).clusters.push(name.to_string());
        }
    }
    groups.into_values().collect()
}

fn objects(pair: &Pair) -> Vec<v1::ObjectDiff> {
    let by_key = |rendering: &Option<Arc<Rendering>>| -> BTreeMap<ObjectKey, Manifest> {
        let manifests = rendering.iter().flat_map(|it| it.manifests.iter());
        manifests.map(|it| (it.key().clone(), it.clone())).collect()
    };
    let (before, after) = (by_key(&pair.before), by_key(&pair.after));
    let mut keys: Vec<&ObjectKey> = before.keys().chain(after.keys()).collect();
    keys.sort();
    keys.dedup();
    let text = |value: &serde_json::Value| value.to_string().into();
    let diff = |key: &ObjectKey| {
        let mut diff = v1::ObjectDiff { object: Some(key.into()), ..v1::ObjectDiff::default() };
        match (before.get(key), after.get(key)) {
            (Some(before), Some(after)) if before.digest() == after.digest() => return None,
            (Some(before), Some(after)) => {
                let (before, after) = masked_pair(before.object(), after.object());
                (diff.before, diff.after) = (text(&before), text(&after));
            }
            (Some(before), None) => diff.before = text(&masked(before.object())),
            (None, Some(after)) => diff.after = text(&masked(after.object())),
            (None, None) => return None,
        }
        Some(diff)
    };
    keys.into_iter().filter_map(diff).collect()
}

fn cluster(parts: &Parts, name: &ClusterName) -> Result<Arc<Cluster>, Error> {
    let found = parts.world.read(|state| Some(state.clusters().get(name)?.record.value.clone()));
    found.ok_or_else(|| view::no_cluster(name))
}

fn told(parts: &Parts, cluster: &ClusterName, key: &ApplicationKey) -> Option<Run> {
    parts.world.read(|state| match &state.assignment(cluster, key)?.assignment.desired {
        Desired::Run(run) => Some(Run::clone(run)),
        Desired::Remove => None,
    })
}

fn all_told(parts: &Parts, key: &ApplicationKey) -> Vec<(ClusterName, Run)> {
    parts.world.read(|state| {
        let told = state.assignments_of(key).into_iter().flat_map(|told| told.iter());
        let runs = told.filter_map(|(name, assignment)| match &assignment.desired {
            Desired::Run(run) => Some((name.clone(), Run::clone(run))),
            Desired::Remove => None,
        });
        runs.collect()
    })
}

/// The application and Revision that the hub has.
async fn stored(parts: &Parts, key: &ApplicationKey) -> Result<(Application, Resolved), Error> {
    let found = parts.world.read(|state| {
        let application = Application::clone(&state.applications().get(key)?.value);
        Some((application, state.latest_revision(key).cloned()))
    });
    let (application, revision) = found.ok_or_else(|| view::no_application(key))?;
    let revision =
        revision.ok_or_else(|| Error::Refused(format!("application {key} has no revision yet")))?;
    let bundle = parts.bundles.get(&revision.bundle).await?;
    let (digest, origin) = (revision.bundle, revision.origin.clone());
    let resolved = Resolved { bundle, digest, unkept: None, origin, _pin: parts.bundles.pin(digest)? };
    Ok((application, resolved))
}

/// What a cluster is told to run, rendered.
async fn told_rendering(
    parts: &Parts,
    application: &ApplicationKey,
    run: &Run,
) -> Result<Arc<Rendering>, Error> {
    let (bundle, run) = (parts.bundles.get(&run.bundle).await?, run.clone());
    let application = application.clone();
    let rendering = blocking(move || render::render(&bundle, Inputs::of(&application, &run)));
    let rendering = rendering
        .await?
        .map_err(|error| Error::Internal(format!("an assignment cannot be rendered: {error}")))?;
    Ok(Arc::new(rendering))
}

/// The application for each of these clusters; equal renderings share their memory.
async fn rendered(
    application: Application,
    resolved: Resolved,
    clusters: Vec<Arc<Cluster>>,
) -> Result<Vec<(ClusterName, Arc<Rendering>)>, Error> {
    let bundle: Arc<Bundle> = resolved.bundle;
    blocking(move || {
        let mut known: BTreeMap<Digest, Arc<Rendering>> = BTreeMap::new();
        let one = |cluster: Arc<Cluster>| {
            let name = cluster.metadata.name.clone();
            let (_, rendering) = assign::run_for(&application, 0, resolved.digest, &bundle, &cluster)
                .map_err(|error| {
                    Error::field("spec", format!("cannot be rendered for cluster {name}: {error}"))
                })?;
            let shared = known.entry(rendering.digest).or_insert_with(|| Arc::new(rendering));
            Ok((name, shared.clone()))
        };
        clusters.into_iter().map(one).collect()
    })
    .await?
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::Internal(format!("a rendering was broken off: {error}")))
}
