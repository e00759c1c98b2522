//! Failover: the rules by which an application leaves a cluster that is lost, sick or drained, as a user writes them.
//!
//! What became of them is in [`state`]; the fencing token of Exclusive work is the [`Epoch`]. The decisions themselves
//! are the hub's planner's, and stopping work when its lease is over is the agent's.

mod epoch;
mod report;
pub mod state;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use epoch::{Epoch, EpochOverflow};
pub use report::{FailoverPlan, FailoverView, Frozen, HubFailover, PlannedMove, PretendedLoss};

use crate::field::FieldError;
use crate::manifest::ObjectKey;
use crate::name::ClusterName;
use crate::placement::Placement;
use crate::time::HumanDuration;

/// The exclusive lease of an application that does not say.
pub const DEFAULT_LEASE_DURATION: Duration = Duration::from_secs(60);
/// How long an exclusive lease is at least and at most.
pub const LEASE_DURATIONS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(3600));
/// How long the agent gives stopped work to end, where the application does not say.
pub const DEFAULT_FENCE_TIMEOUT: Duration = Duration::from_secs(120);
/// How long a cluster must have been well before work comes home, where the application does not say.
pub const DEFAULT_FAILBACK_AFTER: Duration = Duration::from_secs(300);
/// The priority of an application that sets none.
pub const DEFAULT_PRIORITY: u32 = 100;
/// The highest priority.
pub const MAX_PRIORITY: u32 = 1000;
/// The most standbys of one application.
const MAX_STANDBYS: u32 = 16;
/// One clock may run faster than another by one part in so many, and the exclusive lease still holds: the agent ends its
/// lease by that much earlier, and the hub by that much later.
pub const DRIFT_PARTS: u32 = 50;

/// How an application fails over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Failover {
    /// Whether two clusters may run it for a while, and who decides.
    pub mode: FailoverMode,
    /// Where it goes first; what is named earlier is taken earlier. Clusters that are not named come last.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub prefer: Vec<FailoverTarget>,
    /// Which applications move first where not all can at once: higher first, 0 to 1000.
    pub priority: u32,
    /// It leaves a cluster in which this Revision was Healthy before and has been Degraded for so long; never where it
    /// is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub degraded_after: Option<HumanDuration>,
    /// How it comes home.
    pub failback: Failback,
    /// In how many more clusters its objects stand ready with nothing running; 1 for Exclusive and 0 else, where it is
    /// left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub standby_count: Option<u32>,
    /// How kinds are stopped that Nave does not know.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub park: Vec<ParkRule>,
    /// The rules of Exclusive work; defaults where it is left out. Only with `mode: Exclusive`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exclusive: Option<Exclusive>,
}

impl Default for Failover {
    fn default() -> Self {
        Self {
            mode: FailoverMode::default(),
            prefer: Vec::new(),
            priority: DEFAULT_PRIORITY,
            degraded_after: None,
            failback: Failback::default(),
            standby_count: None,
            park: Vec::new(),
            exclusive: None,
        }
    }
}

/// How objects of one kind are parked: with nothing running and everything kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ParkRule {
    /// The API group; any where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The kind.
    pub kind: String,
    /// A merge patch (RFC 7386) that stops what the object runs; `{}` says that it runs nothing.
    pub merge: serde_json::Value,
}

impl ParkRule {
    /// Whether it is about this object.
    #[must_use]
    pub fn matches(&self, key: &ObjectKey) -> bool {
        self.kind == key.kind && self.group.as_ref().is_none_or(|group| *group == key.group)
    }
}

/// Whether two clusters may run an application for a while, and who decides.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum FailoverMode {
    /// It starts elsewhere at once; for a while it may run in both. For work that keeps no state of its own.
    #[default]
    Overlap,
    /// Never active in two clusters.
    Exclusive,
    /// As Overlap, but a person approves each move.
    Manual,
}

/// A preferred place: a region or a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FailoverTarget {
    /// Clusters whose label `region` has this value.
    Region(String),
    /// This cluster.
    Cluster(ClusterName),
}

/// How an application comes home after a failover.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Failback {
    /// Who decides; Auto for Overlap and Manual else, where it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<FailbackMode>,
    /// How long home must have been well. A home that failed repeatedly of late has to be well for longer.
    pub after: HumanDuration,
}

impl Default for Failback {
    fn default() -> Self {
        Self { mode: None, after: HumanDuration(DEFAULT_FAILBACK_AFTER) }
    }
}

/// Who decides that an application comes home.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum FailbackMode {
    /// The hub.
    Auto,
    /// A person, with `nave failover run APPLICATION --to CLUSTER`.
    Manual,
    /// Nobody: where it went is its home now.
    Never,
}

/// The rules of Exclusive work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Exclusive {
    /// How long one cluster may run it since the hub last said so.
    pub lease_duration: HumanDuration,
    /// Who makes sure that the old copy is dead.
    pub fence: Fence,
    /// How long stopped work may take to end before the agent says that it does not.
    pub fence_timeout: HumanDuration,
    /// With fence `Agent`, after silence: so long after the lease is over the old copy is taken for dead. May run two:
    /// for instance where a cluster without a connection gets its power back, and pods start before the agent does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub assume_fenced_after: Option<HumanDuration>,
}

impl Default for Exclusive {
    fn default() -> Self {
        Self {
            lease_duration: HumanDuration(DEFAULT_LEASE_DURATION),
            fence: Fence::default(),
            fence_timeout: HumanDuration(DEFAULT_FENCE_TIMEOUT),
            assume_fenced_after: None,
        }
    }
}

/// Who makes sure that the old copy of Exclusive work is dead.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Fence {
    /// The agent stops it when its lease is over, and confirms. After silence a person, a webhook or
    /// `assumeFencedAfter` says that it is dead.
    #[default]
    Agent,
    /// The storage it writes to refuses an old epoch, so silence is enough and the agent stops nothing by itself.
    Storage,
    /// A person or a webhook says that it is dead. The agent stops nothing by itself, so a dead hub stops nothing.
    Manual,
}

impl Fence {
    /// Whether an agent stops the work by itself when its lease is over.
    #[must_use]
    pub fn ends_with_lease(self) -> bool {
        self == Self::Agent
    }
}

impl Failover {
    /// The rules of Exclusive work; `None` where it is not Exclusive.
    #[must_use]
    pub fn exclusive_rules(&self) -> Option<Exclusive> {
        (self.mode == FailoverMode::Exclusive).then(|| self.exclusive.clone().unwrap_or_default())
    }

    /// Who decides that it comes home.
    #[must_use]
    pub fn failback_mode(&self) -> FailbackMode {
        self.failback.mode.unwrap_or(match self.mode {
            FailoverMode::Overlap => FailbackMode::Auto,
            FailoverMode::Exclusive | FailoverMode::Manual => FailbackMode::Manual,
        })
    }

    /// In how many more clusters its objects stand ready with nothing running.
    #[must_use]
    pub fn standbys(&self) -> u32 {
        self.standby_count.unwrap_or(u32::from(self.mode == FailoverMode::Exclusive))
    }

    /// Checks what types alone cannot hold, against the placement beside it.
    ///
    /// # Errors
    /// The first problem, with its path from `spec`.
    pub fn check(&self, placement: &Placement) -> Result<(), FieldError> {
        let refused = |path: &str, why: String| Err(FieldError::new(format!("failover.{path}"), why));
        if self.priority > MAX_PRIORITY {
            return refused("priority", format!("is {}; expected 0 to {MAX_PRIORITY}", self.priority));
        }
        if self.prefer.len() > crate::application::MAX_LIST_ITEMS {
            return refused("prefer", too_many(self.prefer.len()));
        }
        if self.park.len() > crate::application::MAX_LIST_ITEMS {
            return refused("park", too_many(self.park.len()));
        }
        for (index, rule) in self.park.iter().enumerate() {
            if rule.kind.is_empty() {
                return refused(
                    &format!("park[{index}].kind"),
                    "is empty; expected a kind, such as Kafka".into(),
                );
            }
            if !rule.merge.is_object() {
                let shape = crate::manifest::shape(&rule.merge);
                return refused(
                    &format!("park[{index}].merge"),
                    format!("is {shape}; expected a map with the fields that stop it"),
                );
            }
        }
        for (index, target) in self.prefer.iter().enumerate() {
            if let FailoverTarget::Region(region) = target
                && let Err(problem) = crate::application::check_region(region)
            {
                return refused(&format!("prefer[{index}].region"), problem);
            }
        }
        if let Some(count) = self.standby_count
            && count > MAX_STANDBYS
        {
            return refused("standbyCount", format!("is {count}; expected 0 to {MAX_STANDBYS}"));
        }
        if self.mode != FailoverMode::Exclusive {
            return match self.exclusive {
                Some(_) => refused(
                    "exclusive",
                    "is only for mode: Exclusive; expected that mode, or that it is left out".into(),
                ),
                None => Ok(()),
            };
        }
        if placement.count != Some(1) {
            let found = placement.count.map_or("is missing".to_owned(), |count| format!("is {count}"));
            return Err(FieldError::new(
                "placement.count",
                format!("{found}; expected 1, as failover.mode is Exclusive"),
            ));
        }
        self.exclusive.as_ref().map_or(Ok(()), Exclusive::check)
    }
}

fn too_many(count: usize) -> String {
    format!("has {count} items; at most {} are allowed", crate::application::MAX_LIST_ITEMS)
}

impl Exclusive {
    fn check(&self) -> Result<(), FieldError> {
        let (least, most) = LEASE_DURATIONS;
        for (field, duration) in
            [("leaseDuration", self.lease_duration), ("fenceTimeout", self.fence_timeout)]
        {
            if !(least..=most).contains(&duration.0) {
                return Err(FieldError::new(
                    format!("failover.exclusive.{field}"),
                    format!("is {duration}; expected {} to {}", HumanDuration(least), HumanDuration(most)),
                ));
            }
        }
        if self.assume_fenced_after.is_some() && self.fence != Fence::Agent {
            return Err(FieldError::new(
                "failover.exclusive.assumeFencedAfter",
                "is only for fence: Agent; expected that fence, or that it is left out",
            ));
        }
        Ok(())
    }
}

/// How long the holder may count on a lease of `duration` since it sent the heartbeat that renewed it.
#[must_use]
pub fn holder_lease(duration: Duration) -> Duration {
    duration - duration / DRIFT_PARTS
}

/// How long the hub waits for a lease of `duration` to be over since it received the heartbeat that it renewed.
#[must_use]
pub fn grantor_lease(duration: Duration) -> Duration {
    duration + duration / DRIFT_PARTS
}

impl fmt::Display for FailoverMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Overlap => "Overlap",
            Self::Exclusive => "Exclusive",
            Self::Manual => "Manual",
        })
    }
}

impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Agent => "Agent",
            Self::Storage => "Storage",
            Self::Manual => "Manual",
        })
    }
}

impl fmt::Display for FailoverTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Region(region) => write!(f, "region {region}"),
            Self::Cluster(cluster) => write!(f, "cluster {cluster}"),
        }
    }
}
