//! Puts what came of a request into an object, and into words. No I/O.

use nave_common::digest::Digest;
use nave_common::manifest::ObjectKey;
use nave_common::name::ApplicationKey;
use nave_common::status::SyncState;
use tokio::time::Instant;

use super::object::{Live, Object, Role, Seen, Why};
use super::replan::unknown_digest;
use super::wall_clock;
use crate::api::Error;
use crate::apply::conflict::{Claim, Conflict};
use crate::apply::{look, order};
use crate::observation::{Identity, Observation, Yields};

/// Puts what a look found into an object.
pub(super) fn take_verdict(object: &mut Object, verdict: look::Verdict, asked_at: Instant) {
    let seen = |identity: &Identity| {
        Live::Present(Seen {
            version: identity.version,
            owned: None,
            deleting: identity.deleting,
            suspended: identity.suspended,
            evidence_at: asked_at,
        })
    };
    object.problem = None;
    match verdict {
        look::Verdict::Absent => {
            object.role = Role::Keep;
            object.live = Live::Absent;
        }
        look::Verdict::Ours { live, paths, whole } => {
            object.role = Role::Keep;
            object.live = seen(&live);
            if whole {
                object.claim = Claim::Adoption;
            }
            if let Some(paths) = paths {
                object.paths = paths;
            }
            if let Some(entry) = &mut object.entry {
                entry.adopted |= live.adopted;
                entry.uid = Some(live.uid);
                if live.owner.is_none() {
                    // Its labels are to come back, whatever else is as it should be.
                    entry.applied = unknown_digest();
                }
            }
        }
        look::Verdict::TakeOver(identity) => {
            object.role = Role::Keep;
            object.claim = Claim::Adoption;
            object.live = seen(&identity);
            if let Some(entry) = &mut object.entry {
                entry.adopted = true;
                entry.uid = Some(identity.uid);
            }
        }
        look::Verdict::Leave => {
            object.role = Role::Share;
            object.entry = None;
        }
        look::Verdict::Refuse(why) => {
            object.set_problem(SyncState::OutOfSync, why.clone(), wall_clock());
            object.role = Role::Refused(why);
            object.entry = None;
        }
        look::Verdict::Going | look::Verdict::Failed(_) => {}
    }
}

/// Puts the answer to an apply into an object. True where the inventory must hold something new soon.
pub(super) fn take_applied(
    object: &mut Object,
    digest: Digest,
    created: bool,
    observation: Observation,
    yields: Yields,
) -> bool {
    let api_version = object.resource.gvk.api_version();
    let expected_new = object.live == Live::Absent;
    let Some(entry) = &mut object.entry else { return false };
    let is_new = entry.uid.as_ref() != Some(&observation.identity.uid);
    // It came to be between the look and the apply: it is another's, and so never to be deleted.
    let was_there = expected_new && !created && is_new;
    entry.adopted |= was_there;
    entry.api_version = api_version;
    entry.applied = digest;
    entry.owned = Some(observation.ownership.digest);
    entry.uid = Some(observation.identity.uid.clone());
    object.claim = Claim::Owner;
    object.paths = observation.ownership.paths;
    object.yields = Yields {
        replicas: yields.replicas || observation.yields.replicas,
        ignored: yields.ignored | observation.yields.ignored,
    };
    object.scaled = observation.scaled;
    object.taken = Vec::new();
    object.live = Live::Present(Seen {
        version: observation.identity.version,
        owned: entry.owned,
        deleting: observation.identity.deleting,
        suspended: observation.identity.suspended,
        evidence_at: Instant::now(),
    });
    object.problem = None;
    object.failures = 0;
    object.paused_until = None;
    object.contested_until = None;
    object.set_health(observation.health, wall_clock());
    is_new
}

/// Why an object is not applied whose fields belong to others.
pub(super) fn conflicting(conflicts: &[Conflict]) -> String {
    let named: Vec<_> = conflicts.iter().map(ToString::to_string).collect();
    format!(
        "not applied: {}; make the other stop, take the field out of the manifest, or add it to sync.ignoreFields",
        named.join(", ")
    )
}

/// Whether what went wrong may well be over in a moment, without a person's doing.
pub(super) fn passes_by_itself(error: &Error) -> bool {
    // A namespace or a kind that is not there may be about to come; a namespace that is going makes place for one.
    error.is_transient() || error.is_not_found() || error.code() == 409 || is_terminating(error)
}

fn is_terminating(error: &Error) -> bool {
    error.code() == 403 && error.to_string().contains("because it is being terminated")
}

/// What went wrong, with what a person can do about it.
pub(super) fn explain(error: &Error, object: &Object, key: &ObjectKey) -> String {
    let what = error.describe();
    let hint = match error.code() {
        422 if what.contains("field is immutable") => {
            "; this field cannot be changed: delete the object so that it is made anew, or give it another name"
        }
        404 if key.namespace.is_some() && what.contains("namespaces") => {
            "; make the namespace, or set createNamespace"
        }
        404 if order::may_be_custom(&object.resource.gvk.group) => {
            "; is its CustomResourceDefinition installed?"
        }
        403 if is_terminating(error) => "; it is tried again until the namespace is back",
        403 if !what.contains("admission") => "; the agent's service account may lack the right",
        _ => "",
    };
    format!("{what}{hint}")
}

/// Leaves a trace of an apply.
pub(super) fn log_applied(
    application: &ApplicationKey,
    key: &ObjectKey,
    why: Why,
    forced: &[Conflict],
    object: &Object,
) {
    if why.is_repair() {
        let taken: Vec<_> =
            object.taken.iter().map(|taken| format!("{} by {}", taken.path, taken.manager)).collect();
        tracing::info!(%application, object = %key, ?why, ?taken, forced = forced.len(), "put back");
    } else {
        tracing::debug!(%application, object = %key, ?why, forced = forced.len(), "applied");
    }
}
