//! The rules that say which clusters an application runs on, and the words in which the answer is explained.
//!
//! The decision itself is the hub's planner's.

use serde::{Deserialize, Serialize};

use crate::name::ClusterName;
use crate::selector::Selector;

/// Which clusters an application runs on. Empty: every cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Placement {
    /// The clusters that come into question; all where it is left out.
    #[serde(default, skip_serializing_if = "Selector::is_empty")]
    pub clusters: Selector,
    /// Only clusters whose label `region` is one of these; any where it is empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub regions: Vec<String>,
    /// How many clusters are wanted; all that qualify where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
    /// Over which domains the chosen clusters are spread.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub spread: Vec<Spread>,
    /// Clusters to take first, by weight.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prefer: Vec<Preference>,
    /// Taints that do not keep this application away.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tolerations: Vec<Toleration>,
}

/// A wish that the chosen clusters lie in several domains.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Spread {
    /// The label whose values are the domains, such as `region`. Clusters without it are not chosen.
    pub by: String,
    /// At least this many domains; fewer is said to be unmet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_domains: Option<u32>,
}

/// Clusters to take before others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preference {
    /// Which clusters are preferred.
    pub clusters: Selector,
    /// How much, 1 to 100; the weights of all preferences that match a cluster add up.
    pub weight: u32,
}

/// A mark on a cluster that keeps applications away.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Taint {
    /// What the mark is about, such as `maintenance`.
    pub key: String,
    /// Its value; often empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub value: String,
    /// What it does.
    pub effect: TaintEffect,
}

/// What a taint does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TaintEffect {
    /// Nothing new comes; what is there stays.
    NoSchedule,
    /// Nothing new comes, if it can be had elsewhere.
    PreferNoSchedule,
    /// Nothing new comes, and what is there leaves.
    NoExecute,
}

/// A taint that an application puts up with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Toleration {
    /// The taint's key; every key where it is left out (with operator `Exists`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// How the taint's value is looked at.
    #[serde(default)]
    pub operator: TolerationOperator,
    /// The taint's value, for `Equal`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub value: String,
    /// The taint's effect; every effect where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<TaintEffect>,
}

/// How a toleration looks at a taint's value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum TolerationOperator {
    /// The values are equal.
    #[default]
    Equal,
    /// Any value will do.
    Exists,
}

impl Toleration {
    /// Whether this toleration puts up with `taint`.
    #[must_use]
    pub fn tolerates(&self, taint: &Taint) -> bool {
        self.key.as_ref().is_none_or(|key| *key == taint.key)
            && self.effect.is_none_or(|effect| effect == taint.effect)
            && match self.operator {
                TolerationOperator::Exists => true,
                TolerationOperator::Equal => self.key.is_some() && self.value == taint.value,
            }
    }
}

/// Why one cluster was or was not chosen for one application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Decision {
    /// The cluster.
    pub cluster: ClusterName,
    /// The answer.
    pub verdict: Verdict,
    /// The answer's grounds, such as `matches; region eu needs one more; 41 % free`.
    pub reason: String,
}

/// The answer for one cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Verdict {
    /// The application runs here.
    Chosen,
    /// It could be here, but something stands against it now: a taint, no room, enough others.
    NotNow,
    /// The placement rules leave this cluster out.
    Excluded,
}
