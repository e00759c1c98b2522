//! One virtual time for everybody, and how each machine's clocks show it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nave_common::time::Timestamp;
use tokio::runtime::Handle;
use tokio::time::Instant;

/// The wall clock of every world when it begins: noon UTC on the first of January 2030.
const NOON_MS: i64 = 1_893_499_200_000;

/// The true time, as the driver of a world moves it on. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct TrueTime {
    millis: Arc<AtomicU64>,
}

impl TrueTime {
    /// Sets it; between steps.
    pub fn set(&self, since_start: Duration) {
        self.millis.store(u64::try_from(since_start.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Since the world began, in milliseconds.
    #[must_use]
    pub fn millis(&self) -> u64 {
        self.millis.load(Ordering::Relaxed)
    }

    /// The clocks of a machine that starts now. To be called in the machine's runtime.
    #[must_use]
    pub fn machine(&self) -> MachineClock {
        MachineClock {
            time: self.clone(),
            started_at: Duration::from_millis(self.millis()),
            base: Instant::now(),
        }
    }
}

/// A machine's clocks. Each machine has a runtime of its own, whose time begins anew when it is restarted.
#[derive(Debug, Clone)]
pub struct MachineClock {
    time: TrueTime,
    started_at: Duration,
    base: Instant,
}

impl MachineClock {
    /// The time since the world began: exact in the machine's own tasks, and as of the last step for whoever looks on
    /// from outside.
    #[must_use]
    pub fn since_start(&self) -> Duration {
        match Handle::try_current() {
            Ok(_) => self.started_at + self.base.elapsed(),
            Err(_) => Duration::from_millis(self.time.millis()),
        }
    }

    /// The wall clock, in milliseconds since 1970.
    #[must_use]
    pub fn wall_millis(&self) -> i64 {
        NOON_MS + i64::try_from(self.since_start().as_millis()).unwrap_or(i64::MAX / 2)
    }
}

impl nave_hub::clock::Clock for MachineClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.wall_millis()).unwrap_or(Timestamp::EPOCH)
    }

    fn boot(&self) -> Duration {
        self.since_start()
    }
}
