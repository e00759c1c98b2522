//! Since when things are as they are: what failover counts dwell times and stabilization from.
//!
//! Kept in memory only. After a start of the hub every count begins anew, which can only make it slower to act.

use nave_common::assignment::{Activity, Assignment, Desired, Run};
use nave_common::failover::Epoch;
use nave_common::health::Health;
use nave_common::status::{AssignmentStatus, ClusterObservation, FenceState, Liveness};
use nave_common::time::{BootTime, Timestamp};

use crate::plan::failover::Now;

/// The times of a picture.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    /// When the hub began to look.
    pub(super) started: Now,
    /// When it was last changed.
    pub(super) now: Now,
}

impl Default for Times {
    fn default() -> Self {
        let start = Now { boot: BootTime::from_duration(std::time::Duration::ZERO), wall: Timestamp::EPOCH };
        Self { started: start, now: start }
    }
}

/// Since when a cluster is as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClusterFacts {
    /// Since when it has been heard without a break as long as a lease; `None` while it is lost or was never heard.
    pub heard_since: Option<BootTime>,
    /// When its lease was over; `None` while it is not lost.
    pub lost_since: Option<Now>,
    /// Since when its agent has said that its API server or most of its nodes are down.
    pub sick_since: Option<Now>,
    /// When it was last said to be sick no more.
    pub recovered_at: Option<BootTime>,
    /// When its draining began; `None` while it is not drained, and where it was before the hub started.
    pub drained_since: Option<Now>,
    /// When it was last drained no more.
    pub undrained_at: Option<BootTime>,
}

impl ClusterFacts {
    /// Takes a change of its liveness.
    pub(super) fn note_liveness(&mut self, liveness: Liveness, now: Now) {
        match liveness {
            Liveness::Alive | Liveness::Suspect => {
                self.heard_since.get_or_insert(now.boot);
                self.lost_since = None;
            }
            Liveness::Lost => {
                self.heard_since = None;
                self.lost_since.get_or_insert(now);
            }
            Liveness::Unheard => {}
        }
    }

    /// Takes what its agent says of it.
    pub(super) fn note_sick(&mut self, is_sick: bool, now: Now) {
        if is_sick {
            self.sick_since.get_or_insert(now);
        } else if self.sick_since.take().is_some() {
            self.recovered_at = Some(now.boot);
        }
    }

    /// Takes a change of its record.
    pub(super) fn note_drained(&mut self, was_drained: bool, is_drained: bool, now: Now) {
        match (was_drained, is_drained) {
            (false, true) => self.drained_since = Some(now),
            (true, false) => (self.drained_since, self.undrained_at) = (None, Some(now.boot)),
            _ => {}
        }
    }

    /// Since when nothing has stood against it; `None` while something does or it is not heard.
    #[must_use]
    pub fn well_since(&self) -> Option<BootTime> {
        if self.sick_since.is_some() {
            return None;
        }
        self.heard_since
            .max(self.heard_since.and(self.recovered_at))
            .max(self.heard_since.and(self.undrained_at))
    }
}

/// Whether an agent says that its cluster cannot run work: its API server is down, or fewer nodes are ready than must
/// be, in percent.
#[must_use]
pub fn is_sick(observation: &ClusterObservation, min_ready_percent: u8) -> bool {
    let (ready, all) = (u64::from(observation.ready_node_count), u64::from(observation.node_count));
    observation.problem.is_some() || ready * 100 < all * u64::from(min_ready_percent)
}

/// Since when an application is as it is in one cluster.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WorkFacts {
    /// Since when this Revision has been Degraded there, active.
    pub degraded_since: Option<(u64, Now)>,
    /// The newest Revision that was seen Healthy there, active.
    pub healthy_revision: Option<u64>,
}

impl WorkFacts {
    /// Takes what the agent says now.
    pub(super) fn note(&mut self, assignment: &Assignment, status: &AssignmentStatus, now: Now) {
        let active = active(assignment).filter(|_| status.generation == assignment.generation);
        let Some(run) = active else { return };
        match status.health {
            Health::Degraded => {
                if self.degraded_since.is_none_or(|(revision, _)| revision != run.revision) {
                    self.degraded_since = Some((run.revision, now));
                }
            }
            health => {
                self.degraded_since = None;
                if health == Health::Healthy && status.applied == Some(run.rendering) {
                    self.healthy_revision = self.healthy_revision.max(Some(run.revision));
                }
            }
        }
    }
}

fn active(assignment: &Assignment) -> Option<&Run> {
    match &assignment.desired {
        Desired::Run(run) if run.activity == Activity::Active => Some(run),
        _ => None,
    }
}

/// What failover looks at of what an agent says of an application: while it stays the same, nothing is planned again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Whether what is told now is applied in full.
    pub is_applied: bool,
    /// How well it is, as far as it was said of what is told now.
    pub health: Health,
    /// How far the stopping of Exclusive work is, and up to which token.
    pub fence: Option<(Epoch, FenceState)>,
}

impl Standing {
    /// What `status` says of `assignment`.
    #[must_use]
    pub fn of(assignment: &Assignment, status: Option<&AssignmentStatus>) -> Self {
        let status = status.filter(|status| status.generation == assignment.generation);
        let Some(status) = status else {
            return Self { is_applied: false, health: Health::Unknown, fence: None };
        };
        let is_applied = match &assignment.desired {
            Desired::Run(run) => status.applied == Some(run.rendering),
            Desired::Remove => status.removed,
        };
        let fence = status.fence.as_ref().map(|fence| (fence.epoch, fence.state));
        Self { is_applied, health: status.health, fence }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64) -> Now {
        let wall = Timestamp::EPOCH.plus(Duration::from_secs(seconds));
        Now { boot: BootTime::from_duration(Duration::from_secs(seconds)), wall }
    }

    #[test]
    fn a_cluster_is_well_since_the_last_thing_that_stood_against_it() {
        let mut facts = ClusterFacts::default();
        assert_eq!(facts.well_since(), None);
        facts.note_liveness(Liveness::Alive, at(1));
        facts.note_liveness(Liveness::Suspect, at(2));
        facts.note_liveness(Liveness::Alive, at(3));
        assert_eq!(facts.well_since(), Some(at(1).boot), "a broken stream is no break");
        facts.note_sick(true, at(4));
        facts.note_sick(true, at(5));
        assert_eq!((facts.well_since(), facts.sick_since), (None, Some(at(4))));
        facts.note_sick(false, at(6));
        assert_eq!(facts.well_since(), Some(at(6).boot));
        facts.note_liveness(Liveness::Lost, at(7));
        assert_eq!((facts.well_since(), facts.lost_since), (None, Some(at(7))));
        facts.note_liveness(Liveness::Alive, at(8));
        assert_eq!((facts.well_since(), facts.lost_since), (Some(at(8).boot), None));
    }

    #[test]
    fn few_ready_nodes_make_a_cluster_sick_and_none_counted_do_not() {
        let nodes = |ready, all| ClusterObservation {
            node_count: all,
            ready_node_count: ready,
            ..ClusterObservation::default()
        };
        assert!(is_sick(&nodes(4, 10), 50) && !is_sick(&nodes(5, 10), 50));
        assert!(!is_sick(&nodes(0, 0), 50) && !is_sick(&nodes(0, 10), 0));
        let dead = ClusterObservation { problem: Some("refused".into()), ..nodes(3, 3) };
        assert!(is_sick(&dead, 50));
    }
}
