//! What keeps a simulated hub from moving anything by itself: the real doubts and the real rate, with what they need.

use std::time::Duration;

use nave_common::failover::Frozen;
use nave_common::status::Liveness;
use nave_common::time::{BootTime, Timestamp};
use nave_hub::plan::failover::Now;
use nave_hub::plan::failover::doubt::{Doubts, Heard, doubt};
use nave_hub::plan::failover::rate::Bucket;

use super::world::{World, note};

/// What a hub has against itself.
#[derive(Debug)]
pub(super) struct Doubt {
    started_at: Now,
    paused_at: Option<Now>,
    /// The longest lease that was promised when it started.
    longest: Duration,
    looked_at: BootTime,
    pub(super) any: Option<Frozen>,
    pub(super) exclusive: Option<Frozen>,
    pub(super) rate: Bucket,
}

impl Doubt {
    /// A hub that has just started.
    #[must_use]
    pub(super) fn started(now: Now, longest: Duration) -> Self {
        let rate = Bucket::new(2, 1, now.boot);
        Self {
            started_at: now,
            paused_at: None,
            longest,
            looked_at: now.boot,
            any: None,
            exclusive: None,
            rate,
        }
    }
}

impl World {
    pub(super) fn hub_both(&self, hub: usize) -> Now {
        Now { boot: self.hub_now(hub), wall: self.hubs[hub].clock.wall(self.now) }
    }

    /// For how long a hub holds still after a start.
    pub(super) fn startup_freeze(&self) -> Duration {
        Duration::from_secs(60).max(Duration::from_millis(3 * self.times.liveness_ms))
    }

    /// Looks at what a hub has against itself; true where that changed.
    pub(super) fn hub_doubts(&mut self, hub: usize) -> bool {
        let now = self.hub_both(hub);
        let lease = Duration::from_millis(self.times.liveness_ms);
        if now.boot.since(self.hubs[hub].doubt.looked_at) > lease * 3 / 4 {
            self.hubs[hub].doubt.paused_at = Some(now);
            self.count("pauses that hubs found");
        }
        self.hubs[hub].doubt.looked_at = now.boot;
        let freeze = self.startup_freeze();
        let any = self.hub_doubt(hub, freeze, now);
        let exclusive = self.hub_doubt(hub, freeze.max(self.hubs[hub].doubt.longest), now);
        let doubt = &mut self.hubs[hub].doubt;
        let is_changed =
            doubt.any.is_some() != any.is_some() || doubt.exclusive.is_some() != exclusive.is_some();
        (doubt.any, doubt.exclusive) = (any, exclusive);
        if is_changed {
            note!(
                self,
                "hub {hub} frozen: {:?}",
                self.hubs[hub].doubt.exclusive.as_ref().map(|it| &it.reason)
            );
        }
        is_changed
    }

    fn hub_doubt(&self, hub: usize, freeze: Duration, now: Now) -> Option<Frozen> {
        let it = &self.hubs[hub];
        let lost = |spoke: usize| match self.hub_hears(hub, spoke) {
            Liveness::Alive | Liveness::Suspect => None,
            Liveness::Lost => {
                let over_at = it.heard_at.get(&spoke)?.plus(Duration::from_millis(self.times.liveness_ms));
                Some(self.hub_ago(hub, over_at))
            }
            Liveness::Unheard => Some(it.doubt.started_at.wall),
        };
        let clusters: Vec<Heard<'_>> = (0..self.spokes.len())
            .map(|spoke| Heard {
                cluster: &self.spokes[spoke].name,
                region: Some(self.spokes[spoke].region.as_str()),
                silent_since: lost(spoke),
            })
            .collect();
        let said = &it.view.hub;
        let doubts = Doubts {
            started_at: it.doubt.started_at,
            freeze,
            paused_at: it.doubt.paused_at,
            frozen_by: said.frozen.as_ref().map(|frozen| (frozen.by.as_str(), frozen.since)),
            thawed_at: said.thawed_at,
            restored_at: (!it.view.held.is_empty()).then_some(it.doubt.started_at.wall),
            clusters: &clusters,
            freeze_above_percent: 50,
        };
        doubt(&doubts, now).frozen
    }

    /// The wall-clock time of an instant that has passed.
    pub(super) fn hub_ago(&self, hub: usize, at: BootTime) -> Timestamp {
        let now = self.hub_both(hub);
        let millis = i64::try_from(now.boot.since(at).as_millis()).unwrap_or(0);
        Timestamp::from_millis(now.wall.as_millis() - millis).unwrap_or(now.wall)
    }
}
