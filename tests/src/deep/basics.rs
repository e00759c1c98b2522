//! What the simulation stands on: dice from one seed, clocks that drift, and a trace.

use std::collections::VecDeque;
use std::time::Duration;

use nave_common::time::{BootTime, Timestamp};
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

/// The only source of chance.
#[derive(Debug)]
pub(super) struct Dice(SmallRng);

impl Dice {
    /// The dice of one seed.
    #[must_use]
    pub(super) fn new(seed: u64) -> Self {
        Self(SmallRng::seed_from_u64(seed))
    }

    /// A number from `least` to `most`.
    pub(super) fn range(&mut self, least: u64, most: u64) -> u64 {
        self.0.random_range(least..=most)
    }

    /// True so many times in a hundred.
    pub(super) fn chance(&mut self, percent: u64) -> bool {
        self.range(0, 99) < percent
    }

    /// An index below `len`, which must not be zero.
    pub(super) fn index(&mut self, len: usize) -> usize {
        self.0.random_range(0..len)
    }
}

/// A machine's clocks. One boot of one machine.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    /// True time of the boot, in milliseconds.
    booted_at: u64,
    /// By how many millionths it runs faster than true time.
    drift_ppm: i64,
    /// By how much the wall clock is off, in milliseconds; it may jump.
    pub(super) wall_off_ms: i64,
}

impl Clock {
    /// The clock of a machine that booted then.
    #[must_use]
    pub(super) fn new(booted_at: u64, drift_ppm: i64) -> Self {
        Self { booted_at, drift_ppm, wall_off_ms: 0 }
    }

    fn rate(&self) -> u64 {
        u64::try_from(1_000_000 + self.drift_ppm).unwrap_or(1_000_000)
    }

    /// What the boot clock shows at a true time.
    #[must_use]
    pub(super) fn boot(&self, now: u64) -> BootTime {
        // Every machine has run for a while before the simulation begins.
        let since = now.saturating_sub(self.booted_at) + 3_600_000;
        BootTime::from_duration(Duration::from_micros(since * self.rate() / 1000))
    }

    /// The first millisecond of true time at which the boot clock shows `at`.
    #[must_use]
    pub(super) fn true_at(&self, at: BootTime) -> u64 {
        let micros =
            u64::try_from(at.since(BootTime::from_duration(Duration::ZERO)).as_micros()).unwrap_or(u64::MAX);
        let since = micros.saturating_mul(1000).div_ceil(self.rate());
        self.booted_at + since.saturating_sub(3_600_000)
    }

    /// What the wall clock shows at a true time.
    #[must_use]
    pub(super) fn wall(&self, now: u64) -> Timestamp {
        let millis = i64::try_from(now).unwrap_or(0) + 1_795_564_800_000 + self.wall_off_ms;
        Timestamp::from_millis(millis).unwrap_or(Timestamp::EPOCH)
    }
}

/// What happened, one line an event.
#[derive(Debug, Default)]
pub(super) struct Trace {
    /// How many of the last lines are kept; none are written where it is zero.
    keep: usize,
    lines: VecDeque<String>,
}

impl Trace {
    /// A trace that keeps the last `keep` lines.
    #[must_use]
    pub(super) fn new(keep: usize) -> Self {
        Self { keep, lines: VecDeque::new() }
    }

    /// Whether anybody reads it.
    #[must_use]
    pub(super) fn is_on(&self) -> bool {
        self.keep > 0
    }

    /// Adds a line.
    pub(super) fn push(&mut self, now: u64, line: &str) {
        if self.lines.len() == self.keep {
            self.lines.pop_front();
        }
        self.lines.push_back(format!("{:>9.3} {line}", now as f64 / 1000.0));
    }

    /// The lines that were kept.
    #[must_use]
    pub(super) fn into_lines(self) -> Vec<String> {
        self.lines.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_reaches_an_instant_at_the_time_it_says() {
        for drift in [-19_000, 0, 7, 19_000] {
            let clock = Clock::new(5, drift);
            for now in [5, 6, 1000, 77_777] {
                let at = clock.true_at(clock.boot(now));
                assert!(at == now, "{drift} {now} {at}");
                assert!(
                    clock.boot(clock.true_at(BootTime::from_duration(Duration::from_secs(4000))))
                        >= BootTime::from_duration(Duration::from_secs(4000))
                );
            }
        }
    }
}
