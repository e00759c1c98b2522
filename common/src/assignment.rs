//! The Assignment: what one agent is told to run of one application.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::application::{Adopt, IgnoreFields};
use crate::digest::Digest;
use crate::failover::{Epoch, Fence, ParkRule};
use crate::name::{ApplicationKey, ClusterName, NamespaceName};
use crate::overrides::Override;

/// The order of everything a hub says: first by the hub's incarnation, then by its counter for desired state. An agent
/// refuses what is older than what it has seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Generation {
    /// The hub's incarnation.
    pub term: u64,
    /// The hub's counter for desired state, within all terms.
    pub counter: u64,
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.term, self.counter)
    }
}

/// What one cluster is told about one application. State, not a command: the newest wins, and receiving it twice or
/// late changes nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Assignment {
    /// The application.
    pub application: ApplicationKey,
    /// The cluster.
    pub cluster: ClusterName,
    /// When in the hub's order this was decided.
    pub generation: Generation,
    /// The identifier that follows the change that led here, from `nave apply` to the agent's log.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub change_id: String,
    /// What is wanted.
    pub desired: Desired,
}

/// What is wanted of one application in one cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Desired {
    /// It runs.
    Run(Box<Run>),
    /// It goes: everything that Nave made for it is deleted. Kept as a tombstone until the agent says that it is done.
    Remove,
}

/// What runs and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Run {
    /// The number of the Revision.
    pub revision: u64,
    /// Its manifests.
    pub bundle: Digest,
    /// This cluster's changes to them.
    #[serde(default, rename = "override")]
    pub override_: Override,
    /// The digest of the manifests after the changes ([`crate::render::Rendering::digest`]). An agent whose own
    /// rendering differs refuses and reports it.
    pub rendering: Digest,
    /// The namespace of namespaced manifests that name none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<NamespaceName>,
    /// Whether that namespace is made.
    #[serde(default)]
    pub create_namespace: bool,
    /// How the cluster is kept at it.
    pub sync: SyncPolicy,
    /// Whether anything of it runs, or its objects only stand ready.
    #[serde(default, skip_serializing_if = "Activity::is_active")]
    pub activity: Activity,
    /// How kinds are parked that Nave does not know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub park: Vec<ParkRule>,
    /// The terms of Exclusive work; `None` where it is not Exclusive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exclusive: Option<ExclusiveTerms>,
}

/// Whether anything of an application runs in a cluster.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Activity {
    /// It runs.
    #[default]
    Active,
    /// Its objects are there and nothing runs: workloads stand at zero, volumes are kept.
    Parked,
}

impl Activity {
    /// Whether it runs.
    #[must_use]
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
    pub fn is_active(&self) -> bool {
        *self == Self::Active
    }
}

/// The terms on which a cluster runs, or has stopped, Exclusive work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExclusiveTerms {
    /// With [`Activity::Active`] the token of this cluster's grant; with [`Activity::Parked`] the newest token that this
    /// cluster ever had: the agent stops everything up to it, and confirms. Zero where it never had one.
    pub epoch: Epoch,
    /// Who makes sure that an old copy is dead.
    pub fence: Fence,
    /// How long stopped work may take to end, in milliseconds, before the agent says that it does not.
    pub fence_timeout_ms: u64,
}

/// An application's sync rules as they hold in one cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SyncPolicy {
    /// As in [`crate::application::Sync::prune`].
    pub prune: bool,
    /// As in [`crate::application::Sync::adopt`].
    pub adopt: Adopt,
    /// As in [`crate::application::Sync::prune_adopted`].
    pub prune_adopted: bool,
    /// As in [`crate::application::Sync::ignore_fields`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignore_fields: Vec<IgnoreFields>,
    /// No writes in this cluster, but one: Exclusive work that may not run is stopped all the same.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub suspended: bool,
}

impl Desired {
    /// The content address of what is wanted: it tells whether an agent has this already. Generation and change
    /// identifier do not count.
    #[must_use]
    pub fn digest(&self) -> Digest {
        // Every field has a JSON form.
        Digest::of(&serde_json::to_vec(self).unwrap_or_default())
    }
}
