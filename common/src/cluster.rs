//! The Cluster: one spoke of the fleet.

use serde::{Deserialize, Serialize};

use crate::field::FieldError;
use crate::metadata::ClusterMetadata;
use crate::placement::Taint;
use crate::selector::check_labels;
use crate::status::ClusterStatus;

/// A spoke: what is known and wanted of one cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cluster {
    /// Name and labels.
    pub metadata: ClusterMetadata,
    /// What people set.
    #[serde(default)]
    pub spec: ClusterSpec,
    /// What was seen; filled in by the hub and ignored in an apply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<ClusterStatus>,
}

/// What people set of a cluster.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClusterSpec {
    /// Marks that keep applications away.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub taints: Vec<Taint>,
    /// How readily this cluster is chosen over others that qualify equally: higher first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
    /// Nothing new comes here (`nave cordon`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cordoned: bool,
    /// What is here leaves, as planned moves do (`nave drain`); nothing new comes either.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub drained: bool,
    /// The UID of the cluster's kube-system namespace, to which the name was bound when it joined. Filled in by the
    /// hub; an apply cannot change it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
}

impl Cluster {
    /// Checks what types alone cannot hold.
    ///
    /// # Errors
    /// The first problem, with its path from the document's root.
    pub fn check(&self) -> Result<(), FieldError> {
        check_labels(&self.metadata.labels).map_err(|error| error.under("metadata.labels"))?;
        for (index, taint) in self.spec.taints.iter().enumerate() {
            if taint.key.is_empty() || taint.key.len() > 253 {
                return Err(FieldError::new(
                    format!("spec.taints[{index}].key"),
                    format!("is {} bytes long; expected 1 to 253", taint.key.len()),
                ));
            }
        }
        if self.spec.taints.len() > 64 {
            return Err(FieldError::new(
                "spec.taints",
                format!("has {} items; at most 64 are allowed", self.spec.taints.len()),
            ));
        }
        Ok(())
    }
}
