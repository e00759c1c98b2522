//! The clock that exclusive leases are counted on, so that time is an argument everywhere else. It decides nothing.

use std::fmt;
use std::time::Duration;

use nave_common::time::BootTime;

/// How long a sleeper sleeps at most before it looks at the clock again: timers stand still while a machine sleeps, and
/// the boot clock does not.
const STEP: Duration = Duration::from_secs(1);

/// Tells the time since the machine started.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The time since the machine started, its sleep included.
    fn boot(&self) -> BootTime;

    /// What tells this start of the machine from every other; `None` where it cannot be told.
    fn boot_id(&self) -> Option<String>;

    /// How long a sleeper sleeps at most before it looks at the clock again.
    fn step(&self) -> Duration {
        STEP
    }
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn boot(&self) -> BootTime {
        BootTime::now()
    }

    fn boot_id(&self) -> Option<String> {
        let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        let text = text.trim();
        (!text.is_empty()).then(|| text.to_owned())
    }
}

/// A clock that runs with tokio's, which tests pause and move on by hand.
#[derive(Debug, Clone)]
pub struct TokioClock {
    start: tokio::time::Instant,
    boot_id: String,
}

impl TokioClock {
    /// A machine that started now.
    #[must_use]
    pub fn new(boot_id: impl Into<String>) -> Self {
        Self { start: tokio::time::Instant::now(), boot_id: boot_id.into() }
    }
}

impl Clock for TokioClock {
    fn boot(&self) -> BootTime {
        BootTime::from_duration(self.start.elapsed())
    }

    fn boot_id(&self) -> Option<String> {
        Some(self.boot_id.clone())
    }
}
