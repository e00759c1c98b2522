//! Clocks. Planners and other pure code take times as arguments; they are read here.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::time::{BootTime, Timestamp};

/// The clock that leases are counted on. It goes on while the machine sleeps, which `std::time::Instant` does not on
/// Linux: a lease must run out for whoever slept through it.
#[cfg(any(target_os = "linux", target_os = "android"))]
const LEASE_CLOCK: rustix::time::ClockId = rustix::time::ClockId::Boottime;
/// Elsewhere, as on macOS, the monotonic clock itself goes on in sleep.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const LEASE_CLOCK: rustix::time::ClockId = rustix::time::ClockId::Monotonic;

impl Timestamp {
    /// The time of day, which a person or a time server may set back and forth. For display and retention only.
    #[must_use]
    pub fn now() -> Self {
        let millis = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |millis| -millis),
        };
        // A clock beyond the year 9999 is broken; the epoch is as good as what it says.
        Self::from_millis(millis).unwrap_or(Self::EPOCH)
    }
}

impl BootTime {
    /// The time since the machine was started, its sleep included. It never goes back.
    #[must_use]
    pub fn now() -> Self {
        let at = rustix::time::clock_gettime(LEASE_CLOCK);
        let seconds = u64::try_from(at.tv_sec).unwrap_or(0);
        let nanos = u32::try_from(at.tv_nsec).unwrap_or(0);
        Self::from_duration(Duration::new(seconds, nanos))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_go_on_and_agree_on_how_fast() {
        let (wall, boot) = (Timestamp::now(), BootTime::now());
        let started = std::time::Instant::now();
        while started.elapsed() < Duration::from_millis(20) {
            std::thread::yield_now();
        }
        let passed = BootTime::now().since(boot);
        assert!(passed >= Duration::from_millis(19), "{passed:?}");
        assert!(wall.as_millis() > 1_700_000_000_000);
    }
}
