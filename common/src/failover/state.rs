//! How an application stands in failover: where it is parked, who holds its exclusive lease, what moves and what moved.
//!
//! One durable record for each application that failover has anything to do with. The hub's failover planner makes the
//! next one from the last and from what is seen; people's orders stand in it until the planner has taken them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Epoch;
use crate::name::{ApplicationKey, ClusterName};
use crate::time::Timestamp;

/// The most finished moves that an application remembers.
pub const MAX_HISTORY: usize = 20;
/// The most orders that wait in one application.
pub const MAX_ORDERS: usize = 16;

/// How one application stands in failover.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FailoverState {
    /// The application.
    pub application: ApplicationKey,
    /// Clusters in which its objects stand with nothing running.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parked: BTreeMap<ClusterName, Parked>,
    /// Who may run it; `None` where it is not Exclusive, or nobody may yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<Grant>,
    /// What moves, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub moves: Vec<Move>,
    /// What moved, newest first, at most [`MAX_HISTORY`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<Move>,
    /// How often it had to leave each cluster of late.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub flaps: BTreeMap<ClusterName, Flaps>,
    /// The Revision that left a cluster because it was Degraded: it does so once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub degraded_revision: Option<u64>,
    /// What people ordered and the planner has not taken yet, at most [`MAX_ORDERS`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub orders: Vec<Order>,
    /// The number of the newest move.
    #[serde(default)]
    pub move_count: u64,
    /// In how many more clusters it was to stand ready when that was last decided: a lower number is an edit.
    #[serde(default, skip_serializing_if = "is_none_wanted")]
    pub standby_count: u32,
    /// Where it stands ready and a person wants it no more: removed as soon as it is known that nothing of it runs there.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub surplus: BTreeSet<ClusterName>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
const fn is_none_wanted(count: &u32) -> bool {
    *count == 0
}

/// A cluster in which an application's objects stand with nothing running.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Parked {
    /// Since when.
    pub since: Timestamp,
    /// Whether it is the application's home, to which it comes back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_home: bool,
    /// The cluster that runs it instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced_by: Option<ClusterName>,
}

/// One cluster's right to run an Exclusive application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Grant {
    /// The cluster.
    pub cluster: ClusterName,
    /// The token.
    pub epoch: Epoch,
    /// The longest lease that was ever promised under this epoch, in milliseconds. Durable before it is sent.
    pub promised_ms: u64,
    /// When it was granted.
    pub granted_at: Timestamp,
    /// `Some` once it is being taken back: nothing renews it any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<Release>,
}

impl Grant {
    /// The longest lease that was ever promised under this epoch.
    #[must_use]
    pub const fn promised(&self) -> Duration {
        Duration::from_millis(self.promised_ms)
    }
}

/// The taking back of a grant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Release {
    /// When it was decided.
    pub since: Timestamp,
    /// How it is known that the old copy is dead; `None` while it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fenced: Option<Fenced>,
}

/// How it is known that an old copy is dead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Fenced {
    /// The agent saw every pod end.
    Confirmed,
    /// The storage refuses its epoch.
    Storage,
    /// A person said so.
    Person(String),
    /// The fencing webhook said so.
    Webhook,
    /// `assumeFencedAfter` is over.
    Assumed,
}

/// Why an application leaves a cluster, or comes to one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Cause {
    /// The cluster's liveness lease is over.
    Lost,
    /// The cluster's agent says that its API server or most of its nodes are down.
    Sick,
    /// The application has been Degraded there for too long.
    Degraded,
    /// The cluster is being drained.
    Drained,
    /// The placement no longer lets it be there.
    Placement,
    /// A person ordered it.
    Ordered,
    /// Home is well again.
    Failback,
}

impl Cause {
    /// Whether the cluster that is left can be asked to stop first.
    #[must_use]
    pub fn is_planned(self) -> bool {
        matches!(self, Self::Drained | Self::Placement | Self::Ordered | Self::Failback)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Lost => "Lost",
            Self::Sick => "Sick",
            Self::Degraded => "Degraded",
            Self::Drained => "Drained",
            Self::Placement => "Placement",
            Self::Ordered => "Ordered",
            Self::Failback => "Failback",
        })
    }
}

/// One move of an application, under way or done; done, it is the report of a failover.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Move {
    /// Counts an application's moves, from 1.
    pub number: u64,
    /// The cluster that it leaves.
    pub from: ClusterName,
    /// Where it goes; `None` while that is not decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<ClusterName>,
    /// Why.
    pub cause: Cause,
    /// How far it is.
    pub phase: MovePhase,
    /// What it waits for, or how it ended, in words on which a person can act.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The Exclusive lease's new token, once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<Epoch>,
    /// When each step was done.
    pub times: MoveTimes,
}

/// How far a move is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum MovePhase {
    /// A person has to approve it.
    Proposed,
    /// It is decided, and the old copy of Exclusive work is not known to be dead yet.
    Fencing,
    /// No cluster can take it now.
    Unplaced,
    /// The new cluster is told to run it, and has not applied it yet.
    Applying,
    /// It is applied and not Healthy yet.
    Settling,
    /// It runs, and the old cluster, where that is heard, has let go.
    Done,
    /// It was given up: the cause went away before anything had moved, or a person aborted it.
    Aborted,
}

impl MovePhase {
    /// Whether nothing more comes of it.
    #[must_use]
    pub fn is_over(self) -> bool {
        matches!(self, Self::Done | Self::Aborted)
    }
}

impl fmt::Display for MovePhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Proposed => "Proposed",
            Self::Fencing => "Fencing",
            Self::Unplaced => "Unplaced",
            Self::Applying => "Applying",
            Self::Settling => "Settling",
            Self::Done => "Done",
            Self::Aborted => "Aborted",
        })
    }
}

/// When each step of a move was done, by the hub's wall clock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MoveTimes {
    /// When the cause began: for a lost cluster, when it was last heard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began_at: Option<Timestamp>,
    /// When the hub noticed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detected_at: Option<Timestamp>,
    /// When it decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_at: Option<Timestamp>,
    /// When the old copy was known to be dead; only for Exclusive work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fenced_at: Option<Timestamp>,
    /// When the new cluster had applied it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied_at: Option<Timestamp>,
    /// When it was Healthy there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healthy_at: Option<Timestamp>,
    /// When traffic had moved; not filled in yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic_at: Option<Timestamp>,
    /// When it was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
}

/// How often an application had to leave a cluster of late.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Flaps {
    /// How many times.
    pub count: u32,
    /// When it last did.
    pub last_at: Timestamp,
}

/// What a person orders of one application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Order {
    /// What is to be done.
    pub what: OrderKind,
    /// Who ordered it.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// The identifier of the order, which follows it into events and logs.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub change_id: String,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum OrderKind {
    /// It moves, as planned moves do.
    #[serde(rename_all = "camelCase")]
    Move {
        /// The cluster that it leaves; where it runs in one cluster alone, that one, if left out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<ClusterName>,
        /// Where it goes; the planner's choice where it is left out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<ClusterName>,
    },
    /// A proposed move is made.
    Approve {
        /// The move's number.
        number: u64,
    },
    /// A move is given up, where that is still possible.
    Abort {
        /// The move's number.
        number: u64,
    },
    /// The old copy of Exclusive work is dead: somebody looked.
    ConfirmFenced {
        /// The cluster in which it ran.
        cluster: ClusterName,
        /// The token up to which it is dead.
        epoch: Epoch,
        /// Whether the fencing webhook says so, and no person.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        by_webhook: bool,
    },
}

impl FailoverState {
    /// Nothing parked, granted, moving or moved.
    #[must_use]
    pub fn new(application: ApplicationKey) -> Self {
        Self {
            application,
            parked: BTreeMap::new(),
            grant: None,
            moves: Vec::new(),
            history: Vec::new(),
            flaps: BTreeMap::new(),
            degraded_revision: None,
            orders: Vec::new(),
            move_count: 0,
            standby_count: 0,
            surplus: BTreeSet::new(),
        }
    }

    /// Whether there is nothing in it that need be kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::new(self.application.clone())
    }
}
