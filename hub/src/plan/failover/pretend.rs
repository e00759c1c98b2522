//! What would move if clusters were lost: planned as it would be, one application after the other by priority, each
//! seeing the room that those before it took. Nothing is changed.

use std::collections::{BTreeMap, BTreeSet};

use nave_common::application::Application;
use nave_common::assignment::Generation;
use nave_common::failover::state::{Cause, FailoverState, Move};
use nave_common::failover::{FailoverMode, FailoverPlan, Fence, Frozen, PlannedMove, PretendedLoss};
use nave_common::health::Health;
use nave_common::name::ClusterName;
use nave_common::resources::Resources;
use nave_common::status::Liveness;

use super::{Decision, Inputs, Limits, Now, Seen, Signal, Stand, decide, words};
use crate::plan::assign::{self, Told};
use crate::plan::fleet::Fleet;

/// The fleet and all that runs on it.
#[derive(Debug, Clone)]
pub struct FleetProblem<'a> {
    /// The clusters there are.
    pub fleet: &'a Fleet,
    /// Every application, in any order; those that the loss does not touch cost nothing.
    pub applications: Vec<Standing<'a>>,
    /// Why the hub would freeze, if it would.
    pub frozen: Option<Frozen>,
    /// The newest generation.
    pub generation: Generation,
    /// The time.
    pub now: Now,
}

/// One application as it stands.
#[derive(Debug, Clone, Copy)]
pub struct Standing<'a> {
    /// What is wanted.
    pub application: &'a Application,
    /// The number of the Revision that is wanted; `None` before the first.
    pub revision: Option<u64>,
    /// What one copy requests of a cluster.
    pub requests: Resources,
    /// What clusters are told now.
    pub told: &'a Told,
    /// How it stands in failover; `None` where that has nothing to do with it.
    pub state: Option<&'a FailoverState>,
}

/// The clusters that a pretended loss is about, by name.
#[must_use]
pub fn lost(fleet: &Fleet, loss: &PretendedLoss) -> BTreeSet<ClusterName> {
    let is_lost = |name: &ClusterName, region: Option<&String>| {
        loss.clusters.contains(name) || region.is_some_and(|region| loss.regions.contains(region))
    };
    let clusters = fleet.iter().map(|(_, candidate)| candidate);
    clusters
        .filter(|candidate| is_lost(&candidate.name, candidate.labels.get("region")))
        .map(|candidate| candidate.name.clone())
        .collect()
}

/// What would happen.
#[must_use]
pub fn plan(problem: &FleetProblem<'_>, loss: &PretendedLoss) -> FailoverPlan {
    let lost = lost(problem.fleet, loss);
    let mut fleet = problem.fleet.clone();
    for cluster in &lost {
        fleet.update(cluster, |seen| *seen.liveness = Liveness::Lost);
    }
    let mut touched: Vec<(&Standing<'_>, FailoverState)> = problem
        .applications
        .iter()
        .filter(|it| it.application.metadata.deleted_at.is_none() && it.revision.is_some())
        .filter(|it| assign::active(it.told).any(|(cluster, _)| lost.contains(cluster)))
        .map(|it| {
            let state = it.state.cloned();
            (it, state.unwrap_or_else(|| FailoverState::new(it.application.key())))
        })
        .collect();
    // The most important first, as it would be.
    touched.sort_by_cached_key(|(it, _)| {
        (std::cmp::Reverse(it.application.spec.failover.priority), it.application.key())
    });
    let mut moves = Vec::new();
    for (standing, state) in touched {
        moves.extend(one(problem, standing, &state, &lost, &mut fleet));
    }
    FailoverPlan { lost: lost.into_iter().collect(), moves, frozen: problem.frozen.clone() }
}

/// What would become of one application; the room that it would take is taken.
fn one(
    problem: &FleetProblem<'_>,
    standing: &Standing<'_>,
    state: &FailoverState,
    lost: &BTreeSet<ClusterName>,
    fleet: &mut Fleet,
) -> Vec<PlannedMove> {
    let leaves: Vec<ClusterName> = assign::active(standing.told)
        .map(|(cluster, _)| cluster.clone())
        .filter(|cluster| lost.contains(cluster))
        .collect();
    let seen = seen(problem, standing, state, lost, fleet);
    let decision = decided(problem, standing, state, &seen, fleet);
    for (cluster, stand) in &decision.stands {
        let runs = assign::active(standing.told).any(|(active, _)| active == cluster);
        if matches!(stand, Stand::Active(_)) && !runs {
            take(fleet, cluster, standing.requests);
        }
    }
    let planned = leaves.into_iter().map(|from| {
        let it = find(&decision.state, &from);
        let to = it.and_then(|it| it.to.clone());
        let is_exclusive = standing.application.spec.failover.mode == FailoverMode::Exclusive;
        let starts_later = |to: &ClusterName| !matches!(decision.stands.get(to), Some(Stand::Active(_)));
        if let Some(to) = to.as_ref().filter(|to| is_exclusive && starts_later(to)) {
            take(fleet, to, standing.requests);
        }
        PlannedMove {
            application: standing.application.key(),
            mode: standing.application.spec.failover.mode,
            reason: reason(standing, it, &decision),
            from,
            to,
            cause: Cause::Lost,
        }
    });
    planned.collect()
}

fn take(fleet: &mut Fleet, cluster: &ClusterName, requests: Resources) {
    fleet.update(cluster, |seen| *seen.requested = seen.requested.plus(requests));
}

/// All is well where nothing is lost, and what is lost is so from now on.
fn seen(
    problem: &FleetProblem<'_>,
    standing: &Standing<'_>,
    state: &FailoverState,
    lost: &BTreeSet<ClusterName>,
    fleet: &Fleet,
) -> BTreeMap<ClusterName, Seen> {
    let clusters: BTreeSet<&ClusterName> = standing.told.keys().chain(state.parked.keys()).collect();
    let seen = clusters.into_iter().map(|cluster| {
        let is_heard = fleet.find(cluster).is_some_and(super::super::fleet::Candidate::is_heard);
        let is_gone = lost.contains(cluster) || !is_heard;
        let Now { boot, wall } = problem.now;
        let seen = Seen {
            signal: is_gone.then_some(Signal { cause: Cause::Lost, began_at: wall, due_at: boot }),
            health: Health::Unknown,
            is_heard: !is_gone,
            ..Seen::default()
        };
        (cluster.clone(), seen)
    });
    seen.collect()
}

fn decided(
    problem: &FleetProblem<'_>,
    standing: &Standing<'_>,
    state: &FailoverState,
    seen: &BTreeMap<ClusterName, Seen>,
    fleet: &Fleet,
) -> Decision {
    // Orders that wait have nothing to do with the loss.
    let state = FailoverState { orders: Vec::new(), ..state.clone() };
    let mut inputs = Inputs {
        application: standing.application,
        revision: standing.revision,
        requests: standing.requests,
        told: standing.told,
        fleet,
        state: &state,
        seen,
        lease_over_at: None,
        limits: Limits { frozen: None, is_held: false, moves: u32::MAX },
        generation: problem.generation,
        now: problem.now,
    };
    let decision = decide(&inputs);
    if decision.close.is_none() {
        return decision;
    }
    inputs.lease_over_at = Some(problem.now.boot);
    decide(&inputs)
}

/// The move that leaves a cluster: one under way before one that was over at once.
fn find<'a>(state: &'a FailoverState, from: &ClusterName) -> Option<&'a Move> {
    state.moves.iter().rev().find(|it| it.from == *from)
}

fn reason(standing: &Standing<'_>, it: Option<&Move>, decision: &Decision) -> String {
    let spec = &standing.application.spec;
    let Some(it) = it else {
        return if spec.placement.count.is_none() {
            "it runs in every cluster that matches, so there is nowhere for it to go".into()
        } else {
            decision.problems.join("; ")
        };
    };
    let fence = spec.failover.exclusive_rules().filter(|_| it.to.is_some()).map(|rules| {
        let confirm = words::confirm(&standing.application.key(), &it.from);
        match (rules.fence, rules.assume_fenced_after) {
            (Fence::Storage, _) => "at once: the storage refuses the old epoch".to_owned(),
            (Fence::Agent, Some(after)) => {
                format!("{after} after its lease of {} is over, or on {confirm}", rules.lease_duration)
            }
            (Fence::Agent, None) => format!("when its agent is back and has stopped it, or on {confirm}"),
            (Fence::Manual, _) => format!("on {confirm}"),
        }
    });
    match fence {
        Some(text) => text,
        None if it.to.is_some() => String::new(),
        None => it.reason.clone(),
    }
}
