//! What is taken out of the world for one round of planning: shared pieces, so that the lock is held for moments.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use nave_common::application::Application;
use nave_common::assignment::{Desired, Generation};
use nave_common::failover::state::FailoverState;
use nave_common::name::{ApplicationKey, ClusterName};
use nave_common::revision::Revision;
use nave_common::time::{BootTime, Timestamp};

use crate::plan::assign::{Inputs, Told};
use crate::plan::failover::{self, Decision, Limits, Now};
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
}

impl Snapshot {
    /// The state with what is needed to plan `wanted`. Applications that are gone are left
    /// out, and those that are held after a restore.
    pub(super) fn take(state: &State, wanted: impl IntoIterator<Item = (ApplicationKey, Cause)>) -> Self {
        let jobs = wanted.into_iter().filter_map(|(key, cause)| Job::take(state, key, cause));
        Self {
            jobs: jobs.collect(),
            generation: state.generation(),
            generation_sequence: state.generation_sequence(),
            fleet: state.fleet().clone(),
        }
    }
}

impl Job {
    fn take(state: &State, key: ApplicationKey, cause: Cause) -> Option<Self> {
        let application = state.applications().get(&key)?.clone();
        if !state.may_plan(&key) {
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
        Some(Self {
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

    /// How it stands, by its placement alone.
    pub(super) fn decide(&self, fleet: &Fleet) -> Decision {
        let revision = self.revision.as_deref();
        failover::decide(&failover::Inputs {
            application: &self.application.value,
            revision: revision.map(|revision| revision.number),
            requests: revision.map(|revision| revision.requests).unwrap_or_default(),
            told: &self.told,
            fleet,
            state: &FailoverState::new(self.key.clone()),
            seen: &BTreeMap::new(),
            lease_over_at: None,
            limits: Limits::default(),
            generation: Generation::default(),
            now: Now { boot: BootTime::from_duration(Duration::ZERO), wall: Timestamp::EPOCH },
        })
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
