//! Carries out one apply: without force first, and with force or with less only as [`super::conflict`] decides.

use std::sync::Arc;

use nave_common::manifest::{Manifest, ObjectKey};
use nave_common::time::Timestamp;
use serde_json::{Value, json};

use super::body::{self, Dressing};
use super::conflict::{self, Claim, Conflict, Resolution, Taking};
use crate::api::{Api, Applied, ApplyOptions, Error, Resource, Target};
use crate::observation::{Lens, Observation, Yields};
use crate::ownership::{self, exclusion};
use crate::work::Work;

/// Plain, after yielding replicas, after yielding ignored fields, with force.
const MAX_ATTEMPTS: usize = 4;

/// One object to apply.
#[derive(Debug, Clone)]
pub struct Request {
    /// The assignment that wants it.
    pub work: Arc<Work>,
    /// Its place in the rendering.
    pub index: u32,
    /// Its key, with the namespace that it gets.
    pub key: Arc<ObjectKey>,
    /// Its kind.
    pub resource: Arc<Resource>,
    /// The UID that it must have; none where it is to be made.
    pub uid: Option<String>,
    /// Whether it was there before and is or was taken over.
    pub adopted: bool,
    /// Why Nave may write to it.
    pub claim: Claim,
    /// Hashes of the paths that Nave owned after its last apply.
    pub last: Box<[u64]>,
    /// What is left to others.
    pub yields: Yields,
    /// The replicas with which an autoscaler begins again.
    pub scaled: Option<u32>,
    /// Whose fields it may take besides those that are Nave's.
    pub taking: Taking,
}

/// How an apply went.
#[derive(Debug)]
pub enum Outcome {
    /// It is in the cluster as wanted.
    Applied {
        /// Whether it was made just now.
        created: bool,
        /// What it is now.
        observation: Observation,
        /// What was left to others in the end.
        yields: Yields,
        /// The fields that were taken back from other managers.
        forced: Vec<Conflict>,
    },
    /// Fields belong to others; nothing was written.
    Conflicting(Vec<Conflict>),
    /// The object with the UID that was named is gone, or another has its place; nothing was written.
    Replaced,
    /// It did not work.
    Failed(Error),
}

/// Applies one object.
pub async fn apply(api: &Api, request: &Request, now: Timestamp) -> Outcome {
    let Some(manifest) = manifest(request) else {
        // The reconciler names only objects of the rendering that it holds.
        return Outcome::Replaced;
    };
    let ignored = exclusion::of_work(&request.work, &request.key, manifest.object());
    let is_parked = request.work.is_parked();
    let target = Target {
        resource: &request.resource,
        namespace: request.key.namespace.as_deref(),
        name: &request.key.name,
    };
    let mut yields = request.yields;
    let mut force = false;
    let mut forced = Vec::new();
    for _ in 0..MAX_ATTEMPTS {
        let object = body::dress(
            manifest,
            Dressing {
                application: &request.work.assignment.application,
                key: &request.key,
                uid: request.uid.as_deref(),
                adopted: request.adopted,
                yields,
                scaled: request.scaled,
                is_parked,
                ignored: &ignored,
            },
        );
        let answer = api.apply(target, &object, ApplyOptions { force, dry_run: false }).await;
        let refusal = match answer {
            Ok(applied) => {
                let lens = Lens {
                    field_manager: api.field_manager(),
                    manifest: Some(manifest.object()),
                    ignored: &ignored,
                    is_parked,
                    now,
                };
                return finish(api, target, request, applied, lens, yields, forced).await;
            }
            Err(Error::Refused(refusal)) => refusal,
            Err(error) => return Outcome::Failed(error),
        };
        if refusal.is_uid_mismatch() {
            return Outcome::Replaced;
        }
        if force || !refusal.is_field_conflict() {
            return Outcome::Failed(refusal.into());
        }
        let conflicts = conflict::conflicts(&refusal);
        if request.uid.is_none() && request.claim != Claim::Adoption {
            // It was to be made, and is there: whose it is must be found out first.
            return Outcome::Conflicting(conflicts);
        }
        match conflict::resolve(&conflicts, request.claim, request.taking, &request.last, &ignored) {
            Resolution::Refuse(foreign) => return Outcome::Conflicting(foreign),
            Resolution::Force => {
                force = true;
                forced = conflicts;
            }
            Resolution::Yield { replicas, ignored } => {
                yields.replicas |= replicas;
                yields.ignored |= ignored;
            }
        }
    }
    Outcome::Conflicting(forced)
}

fn manifest(request: &Request) -> Option<&Manifest> {
    request.work.rendering.as_ref()?.manifests.get(request.index as usize)
}

async fn finish(
    api: &Api,
    target: Target<'_>,
    request: &Request,
    applied: Applied,
    lens: Lens<'_>,
    yields: Yields,
    forced: Vec<Conflict>,
) -> Outcome {
    let mut object = applied.object;
    if request.claim == Claim::Adoption {
        match take_over_tools(api, target, &object).await {
            Ok(Some(patched)) => object = patched,
            Ok(None) => {}
            Err(error) => return Outcome::Failed(error),
        }
    }
    let observation = Observation::of(&object, lens);
    Outcome::Applied { created: applied.created, observation, yields, forced }
}

/// Drops the entries of the tools that made an object before Nave took it over. As long as they stood there, a field
/// that Nave no longer wants would stay, because they seem to want it.
async fn take_over_tools(api: &Api, target: Target<'_>, object: &Value) -> Result<Option<Value>, Error> {
    let managed = &object["metadata"]["managedFields"];
    let is_of_tool = |entry: &ownership::Entry<'_>| {
        entry.subresource.is_empty()
            && conflict::is_tool(entry.manager)
            && entry.manager != api.field_manager()
    };
    let keep: Vec<bool> = ownership::entries(object).map(|entry| !is_of_tool(&entry)).collect();
    if keep.iter().all(|keep| *keep) {
        return Ok(None);
    }
    let kept: Vec<&Value> = managed
        .as_array()
        .into_iter()
        .flatten()
        .zip(&keep)
        .filter_map(|(entry, keep)| keep.then_some(entry))
        .collect();
    let patch = json!([
        {"op": "test", "path": "/metadata/resourceVersion", "value": object["metadata"]["resourceVersion"]},
        {"op": "replace", "path": "/metadata/managedFields", "value": kept},
    ]);
    api.json_patch(target, &patch).await.map(Some)
}
