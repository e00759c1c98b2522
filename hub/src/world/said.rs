//! What people said of failover as a whole, counted on this process's own clock.
//!
//! Records hold wall times, for people and for the next start. A wall clock jumps: back, and a maintenance hold would
//! last longer than anybody said, and what came up after a thaw would count as older than it. So from when a record is
//! taken in, only the boot clock counts. A process that starts knows nothing but the wall times: it takes no hold for
//! longer than was said, and everything that it sees itself is newer than any earlier thaw.

use std::time::Duration;

use nave_common::time::{BootTime, Timestamp};

use super::state::State;
use crate::plan::failover::Now;
use crate::records::HubFailoverRecord;

/// The longest maintenance: so long may Exclusive work stay where it is though its cluster is lost.
pub const MAX_MAINTENANCE: Duration = Duration::from_secs(24 * 3600);

/// What people said, on the boot clock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Said {
    hold_until: Option<BootTime>,
    thawed_at: Option<BootTime>,
}

impl Said {
    /// What an earlier process left behind.
    pub(super) fn at_start(record: &HubFailoverRecord, now: Now) -> Self {
        let rest = record.maintenance_until.map(|until| until.since(now.wall).min(promised(record)));
        Self { hold_until: rest.map(|rest| now.boot.plus(rest)), thawed_at: None }
    }

    /// Takes in what was said now.
    pub(super) fn take(&mut self, before: &HubFailoverRecord, after: &HubFailoverRecord, now: Now) {
        if (after.maintenance_until, after.maintenance_ms)
            != (before.maintenance_until, before.maintenance_ms)
        {
            let rest = |until: Timestamp| match after.maintenance_ms {
                Some(_) => promised(after),
                None => until.since(now.wall).min(MAX_MAINTENANCE),
            };
            self.hold_until = after.maintenance_until.map(|until| now.boot.plus(rest(until)));
        }
        if after.thawed_at != before.thawed_at {
            self.thawed_at = after.thawed_at.map(|_| now.boot);
        }
    }
}

/// For how long maintenance was said to last; records of older hubs do not say.
fn promised(record: &HubFailoverRecord) -> Duration {
    record.maintenance_ms.map_or(MAX_MAINTENANCE, Duration::from_millis).min(MAX_MAINTENANCE)
}

impl State {
    /// Until when the maintenance hold runs; `None` where none does at `now`.
    #[must_use]
    pub fn hold_until(&self, now: BootTime) -> Option<BootTime> {
        self.said().hold_until.filter(|until| *until > now)
    }

    /// When a person last said to this process that the hub's doubts are unfounded.
    #[must_use]
    pub fn thawed_at(&self) -> Option<BootTime> {
        self.said().thawed_at
    }

    /// An instant of this process as a wall time that never jumps: the wall clock as it was when the hub started, moved
    /// on by the boot clock.
    #[must_use]
    pub fn steady(&self, at: BootTime) -> Timestamp {
        let started = self.started();
        started.wall.plus(at.since(started.boot))
    }
}

#[cfg(test)]
mod tests {
    use super::super::state::Update;
    use super::*;
    use crate::records::Record;
    use crate::store::Sequence;

    const HOUR: Duration = Duration::from_secs(3600);

    fn at(boot_seconds: u64, wall_seconds: i64) -> Now {
        let wall = Timestamp::from_millis((1_800_000_000 + wall_seconds) * 1000).unwrap();
        Now { boot: boot(boot_seconds), wall }
    }

    fn boot(seconds: u64) -> BootTime {
        BootTime::from_duration(Duration::from_secs(seconds))
    }

    fn held_for(duration: Duration, now: Now) -> HubFailoverRecord {
        HubFailoverRecord {
            maintenance_until: Some(now.wall.plus(duration)),
            maintenance_ms: Some(u64::try_from(duration.as_millis()).unwrap()),
            ..HubFailoverRecord::default()
        }
    }

    fn started(record: HubFailoverRecord, now: Now) -> State {
        let mut state = State::default();
        say(&mut state, 1, record);
        state.start(now);
        state
    }

    fn say(state: &mut State, sequence: u64, record: HubFailoverRecord) {
        let update = Update::Put(Record::HubFailover(Box::new(record)));
        state.apply(Sequence(sequence), vec![update], &mut Vec::new());
    }

    #[test]
    fn a_hold_lasts_as_long_as_was_said_though_the_wall_clock_jumps() {
        for jump in [-86_400, 86_400] {
            let mut state = started(HubFailoverRecord::default(), at(100, 0));
            let record = held_for(HOUR, at(200, 100));
            // The clock jumps between what a person said and when that is taken in, and again later.
            state.set_now(at(201, 101 + jump));
            say(&mut state, 2, record.clone());
            assert_eq!(state.hold_until(boot(201)), Some(boot(3801)));
            state.set_now(at(300, 200 - jump));
            // Something else is said meanwhile: the hold is the same.
            say(&mut state, 3, HubFailoverRecord { thawed_at: Some(at(0, 0).wall), ..record });
            assert_eq!(state.hold_until(boot(3800)), Some(boot(3801)));
            assert_eq!(state.hold_until(boot(3801)), None);
            say(&mut state, 4, HubFailoverRecord::default());
            assert_eq!(state.hold_until(boot(301)), None);
        }
    }

    #[test]
    fn a_hub_that_starts_holds_for_no_longer_than_was_said() {
        let record = held_for(HOUR, at(0, 0));
        let rest = |wall| started(record.clone(), at(50, wall)).hold_until(boot(50));
        assert_eq!(rest(600), Some(boot(50 + 3000)), "by the wall clock, which is all there is");
        assert_eq!(rest(-86_400), Some(boot(50 + 3600)), "it jumped back: the longest that was said");
        assert_eq!(rest(3600), None);
    }

    #[test]
    fn what_comes_up_after_a_thaw_is_newer_though_the_wall_clock_jumped_back() {
        let earlier = HubFailoverRecord { thawed_at: Some(at(0, 500).wall), ..Default::default() };
        let mut state = started(earlier.clone(), at(100, 0));
        assert_eq!(state.thawed_at(), None, "nothing that this process sees is older");
        state.set_now(at(200, 100));
        say(&mut state, 2, HubFailoverRecord { thawed_at: Some(at(0, 100).wall), ..earlier });
        assert_eq!(state.thawed_at(), Some(boot(200)));
        assert!(state.steady(boot(200)) < state.steady(boot(201)));
        assert_eq!(state.steady(boot(100)), at(100, 0).wall);
    }
}
