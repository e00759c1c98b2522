//! How long ago, in as few letters as say enough.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nave_common::time::Timestamp;

use crate::exit::{Failure, Outcome};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// This instant.
pub(crate) fn now() -> Outcome<Timestamp> {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let millis = i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_millis(millis).map_err(|error| Failure::failed(format!("the clock is wrong: {error}")))
}

/// `5s`, `3m20s`, `5h`, `3d`: rougher the longer it is. `-` where there is no instant.
pub(crate) fn age(at: Option<Timestamp>, now: Timestamp) -> String {
    at.map_or_else(|| "-".to_owned(), |at| short(now.since(at)))
}

/// `5s ago`; `never` where there is no instant.
pub(crate) fn ago(at: Option<Timestamp>, now: Timestamp) -> String {
    at.map_or_else(|| "never".to_owned(), |at| format!("{} ago", short(now.since(at))))
}

fn short(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let two = |big: u64, big_name: &str, small: u64, small_name: &str| match (seconds % big) / small {
        0 => format!("{}{big_name}", seconds / big),
        rest => format!("{}{big_name}{rest}{small_name}", seconds / big),
    };
    match seconds {
        s if s < 2 * MINUTE => format!("{s}s"),
        s if s < 10 * MINUTE => two(MINUTE, "m", 1, "s"),
        s if s < 3 * HOUR => format!("{}m", s / MINUTE),
        s if s < 8 * HOUR => two(HOUR, "h", MINUTE, "m"),
        s if s < 2 * DAY => format!("{}h", s / HOUR),
        s if s < 8 * DAY => two(DAY, "d", HOUR, "h"),
        s if s < 2 * 365 * DAY => format!("{}d", s / DAY),
        s => format!("{}y", s / (365 * DAY)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_rougher_the_longer_they_are() {
        for (seconds, expected) in [
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (200, "3m20s"),
            (3_600, "60m"),
            (4 * 3_600 + 300, "4h5m"),
            (30 * 3_600, "30h"),
            (3 * 86_400, "3d"),
            (3 * 86_400 + 7_200, "3d2h"),
            (100 * 86_400, "100d"),
            (1000 * 86_400, "2y"),
        ] {
            assert_eq!(short(Duration::from_secs(seconds)), expected);
        }
        assert_eq!(age(None, now().unwrap()), "-");
    }
}
