//! What stands under one name in the picture: a record, what is seen of it, and how its planning went.

use std::sync::Arc;

use nave_common::assignment::{Assignment, Desired};
use nave_common::cluster::Cluster;
use nave_common::digest::Digest;
use nave_common::name::ApplicationKey;
use nave_common::resources::Resources;
use nave_common::status::{AssignmentStatus, ClusterObservation, Liveness};
use nave_common::time::Timestamp;

use super::facts::{ClusterFacts, Standing, WorkFacts};
use super::held::Report;
use super::liveness::Beat;
use crate::store::Sequence;

/// A resource as the store holds it.
#[derive(Debug, Clone)]
pub struct Stored<T> {
    /// The resource; its `metadata.sequence` is filled in where it has one.
    pub value: Arc<T>,
    /// The change that led to it; empty where it had no identifier.
    pub change_id: Arc<str>,
    /// The commit that wrote it: what a compare names.
    pub sequence: Sequence,
}

/// A cluster: what is stored of it, and what is seen of it.
#[derive(Debug, Clone)]
pub struct ClusterEntry {
    /// What is stored.
    pub record: Stored<Cluster>,
    /// The enrolment whose certificates are valid; `None` until a cluster of an older hub's record connects.
    pub enrolment: Option<Digest>,
    /// What is seen.
    pub observed: Observed,
}

/// What is seen of a cluster, since the hub started.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// Whether it is heard.
    pub liveness: Liveness,
    /// What its agent last said of it.
    pub observation: Option<Arc<ClusterObservation>>,
    /// What its agent runs and this hub has never heard of.
    pub unknown_applications: Vec<ApplicationKey>,
    /// After a restore: what its agent's last Hello says of what waits. `None` while it has said nothing.
    pub report: Option<Arc<Report>>,
    /// Since when it is as it is.
    pub facts: ClusterFacts,
    /// When it was last heard.
    pub(super) beat: Arc<Beat>,
}

impl Observed {
    /// What the cluster has to give; `None` while that is not known: an agent that has not counted its nodes yet says
    /// that there is nothing of anything.
    #[must_use]
    pub fn allocatable(&self) -> Option<Resources> {
        let seen = self.observation.as_ref()?;
        let is_counted = seen.node_count > 0 || seen.allocatable != Resources::default();
        is_counted.then_some(seen.allocatable)
    }
}

/// One application in one cluster: what is wanted, and what is seen.
#[derive(Debug, Clone)]
pub struct AssignmentEntry {
    /// What is wanted.
    pub assignment: Arc<Assignment>,
    /// What the agent last said of it.
    pub status: Option<Arc<AssignmentStatus>>,
    /// Since when it is as it is.
    pub facts: WorkFacts,
    /// What was added to the cluster's load for it, and is taken off again when it goes.
    pub(super) counted: Resources,
}

/// How the last planning of an application went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacementOutcome {
    /// The application's record that was planned.
    pub sequence: Sequence,
    /// How many more clusters are wanted than could be found.
    pub unplaced_count: u32,
    /// What is not as wanted and why.
    pub problems: Vec<String>,
}

impl<T: Default> Default for Stored<T> {
    /// What stands for a record that is not there.
    fn default() -> Self {
        Self { value: Arc::default(), change_id: "".into(), sequence: Sequence::default() }
    }
}

impl<T> Stored<T> {
    pub(super) fn new(value: T, change_id: &str, sequence: Sequence) -> Self {
        Self { value: Arc::new(value), change_id: change_id.into(), sequence }
    }
}

impl Observed {
    /// When the cluster was last heard since the hub started.
    #[must_use]
    pub fn last_heard_at(&self) -> Option<Timestamp> {
        self.beat.heard_at()
    }
}

impl AssignmentEntry {
    /// Whether the cluster is told to run something, and not to remove it.
    #[must_use]
    pub fn runs(&self) -> bool {
        matches!(self.assignment.desired, Desired::Run(_))
    }

    /// What failover looks at of what the agent says.
    #[must_use]
    pub fn standing(&self) -> Standing {
        Standing::of(&self.assignment, self.status.as_deref())
    }

    /// Whether the agent has completed the removal that is asked for: this one, and no earlier one.
    #[must_use]
    pub fn is_removed(&self) -> bool {
        self.status.as_ref().is_some_and(|status| self.is_removal_confirmed_by(status))
    }

    pub(super) fn is_removal_confirmed_by(&self, status: &AssignmentStatus) -> bool {
        self.assignment.desired == Desired::Remove
            && status.removed
            && status.generation == self.assignment.generation
    }
}
