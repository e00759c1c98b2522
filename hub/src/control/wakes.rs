//! Applications that are to be planned at a time though nothing changes: when a dwell time, a lease or a stabilization is
//! over. Each is planned alone when its time comes; nothing is polled.

use std::collections::{BTreeMap, BTreeSet};

use nave_common::name::ApplicationKey;
use nave_common::time::BootTime;

/// When each application is to be planned again.
#[derive(Debug, Default)]
pub(super) struct Wakes {
    by_key: BTreeMap<ApplicationKey, BootTime>,
    by_time: BTreeSet<(BootTime, ApplicationKey)>,
}

impl Wakes {
    /// Sets when an application is planned again; `None`: only when something changes.
    pub(super) fn set(&mut self, key: &ApplicationKey, at: Option<BootTime>) {
        let before = match at {
            Some(at) => self.by_key.insert(key.clone(), at),
            None => self.by_key.remove(key),
        };
        if let Some(before) = before {
            self.by_time.remove(&(before, key.clone()));
        }
        if let Some(at) = at {
            self.by_time.insert((at, key.clone()));
        }
    }

    /// When the first of them is due.
    pub(super) fn due_at(&self) -> Option<BootTime> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Takes out those that are due.
    pub(super) fn take_due(&mut self, now: BootTime) -> Vec<ApplicationKey> {
        let mut due = Vec::new();
        while self.by_time.first().is_some_and(|(at, _)| *at <= now)
            && let Some((_, key)) = self.by_time.pop_first()
        {
            self.by_key.remove(&key);
            due.push(key);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_last_time_that_was_set_counts_and_each_comes_once() {
        let at = |seconds| BootTime::from_duration(Duration::from_secs(seconds));
        let (a, b): (ApplicationKey, ApplicationKey) = ("a".parse().unwrap(), "b".parse().unwrap());
        let mut wakes = Wakes::default();
        wakes.set(&a, Some(at(5)));
        wakes.set(&b, Some(at(3)));
        wakes.set(&a, Some(at(2)));
        assert_eq!(wakes.due_at(), Some(at(2)));
        assert_eq!(wakes.take_due(at(2)), std::slice::from_ref(&a));
        wakes.set(&b, None);
        assert_eq!((wakes.due_at(), wakes.take_due(at(9))), (None, Vec::new()));
    }
}
