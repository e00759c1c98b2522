//! Whether a simulated hub doubts itself.

use std::time::Duration;

use nave_common::failover::{Frozen, grantor_lease};
use nave_common::status::Liveness;
use nave_common::time::{BootTime, Timestamp};

use super::world::{Times, World, note};

/// What a hub has against itself.
#[derive(Debug, Clone, Default)]
pub(super) struct Doubt {
    until: Option<BootTime>,
    exclusive_until: Option<BootTime>,
    are_all_silent: bool,
}

impl Doubt {
    /// A hub that has just started.
    #[must_use]
    pub(super) fn started(now: BootTime, longest: Duration, times: &Times) -> Self {
        let pause = Duration::from_secs(60).max(Duration::from_millis(3 * times.liveness_ms));
        Self {
            until: Some(now.plus(pause)),
            exclusive_until: Some(now.plus(grantor_lease(longest))),
            are_all_silent: false,
        }
    }

    /// Why nothing moves by itself.
    #[must_use]
    pub(super) fn frozen(&self, now: BootTime, is_exclusive: bool) -> Option<Frozen> {
        let runs = |until: Option<BootTime>| until.is_some_and(|until| now < until);
        let is_frozen =
            self.are_all_silent || runs(self.until) || (is_exclusive && runs(self.exclusive_until));
        is_frozen.then(|| Frozen { reason: "doubt".into(), since: Timestamp::EPOCH, until: None })
    }
}

impl World {
    /// Looks at what a hub has against itself; true where that changed.
    pub(super) fn hub_doubts(&mut self, hub: usize, late: Duration) -> bool {
        let now = self.hub_now(hub);
        let pause = Duration::from_millis(3 * self.times.liveness_ms);
        let silent = (0..self.spokes.len())
            .filter(|spoke| {
                matches!(self.hubs[hub].liveness.get(spoke), Some(Liveness::Lost | Liveness::Unheard))
            })
            .count();
        let all_silent = silent * 2 > self.spokes.len();
        let doubt = &mut self.hubs[hub].doubt;
        let before = doubt.frozen(now, true).is_some();
        if late > Duration::from_secs(3) {
            doubt.until = doubt.until.max(Some(now.plus(pause)));
        }
        doubt.are_all_silent = all_silent;
        let after = doubt.frozen(now, true).is_some();
        if before != after {
            note!(self, "hub {hub} frozen: {after}");
        }
        before != after
    }
}
