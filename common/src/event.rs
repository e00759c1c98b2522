//! Events: what happened, for people.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::name::{ApplicationKey, ClusterName};
use crate::time::Timestamp;

/// How much an event matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Severity {
    /// Something went as it should.
    Normal,
    /// Something needs a look.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        })
    }
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// How much it matters.
    pub severity: Severity,
    /// A word for machines, such as `Applied`, `ClusterLost`, `PlacementChanged`.
    pub reason: String,
    /// A sentence for people.
    pub message: String,
    /// The application it is about, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<ApplicationKey>,
    /// The cluster it is about, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<ClusterName>,
    /// The change that led to it, if one did.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub change_id: String,
}
