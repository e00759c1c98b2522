//! Pauses between attempts. The only file that names the crate `backoff`, which is asked for but no longer maintained.

use std::future::Future;
use std::time::Duration;

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff as _;

/// The longest first pause.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause of all. A fleet of any size is back within seconds of its hub.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The pauses between attempts to connect: with full jitter, from 100 ms to 5 s, without end. After an outage every agent
/// of a fleet comes back, and not all at the same moment.
#[derive(Debug)]
pub struct Reconnect {
    pauses: ExponentialBackoff,
}

impl Reconnect {
    /// From the shortest pause on.
    #[must_use]
    pub fn new() -> Self {
        let mut pauses = ExponentialBackoff {
            // Full jitter is a random part of the pause. The crate draws from around an interval, here from zero to
            // twice the interval; so its intervals are half of the pauses.
            randomization_factor: 1.0,
            initial_interval: FIRST_PAUSE / 2,
            max_interval: LONGEST_PAUSE / 2,
            multiplier: 2.0,
            // The default gives up after 15 minutes.
            max_elapsed_time: None,
            ..ExponentialBackoff::default()
        };
        pauses.reset();
        Self { pauses }
    }

    /// How long to wait before the next attempt.
    #[expect(clippy::should_implement_trait, reason = "no iterator: it has no end")]
    pub fn next(&mut self) -> Duration {
        // It ends only where a maximum elapsed time is set.
        self.pauses.next_backoff().unwrap_or(LONGEST_PAUSE).min(LONGEST_PAUSE)
    }

    /// Begins anew: to be called once a connection has proved good.
    pub fn reset(&mut self) {
        self.pauses.reset();
    }
}

impl Default for Reconnect {
    fn default() -> Self {
        Self::new()
    }
}

/// Makes a request until it succeeds, fails for good, or was made `max_attempts` times; with pauses as of [`Reconnect`].
///
/// # Errors
/// That of the last attempt.
pub async fn retry<T, E, F>(
    max_attempts: u32,
    is_transient: impl Fn(&E) -> bool,
    mut attempt: impl FnMut() -> F,
) -> Result<T, E>
where
    F: Future<Output = Result<T, E>>,
{
    let mut pauses = Reconnect::new();
    let mut attempt_count = 0;
    loop {
        attempt_count += 1;
        match attempt().await {
            Err(error) if attempt_count < max_attempts && is_transient(&error) => {
                tokio::time::sleep(pauses.next()).await;
            }
            outcome => return outcome,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_random_grow_and_stay_under_their_limits() {
        let mut pauses = Reconnect::new();
        for round in 0..2 {
            let mut limit = FIRST_PAUSE;
            for _ in 0..20 {
                assert!(pauses.next() <= limit + Duration::from_nanos(2), "round {round}");
                limit = (limit * 2).min(LONGEST_PAUSE);
            }
            pauses.reset();
        }
        let longest: Vec<Duration> = (0..200).map(|_| pauses.next()).skip(20).collect();
        let mean = longest.iter().sum::<Duration>() / 180;
        assert!((Duration::from_secs(2)..Duration::from_secs(3)).contains(&mean), "{mean:?}");
        assert!(longest.iter().any(|pause| *pause < Duration::from_secs(1)));
    }

    #[test]
    fn pauses_never_end() {
        let mut pauses = Reconnect::new();
        assert!((0..10_000).all(|_| pauses.next() <= LONGEST_PAUSE));
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_is_made_again_until_it_is_clear() {
        let mut count = 0;
        let outcome = retry(
            5,
            |error| *error == "busy",
            || {
                count += 1;
                std::future::ready(if count < 3 { Err("busy") } else { Ok(count) })
            },
        );
        assert_eq!(outcome.await, Ok(3));

        let mut count = 0;
        let outcome: Result<(), _> = retry(
            4,
            |_| true,
            || {
                count += 1;
                std::future::ready(Err("busy"))
            },
        )
        .await;
        assert_eq!((outcome, count), (Err("busy"), 4));

        let mut count = 0;
        let outcome: Result<(), _> = retry(
            4,
            |error| *error == "busy",
            || {
                count += 1;
                std::future::ready(Err("denied"))
            },
        )
        .await;
        assert_eq!((outcome, count), (Err("denied"), 1));
    }
}
