//! Applications that wait for something that tells nobody when it changes, such as a bundle that could not be read.

use std::collections::BTreeSet;
use std::time::Duration;

use nave_common::name::ApplicationKey;
use tokio::time::Instant;

/// How long they wait.
const WAIT: Duration = Duration::from_secs(5);

/// Applications to plan again after a while.
#[derive(Debug, Default)]
pub(super) struct Later {
    keys: BTreeSet<ApplicationKey>,
    due_at: Option<Instant>,
}

impl Later {
    pub(super) fn extend(&mut self, keys: impl IntoIterator<Item = ApplicationKey>) {
        self.keys.extend(keys);
        if !self.keys.is_empty() {
            self.due_at.get_or_insert_with(|| Instant::now() + WAIT);
        }
    }

    /// When the first of them is due.
    pub(super) fn due_at(&self) -> Option<Instant> {
        self.due_at
    }

    /// Takes them out, once they are due.
    pub(super) fn take_due(&mut self) -> BTreeSet<ApplicationKey> {
        if self.due_at.is_none_or(|at| at > Instant::now()) {
            return BTreeSet::new();
        }
        self.due_at = None;
        std::mem::take(&mut self.keys)
    }
}
