//! Which applications are to be planned again.
//!
//! A heartbeat, a status or another application's change must not cost a plan of everything. So it is known of each
//! application what would change its plan ([`Waits`]), and of each cluster what it was when it was last looked at.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use nave_common::application::Application;
use nave_common::failover::FailoverMode;
use nave_common::name::{ApplicationKey, ClusterName};
use nave_common::resources::Resources;
use nave_common::status::Liveness;

use super::news::News;
use super::snapshot::Cause;
use crate::plan::placement::Waits;
use crate::store::Sequence;
use crate::world::{AssignmentEntry, Changes, ClusterEntry, State, World};

/// Clusters looked at under one hold of the world's lock.
const CLUSTERS_AT_ONCE: usize = 32;

/// The applications to plan, and what is needed to tell which.
#[derive(Debug, Default)]
pub(super) struct Dirty {
    /// Those that a person or an agent waits for.
    urgent: BTreeSet<ApplicationKey>,
    /// Those whose surroundings changed, with the change that did it, if it has an identifier; the highest priority first.
    rest: BTreeMap<(Reverse<u32>, ApplicationKey), Option<Arc<str>>>,
    clusters: BTreeMap<ClusterName, Seen>,
    /// What would change each application's plan, and its priority.
    waits: BTreeMap<ApplicationKey, (Waits, u32)>,
    /// What people said of failover as a whole, as it was when it was last looked at.
    hub_failover: Sequence,
}

/// A cluster as it was when it was last looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    record: Sequence,
    liveness: Liveness,
    allocatable: Option<Resources>,
    is_sick: bool,
}

impl Seen {
    fn of(entry: &ClusterEntry) -> Self {
        Self {
            record: entry.record.sequence,
            liveness: entry.observed.liveness,
            allocatable: entry.observed.allocatable(),
            is_sick: entry.observed.facts.sick_since.is_some(),
        }
    }

    fn is_heard(&self) -> bool {
        matches!(self.liveness, Liveness::Alive | Liveness::Suspect)
    }
}

impl Dirty {
    pub(super) fn is_empty(&self) -> bool {
        self.urgent.is_empty() && self.rest.is_empty()
    }

    /// Marks every application, and looks at every cluster as if it had been there before.
    pub(super) fn everything(&mut self, world: &World) {
        world.read(|state| {
            let all = state.applications().iter();
            self.rest = all.map(|(key, stored)| ((priority(&stored.value), key.clone()), None)).collect();
            self.hub_failover = state.hub_failover().sequence;
            let applications = state.applications();
            self.waits.retain(|key, _| applications.contains_key(key));
            self.clusters =
                state.clusters().iter().map(|(name, entry)| (name.clone(), Seen::of(entry))).collect();
        });
    }

    /// Takes out at most `limit` applications, the urgent first.
    pub(super) fn take(&mut self, limit: usize) -> Vec<(ApplicationKey, Cause)> {
        let mut taken = Vec::new();
        while taken.len() < limit
            && let Some(key) = self.urgent.pop_first()
        {
            taken.push((key, Cause::Own));
        }
        while taken.len() < limit
            && let Some(((_, key), change_id)) = self.rest.pop_first()
        {
            if !taken.iter().any(|(own, _)| *own == key) {
                taken.push((key, Cause::Around(change_id)));
            }
        }
        taken
    }

    /// Puts back an application that was taken and whose plan was not committed.
    pub(super) fn again(&mut self, key: ApplicationKey) {
        self.urgent.insert(key);
    }

    /// Notes what would change an application's plan.
    pub(super) fn set_waits(&mut self, key: ApplicationKey, waits: Waits, priority: u32) {
        if waits == Waits::default() {
            self.waits.remove(&key);
        } else {
            self.waits.insert(key, (waits, priority));
        }
    }

    /// Forgets an application that is gone.
    pub(super) fn forget(&mut self, key: &ApplicationKey) {
        self.waits.remove(key);
    }

    /// Marks those that wait for room: some was given back.
    pub(super) fn room_freed(&mut self) {
        for (key, (_, priority)) in self.waits.iter().filter(|(_, (waits, _))| waits.for_room) {
            self.rest.entry((Reverse(*priority), key.clone())).or_default();
        }
    }

    /// Takes what changed in the world.
    pub(super) fn note(&mut self, changes: &Changes, world: &World, news: &mut News) {
        if changes.everything {
            self.everything(world);
        }
        self.urgent.extend(changes.applications.iter().cloned());
        self.urgent.extend(changes.assignments.iter().map(|(_, key)| key.clone()));
        world.read(|state| self.note_failovers(changes, state));
        let names: Vec<&ClusterName> = changes.clusters.iter().collect();
        for names in names.chunks(CLUSTERS_AT_ONCE) {
            world.read(|state| {
                for name in names {
                    self.note_cluster(name, state, news);
                }
            });
        }
    }

    /// Marks the applications of which people ordered something, and, where people said something of failover as a
    /// whole, all that it may be about.
    fn note_failovers(&mut self, changes: &Changes, state: &State) {
        let has_orders = |key: &&ApplicationKey| {
            state.failovers().get(*key).is_some_and(|stored| !stored.value.orders.is_empty())
        };
        self.urgent.extend(changes.failovers.iter().filter(has_orders).cloned());
        let sequence = state.hub_failover().sequence;
        if std::mem::replace(&mut self.hub_failover, sequence) != sequence {
            self.exclusive(state);
            for key in state.failovers().keys() {
                self.mark(key, state, None);
            }
        }
    }

    /// Marks the Exclusive applications.
    pub(super) fn exclusive(&mut self, state: &State) {
        for (key, stored) in state.applications() {
            if stored.value.spec.failover.mode == FailoverMode::Exclusive {
                self.rest.entry((priority(&stored.value), key.clone())).or_default();
            }
        }
    }

    /// Marks an application whose surroundings changed.
    pub(super) fn mark(&mut self, key: &ApplicationKey, state: &State, change_id: Option<&Arc<str>>) {
        let Some(stored) = state.applications().get(key) else { return };
        self.rest.insert((priority(&stored.value), key.clone()), change_id.cloned());
    }

    fn note_cluster(&mut self, name: &ClusterName, state: &State, news: &mut News) {
        let Some(entry) = state.clusters().get(name) else {
            self.clusters.remove(name);
            self.mark_told(name, state, None);
            return;
        };
        let now = Seen::of(entry);
        let before = self.clusters.insert(name.clone(), now);
        news.note_cluster(name, before.map(|seen| seen.liveness), now.liveness);
        let Some(before) = before.filter(|before| before.record == now.record) else {
            let change_id = Some(entry.record.change_id.clone()).filter(|id| !id.is_empty());
            self.mark_told(name, state, change_id.as_ref());
            self.mark_waiting(name, state, change_id.as_ref(), |waits| waits.for_clusters);
            return;
        };
        self.note_signals(name, before, now, state);
        if now.allocatable != before.allocatable {
            self.mark_waiting(name, state, None, |waits| waits.for_room);
        }
    }

    /// Marks those that what is seen of a cluster may move: away from it, or back to it.
    fn note_signals(&mut self, name: &ClusterName, before: Seen, now: Seen, state: &State) {
        let comes = now.is_heard() && !before.is_heard();
        if comes || before.is_sick && !now.is_sick {
            self.mark_waiting(name, state, None, |waits| waits.for_heard);
        }
        let is_lost = now.liveness == Liveness::Lost && before.liveness != Liveness::Lost;
        let returns = comes && before.liveness == Liveness::Lost;
        if is_lost || returns || before.is_sick != now.is_sick {
            self.mark_movable(name, state);
        } else if comes {
            // After a start of the hub every cluster comes; only what has a standing looks at that.
            for key in state.assignments_in(name).into_iter().flat_map(BTreeMap::keys) {
                if state.failovers().contains_key(key) {
                    self.mark(key, state, None);
                }
            }
        }
    }

    /// Marks the applications that the cluster is told about and that could move: what runs in every cluster that matches
    /// has nowhere to go.
    fn mark_movable(&mut self, name: &ClusterName, state: &State) {
        for key in state.assignments_in(name).into_iter().flat_map(BTreeMap::keys) {
            let application = state.applications().get(key);
            let is_counted = application.is_some_and(|stored| stored.value.spec.placement.count.is_some());
            if is_counted || state.failovers().contains_key(key) {
                self.mark(key, state, None);
            }
        }
    }

    /// Marks the applications that the cluster is told about: its labels choose their changes, its taints may evict.
    fn mark_told(&mut self, name: &ClusterName, state: &State, change_id: Option<&Arc<str>>) {
        for key in state.assignments_in(name).into_iter().flat_map(BTreeMap::keys) {
            self.mark(key, state, change_id);
        }
    }

    /// Marks the applications that wait for such a cluster, are not there yet and may come.
    fn mark_waiting(
        &mut self,
        name: &ClusterName,
        state: &State,
        change_id: Option<&Arc<str>>,
        waits_for: impl Fn(&Waits) -> bool,
    ) {
        let Some(entry) = state.clusters().get(name) else { return };
        let labels = &entry.record.value.metadata.labels;
        let told = state.assignments_in(name);
        for (key, (_, priority)) in self.waits.iter().filter(|(_, (waits, _))| waits_for(waits)) {
            let runs = told.and_then(|told| told.get(key)).is_some_and(AssignmentEntry::runs);
            let matches = || {
                let application = state.applications().get(key);
                application.is_some_and(|stored| stored.value.spec.placement.clusters.matches(labels))
            };
            if !runs && matches() {
                self.rest.insert((Reverse(*priority), key.clone()), change_id.cloned());
            }
        }
    }
}

/// What is planned first.
fn priority(application: &Application) -> Reverse<u32> {
    Reverse(application.spec.failover.priority)
}
