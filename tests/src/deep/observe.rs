//! What is observed of the simulated world after each event, and whether it has come to rest.

use nave_common::assignment::{Activity, Desired};
use nave_common::failover::Epoch;

use super::cluster::WRITE_MS;
use super::hub_plan::epoch_of;
use super::invariants::{CONVERGENCE, Happened, Observation, Running, Told, Violation};
use super::world::{Process, World};

impl World {
    /// Checks the promises, where there is anything new to observe.
    ///
    /// # Errors
    /// The first promise that is broken.
    pub(super) fn observe(&mut self) -> Result<(), Violation> {
        if !self.is_changed && self.happened.is_empty() {
            return Ok(());
        }
        self.is_changed = false;
        let mut seen = Observation {
            at_ms: self.now,
            is_hub_up: self.hubs.iter().any(|hub| hub.process == Process::Running),
            happened: std::mem::take(&mut self.happened),
            ..Observation::default()
        };
        for index in 0..self.spokes.len() {
            // What is drained may be left as long as it is.
            let set = self.hubs[self.address].store.clusters.get(&self.spokes[index].name);
            if self.spokes[index].fault_count > 0 || set.is_some_and(|set| set.is_drained) {
                seen.happened.push(Happened::Disturbed(self.spokes[index].name.clone()));
            }
            for work in 0..self.works.len() {
                let Some(epoch) = self.spokes[index].cluster.running_epochs(work).max() else { continue };
                let longest = self.works[work].grace_ms + 2 * WRITE_MS;
                let until_ms = self.lease_bound(index, work).map(|until| until.saturating_sub(longest));
                let place = (self.works[work].key.clone(), self.spokes[index].name.clone());
                seen.running.insert(place, Running { epoch, until_ms });
            }
        }
        for (key, told) in &self.hubs[self.address].store.told {
            for (cluster, assignment) in told.iter() {
                let told = match &assignment.desired {
                    Desired::Remove => Told::Removed,
                    Desired::Run(run) if run.activity == Activity::Parked => Told::Parked,
                    Desired::Run(run) => Told::Active(run.exclusive.map(|terms| terms.epoch)),
                };
                seen.told.insert((key.clone(), cluster.clone()), told);
            }
        }
        self.checker.observe(seen)
    }

    /// Whether everything runs where it is told to, and nowhere else.
    ///
    /// # Errors
    /// What does not.
    pub(super) fn is_at_rest(&self) -> Result<(), Violation> {
        let broken = |what: String| Err(Violation { promise: CONVERGENCE, what });
        let hub = &self.hubs[self.address];
        for (work, it) in self.works.iter().enumerate() {
            let Some(told) = hub.store.told.get(&it.key) else {
                return broken(format!("{} is told nowhere", it.key));
            };
            let mut active_count = 0;
            for spoke in &self.spokes {
                let wanted: Option<Epoch> = told.get(&spoke.name).and_then(|told| match &told.desired {
                    Desired::Run(run) if run.activity.is_active() => Some(epoch_of(run)),
                    _ => None,
                });
                active_count += u32::from(wanted.is_some());
                let pods: Vec<Epoch> = spoke.cluster.running_epochs(work).collect();
                let expected: Vec<Epoch> = wanted.into_iter().collect();
                if pods != expected {
                    return broken(format!(
                        "pods of {} in {} run under {pods:?}; expected {expected:?}",
                        it.key, spoke.name
                    ));
                }
            }
            let count = it.application.spec.placement.count.unwrap_or(0);
            if active_count != count {
                return broken(format!("{} is active in {active_count} clusters; expected {count}", it.key));
            }
            if let Some(state) = hub.store.states.get(&it.key)
                && let Some(open) = state.moves.first()
            {
                return broken(format!("{} still moves: {open:?}", it.key));
            }
        }
        if let Some(key) = hub.store.held.keys().next() {
            return broken(format!("{key} is still held"));
        }
        Ok(())
    }
}
