//! The hub's store as the simulation has it: records with a version each, committed all or nothing on what they expect.

use std::collections::BTreeMap;
use std::sync::Arc;

use nave_common::application::Application;
use nave_common::assignment::{Assignment, Generation};
use nave_common::failover::state::FailoverState;
use nave_common::name::{ApplicationKey, ClusterName};
use nave_hub::records::HubFailoverRecord;

/// What a version is kept of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Slot {
    /// The counter of the newest generation.
    Counter,
    /// An application.
    Application(ApplicationKey),
    /// How an application stands in failover.
    State(ApplicationKey),
    /// What people said of failover as a whole.
    Hub,
    /// What people set of a cluster.
    Cluster(ClusterName),
}

/// What people set of a cluster.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct ClusterSet {
    /// Nothing new comes.
    pub(super) is_cordoned: bool,
    /// What is there leaves.
    pub(super) is_drained: bool,
}

/// Everything that is durable. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Records {
    /// The hub's incarnation.
    pub(super) term: u64,
    /// The counter of the newest generation.
    pub(super) counter: u64,
    /// Desired state.
    pub(super) applications: BTreeMap<ApplicationKey, Arc<Application>>,
    /// How applications stand in failover.
    pub(super) states: BTreeMap<ApplicationKey, Arc<FailoverState>>,
    /// What clusters are told, by application.
    pub(super) told: BTreeMap<ApplicationKey, Arc<BTreeMap<ClusterName, Arc<Assignment>>>>,
    /// What people said of failover as a whole.
    pub(super) hub: HubFailoverRecord,
    /// What people set of clusters.
    pub(super) clusters: BTreeMap<ClusterName, ClusterSet>,
    /// Applications that a restored hub does not touch yet.
    pub(super) held: BTreeMap<ApplicationKey, ()>,
    pub(super) versions: BTreeMap<Slot, u64>,
}

/// One change.
#[derive(Debug, Clone)]
pub(super) enum Write {
    /// A counter of generations.
    Counter(u64),
    /// An application; `None` where it goes.
    Application(ApplicationKey, Option<Arc<Application>>),
    /// How an application stands.
    State(Box<FailoverState>),
    /// A cluster is told this.
    Tell(Arc<Assignment>),
    /// There is nothing left to tell it.
    Forget(ApplicationKey, ClusterName),
    /// What people said of failover as a whole.
    Hub(Box<HubFailoverRecord>),
    /// What people set of a cluster.
    Cluster(ClusterName, ClusterSet),
    /// An application is no longer held.
    Release(ApplicationKey),
}

/// Changes that are made together, or not at all.
#[derive(Debug, Clone, Default)]
pub(super) struct Commit {
    /// The versions that must not have changed.
    pub(super) expects: Vec<(Slot, u64)>,
    /// What is written.
    pub(super) writes: Vec<Write>,
}

impl Records {
    /// The newest generation.
    #[must_use]
    pub(super) fn generation(&self) -> Generation {
        Generation { term: self.term, counter: self.counter }
    }

    /// How often a record was written.
    #[must_use]
    pub(super) fn version(&self, slot: &Slot) -> u64 {
        self.versions.get(slot).copied().unwrap_or(0)
    }

    /// Makes the changes, where everything still is as expected; whether it was.
    pub(super) fn commit(&mut self, commit: &Commit) -> bool {
        if commit.expects.iter().any(|(slot, version)| self.version(slot) != *version) {
            return false;
        }
        for write in &commit.writes {
            let slot = self.write(write);
            if let Some(slot) = slot {
                *self.versions.entry(slot).or_default() += 1;
            }
        }
        true
    }

    fn write(&mut self, write: &Write) -> Option<Slot> {
        match write {
            Write::Counter(counter) => {
                self.counter = *counter;
                Some(Slot::Counter)
            }
            Write::Application(key, application) => {
                match application {
                    Some(application) => self.applications.insert(key.clone(), application.clone()),
                    None => self.applications.remove(key),
                };
                Some(Slot::Application(key.clone()))
            }
            Write::State(state) => {
                self.states.insert(state.application.clone(), Arc::new((**state).clone()));
                Some(Slot::State(state.application.clone()))
            }
            Write::Tell(assignment) => {
                let told = self.told.entry(assignment.application.clone()).or_default();
                Arc::make_mut(told).insert(assignment.cluster.clone(), assignment.clone());
                None
            }
            Write::Forget(key, cluster) => {
                if let Some(told) = self.told.get_mut(key) {
                    Arc::make_mut(told).remove(cluster);
                }
                None
            }
            Write::Hub(record) => {
                self.hub = (**record).clone();
                Some(Slot::Hub)
            }
            Write::Cluster(name, set) => {
                self.clusters.insert(name.clone(), *set);
                Some(Slot::Cluster(name.clone()))
            }
            Write::Release(key) => {
                self.held.remove(key);
                None
            }
        }
    }
}

impl Records {
    /// Makes a backup the state of a restored hub: with a term of its own, in which everything is told, and held.
    pub(super) fn put_back(&mut self, raises_term: bool, seen_term: u64) {
        if raises_term {
            self.term = self.term.max(seen_term) + 1;
        }
        let term = self.term;
        for told in self.told.values_mut() {
            for assignment in Arc::make_mut(told).values_mut() {
                Arc::make_mut(assignment).generation.term = term;
            }
        }
        self.held = self.applications.keys().map(|key| (key.clone(), ())).collect();
    }
}
