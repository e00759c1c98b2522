//! How many moves that nobody ordered may begin: a token bucket, so that the first ones begin at once and a mass of them
//! does not fall on the fleet in one moment.

use std::time::Duration;

use nave_common::time::BootTime;

/// Moves that may begin at once, where nothing began for a while.
pub const DEFAULT_BURST: u32 = 100;
/// Moves that may begin in each second after that.
pub const DEFAULT_PER_SECOND: u32 = 10;

/// The bucket. Each move that begins takes one token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    burst: u32,
    /// How long one token takes to come.
    interval: Duration,
    /// How many tokens there were at `counted_at`.
    tokens: u32,
    counted_at: BootTime,
}

impl Bucket {
    /// A full bucket. A rate or burst of zero counts as one.
    #[must_use]
    pub fn new(burst: u32, per_second: u32, now: BootTime) -> Self {
        let burst = burst.max(1);
        Self { burst, interval: Duration::from_secs(1) / per_second.max(1), tokens: burst, counted_at: now }
    }

    /// How many moves may begin now.
    #[must_use]
    pub fn available(&self, now: BootTime) -> u32 {
        self.tokens.saturating_add(self.came(now)).min(self.burst)
    }

    /// Takes a token for each move that began, as far as there are any.
    pub fn take(&mut self, count: u32, now: BootTime) {
        let available = self.available(now);
        // A full bucket begins to count anew; else the part of a token that has come already is kept.
        let is_full = available == self.burst;
        self.counted_at = if is_full { now } else { self.counted_at.plus(self.interval * self.came(now)) };
        self.tokens = available.saturating_sub(count);
    }

    /// When at least one move may begin.
    #[must_use]
    pub fn next_at(&self) -> BootTime {
        if self.tokens > 0 { self.counted_at } else { self.counted_at.plus(self.interval) }
    }

    /// How many tokens came since they were counted.
    fn came(&self, now: BootTime) -> u32 {
        let intervals = now.since(self.counted_at).as_nanos() / self.interval.as_nanos().max(1);
        u32::try_from(intervals).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> BootTime {
        BootTime::from_duration(Duration::from_millis(millis))
    }

    #[test]
    fn the_first_ones_begin_at_once_and_the_others_one_by_one() {
        let mut bucket = Bucket::new(100, 10, at(0));
        assert_eq!(bucket.available(at(0)), 100);
        bucket.take(100, at(0));
        assert_eq!(bucket.available(at(0)), 0);
        assert_eq!(bucket.next_at(), at(100));
        assert_eq!(
            (bucket.available(at(99)), bucket.available(at(100)), bucket.available(at(1000))),
            (0, 1, 10)
        );
    }

    #[test]
    fn tokens_do_not_pile_up_past_the_burst() {
        let mut bucket = Bucket::new(5, 10, at(0));
        assert_eq!(bucket.available(at(60_000)), 5);
        bucket.take(5, at(60_000));
        assert_eq!(bucket.available(at(60_000)), 0);
        // Two came, and half of a third, which is not lost.
        bucket.take(2, at(60_250));
        assert_eq!((bucket.available(at(60_250)), bucket.available(at(60_300))), (0, 1));
    }

    #[test]
    fn a_bucket_is_full_on_a_machine_that_just_started_and_never_useless() {
        let start = BootTime::from_duration(Duration::ZERO);
        assert_eq!(Bucket::new(100, 10, start).available(start), 100);
        assert_eq!(Bucket::new(0, 0, start).available(start), 1);
    }
}
