//! The way home: when a cluster that was left has been well for long enough.
//!
//! A home that failed repeatedly of late has to be well for longer: twice as long for each time, up to 64 times.

use std::time::Duration;

use nave_common::failover::FailbackMode;
use nave_common::failover::state::{Cause, MovePhase};
use nave_common::name::ClusterName;
use nave_common::time::BootTime;

use super::moves::FLAP_MEMORY;
use super::words;
use super::work::{Against, Work};

/// The most doublings of the time for which a home must have been well.
const MAX_DOUBLINGS: u32 = 6;

impl Work<'_> {
    /// Brings home what may come home, in a mode in which two clusters may run it for a while.
    pub(super) fn come_home(&mut self) {
        let homes: Vec<ClusterName> = self.state.parked.keys().cloned().collect();
        for home in homes {
            let Some(from) = self.comes_home_to(&home) else { continue };
            if self.pending(&from).is_some() || self.leaving().contains(&from) || self.is_arriving(&from) {
                continue;
            }
            if let Some(index) = self.may_come_home(&home, &from) {
                self.take_to(index, &home);
            }
        }
    }

    /// Notes a failback that begins now; `None` where something keeps it, which is said.
    pub(super) fn may_come_home(&mut self, home: &ClusterName, from: &ClusterName) -> Option<usize> {
        let against = Against { cause: Cause::Failback, began_at: None, due_at: self.now() };
        if self.waits_for_thaw(Cause::Failback) {
            if let Some(frozen) = self.inputs.limits.frozen {
                self.problems.push(format!("{home} is well again; nothing moves: {}", frozen.reason));
            }
            return None;
        }
        if self.is_manual() {
            let number = self.state.move_count + 1;
            let reason =
                format!("{home} is well again; `nave failover approve {} {number}` moves it", self.key);
            let index = self.note(from, against, MovePhase::Proposed, reason);
            self.state.moves[index].to = Some(home.clone());
            return None;
        }
        if self.moves_left() == 0 {
            self.wake(self.now().plus(super::overlap::TURN));
            return None;
        }
        let index = self.note(from, against, MovePhase::Applying, String::new());
        self.state.moves[index].to = Some(home.clone());
        Some(index)
    }

    /// The cluster from which the application may come home to this one now; `None` where it may not, or this is none.
    pub(super) fn comes_home_to(&mut self, home: &ClusterName) -> Option<ClusterName> {
        let parked = self.state.parked.get(home).filter(|parked| parked.is_home)?;
        let from = parked.replaced_by.clone()?;
        match self.rules().failback_mode() {
            FailbackMode::Auto => {}
            FailbackMode::Manual => return None,
            FailbackMode::Never => {
                // Where it went is its home now.
                if let Some(parked) = self.state.parked.get_mut(home) {
                    parked.is_home = false;
                }
                return None;
            }
        }
        let due_at = self.home_at(home)?;
        if due_at > self.now() {
            self.wake(due_at);
            return None;
        }
        if self.is_broken_there(home) {
            self.problems.push(format!("it would come home, but this Revision was Degraded in {home}"));
            return None;
        }
        if let Some(why) = self.refusal(home) {
            self.problems.push(format!("it would come home, but {why}"));
            // Room is what changes without a change of the cluster.
            self.waits.for_room = true;
            self.waits.for_clusters = true;
            return None;
        }
        Some(from)
    }

    /// From when on it may come home, if all stays well there.
    fn home_at(&self, home: &ClusterName) -> Option<BootTime> {
        if !self.is_well(home) || self.candidate(home).is_none_or(|it| it.is_cordoned) {
            return None;
        }
        let well_since = self.seen(home)?.well_since?;
        Some(well_since.plus(self.stabilization(home)))
    }

    fn stabilization(&self, home: &ClusterName) -> Duration {
        let flaps = self.state.flaps.get(home);
        let recent = flaps.filter(|flaps| self.wall().since(flaps.last_at) <= FLAP_MEMORY);
        let again = recent.map_or(0, |flaps| flaps.count.saturating_sub(1));
        self.rules().failback.after.0.saturating_mul(1 << again.min(MAX_DOUBLINGS))
    }

    /// Whether the present Revision left a cluster because it was Degraded there: it would be so again.
    pub(super) fn is_broken_there(&self, cluster: &ClusterName) -> bool {
        if self.state.degraded_revision.is_none() || self.state.degraded_revision != self.inputs.revision {
            return false;
        }
        let moves = self.state.moves.iter().chain(&self.state.history);
        let found = moves.filter_map(|it| {
            let left = it.cause == Cause::Degraded && it.times.decided_at.is_some();
            let turned_back =
                || it.to.as_ref().filter(|to| it.reason == words::turned_back(to, Cause::Degraded, &it.from));
            Some((it.number, if left { &it.from } else { turned_back()? }))
        });
        found.max_by_key(|(number, _)| *number).is_some_and(|(_, found)| found == cluster)
    }

    /// How a person or a planner says that nobody comes home any more.
    pub(super) fn give_up_home(&mut self, home: &ClusterName) {
        if let Some(parked) = self.state.parked.get_mut(home) {
            parked.is_home = false;
        }
    }

    /// Words for a failback that was given up.
    pub(super) fn given_up(by: &str) -> String {
        format!("{}{by}", words::ABORTED_BY)
    }
}
