//! What agents say, taken into the picture. None of it is stored: agents say it again when they connect.

use std::sync::Arc;

use nave_common::health::Health;
use nave_common::name::{ApplicationKey, ClusterName};
use nave_common::status::{AssignmentStatus, ClusterObservation};

use super::interest::Effect;
use super::state::State;
use super::{World, facts};
use crate::plan::fleet::Candidate;

/// The most applications kept as unknown for one cluster.
pub const MAX_UNKNOWN_APPLICATIONS: usize = 1000;

impl World {
    /// Takes what a cluster's agent says. With `full`, what it does not name it has nothing to say of any more.
    /// What it says of applications that it is not told about is left out: that is for [`World::set_unknown`].
    pub fn observe(
        &self,
        cluster: &ClusterName,
        statuses: Vec<AssignmentStatus>,
        full: bool,
        observation: Option<ClusterObservation>,
    ) {
        let min_ready = self.options().failover.min_ready_percent;
        self.change(|state, effects| {
            if let Some(observation) = observation {
                state.observe_cluster(cluster, observation, min_ready, effects);
            }
            state.observe_assignments(cluster, statuses, full, effects);
        });
    }

    /// Takes which applications a cluster's agent runs that this hub has never heard of.
    pub fn set_unknown(&self, cluster: &ClusterName, mut applications: Vec<ApplicationKey>) {
        applications.truncate(MAX_UNKNOWN_APPLICATIONS);
        self.change(|state, effects| {
            let Some((entry, _)) = state.cluster_mut(cluster) else { return };
            if entry.observed.unknown_applications != applications {
                entry.observed.unknown_applications = applications;
                effects.push(Effect::Cluster(cluster.clone()));
            }
        });
    }
}

impl State {
    fn observe_cluster(
        &mut self,
        name: &ClusterName,
        observation: ClusterObservation,
        min_ready_percent: u8,
        effects: &mut Vec<Effect>,
    ) {
        let now = self.now();
        let Some((entry, fleet)) = self.cluster_mut(name) else { return };
        if entry.observed.observation.as_deref() == Some(&observation) {
            return;
        }
        entry.observed.facts.note_sick(facts::is_sick(&observation, min_ready_percent), now);
        entry.observed.observation = Some(Arc::new(observation));
        let allocatable = entry.observed.allocatable();
        let is_sick = entry.observed.facts.sick_since.is_some();
        let is_news = |it: &Candidate| it.allocatable != allocatable || it.is_sick != is_sick;
        if fleet.find(name).is_some_and(is_news) {
            Arc::make_mut(fleet).update(name, |candidate| {
                *candidate.allocatable = allocatable;
                *candidate.is_sick = is_sick;
            });
        }
        effects.push(Effect::Cluster(name.clone()));
    }

    fn observe_assignments(
        &mut self,
        name: &ClusterName,
        statuses: Vec<AssignmentStatus>,
        full: bool,
        effects: &mut Vec<Effect>,
    ) {
        let now = self.now();
        let Some(entries) = self.entries_mut(name) else { return };
        let mut moved = Vec::new();
        if full {
            let named: std::collections::BTreeSet<&ApplicationKey> =
                statuses.iter().map(|status| &status.application).collect();
            for (key, entry) in entries.iter_mut() {
                if !named.contains(key) && entry.status.take().is_some() {
                    effects.push(Effect::Status(name.clone(), key.clone()));
                }
            }
        }
        for status in statuses {
            let Some(entry) = entries.get_mut(&status.application) else { continue };
            if entry.status.as_deref() == Some(&status) {
                continue;
            }
            effects.push(Effect::Status(name.clone(), status.application.clone()));
            if entry.is_removal_confirmed_by(&status) {
                effects.push(Effect::Removed(name.clone(), status.application.clone()));
            }
            let before = entry.standing();
            entry.facts.note(&entry.assignment, &status, now);
            entry.status = Some(Arc::new(status));
            let after = entry.standing();
            if before != after {
                let is_degraded = before.health == Health::Degraded || after.health == Health::Degraded;
                moved.push((
                    entry.assignment.application.clone(),
                    is_degraded && before.health != after.health,
                ));
            }
        }
        for (key, is_degraded) in moved {
            if self.failover_looks_at(&key, is_degraded) {
                effects.push(Effect::Standing(name.clone(), key));
            }
        }
    }

    /// Whether failover has anything to do with a change of what an agent says of an application.
    fn failover_looks_at(&self, key: &ApplicationKey, is_degraded: bool) -> bool {
        let leaves = || {
            let application = self.applications().get(key);
            application.is_some_and(|stored| stored.value.spec.failover.degraded_after.is_some())
        };
        self.failovers().contains_key(key) || is_degraded && leaves()
    }
}
