//! How long to wait before something is tried again. Pure: the chance is an argument.

use std::time::Duration;

/// The first pause after a failure that may pass by itself.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// The longest.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Where nothing will change before a person does something, a try is worth less.
const FIRST_LONG_PAUSE: Duration = Duration::from_secs(2);
/// The longest of these.
const LONGEST_LONG_PAUSE: Duration = Duration::from_secs(300);

/// After so many failures in a row of a kind that may pass by itself: doubling, jittered by half.
#[must_use]
pub fn short(failures: u32, chance: f64) -> Duration {
    jittered(FIRST_PAUSE, LONGEST_PAUSE, failures, chance)
}

/// After so many failures in a row that a person must mend: doubling, jittered by half.
#[must_use]
pub fn long(failures: u32, chance: f64) -> Duration {
    jittered(FIRST_LONG_PAUSE, LONGEST_LONG_PAUSE, failures, chance)
}

/// Between half of the pause and all of it, as `chance` between 0 and 1 has it.
fn jittered(first: Duration, longest: Duration, failures: u32, chance: f64) -> Duration {
    let doublings = failures.saturating_sub(1).min(20);
    let pause = first.saturating_mul(1 << doublings).min(longest);
    pause.mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_limit() {
        assert_eq!(short(1, 1.0), Duration::from_millis(200));
        assert_eq!(short(3, 1.0), Duration::from_millis(800));
        assert_eq!(short(3, 0.0), Duration::from_millis(400));
        assert_eq!(short(4_000_000, 1.0), LONGEST_PAUSE);
        assert_eq!(long(2, 1.0), Duration::from_secs(4));
        assert_eq!(long(99, 1.0), LONGEST_LONG_PAUSE);
    }
}
