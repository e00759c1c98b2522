//! From a bundle and one cluster's changes to the manifests for that cluster: the same pure function on hub, agent and
//! command line.
//!
//! The changes are made in a fixed order: the Namespace that `createNamespace` adds, variables, images, replicas,
//! patches, and last the marks of Exclusive work and parking ([`activity`]). Manifests that nothing changes are shared with the bundle, not copied. Nothing changes what identifies an
//! object, so a rendering has the bundle's objects, in the bundle's order; parked, without its bare pods.

pub mod activity;
mod draft;
mod images;
mod patches;
mod replicas;
mod variables;

use std::collections::HashMap;

use serde_json::json;

use crate::assignment::{Activity, Run};
use crate::bundle::{Bundle, MAX_BUNDLE_BYTES};
use crate::digest::Digest;
use crate::failover::{Epoch, ParkRule};
use crate::manifest::Manifest;
use crate::name::{ApplicationKey, NamespaceName};
use crate::overrides::Override;
use crate::resources::Resources;
use draft::Draft;

/// What the rendering depends on besides the bundle.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// The cluster's changes.
    pub override_: &'a Override,
    /// The namespace that `create_namespace` makes.
    pub namespace: Option<&'a NamespaceName>,
    /// Whether a Namespace object is added where the bundle holds none.
    pub create_namespace: bool,
    /// Whether anything runs.
    pub activity: Activity,
    /// How kinds are parked that have no rule here.
    pub park: &'a [ParkRule],
    /// Of Exclusive work: what its pods are marked with.
    pub exclusive: Option<ExclusiveMark<'a>>,
}

/// What the pods of Exclusive work are marked with: fixed for each pod, so that storage can refuse an old one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExclusiveMark<'a> {
    /// Whose pods they are.
    pub application: &'a ApplicationKey,
    /// Their token.
    pub epoch: Epoch,
}

impl<'a> Inputs<'a> {
    /// What a cluster is told to run, as the rendering needs it.
    #[must_use]
    pub fn of(application: &'a ApplicationKey, run: &'a Run) -> Self {
        Self {
            override_: &run.override_,
            namespace: run.namespace.as_ref(),
            create_namespace: run.create_namespace,
            activity: run.activity,
            park: &run.park,
            exclusive: run.exclusive.map(|terms| ExclusiveMark { application, epoch: terms.epoch }),
        }
    }

    /// A plain rendering: everything runs, and nothing of it is Exclusive.
    #[must_use]
    pub fn plain(override_: &'a Override) -> Self {
        Self {
            override_,
            namespace: None,
            create_namespace: false,
            activity: Activity::Active,
            park: &[],
            exclusive: None,
        }
    }
}

/// The manifests for one cluster.
#[derive(Debug, Clone, PartialEq)]
pub struct Rendering {
    /// In the bundle's order.
    pub manifests: Vec<Manifest>,
    /// The digest of all of them, in order.
    pub digest: Digest,
}

impl Rendering {
    fn new(manifests: Vec<Manifest>) -> Self {
        let digests: Vec<Digest> = manifests.iter().map(Manifest::digest).collect();
        let digest = Digest::of_parts(digests.iter().map(|digest| digest.as_bytes().as_slice()));
        Self { manifests, digest }
    }

    /// What these manifests request of their cluster; as [`Bundle::requests`], after the changes.
    #[must_use]
    pub fn requests(&self) -> Resources {
        self.manifests.iter().map(Manifest::requests).fold(Resources::default(), Resources::plus)
    }
}

/// Why a bundle cannot be rendered with some changes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Error(pub String);

/// Renders a bundle for one cluster: variables, images, replicas, patches, in this order.
///
/// # Errors
/// Where a variable is undefined, a change finds nothing to change, or a patch does not apply; the message names the
/// object, the change and what was expected.
pub fn render(bundle: &Bundle, inputs: Inputs<'_>) -> Result<Rendering, Error> {
    let changes = inputs.override_;
    let mut drafts = Vec::with_capacity(bundle.manifests().len() + 1);
    if let Some(namespace) = missing_namespace(bundle, inputs) {
        drafts.push(Draft::new(namespace_object(namespace)?));
    }
    drafts.extend(bundle.manifests().iter().cloned().map(Draft::new));

    variables::fill_in(&mut drafts, &changes.variables)?;
    images::set(&mut drafts, &changes.images)?;
    replicas::set(&mut drafts, &changes.replicas)?;
    patches::apply(&mut drafts, &changes.patches)?;
    activity::mark(&mut drafts, inputs.exclusive)?;
    activity::set(&mut drafts, inputs.activity, inputs.park)?;

    let manifests = drafts.into_iter().map(Draft::finish).collect::<Result<Vec<_>, _>>()?;
    check_size(&manifests)?;
    check_namespaced_twice(&manifests, inputs.namespace)?;
    Ok(Rendering::new(manifests))
}

/// The parked form of a rendering of what runs: the same that [`render`] makes of the bundle with [`Activity::Parked`].
///
/// # Errors
/// Where a rule leaves something that is no manifest, or too much of it.
pub fn park(rendering: &Rendering, rules: &[ParkRule]) -> Result<Rendering, Error> {
    let mut drafts: Vec<Draft> = rendering.manifests.iter().cloned().map(Draft::new).collect();
    activity::set(&mut drafts, Activity::Parked, rules)?;
    let manifests = drafts.into_iter().map(Draft::finish).collect::<Result<Vec<_>, _>>()?;
    check_size(&manifests)?;
    Ok(Rendering::new(manifests))
}

/// The namespace to add: none where it is not asked for or in the bundle already.
fn missing_namespace<'a>(bundle: &Bundle, inputs: Inputs<'a>) -> Option<&'a NamespaceName> {
    let namespace = inputs.namespace.filter(|_| inputs.create_namespace)?;
    let is_there = bundle
        .manifests()
        .iter()
        .map(Manifest::key)
        .any(|key| key.group.is_empty() && key.kind == "Namespace" && key.name == namespace.as_str());
    (!is_there).then_some(namespace)
}

fn namespace_object(name: &NamespaceName) -> Result<Manifest, Error> {
    let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name.as_str()}});
    Manifest::new(object).map_err(|error| Error(format!("Namespace {name}: {error}")))
}

/// Variables and patches may make much of little; the bound of a bundle holds for what comes out, too.
fn check_size(manifests: &[Manifest]) -> Result<(), Error> {
    let byte_count: usize = manifests.iter().map(Manifest::byte_count).sum();
    if byte_count > MAX_BUNDLE_BYTES {
        return Err(Error(format!(
            "the rendered manifests take {byte_count} bytes; at most {MAX_BUNDLE_BYTES} are allowed"
        )));
    }
    Ok(())
}

/// Two manifests that differ only in that one names the namespace which the other leaves to the application are one
/// object in the cluster.
fn check_namespaced_twice(manifests: &[Manifest], namespace: Option<&NamespaceName>) -> Result<(), Error> {
    let default = namespace.map_or("default", NamespaceName::as_str);
    let mut seen = HashMap::with_capacity(manifests.len());
    for key in manifests.iter().map(Manifest::key) {
        let namespace = key.namespace.as_deref().unwrap_or(default);
        if let Some(first) = seen.insert((&key.group, &key.kind, namespace, &key.name), key) {
            return Err(Error(format!(
                "{first} and {key} are the same object: what names no namespace is in {default:?}"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
