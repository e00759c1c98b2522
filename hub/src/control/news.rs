//! News of clusters as events, and the end of old events.
//!
//! Half a fleet may come or go in one second. So news is gathered, written at most once a second, and told in one
//! sentence where it is about many.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use nave_common::event::{Event, Severity};
use nave_common::name::ClusterName;
use nave_common::status::Liveness;
use nave_common::time::Timestamp;
use tokio::time::Instant;

use super::{Error, events};
use crate::records::{MAX_EVENT_COUNT, Name};
use crate::store::{Transaction, Write};
use crate::world::World;

/// The least time between two writes of news.
const INTERVAL: Duration = Duration::from_secs(1);
/// The most clusters of which each gets an event of its own.
const MAX_SINGLE: usize = 5;
/// The most events about the hub as a whole that wait to be written.
const MAX_HUB: usize = 20;
/// The most events of applications between two writes of news, but for those that somebody waits for.
const MAX_ALLOWED: u32 = 20;
/// How many events more than are kept there may be before the oldest go.
const SLACK: usize = 100;

/// News that was not yet written.
#[derive(Debug)]
pub(super) struct News {
    clusters: BTreeMap<What, BTreeSet<ClusterName>>,
    /// What is about the hub as a whole.
    hub: Vec<Event>,
    /// Whether events came since the old ones were last looked at.
    has_new_events: bool,
    /// Events of applications that were allowed and refused in this interval, and when it began.
    allowed_count: u32,
    refused_count: u32,
    allowed_since: Option<Instant>,
    written_at: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Joined,
    Lost,
    Returned,
}

impl News {
    pub(super) fn new() -> Self {
        Self {
            clusters: BTreeMap::new(),
            hub: Vec::new(),
            has_new_events: false,
            allowed_count: 0,
            refused_count: 0,
            allowed_since: None,
            written_at: Instant::now(),
        }
    }

    /// Takes how a cluster was and is; `None` where it was not there.
    pub(super) fn note_cluster(&mut self, name: &ClusterName, before: Option<Liveness>, now: Liveness) {
        let what = match (before, now) {
            (None, _) => What::Joined,
            (Some(Liveness::Lost), Liveness::Alive | Liveness::Suspect) => What::Returned,
            (Some(before), Liveness::Lost) if before != Liveness::Lost => What::Lost,
            _ => return,
        };
        self.clusters.entry(what).or_default().insert(name.clone());
    }

    /// Takes what is about the hub as a whole.
    pub(super) fn note_hub(&mut self, at: Timestamp, severity: Severity, reason: &str, message: String) {
        if self.hub.len() < MAX_HUB {
            self.hub.push(event(at, severity, reason, message));
        }
    }

    /// Takes how many events are new.
    pub(super) fn note_events(&mut self, count: u64) {
        self.has_new_events |= count > 0;
    }

    /// Whether one more event of an application may be told now; those refused are counted, and their number is told.
    pub(super) fn allows(&mut self) -> bool {
        self.allowed_since.get_or_insert_with(Instant::now);
        let is_allowed = self.allowed_count < MAX_ALLOWED;
        if is_allowed {
            self.allowed_count += 1;
        } else {
            self.refused_count += 1;
        }
        is_allowed
    }

    /// When there is something to write; `None` where there is nothing.
    pub(super) fn due_at(&self) -> Option<Instant> {
        let has_news = !self.clusters.is_empty() || !self.hub.is_empty() || self.has_new_events;
        let news_due_at = has_news.then(|| self.written_at + INTERVAL);
        let allowed_until = self.allowed_since.map(|at| at + INTERVAL);
        [news_due_at, allowed_until].into_iter().flatten().min()
    }

    /// Writes what is due, and deletes the oldest events where there are too many.
    pub(super) async fn write(&mut self, world: &World) -> Result<(), Error> {
        if self.due_at().is_none_or(|at| at > Instant::now()) {
            return Ok(());
        }
        self.written_at = Instant::now();
        self.has_new_events = false;
        let (expired, has_more) = expired(world)?;
        let mut writes = self.take(world.clock().now())?;
        writes.extend(expired);
        self.has_new_events = has_more;
        if !writes.is_empty() {
            world.store().commit(Transaction { compares: Vec::new(), writes }).await?;
        }
        Ok(())
    }

    /// Where the interval for events of applications is over, begins the next; returns how many were refused in it.
    fn end_interval(&mut self) -> u32 {
        if self.allowed_since.is_none_or(|at| at.elapsed() < INTERVAL) {
            return 0;
        }
        (self.allowed_since, self.allowed_count) = (None, 0);
        std::mem::take(&mut self.refused_count)
    }

    fn take(&mut self, now: Timestamp) -> Result<Vec<Write>, Error> {
        let mut writes = Vec::new();
        let refused_count = self.end_interval();
        if refused_count > 0 {
            let message = format!("{refused_count} more events about placements are not told one by one");
            writes.push(events::write(event(now, Severity::Normal, "MorePlacementsChanged", message))?);
        }
        for event in std::mem::take(&mut self.hub) {
            writes.push(events::write(event)?);
        }
        for (what, names) in std::mem::take(&mut self.clusters) {
            let names: Vec<&ClusterName> = names.iter().collect();
            if names.len() <= MAX_SINGLE {
                for name in names {
                    writes.push(events::write(what.event(&[name], now))?);
                }
            } else {
                writes.push(events::write(what.event(&names, now))?);
            }
        }
        Ok(writes)
    }
}

/// The deletions of the oldest events past the count kept, and whether there are more.
fn expired(world: &World) -> Result<(Vec<Write>, bool), Error> {
    world.read(|state| {
        let excess = state.events().len().saturating_sub(MAX_EVENT_COUNT);
        if excess < SLACK {
            return Ok((Vec::new(), false));
        }
        let oldest = state.events().keys().take(SLACK);
        let writes = oldest.map(|id| Ok(Name::Event(*id).delete()?)).collect::<Result<_, Error>>()?;
        Ok((writes, excess >= 2 * SLACK))
    })
}

impl What {
    fn event(self, names: &[&ClusterName], now: Timestamp) -> Event {
        let (severity, reason, text) = match self {
            Self::Joined => (Severity::Normal, "ClusterJoined", "joined the fleet"),
            Self::Lost => {
                (Severity::Warning, "ClusterLost", "is no longer heard: its liveness lease is over")
            }
            Self::Returned => (Severity::Normal, "ClusterReturned", "is heard again"),
        };
        let (message, cluster) = match names {
            [name] => (format!("{name} {text}"), Some((*name).clone())),
            _ => (format!("{} clusters: each {text}: {}", names.len(), events::list(names)), None),
        };
        Event { cluster, ..event(now, severity, reason, message) }
    }
}

/// An event about nothing in particular.
fn event(at: Timestamp, severity: Severity, reason: &str, message: String) -> Event {
    let reason = reason.to_owned();
    Event { at, severity, reason, message, application: None, cluster: None, change_id: String::new() }
}
