//! Clocks, so that time is an argument everywhere else.
//!
//! Wall time is for people; leases are counted on the boot clock, which neither jumps nor stops in suspend. This
//! module decides nothing.

use std::fmt;
use std::time::Duration;

use nave_common::time::Timestamp;

/// Tells the time.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The wall clock.
    fn now(&self) -> Timestamp;

    /// The time since the machine started, suspended time included.
    fn boot(&self) -> Duration;
}

/// The machine's clocks.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let millis = jiff::Timestamp::now().as_millisecond();
        Timestamp::from_millis(millis).unwrap_or_else(|_| epoch())
    }

    fn boot(&self) -> Duration {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
    }
}

/// Both clocks run with tokio's, which tests pause and move on by hand.
#[derive(Debug, Clone)]
pub struct TokioClock {
    start: tokio::time::Instant,
    start_at: Timestamp,
}

impl TokioClock {
    /// A clock that shows `start_at` now.
    #[must_use]
    pub fn new(start_at: Timestamp) -> Self {
        Self { start: tokio::time::Instant::now(), start_at }
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        self.start_at.plus(self.start.elapsed())
    }

    fn boot(&self) -> Duration {
        self.start.elapsed()
    }
}

/// 1970, which every calendar can write.
fn epoch() -> Timestamp {
    Timestamp::from_millis(0).unwrap_or_else(|_| unreachable!("the epoch is an instant"))
}
