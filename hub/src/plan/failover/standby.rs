//! Standbys: the clusters in which the objects of an application stand ready with nothing running.
//!
//! Missing ones are added, whatever made them missing. What is more than wanted stays, as failover removes nothing, unless
//! a person lowered the number: that is an edit of where it is to be, so the surplus of that moment is removed; the home
//! that it comes back to never is, nor the holder of a grant, nor a cluster of which it is not known that nothing runs
//! there.

use std::cmp::Reverse;

use nave_common::failover::state::Parked;
use nave_common::name::ClusterName;
use nave_common::status::FenceState;

use super::work::Work;
use crate::plan::placement::Waits;

impl Work<'_> {
    /// Brings the standbys to the number that is wanted, as far as that is safe.
    pub(super) fn keep_standbys(&mut self, running: &[ClusterName]) {
        if !running.is_empty() {
            self.mark_surplus(running);
            self.remove_surplus();
        }
        self.add_standbys(running);
    }

    /// Notes what is to go, where fewer are wanted than when this was last decided.
    fn mark_surplus(&mut self, running: &[ClusterName]) {
        let wanted = self.rules().standbys();
        let before = std::mem::replace(&mut self.state.standby_count, wanted);
        if wanted > before {
            self.state.surplus.clear();
        }
        if wanted >= before {
            return;
        }
        let wanted = wanted as usize;
        let best = self.place_many(running.len() + wanted, running, &self.signalled());
        let ready = self.ready();
        let mut standbys: Vec<(&ClusterName, &Parked)> = self.state.parked.iter().collect();
        // First what is best kept: home, what is well, what the placement likes best, what stands there for longest.
        standbys.sort_by_key(|(cluster, parked)| {
            let likes = (parked.is_home, ready.contains(cluster), best.contains(cluster));
            (Reverse(likes), parked.since, *cluster)
        });
        let surplus = standbys.into_iter().skip(wanted).filter(|(cluster, _)| self.may_go(cluster));
        self.state.surplus = surplus.map(|(cluster, _)| cluster.clone()).collect();
    }

    /// Removes what is to go, where that is safe now.
    fn remove_surplus(&mut self) {
        let ready = self.ready();
        let mut kept = ready.iter().filter(|cluster| !self.state.surplus.contains(*cluster)).count();
        let marked: Vec<ClusterName> = std::mem::take(&mut self.state.surplus).into_iter().collect();
        for cluster in marked {
            if !self.may_go(&cluster) {
                continue;
            }
            if kept < self.rules().standbys() as usize && ready.contains(&cluster) {
                // Another one fell out since: this one is needed after all.
                kept += 1;
            } else if self.is_moving(&cluster) || !self.has_nothing_running(&cluster) {
                self.state.surplus.insert(cluster);
            } else {
                self.state.parked.remove(&cluster);
            }
        }
    }

    /// Whether a cluster is a standby and nothing else.
    fn may_go(&self, cluster: &ClusterName) -> bool {
        let holds = self.state.grant.as_ref().is_some_and(|grant| grant.cluster == *cluster);
        !holds && self.state.parked.get(cluster).is_some_and(|parked| !parked.is_home)
    }

    fn is_moving(&self, cluster: &ClusterName) -> bool {
        self.state.moves.iter().any(|it| it.from == *cluster || it.to.as_ref() == Some(cluster))
    }

    /// Whether it is known of a parked cluster that nothing of it runs there: its agent says so, or never was told any.
    fn has_nothing_running(&self, cluster: &ClusterName) -> bool {
        !self.inputs.told.contains_key(cluster) || (self.is_told_parked(cluster) && self.has_stopped(cluster))
    }

    /// Whether a cluster that is told to stop has nothing of it running.
    pub(super) fn has_stopped(&self, cluster: &ClusterName) -> bool {
        let seen = self.seen(cluster).filter(|seen| seen.is_heard && seen.is_applied);
        seen.is_some_and(|seen| seen.fence.as_ref().is_none_or(|it| it.state == FenceState::Confirmed))
    }

    /// Makes sure that the objects of the application stand ready in as many more clusters as it wants.
    fn add_standbys(&mut self, running: &[ClusterName]) {
        let wanted = self.rules().standbys() as usize;
        if wanted == 0 || self.placement().count.is_none() || running.is_empty() {
            return;
        }
        let missing = wanted.saturating_sub(self.ready().len());
        if missing == 0 {
            return;
        }
        let mut current = running.to_vec();
        current.extend(self.state.parked.keys().cloned());
        current.sort_unstable();
        current.dedup();
        let mut avoid = self.signalled();
        avoid.retain(|cluster| !current.contains(cluster));
        let found = self.place_many(current.len() + missing, &current, &avoid);
        let since = self.wall();
        let new: Vec<ClusterName> =
            found.into_iter().filter(|cluster| !current.contains(cluster)).take(missing).collect();
        // A new or returning cluster could stand by.
        self.waits = self.waits.or(Waits {
            for_clusters: new.len() < missing,
            for_heard: new.len() < missing,
            for_room: new.len() < missing,
        });
        for cluster in new {
            let parked = Parked { since, is_home: false, replaced_by: None };
            self.state.parked.insert(cluster, parked);
        }
    }
}

#[cfg(test)]
#[path = "standby_tests.rs"]
mod tests;
