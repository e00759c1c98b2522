//! One decision in the making: what it starts from, what was found, and the questions that every mode asks.

use std::collections::{BTreeMap, BTreeSet};

use nave_common::assignment::{Desired, Run};
use nave_common::failover::state::{Cause, FailoverState, Fenced, Move};
use nave_common::failover::{Failover, FailoverMode};
use nave_common::name::{ApplicationKey, ClusterName};
use nave_common::placement::Placement;
use nave_common::time::{BootTime, Timestamp};

use super::{Decision, Inputs, Seen, Stand};
use crate::plan::assign::{self, Told};
use crate::plan::bits::Bits;
use crate::plan::fleet::Candidate;
use crate::plan::placement::{self, Placed, Problem, Steer, Waits};

/// How often a decision is gone through until nothing changes any more; more is a mistake, and stops there.
pub(super) const MAX_STEPS: usize = 8;

/// One decision in the making.
pub(super) struct Work<'a> {
    pub(super) inputs: &'a Inputs<'a>,
    pub(super) key: ApplicationKey,
    /// The clusters that the placement lets in.
    matching: Bits,
    pub(super) state: FailoverState,
    /// Where it runs; Exclusive work has its grant in place of this.
    pub(super) active: BTreeSet<ClusterName>,
    /// When the lease of the present grant is over, once that is closed.
    pub(super) lease_over_at: Option<BootTime>,
    pub(super) unplaced_count: u32,
    pub(super) problems: Vec<String>,
    pub(super) waits: Waits,
    pub(super) close: Option<nave_common::failover::Epoch>,
    pub(super) begun_count: u32,
    pub(super) wake_at: Option<BootTime>,
    /// Somebody's word that a silent holder's copy is dead, until its lease is closed.
    pub(super) confirmed: Option<Fenced>,
}

/// What stands against an application in a cluster, as far as it moves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Against {
    pub(super) cause: Cause,
    pub(super) began_at: Option<Timestamp>,
    pub(super) due_at: BootTime,
}

/// Where an application could go, or why nowhere.
pub(super) type Found = Result<ClusterName, String>;

impl<'a> Work<'a> {
    pub(super) fn new(inputs: &'a Inputs<'a>) -> Self {
        let state = inputs.state.clone();
        Self {
            key: inputs.application.key(),
            matching: placement::matching(&inputs.application.spec.placement, inputs.fleet),
            active: active(inputs.told, &state),
            state,
            inputs,
            lease_over_at: inputs.lease_over_at,
            unplaced_count: 0,
            problems: Vec::new(),
            waits: Waits::default(),
            close: None,
            begun_count: 0,
            wake_at: None,
            confirmed: None,
        }
    }

    /// Goes through it again: what is said is said anew.
    pub(super) fn begin_step(&mut self) {
        self.problems.clear();
        self.unplaced_count = 0;
        self.waits = Waits::default();
        self.wake_at = None;
    }

    pub(super) fn into_decision(self, stands: BTreeMap<ClusterName, Stand>) -> Decision {
        Decision {
            state: self.state,
            stands,
            unplaced_count: self.unplaced_count,
            problems: self.problems,
            waits: self.waits,
            close: self.close,
            begun_count: self.begun_count,
            wake_at: self.wake_at,
        }
    }

    pub(super) fn rules(&self) -> &'a Failover {
        &self.inputs.application.spec.failover
    }

    pub(super) fn placement(&self) -> &'a Placement {
        &self.inputs.application.spec.placement
    }

    pub(super) fn wall(&self) -> Timestamp {
        self.inputs.now.wall
    }

    pub(super) fn now(&self) -> BootTime {
        self.inputs.now.boot
    }

    pub(super) fn wake(&mut self, at: BootTime) {
        self.wake_at = Some(self.wake_at.map_or(at, |before| before.min(at)));
    }

    pub(super) fn seen(&self, cluster: &ClusterName) -> Option<&'a Seen> {
        self.inputs.seen.get(cluster)
    }

    /// What a cluster is told to run.
    pub(super) fn told(&self, cluster: &ClusterName) -> Option<&'a Run> {
        match &self.inputs.told.get(cluster)?.desired {
            Desired::Run(run) => Some(run),
            Desired::Remove => None,
        }
    }

    pub(super) fn is_told_parked(&self, cluster: &ClusterName) -> bool {
        self.told(cluster).is_some_and(|run| !run.activity.is_active())
    }

    pub(super) fn candidate(&self, cluster: &ClusterName) -> Option<&'a Candidate> {
        self.inputs.fleet.find(cluster)
    }

    /// Whether the placement lets a cluster in at all.
    pub(super) fn matches(&self, cluster: &ClusterName) -> bool {
        self.inputs.fleet.slot(cluster).is_some_and(|slot| self.matching.has(slot))
    }

    /// Whether a cluster can be told anything now.
    pub(super) fn is_heard(&self, cluster: &ClusterName) -> bool {
        self.candidate(cluster).is_some_and(Candidate::is_heard)
            && self.seen(cluster).is_none_or(|seen| seen.is_heard && !is_lost(seen))
    }

    /// What stands against the application in a cluster: what counts already before what is still on its way.
    pub(super) fn against(&self, cluster: &ClusterName) -> Option<Against> {
        let seen = self.seen(cluster);
        let signal =
            seen.and_then(|seen| seen.signal.filter(|it| self.counts(seen, it.cause))).map(|signal| {
                Against { cause: signal.cause, began_at: Some(signal.began_at), due_at: signal.due_at }
            });
        let asked = self.asked(cluster).map(|cause| Against { cause, began_at: None, due_at: self.now() });
        match (signal, asked) {
            (Some(signal), Some(_)) if signal.due_at <= self.now() => Some(signal),
            (signal, None) => signal,
            (_, asked) => asked,
        }
    }

    /// A Revision that is broken is broken everywhere: it leaves a cluster only where it was Healthy, and once.
    fn counts(&self, seen: &Seen, cause: Cause) -> bool {
        let moved = self.inputs.revision.is_some() && self.state.degraded_revision == self.inputs.revision;
        cause != Cause::Degraded || (seen.was_healthy && !moved)
    }

    /// Why people want it to leave a cluster.
    fn asked(&self, cluster: &ClusterName) -> Option<Cause> {
        let candidate = self.candidate(cluster)?;
        match candidate {
            _ if candidate.is_drained => Some(Cause::Drained),
            _ if !placement::may_stay(self.placement(), candidate) => Some(Cause::Placement),
            _ => None,
        }
    }

    /// As [`Work::against`], if it counts now; else it is looked at again when it does.
    pub(super) fn due(&mut self, cluster: &ClusterName) -> Option<Against> {
        let against = self.against(cluster)?;
        if against.due_at > self.now() {
            self.wake(against.due_at);
            return None;
        }
        Some(against)
    }

    /// Whether nothing stands against work in a cluster, due or not.
    pub(super) fn is_well(&self, cluster: &ClusterName) -> bool {
        self.is_heard(cluster)
            && self.seen(cluster).is_none_or(|seen| seen.signal.is_none())
            && self.asked(cluster).is_none()
    }

    /// Why an application is not sent to a cluster; `None` where it may be.
    pub(super) fn refusal(&self, cluster: &ClusterName) -> Option<String> {
        if self.is_broken_there(cluster) {
            return Some(format!("this Revision was Degraded in {cluster}"));
        }
        self.obstacle(cluster)
    }

    /// Why a cluster cannot run an application; `None` where it can.
    pub(super) fn obstacle(&self, cluster: &ClusterName) -> Option<String> {
        let Some(candidate) = self.candidate(cluster) else {
            return Some(format!("there is no cluster {cluster}"));
        };
        if !self.matches(cluster) {
            return Some(format!("{cluster} does not match the placement"));
        }
        if let Some(signal) = self.seen(cluster).and_then(|seen| seen.signal) {
            return Some(format!("{cluster} {}", super::words::stands(signal.cause)));
        }
        let obstacle = placement::obstacle(&self.problem(&[], &Steer::default()), candidate)?;
        Some(format!("{cluster} {}", super::words::obstacle(obstacle)))
    }

    /// The clusters that no work is sent to: something stands against them.
    pub(super) fn signalled(&self) -> Vec<ClusterName> {
        let bad = self
            .inputs
            .seen
            .iter()
            .filter(|(cluster, seen)| seen.signal.is_some() || self.is_broken_there(cluster));
        bad.map(|(cluster, _)| cluster.clone()).collect()
    }

    /// The clusters in which its objects are there already.
    pub(super) fn ready(&self) -> Vec<ClusterName> {
        let parked = self.state.parked.keys();
        parked.filter(|cluster| self.matches(cluster) && self.is_well(cluster)).cloned().collect()
    }

    fn problem<'b>(&'b self, current: &'b [ClusterName], steer: &Steer<'b>) -> Problem<'b> {
        Problem {
            application: &self.key,
            placement: self.placement(),
            requests: self.inputs.requests,
            current,
            fleet: self.inputs.fleet,
            steer: Steer { prefer: &self.rules().prefer, ..*steer },
        }
    }

    /// Asks the placement.
    pub(super) fn place(&self, current: &[ClusterName], avoid: &[ClusterName]) -> Placed {
        let ready = self.ready();
        placement::decide(&self.problem(current, &Steer { avoid, ready: &ready, ..Steer::default() }))
    }

    /// Asks the placement as if `count` clusters were wanted.
    pub(super) fn place_many(
        &self,
        count: usize,
        current: &[ClusterName],
        avoid: &[ClusterName],
    ) -> Vec<ClusterName> {
        let count = Some(u32::try_from(count).unwrap_or(u32::MAX));
        let wider = Placement { count, ..self.placement().clone() };
        let ready = self.ready();
        let steer = Steer { avoid, ready: &ready, ..Steer::default() };
        let placed = placement::decide(&Problem { placement: &wider, ..self.problem(current, &steer) });
        self.names(&placed)
    }

    /// The chosen clusters by name.
    pub(super) fn names(&self, placed: &Placed) -> Vec<ClusterName> {
        let mut names: Vec<ClusterName> = placed
            .picks
            .iter()
            .filter_map(|pick| Some(self.inputs.fleet.get(pick.slot)?.name.clone()))
            .collect();
        names.sort_unstable();
        names
    }

    /// One cluster to which it could go, besides `stays` and none of `avoid`.
    pub(super) fn find(&mut self, stays: &[ClusterName], avoid: &[ClusterName]) -> Found {
        let mut avoid = avoid.to_vec();
        avoid.extend(self.signalled().into_iter().filter(|cluster| !stays.contains(cluster)));
        let placed = self.place(stays, &avoid);
        let found = self.names(&placed).into_iter().find(|cluster| !stays.contains(cluster));
        if found.is_none() {
            self.waits = self.waits.or(placed.waits);
        }
        found.ok_or_else(|| {
            if placed.problems.is_empty() {
                "nothing else is free to take it".into()
            } else {
                placed.problems.join("; ")
            }
        })
    }

    /// How many more moves may begin that nobody ordered.
    pub(super) fn moves_left(&self) -> u32 {
        self.inputs.limits.moves.saturating_sub(self.begun_count)
    }

    /// Whether a move of this cause waits while the hub doubts itself.
    pub(super) fn waits_for_thaw(&self, cause: Cause) -> bool {
        is_by_itself(cause) && self.inputs.limits.frozen.is_some()
    }

    /// Whether every move needs a person.
    pub(super) fn is_manual(&self) -> bool {
        self.rules().mode == FailoverMode::Manual
    }
}

/// Whether the hub begins a move of this cause though nobody asked for it.
pub(super) fn is_by_itself(cause: Cause) -> bool {
    match cause {
        Cause::Lost | Cause::Sick | Cause::Degraded | Cause::Failback => true,
        Cause::Drained | Cause::Placement | Cause::Ordered => false,
    }
}

fn is_lost(seen: &Seen) -> bool {
    seen.signal.is_some_and(|signal| signal.cause == Cause::Lost)
}

/// Where it runs: what is told that is not parked, and where moves have begun to take it, though a rendering may have
/// kept it from being told.
fn active(told: &Told, state: &FailoverState) -> BTreeSet<ClusterName> {
    let told = assign::running(told).map(|(cluster, _)| cluster);
    let coming = state.moves.iter().filter(|it| is_running(it)).filter_map(|it| it.to.as_ref());
    told.chain(coming).filter(|cluster| !state.parked.contains_key(*cluster)).cloned().collect()
}

/// Whether a move has taken the application to its new cluster, and is not over.
pub(super) fn is_running(it: &Move) -> bool {
    use nave_common::failover::state::MovePhase::{Applying, Settling};
    matches!(it.phase, Applying | Settling)
}
