//! Contests: two managers that undo each other's work. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// So many put-backs within [`WINDOW`] are a contest.
pub const MAX_PUT_BACKS: usize = 10;
/// The time in which they count.
pub const WINDOW: Duration = Duration::from_secs(60);
/// How long a contested object is left alone at first; each further round doubles it.
const FIRST_PAUSE: Duration = Duration::from_secs(30);
/// The longest.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);
/// After so long without a put-back the past is forgotten.
const FORGIVE_AFTER: Duration = Duration::from_secs(1200);

/// The put-backs of one object.
#[derive(Debug, Clone, Default)]
pub struct Contest {
    put_back_at: VecDeque<Instant>,
    rounds: u32,
}

impl Contest {
    /// Notes a put-back. If it is one too many, how long the object is now left alone.
    pub fn note(&mut self, now: Instant) -> Option<Duration> {
        if self.put_back_at.back().is_some_and(|last| now.duration_since(*last) > FORGIVE_AFTER) {
            self.rounds = 0;
        }
        while self.put_back_at.front().is_some_and(|first| now.duration_since(*first) > WINDOW) {
            self.put_back_at.pop_front();
        }
        self.put_back_at.push_back(now);
        if self.put_back_at.len() < MAX_PUT_BACKS {
            return None;
        }
        self.put_back_at.clear();
        // The last one stays, so that the time since it can be told.
        self.put_back_at.push_back(now);
        let pause = FIRST_PAUSE.saturating_mul(1 << self.rounds.min(10)).min(LONGEST_PAUSE);
        self.rounds += 1;
        Some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenth_put_back_in_a_minute_is_a_contest_and_pauses_grow() {
        let start = Instant::now();
        let mut contest = Contest::default();
        let mut pauses = Vec::new();
        for number in 0..28 {
            pauses.extend(contest.note(start + Duration::from_secs(number)));
        }
        assert_eq!(pauses, [Duration::from_secs(30), Duration::from_secs(60), Duration::from_secs(120)]);
    }

    #[test]
    fn occasional_put_backs_are_none() {
        let start = Instant::now();
        let mut contest = Contest::default();
        for number in 0..100 {
            assert_eq!(contest.note(start + Duration::from_secs(number * 10)), None);
        }
    }

    #[test]
    fn after_a_long_peace_the_pauses_start_anew() {
        let start = Instant::now();
        let mut contest = Contest::default();
        let round = |contest: &mut Contest, at: Instant| (0..10).filter_map(|_| contest.note(at)).next_back();
        assert_eq!(round(&mut contest, start), Some(FIRST_PAUSE));
        let later = start + FORGIVE_AFTER + Duration::from_secs(1);
        assert_eq!(round(&mut contest, later), Some(FIRST_PAUSE));
    }
}
