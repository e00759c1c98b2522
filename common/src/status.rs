//! What was seen: of an object, of an application in a cluster, of a cluster, of an application.
//!
//! Status always carries its age: what has not been heard of lately is Unknown, never Healthy.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::assignment::Generation;
use crate::digest::Digest;
use crate::failover::Epoch;
use crate::health::Health;
use crate::manifest::ObjectKey;
use crate::name::{ApplicationKey, ClusterName};
use crate::placement::{Decision, Verdict};
use crate::resources::Resources;
use crate::time::Timestamp;

/// The most objects an [`AssignmentStatus`] names one by one.
pub const MAX_REPORTED_OBJECTS: usize = 50;

/// Whether what is wanted is what is there. Ordered from best to worst.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum SyncState {
    /// What is there is what is wanted.
    Synced,
    /// Nothing is written, on purpose.
    Suspended,
    /// Being applied, pruned or removed.
    Syncing,
    /// Something differs and is not being written: a conflict, an object of another owner, a contested field.
    OutOfSync,
    /// Something could not be applied.
    Failed,
    /// The agent has said nothing about it yet, or not for too long.
    #[default]
    Unknown,
}

impl fmt::Display for SyncState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Synced => "Synced",
            Self::Suspended => "Suspended",
            Self::Syncing => "Syncing",
            Self::OutOfSync => "OutOfSync",
            Self::Failed => "Failed",
            Self::Unknown => "Unknown",
        })
    }
}

/// One object that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ObjectStatus {
    /// The object.
    pub object: ObjectKey,
    /// Whether it is as wanted.
    pub sync: SyncState,
    /// How well it is.
    pub health: Health,
    /// Why, in words on which a person can act.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Since when it is so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
}

/// What an agent says of one application in its cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AssignmentStatus {
    /// The application.
    pub application: ApplicationKey,
    /// The generation that this is about.
    pub generation: Generation,
    /// The rendering that was applied in full; `None` before the first and after a removal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied: Option<Digest>,
    /// Whether the removal that was asked for is complete.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub removed: bool,
    /// Whether what is there is what is wanted.
    pub sync: SyncState,
    /// How well it is: the worst of its objects.
    pub health: Health,
    /// Why it is not in sync or not healthy.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// How many objects there are.
    pub object_count: u32,
    /// How many of them are healthy.
    pub healthy_count: u32,
    /// How many times a foreign change was put back since the agent started.
    #[serde(default)]
    pub drift_count: u64,
    /// The objects that are not as they should be, the worst first, at most [`MAX_REPORTED_OBJECTS`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub objects: Vec<ObjectStatus>,
    /// How the stopping of Exclusive work stands; `None` where none is to be stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fence: Option<FenceStatus>,
    /// When the agent saw this.
    pub observed_at: Timestamp,
}

/// How the stopping of Exclusive work in a cluster stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FenceStatus {
    /// Everything up to this token is being stopped.
    pub epoch: Epoch,
    /// How far that is.
    pub state: FenceState,
    /// What is in the way, such as the pods that do not end and their nodes.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Since when it is so.
    pub since: Timestamp,
}

/// How far the stopping of Exclusive work is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum FenceState {
    /// Workloads are being stopped, or pods are ending.
    Stopping,
    /// Every pod was seen to end, or was removed while its node was Ready.
    Confirmed,
    /// Pods vanished, or do not end in time, and nobody can say whether they run: a person has to look.
    Unconfirmed,
}

/// Whether a cluster is heard.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Liveness {
    /// It is connected and its liveness lease runs.
    Alive,
    /// Its stream broke, but its liveness lease still runs.
    Suspect,
    /// Its liveness lease is over.
    Lost,
    /// It has not been heard since the hub started.
    #[default]
    Unheard,
}

impl fmt::Display for Liveness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Alive => "Alive",
            Self::Suspect => "Suspect",
            Self::Lost => "Lost",
            Self::Unheard => "Unheard",
        })
    }
}

/// What an agent says of its cluster as a whole.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClusterObservation {
    /// The agent's version.
    pub agent_version: String,
    /// The API server's version, such as `v1.37.2`.
    pub kubernetes_version: String,
    /// How many nodes there are.
    pub node_count: u32,
    /// How many of them are ready.
    pub ready_node_count: u32,
    /// What the ready nodes have to give.
    pub allocatable: Resources,
    /// Why the cluster's API server cannot be used, where it cannot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// What the hub knows of a cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClusterStatus {
    /// Whether it is heard.
    pub liveness: Liveness,
    /// When it was last heard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_heard_at: Option<Timestamp>,
    /// What its agent last said of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed: Option<ClusterObservation>,
    /// How many applications are assigned to it.
    #[serde(default)]
    pub application_count: u32,
    /// What the applications assigned to it request.
    #[serde(default)]
    pub requested: Resources,
    /// Applications that the agent runs and this hub has never heard of; nothing is done about them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unknown_applications: Vec<ApplicationKey>,
}

/// What the hub knows of an application, over all its clusters.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApplicationStatus {
    /// The number of the Revision that is wanted; zero before the first.
    pub revision: u64,
    /// Where that Revision came from.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub origin: String,
    /// How many clusters it is assigned to.
    pub cluster_count: u32,
    /// In how many of them exactly what is wanted is applied.
    pub synced_count: u32,
    /// In how many of them it is healthy.
    pub healthy_count: u32,
    /// The worst over all clusters.
    pub sync: SyncState,
    /// The worst over all clusters.
    pub health: Health,
    /// Why it is not in sync or not healthy: the worst cluster's reason.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// How many more clusters are wanted than could be found; zero where the placement is met.
    #[serde(default)]
    pub unplaced_count: u32,
    /// Why the placement is not met, or its wishes are not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub placement_problems: Vec<String>,
    /// The age of the oldest thing said here: when the cluster that was silent longest was last heard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_at: Option<Timestamp>,
    /// Clusters from which it is being removed.
    #[serde(default)]
    pub removing_count: u32,
    /// Clusters in which its objects stand with nothing running.
    #[serde(default)]
    pub parked_count: u32,
    /// What failover is about at the moment, such as `moving from eu-1 to us-1: Fencing`; empty where nothing moves.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub failover: String,
}

/// One application in one cluster: what is wanted beside what was seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AssignmentView {
    /// What is wanted.
    pub assignment: crate::assignment::Assignment,
    /// What was last seen; `None` where the agent has said nothing of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<AssignmentStatus>,
    /// Whether the cluster is heard; where it is not, `status` is only what it said last.
    pub liveness: Liveness,
}

/// Why an application is where it is: one line for each cluster of the fleet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PlacementReport {
    /// The answers, chosen clusters first.
    pub decisions: Vec<Decision>,
    /// How many more clusters are wanted than could be found.
    pub unplaced_count: u32,
    /// What of the placement is not met and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

impl PlacementReport {
    /// The clusters that were chosen.
    pub fn chosen(&self) -> impl Iterator<Item = &ClusterName> {
        self.decisions.iter().filter(|decision| decision.verdict == Verdict::Chosen).map(|d| &d.cluster)
    }
}
