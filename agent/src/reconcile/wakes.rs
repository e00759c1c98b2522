//! What the reconciler is to look at again at some time. No I/O.

use std::collections::BTreeMap;
use std::sync::Arc;

use nave_common::manifest::ObjectKey;
use nave_common::name::ApplicationKey;
use tokio::time::Instant;

/// What is to be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wake {
    /// An object may be tried again.
    Object(ApplicationKey, Arc<ObjectKey>),
    /// A workload's pods are to be asked.
    Diagnose(ApplicationKey, Arc<ObjectKey>),
    /// Kinds that were unknown are to be asked for again.
    Discover(ApplicationKey),
    /// An inventory may be due.
    Record(ApplicationKey),
    /// Something may be to be told.
    Tell(ApplicationKey),
    /// The pass of an application has been open for long.
    Pass(ApplicationKey),
    /// The sweep is to be tried again.
    Sweep,
    /// The API server may answer again.
    Server,
}

/// Everything that is to be looked at, by time.
#[derive(Debug, Default)]
pub struct Wakes {
    by_time: BTreeMap<(Instant, u64), Wake>,
    count: u64,
}

impl Wakes {
    /// Adds one. Each is looked at once; who adds the same twice gets it twice.
    pub fn add(&mut self, at: Instant, wake: Wake) {
        self.count += 1;
        self.by_time.insert((at, self.count), wake);
    }

    /// When the next one is due.
    #[must_use]
    pub fn next_at(&self) -> Option<Instant> {
        self.by_time.first_key_value().map(|((at, _), _)| *at)
    }

    /// The next one that is due.
    pub fn pop_due(&mut self, now: Instant) -> Option<Wake> {
        if self.next_at()? > now {
            return None;
        }
        self.by_time.pop_first().map(|(_, wake)| wake)
    }

    /// Drops those of an application that is gone.
    pub fn forget(&mut self, gone: &ApplicationKey) {
        self.by_time.retain(|_, wake| match wake {
            Wake::Object(application, _)
            | Wake::Diagnose(application, _)
            | Wake::Discover(application)
            | Wake::Record(application)
            | Wake::Tell(application)
            | Wake::Pass(application) => application != gone,
            Wake::Sweep | Wake::Server => true,
        });
    }
}
