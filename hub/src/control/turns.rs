//! Whose turn it is to move: who found no token for a move that nobody ordered waits, and is planned again when there is
//! one, the highest priority first.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use nave_common::name::ApplicationKey;
use nave_common::time::BootTime;

use crate::plan::failover::rate::Bucket;

/// How many moves may begin, and who waits.
#[derive(Debug)]
pub(super) struct Turns {
    bucket: Bucket,
    waiting: BTreeSet<(Reverse<u32>, ApplicationKey)>,
}

impl Turns {
    /// A full bucket.
    pub(super) fn new(burst: u32, per_second: u32, now: BootTime) -> Self {
        Self { bucket: Bucket::new(burst, per_second, now), waiting: BTreeSet::new() }
    }

    /// How many moves may begin now.
    pub(super) fn available(&self, now: BootTime) -> u32 {
        self.bucket.available(now)
    }

    /// So many have begun.
    pub(super) fn take(&mut self, count: u32, now: BootTime) {
        if count > 0 {
            self.bucket.take(count, now);
        }
    }

    /// An application found no token.
    pub(super) fn wait(&mut self, priority: u32, key: ApplicationKey) {
        self.waiting.insert((Reverse(priority), key));
    }

    /// When the first of those that wait has its turn.
    pub(super) fn due_at(&self) -> Option<BootTime> {
        (!self.waiting.is_empty()).then(|| self.bucket.next_at())
    }

    /// Takes out those whose turn it is: as many as there are tokens.
    pub(super) fn take_due(&mut self, now: BootTime) -> Vec<ApplicationKey> {
        let count = if self.waiting.is_empty() { 0 } else { self.available(now) };
        (0..count).map_while(|_| self.waiting.pop_first().map(|(_, key)| key)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_highest_priority_has_the_next_turn() {
        let at = |millis: u64| BootTime::from_duration(Duration::from_millis(1_000_000 + millis));
        let mut turns = Turns::new(3, 10, at(0));
        turns.take(turns.available(at(0)), at(0));
        assert_eq!((turns.available(at(99)), turns.due_at()), (0, None));
        for (name, priority) in [("low", 1), ("high", 900), ("middle", 100)] {
            turns.wait(priority, name.parse().unwrap());
        }
        assert_eq!(turns.due_at(), Some(at(100)));
        assert_eq!(turns.take_due(at(100)), ["high".parse().unwrap()]);
        turns.take(1, at(100));
        assert_eq!(turns.take_due(at(300)), ["middle".parse().unwrap(), "low".parse().unwrap()]);
    }
}
