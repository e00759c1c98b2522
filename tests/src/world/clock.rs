//! One virtual time for everybody, and how each machine's clocks show it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use nave_common::time::{BootTime, Timestamp};
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

    /// The clocks of a machine that starts now, which runs fast by so many parts per million. To be called in the
    /// machine's runtime.
    #[must_use]
    pub fn machine(&self, drift_ppm: i32, wall: Wall) -> MachineClock {
        MachineClock {
            time: self.clone(),
            started_at: Duration::from_millis(self.millis()),
            base: Instant::now(),
            drift_ppm,
            wall,
        }
    }
}

/// How far a machine's time of day was set away from the true one. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Wall {
    offset_ms: Arc<AtomicI64>,
}

impl Wall {
    /// Somebody sets it by so much.
    pub fn jump(&self, by_ms: i64) {
        self.offset_ms.fetch_add(by_ms, Ordering::Relaxed);
    }
}

/// A machine's clocks. Each machine has a runtime of its own, whose time begins anew when it is restarted.
#[derive(Debug, Clone)]
pub struct MachineClock {
    time: TrueTime,
    started_at: Duration,
    base: Instant,
    drift_ppm: i32,
    wall: Wall,
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

    /// The boot clock: as fast or slow as this machine's clock is.
    #[must_use]
    pub fn since_boot(&self) -> Duration {
        let nanos = i128::try_from(self.since_start().as_nanos()).unwrap_or(i128::MAX / 2_000_000);
        let shown = nanos + nanos * i128::from(self.drift_ppm) / 1_000_000;
        Duration::from_nanos(u64::try_from(shown).unwrap_or(0))
    }

    /// The time of day, in milliseconds since 1970.
    #[must_use]
    pub fn wall_millis(&self) -> i64 {
        let since_start = i64::try_from(self.since_boot().as_millis()).unwrap_or(i64::MAX / 2);
        NOON_MS + since_start + self.wall.offset_ms.load(Ordering::Relaxed)
    }
}

impl nave_hub::clock::Clock for MachineClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.wall_millis()).unwrap_or(Timestamp::EPOCH)
    }

    fn boot(&self) -> Duration {
        self.since_boot()
    }
}

impl nave_agent::clock::Clock for MachineClock {
    fn boot(&self) -> BootTime {
        BootTime::from_duration(self.since_boot())
    }

    /// Its boot clock goes on when the process on it starts anew.
    fn boot_id(&self) -> Option<String> {
        Some("world".to_owned())
    }
}
