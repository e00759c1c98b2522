//! Agents that have seen a newer token of Exclusive work than this hub ever granted: an older state of the hub was put
//! back. Whatever that token was granted for may still run, so nothing Exclusive that such an agent holds is granted or
//! renewed anywhere until a person has said that the hub is right.

use std::collections::{BTreeMap, BTreeSet};

use nave_common::failover::Epoch;
use nave_common::name::{ApplicationKey, ClusterName};
use nave_common::time::BootTime;

use super::World;
use super::interest::Effect;
use super::state::State;

/// What one agent has seen.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    epoch: Epoch,
    /// When it was first said.
    since: BootTime,
    /// What the agent holds.
    applications: BTreeSet<ApplicationKey>,
}

/// The agents that have seen a newer token.
#[derive(Debug, Clone, Default)]
pub(super) struct Ahead(BTreeMap<ClusterName, Seen>);

impl Ahead {
    /// Its cluster was taken out of the fleet.
    pub(super) fn forget(&mut self, cluster: &ClusterName) {
        self.0.remove(cluster);
    }
}

impl World {
    /// Notes that a cluster's agent, which holds `applications`, has seen a newer token than this hub ever granted.
    pub fn set_epoch_ahead(
        &self,
        cluster: &ClusterName,
        epoch: Epoch,
        applications: BTreeSet<ApplicationKey>,
    ) {
        self.change(|state, effects| {
            let since = state.now().boot;
            let ahead = state.ahead_mut();
            // What was said before and decided on stays decided.
            let since =
                ahead.0.get(cluster).filter(|seen| seen.epoch == epoch).map_or(since, |seen| seen.since);
            ahead.0.insert(cluster.clone(), Seen { epoch, since, applications });
            effects.push(Effect::HubFailover);
        });
    }
}

impl State {
    /// The cluster whose agent has seen a newer token, because of which an application may not be granted to anybody,
    /// until a person thaws failover.
    #[must_use]
    pub fn epoch_doubt(&self, application: &ApplicationKey) -> Option<(&ClusterName, Epoch)> {
        let thawed_at = self.thawed_at();
        let is_open = |seen: &Seen| thawed_at.is_none_or(|thawed_at| thawed_at < seen.since);
        let mut found = self.ahead().0.iter().filter(|(_, seen)| is_open(seen));
        found.find(|(_, seen)| seen.applications.contains(application)).map(|(name, seen)| (name, seen.epoch))
    }
}
