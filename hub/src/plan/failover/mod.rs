//! Failover: which clusters run an application and in which it stands parked, when clusters are lost, sick or drained.
//!
//! It takes what failover decided last ([`FailoverState`]) and what is seen, and returns the next state with what each
//! cluster is to do. Placement ([`super::placement`]) still says which clusters qualify and which is best; this module
//! says which of them are to be left, when, and in which order. The Revision that each of them runs is
//! [`super::assign`]'s.
//!
//! What holds (see the properties beside it): deciding again on what was decided changes nothing; Exclusive work is
//! never granted while an older grant is not known to be dead; while the hub doubts itself, nothing moves that nobody
//! ordered; leaving parks, and never removes; a standby is removed only by an edit that wants fewer.

pub mod doubt;
mod exclusive;
mod failback;
mod moves;
mod orders;
mod overlap;
pub mod pretend;
pub mod rate;
mod standby;
pub mod words;
mod work;

use std::collections::BTreeMap;

use nave_common::application::Application;
use nave_common::assignment::Generation;
use nave_common::failover::state::{Cause, FailoverState};
use nave_common::failover::{Epoch, Frozen};
use nave_common::health::Health;
use nave_common::name::ClusterName;
use nave_common::resources::Resources;
use nave_common::status::FenceStatus;
use nave_common::time::{BootTime, Timestamp};

use super::assign::Told;
use super::fleet::Fleet;
use super::placement::Waits;
use work::Work;

/// All that one application's standing depends on.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// What is wanted.
    pub application: &'a Application,
    /// The number of the Revision that is wanted; `None` before the first.
    pub revision: Option<u64>,
    /// What one copy requests of a cluster.
    pub requests: Resources,
    /// What clusters are told now, tombstones among it.
    pub told: &'a Told,
    /// The clusters there are.
    pub fleet: &'a Fleet,
    /// How it stands.
    pub state: &'a FailoverState,
    /// What is seen of the clusters that are told anything, or in which it is parked.
    pub seen: &'a BTreeMap<ClusterName, Seen>,
    /// When the exclusive lease of the present grant is over; `None` while it is not closed to renewal, or there is none.
    pub lease_over_at: Option<BootTime>,
    /// What keeps it from moving.
    pub limits: Limits<'a>,
    /// The newest generation: a new epoch is one above it.
    pub generation: Generation,
    /// The time.
    pub now: Now,
}

/// The time, on both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// On which everything is counted.
    pub boot: BootTime,
    /// Which people are shown.
    pub wall: Timestamp,
}

/// What is seen of one cluster, and of the application in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// What stands against the cluster, or the application in it; `None` where all is well.
    pub signal: Option<Signal>,
    /// Since when nothing has stood against it; `None` while something does, or it has not been heard.
    pub well_since: Option<BootTime>,
    /// Whether the agent has applied in full what it is told at present.
    pub is_applied: bool,
    /// How well the application is there, as far as it was said of what it is told at present.
    pub health: Health,
    /// Whether the present Revision was ever seen Healthy there, active.
    pub was_healthy: bool,
    /// How the stopping of Exclusive work there stands.
    pub fence: Option<FenceStatus>,
    /// Whether the cluster is heard.
    pub is_heard: bool,
}

/// Something that stands against a cluster, or against an application in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signal {
    /// What.
    pub cause: Cause,
    /// When it began, for people: of a lost cluster, when it was last heard.
    pub began_at: Timestamp,
    /// From when on it counts: its dwell time is over then.
    pub due_at: BootTime,
}

/// What keeps an application from moving.
#[derive(Debug, Clone, Copy, Default)]
pub struct Limits<'a> {
    /// Nothing moves that nobody ordered, because of this.
    pub frozen: Option<&'a Frozen>,
    /// A maintenance hold runs: no Exclusive work moves.
    pub is_held: bool,
    /// How many moves that nobody ordered may begin now.
    pub moves: u32,
}

/// What one cluster is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stand {
    /// Run it; Exclusive work under this token.
    Active(Option<Epoch>),
    /// Keep its objects with nothing running; of Exclusive work, stop everything up to this token.
    Parked(Option<Epoch>),
}

/// The decision for one application.
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct Decision {
    /// How it stands from now on. Orders that were taken are no longer in it.
    pub state: FailoverState,
    /// What each chosen cluster is to do. A cluster that is told something and is not in it is told to remove it.
    pub stands: BTreeMap<ClusterName, Stand>,
    /// How many more clusters are wanted than could be found.
    pub unplaced_count: u32,
    /// What is not as wanted and why.
    pub problems: Vec<String>,
    /// What of the fleet could change the placement.
    pub waits: Waits,
    /// The grant whose lease is to be closed to renewal before this is decided again, and before anything of this
    /// decision is committed.
    pub close: Option<Epoch>,
    /// How many moves that nobody ordered begin.
    pub begun_count: u32,
    /// When it is to be decided again though nothing changes.
    pub wake_at: Option<BootTime>,
}

/// Decides how one application stands.
pub fn decide(inputs: &Inputs<'_>) -> Decision {
    let mut work = Work::new(inputs);
    if inputs.application.metadata.deleted_at.is_some() {
        work.state.orders.clear();
        return work.into_decision(BTreeMap::new());
    }
    if inputs.revision.is_none() {
        work.problems.push("there is no revision yet".to_owned());
        return work.into_decision(BTreeMap::new());
    }
    match inputs.application.spec.failover.exclusive_rules() {
        Some(rules) => exclusive::decide(work, &rules),
        None => overlap::decide(work),
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod scenarios;
#[cfg(test)]
mod stage;
