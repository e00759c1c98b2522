//! What is seen of the clusters of one application, as the failover planner takes it.

use std::collections::BTreeMap;

use nave_common::application::Application;
use nave_common::failover::state::{Cause, FailoverState};
use nave_common::name::{ApplicationKey, ClusterName};
use nave_common::status::Liveness;
use nave_common::time::BootTime;

use crate::plan::assign::Told;
use crate::plan::failover::{Now, Seen, Signal};
use crate::world::{ClusterEntry, Options, State};

/// What is seen of every cluster that is told anything of an application, or that its failover is about.
pub(super) fn seen(
    state: &State,
    application: &Application,
    told: &Told,
    failover: &FailoverState,
    looking: Looking<'_>,
) -> BTreeMap<ClusterName, Seen> {
    let moves = failover.moves.iter().flat_map(|it| [Some(&it.from), it.to.as_ref()]).flatten();
    let grant = failover.grant.iter().map(|grant| &grant.cluster);
    let names = told.keys().chain(failover.parked.keys()).chain(grant).chain(moves);
    let key = application.key();
    let revision = state.latest_revision(&key).map_or(0, |revision| revision.number);
    let mut seen = BTreeMap::new();
    for name in names {
        if !seen.contains_key(name) {
            seen.insert(name.clone(), one(state, application, &key, revision, name, looking));
        }
    }
    seen
}

/// How and when it is looked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Looking<'a> {
    pub(super) options: &'a Options,
    pub(super) now: Now,
}

fn one(
    state: &State,
    application: &Application,
    key: &ApplicationKey,
    revision: u64,
    name: &ClusterName,
    looking: Looking<'_>,
) -> Seen {
    let Some(cluster) = state.clusters().get(name) else {
        // It was taken out of the fleet: nobody will be heard there any more.
        let began_at = state.started().wall;
        let signal = Signal { cause: Cause::Lost, began_at, due_at: state.started().boot };
        return Seen { signal: Some(signal), ..Seen::default() };
    };
    let entry = state.assignment(name, key);
    let facts = entry.map(|entry| entry.facts).unwrap_or_default();
    let standing = entry.map(crate::world::AssignmentEntry::standing);
    let signal = against_cluster(state, cluster, looking).or_else(|| {
        // Only what was well before can have become worse: a Revision that never worked moves nowhere.
        let after = application.spec.failover.degraded_after?;
        let was_healthy = facts.healthy_revision == Some(revision);
        let (_, since) = facts.degraded_since.filter(|(of, _)| *of == revision && was_healthy)?;
        Some(Signal { cause: Cause::Degraded, began_at: since.wall, due_at: since.boot.plus(after.0) })
    });
    let well_since = cluster.observed.facts.well_since();
    // Of what it was told before it may say that all has ended, though it went on since.
    let status = entry.and_then(|entry| {
        entry.status.as_ref().filter(|status| status.generation == entry.assignment.generation)
    });
    let fence = status.and_then(|status| status.fence.clone());
    Seen {
        well_since: well_since.filter(|_| signal.is_none()),
        signal,
        is_applied: standing.is_some_and(|standing| standing.is_applied),
        health: standing.map(|standing| standing.health).unwrap_or_default(),
        was_healthy: facts.healthy_revision == Some(revision),
        fence,
        is_heard: matches!(cluster.observed.liveness, Liveness::Alive | Liveness::Suspect),
    }
}

/// What stands against a cluster as a whole: what counts already before what will count later.
fn against_cluster(state: &State, cluster: &ClusterEntry, looking: Looking<'_>) -> Option<Signal> {
    let Looking { options, now } = looking;
    let observed = &cluster.observed;
    let facts = &observed.facts;
    let last_heard_at = observed.last_heard_at().unwrap_or(state.started().wall);
    match observed.liveness {
        Liveness::Lost => {
            let due_at = facts.lost_since.map_or(now.boot, |since| since.boot);
            return Some(Signal { cause: Cause::Lost, began_at: last_heard_at, due_at });
        }
        Liveness::Unheard => {
            let due_at = unheard_until(state, options);
            return Some(Signal { cause: Cause::Lost, began_at: last_heard_at, due_at });
        }
        Liveness::Alive | Liveness::Suspect => {}
    }
    let sick = facts.sick_since.map(|since| Signal {
        cause: Cause::Sick,
        began_at: since.wall,
        due_at: since.boot.plus(options.failover.sick_after),
    });
    let drained = cluster.record.value.spec.drained.then(|| Signal {
        cause: Cause::Drained,
        began_at: facts.drained_since.map_or(state.started().wall, |since| since.wall),
        due_at: facts.drained_since.map_or(state.started().boot, |since| since.boot),
    });
    match (sick, drained) {
        (Some(sick), Some(drained)) => Some(if sick.due_at <= now.boot { sick } else { drained }),
        (sick, drained) => sick.or(drained),
    }
}

/// Until when a cluster that was not heard since the hub started may still come: its agent has had a liveness lease to
/// find the hub, and the hub has stopped doubting itself.
fn unheard_until(state: &State, options: &Options) -> BootTime {
    let lease = options.liveness_lease;
    state.started().boot.plus(lease).plus(options.failover.startup_freeze(lease))
}
