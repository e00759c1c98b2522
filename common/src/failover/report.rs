//! What people are shown of failover: what would move, how the hub stands, how an application stands.

use serde::{Deserialize, Serialize};

use super::state::{Cause, FailoverState};
use super::{Failover, FailoverMode};
use crate::name::{ApplicationKey, ClusterName};
use crate::time::Timestamp;

/// A loss that is pretended, to see what would happen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PretendedLoss {
    /// These clusters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clusters: Vec<ClusterName>,
    /// Every cluster whose label `region` has one of these values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub regions: Vec<String>,
}

/// What would happen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FailoverPlan {
    /// The clusters that would be lost.
    pub lost: Vec<ClusterName>,
    /// What would move, in the order in which it would.
    pub moves: Vec<PlannedMove>,
    /// Why nothing would move by itself, where the hub would freeze.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frozen: Option<Frozen>,
}

/// One move that would be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PlannedMove {
    /// The application.
    pub application: ApplicationKey,
    /// How it fails over.
    pub mode: FailoverMode,
    /// The cluster that it would leave.
    pub from: ClusterName,
    /// Where it would go; `None` where nothing can take it, or nothing moves by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<ClusterName>,
    /// Why.
    pub cause: Cause,
    /// What it would wait for, or why it has nowhere to go.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// The hub moves nothing by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Frozen {
    /// Why, and what ends it.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
    /// When it ends by itself; `None` where it waits for recovery or a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// How failover stands on the hub as a whole.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HubFailover {
    /// Why nothing moves by itself, where it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frozen: Option<Frozen>,
    /// Until when no Exclusive work moves, and leases are long enough for the hub to be away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maintenance_until: Option<Timestamp>,
}

/// How one application stands in failover.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FailoverView {
    /// Its rules.
    pub failover: Failover,
    /// How it stands.
    pub state: FailoverState,
    /// The clusters that are told to run it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub active: Vec<ClusterName>,
    /// When the exclusive lease of its holder is over if nothing renews it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_ends_at: Option<Timestamp>,
}
