//! Whether this process was itself paused: stopped, starved, or on a machine that slept.
//!
//! A paused hub hears nobody and finds every lease over when it wakes up, though nothing is wrong with anybody. So the
//! boot clock is looked at often; a look that comes late by more than half a liveness lease says that the hub was away.
//! Whoever decides anything looks first, so that nothing is decided between the waking and the finding.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nave_common::time::BootTime;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::world::World;

/// Looks in one liveness lease.
const LOOKS_PER_LEASE: u32 = 4;

/// Looks at the clock.
#[derive(Debug, Clone)]
pub(super) struct Vigil(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    lease: Duration,
    looked: Mutex<Looked>,
    /// Wakes whoever decides, when the hub was found to have been away.
    found: Notify,
}

#[derive(Debug, Clone, Copy)]
struct Looked {
    last_at: BootTime,
    late_at: Option<BootTime>,
}

impl Vigil {
    pub(super) fn new(lease: Duration, now: BootTime) -> Self {
        let looked = Mutex::new(Looked { last_at: now, late_at: None });
        Self(Arc::new(Inner { lease, looked, found: Notify::new() }))
    }

    /// Looks at the clock, and says when it was last found that the hub had been away.
    pub(super) fn look(&self, now: BootTime) -> Option<BootTime> {
        let mut looked = self.0.looked.lock().unwrap_or_else(PoisonError::into_inner);
        if now.since(looked.last_at) > self.0.lease / LOOKS_PER_LEASE + self.0.lease / 2 {
            tracing::warn!(away = ?now.since(looked.last_at), "the hub was paused; it moves nothing by itself for a while");
            looked.late_at = Some(now);
            self.0.found.notify_one();
        }
        looked.last_at = looked.last_at.max(now);
        looked.late_at
    }

    /// Waits until the hub is found to have been away.
    pub(super) async fn found(&self) {
        self.0.found.notified().await;
    }

    /// Looks until `shutdown`.
    pub(super) async fn run(self, world: World, shutdown: CancellationToken) {
        let interval = self.0.lease / LOOKS_PER_LEASE;
        while !shutdown.is_cancelled() {
            let _ = self.look(world.now().boot);
            tokio::select! {
                () = tokio::time::sleep(interval) => {}
                () = shutdown.cancelled() => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_that_comes_half_a_lease_late_says_that_the_hub_was_away() {
        let at = |millis| BootTime::from_duration(Duration::from_millis(millis));
        let vigil = Vigil::new(Duration::from_secs(10), at(0));
        assert_eq!(vigil.look(at(2_600)), None);
        assert_eq!(vigil.look(at(10_100)), None);
        assert_eq!(vigil.look(at(17_700)), Some(at(17_700)));
        assert_eq!(vigil.look(at(20_000)), Some(at(17_700)), "it is remembered");
    }
}
