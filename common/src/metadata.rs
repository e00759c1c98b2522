//! What every resource of Nave carries besides its spec.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::name::{ApplicationKey, ApplicationName, ClusterName, ProjectName};
use crate::time::Timestamp;

/// Labels: what selectors match. Keys and values follow the Kubernetes rules for labels, checked by
/// [`crate::selector::check_labels`] where they enter.
pub type Labels = BTreeMap<String, String>;

/// The metadata of an Application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApplicationMetadata {
    /// Its name within its project.
    pub name: ApplicationName,
    /// Its project; `default` where none is named.
    #[serde(default)]
    pub project: ProjectName,
    /// What `nave get -l` and other selectors match.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    /// Free text for people and tools; nothing matches on it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Filled in by the hub: the store's sequence at which the resource was last written. Sent back in an apply, it
    /// makes the apply conditional: refused where the resource has changed since. Zero where there is none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub sequence: u64,
    /// Filled in by the hub: when it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Timestamp>,
    /// Filled in by the hub: when its deletion was asked for. It is gone once every cluster has let go of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted_at: Option<Timestamp>,
}

impl ApplicationMetadata {
    /// Metadata with a name and nothing else.
    #[must_use]
    pub fn new(key: ApplicationKey) -> Self {
        Self {
            name: key.name,
            project: key.project,
            labels: Labels::new(),
            annotations: BTreeMap::new(),
            sequence: 0,
            created_at: None,
            deleted_at: None,
        }
    }

    /// How the application is known.
    #[must_use]
    pub fn key(&self) -> ApplicationKey {
        ApplicationKey::new(self.project.clone(), self.name.clone())
    }
}

/// The metadata of a Cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClusterMetadata {
    /// Its name in the fleet.
    pub name: ClusterName,
    /// What placements match: `region`, `zone`, `provider` and any other.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    /// Free text for people and tools; nothing matches on it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// As in [`ApplicationMetadata::sequence`].
    #[serde(default, skip_serializing_if = "is_zero")]
    pub sequence: u64,
    /// Filled in by the hub: when the cluster first joined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Timestamp>,
}

impl ClusterMetadata {
    /// Metadata with a name and nothing else.
    #[must_use]
    pub fn new(name: ClusterName) -> Self {
        Self { name, labels: Labels::new(), annotations: BTreeMap::new(), sequence: 0, created_at: None }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
fn is_zero(value: &u64) -> bool {
    *value == 0
}
