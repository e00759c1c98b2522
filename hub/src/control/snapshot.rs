//! What is taken out of the world for one round of planning: shared pieces, so that the lock is held for moments.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use nave_common::application::Application;
use nave_common::assignment::{Desired, Generation};
use nave_common::failover::FailoverMode;
use nave_common::failover::state::FailoverState;
use nave_common::name::{ApplicationKey, ClusterName};
use nave_common::revision::Revision;

use super::signals::{self, Looking};
use crate::plan::assign::{Inputs, Told};
use crate::plan::failover::Seen;
use crate::plan::fleet::Fleet;
use crate::store::Sequence;
use crate::world::{State, Stored};

/// The world as one round sees it.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) generation: Generation,
    pub(super) generation_sequence: Sequence,
    pub(super) fleet: Arc<Fleet>,
    pub(super) jobs: Vec<Job>,
}

/// Why an application is planned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cause {
    /// It changed itself, or an agent waits for it.
    Own,
    /// A cluster changed, by the change with this identifier, if it has one.
    Around(Option<Arc<str>>),
}

/// One application to plan.
#[derive(Debug, Clone)]
pub(super) struct Job {
    pub(super) key: ApplicationKey,
    pub(super) application: Stored<Application>,
    pub(super) change_id: Arc<str>,
    pub(super) is_own: bool,
    pub(super) revision: Option<Arc<Revision>>,
    pub(super) revisions: Vec<u64>,
    pub(super) told: Arc<Told>,
    pub(super) removed: BTreeSet<ClusterName>,
    /// How it stands in failover; `None` where that has nothing to do with it.
    pub(super) failover: Option<Stored<FailoverState>>,
    /// What is seen of its clusters.
    pub(super) seen: BTreeMap<ClusterName, Seen>,
}

impl Snapshot {
    /// The state with what is needed to plan `wanted`. Applications that are gone are left
    /// out, and those that are held after a restore, or of which an agent has seen a newer token,
    /// and Exclusive ones while any agent has seen a newer generation.
    pub(super) fn take(
        state: &State,
        wanted: impl IntoIterator<Item = (ApplicationKey, Cause)>,
        looking: Looking<'_>,
    ) -> Self {
        let jobs = wanted.into_iter().filter_map(|(key, cause)| Job::take(state, key, cause, looking));
        Self {
            jobs: jobs.collect(),
            generation: state.generation(),
            generation_sequence: state.generation_sequence(),
            fleet: state.fleet().clone(),
        }
    }
}

impl Job {
    fn take(state: &State, key: ApplicationKey, cause: Cause, looking: Looking<'_>) -> Option<Self> {
        let application = state.applications().get(&key)?.clone();
        if !state.may_plan(&key) {
            return None;
        }
        let is_exclusive = application.value.spec.failover.mode == FailoverMode::Exclusive;
        let is_doubtful = || state.epoch_doubt(&key).is_some() || state.clusters_ahead().next().is_some();
        if is_exclusive && is_doubtful() {
            return None;
        }
        let told = state.told_for_planning(&key);
        let tombstones =
            told.iter().filter(|(_, assignment)| assignment.desired == Desired::Remove).map(|(name, _)| name);
        let removed = tombstones
            .filter(|name| {
                state.assignment(name, &key).is_some_and(crate::world::AssignmentEntry::is_removed)
            })
            .cloned()
            .collect();
        let failover = state.failovers().get(&key).cloned();
        let none = FailoverState::new(key.clone());
        let standing = failover.as_ref().map_or(&none, |stored| &*stored.value);
        Some(Self {
            // What runs wherever it may has nowhere to go, so nothing of it ever moves.
            seen: if failover.is_some() || application.value.spec.placement.count.is_some() {
                signals::seen(state, &application.value, &told, standing, looking)
            } else {
                BTreeMap::new()
            },
            failover,
            is_own: cause == Cause::Own,
            change_id: match cause {
                Cause::Around(Some(change_id)) => change_id,
                _ => application.change_id.clone(),
            },
            revision: state.latest_revision(&key).cloned(),
            revisions: state.revisions(&key).map(|revision| revision.number).collect(),
            application,
            told,
            removed,
            key,
        })
    }

    /// How it stands in failover.
    pub(super) fn state(&self) -> Cow<'_, FailoverState> {
        match &self.failover {
            Some(stored) => Cow::Borrowed(&stored.value),
            None => Cow::Owned(FailoverState::new(self.key.clone())),
        }
    }

    pub(super) fn inputs<'a>(&'a self, fleet: &'a Fleet) -> Inputs<'a> {
        Inputs {
            application: &self.application.value,
            revision: self.revision.as_deref(),
            revisions: &self.revisions,
            told: &self.told,
            removed: &self.removed,
            fleet,
        }
    }
}
