//! Control: the loop that drives the planners. It waits, takes a snapshot, plans, commits, and on a conflict plans again.
//!
//! Place in the flow: `store -> world -> control -> plan (pure) -> assignments -> store`. It decides nothing itself:
//! which applications are looked at again is told by [`dirty`], what becomes of them by [`crate::plan`].
//!
//! **Invariant:** assignments and the generation that orders them are written by one transaction, which holds only if
//! the application and the generation are still those that were planned.

mod commit;
mod dirty;
mod doubts;
mod draft;
mod events;
mod later;
mod moves;
mod news;
mod preview;
mod rendering;
mod round;
mod signals;
mod snapshot;
#[cfg(test)]
mod tests;
mod turns;
mod vigil;
mod wakes;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use nave_common::bundle::Bundle;
use nave_common::digest::Digest;
use nave_common::name::ApplicationKey;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use preview::{explain, preview};

use crate::metrics::Metrics;
use crate::plan::failover::Now;
use crate::session::grants::Grants;
use crate::world::{self, Interest, Kinds, Subscription, World};
use crate::{records, store};

/// The first wait after the store refused a commit; it doubles up to [`MAX_RETRY_WAIT`].
const MIN_RETRY_WAIT: Duration = Duration::from_millis(100);
/// The longest wait before a refused commit is tried again.
const MAX_RETRY_WAIT: Duration = Duration::from_secs(10);

/// Where bundles are read from.
#[async_trait]
pub trait BundleSource: Send + Sync + std::fmt::Debug {
    /// The bundle with this digest.
    ///
    /// # Errors
    /// Where it is not there or cannot be read; the text is shown to people.
    async fn bundle(&self, digest: &Digest) -> Result<Arc<Bundle>, BundleError>;
}

/// Why a bundle cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BundleError(pub String);

/// What can go wrong in control.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store cannot be written.
    #[error("the store cannot be written")]
    Store(#[from] store::Error),
    /// A record cannot be written.
    #[error("a record cannot be written")]
    Record(#[from] records::Error),
    /// The world is no longer fed.
    #[error("the world is no longer fed")]
    World(#[from] world::Error),
    /// A planner ended without an answer.
    #[error("a planner ended without an answer")]
    Planner(#[from] tokio::task::JoinError),
}

/// The loop that places applications and assigns them to clusters.
#[derive(Debug)]
pub struct Control {
    world: World,
    subscription: Subscription,
    dirty: dirty::Dirty,
    news: news::News,
    renderings: rendering::Cache,
    bundles: Arc<dyn BundleSource>,
    retry_wait: Duration,
    retry_at: Option<Instant>,
    later: later::Later,
    grants: Arc<Grants>,
    metrics: Arc<Metrics>,
    vigil: vigil::Vigil,
    doubts: doubts::Doubts,
    turns: turns::Turns,
    wakes: wakes::Wakes,
    /// Applications that have reason to move, and that the hub's doubts keep.
    waits_for_thaw: BTreeSet<ApplicationKey>,
}

/// What control shares with the rest of the hub.
#[derive(Debug, Clone)]
pub struct Shared {
    /// The exclusive leases.
    pub grants: Arc<Grants>,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

impl Shared {
    /// Leases of which none was renewed, and counters at zero.
    #[must_use]
    pub fn new(world: &World) -> Self {
        Self { grants: Arc::new(Grants::new(world.now().boot)), metrics: Arc::new(Metrics::new()) }
    }
}

impl Control {
    /// A loop over everything that is in `world` and that comes into it; it is not yet running.
    #[must_use]
    pub fn new(world: World, bundles: Arc<dyn BundleSource>, shared: Shared) -> Self {
        let Shared { grants, metrics } = shared;
        let kinds = [Kinds::CLUSTERS, Kinds::REMOVALS, Kinds::EVENTS, Kinds::STANDINGS, Kinds::FAILOVERS];
        let kinds = kinds.into_iter().fold(Kinds::APPLICATIONS, Kinds::and);
        let now = world.now();
        let options = world.options();
        world.read(|state| {
            let states = state.failovers().values().map(|stored| &*stored.value);
            moves::count_first(&metrics.failover, states);
        });
        let subscription = world.subscribe(Interest::All(kinds));
        let mut control = Self {
            subscription,
            dirty: dirty::Dirty::default(),
            news: news::News::new(),
            renderings: rendering::Cache::new(),
            bundles,
            retry_wait: MIN_RETRY_WAIT,
            retry_at: None,
            later: later::Later::default(),
            vigil: vigil::Vigil::new(options.liveness_lease, now.boot),
            doubts: doubts::Doubts::new(&world),
            turns: turns::Turns::new(options.failover.burst, options.failover.per_second, now.boot),
            wakes: wakes::Wakes::default(),
            waits_for_thaw: BTreeSet::new(),
            grants,
            metrics,
            world,
        };
        control.dirty.everything(&control.world);
        control
    }

    /// Plans until `shutdown`.
    ///
    /// # Errors
    /// Where the world ends, or a planner panics. A store that refuses writes is tried again until it takes them.
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<(), Error> {
        let until = CancellationToken::new();
        let _ends_with_us = until.clone().drop_guard();
        tokio::spawn(self.vigil.clone().run(self.world.clone(), until));
        self.judge(self.world.now());
        let vigil = self.vigil.clone();
        loop {
            if !self.dirty.is_empty() && self.retry_at.is_none() {
                tokio::select! {
                    planned = self.round() => self.settle(planned, &shutdown)?,
                    () = shutdown.cancelled() => return Ok(()),
                }
            }
            self.tell_news().await;
            self.take_due();
            let is_idle = self.dirty.is_empty() || self.retry_at.is_some();
            let wake_at = self.wake_at();
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return Ok(()),
                changes = self.subscription.next() => {
                    self.dirty.note(&changes, &self.world, &mut self.news);
                    if !changes.clusters.is_empty() || changes.hub_failover || changes.everything {
                        self.judge(self.world.now());
                    }
                    self.news.note_events(changes.event_count);
                }
                () = vigil.found() => self.judge(self.world.now()),
                () = sleep_until(wake_at), if is_idle => self.retry_at = self.retry_at.filter(|at| *at > Instant::now()),
                // There is more to plan: only look whether anything more urgent came.
                () = std::future::ready(()), if !is_idle => {}
            }
        }
    }

    /// When there is something to do though nothing changes.
    fn wake_at(&self) -> Option<Instant> {
        let now = self.world.now().boot;
        let by_boot =
            [self.wakes.due_at(), self.turns.due_at(), self.doubts.due_at()].into_iter().flatten().min();
        // Timers count whole milliseconds: one more, so that it is due when we wake.
        let by_boot = by_boot.map(|at| Instant::now() + at.since(now) + Duration::from_millis(1));
        [self.retry_at, self.news.due_at(), self.later.due_at(), by_boot].into_iter().flatten().min()
    }

    /// Marks what is due by time alone.
    fn take_due(&mut self) {
        let now = self.world.now();
        for key in self.later.take_due() {
            self.dirty.again(key);
        }
        if self.doubts.due_at().is_some_and(|at| at <= now.boot) {
            self.judge(now);
        }
        let due = self.wakes.take_due(now.boot);
        let turns = self.turns.take_due(now.boot);
        let dirty = &mut self.dirty;
        self.world.read(|state| due.iter().chain(&turns).for_each(|key| dirty.mark(key, state, None)));
    }

    /// Finds out what keeps the hub from moving anything by itself, and lets go what was kept and no longer is.
    fn judge(&mut self, now: Now) {
        let late_at = self.vigil.look(now.boot);
        let judged = self.doubts.judge(&self.world, late_at, now, &mut self.news);
        let dirty = &mut self.dirty;
        if judged.is_thawed {
            let waiting = std::mem::take(&mut self.waits_for_thaw);
            self.world.read(|state| waiting.iter().for_each(|key| dirty.mark(key, state, None)));
        }
        if judged.is_hold_over {
            self.world.read(|state| dirty.exclusive(state));
        }
        if judged.is_frozen_anew {
            self.metrics.failover.freezes.inc();
        }
        self.metrics.failover.frozen.set(i64::from(self.doubts.is_frozen()));
    }

    /// Takes how a round went: what failed for a while is tried again, what failed for good ends the loop.
    fn settle(&mut self, planned: Result<(), Error>, shutdown: &CancellationToken) -> Result<(), Error> {
        match planned {
            Ok(()) => {
                self.retry_wait = MIN_RETRY_WAIT;
                Ok(())
            }
            Err(Error::Store(error)) if !matches!(error, store::Error::Closed { .. }) => {
                tracing::warn!(%error, wait = ?self.retry_wait, "a plan could not be committed, trying again");
                self.retry_at = Some(Instant::now() + self.retry_wait);
                self.retry_wait = (self.retry_wait * 2).min(MAX_RETRY_WAIT);
                Ok(())
            }
            // The world and the store end before us when the hub stops.
            Err(_) if shutdown.is_cancelled() => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn tell_news(&mut self) {
        if let Err(error) = self.news.write(&self.world).await {
            tracing::warn!(%error, "events could not be written");
        }
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
