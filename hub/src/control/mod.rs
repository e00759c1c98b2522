//! Control: the loop that drives the planners. It waits, takes a snapshot, plans, commits, and on a conflict plans again.
//!
//! Place in the flow: `store -> world -> control -> plan (pure) -> assignments -> store`. It decides nothing itself:
//! which applications are looked at again is told by [`dirty`], what becomes of them by [`crate::plan`].
//!
//! **Invariant:** assignments and the generation that orders them are written by one transaction, which holds only if
//! the application and the generation are still those that were planned.

mod commit;
mod dirty;
mod events;
mod later;
mod news;
mod preview;
mod rendering;
mod round;
mod snapshot;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use nave_common::bundle::Bundle;
use nave_common::digest::Digest;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use preview::{explain, preview};

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
}

impl Control {
    /// A loop over everything that is in `world` and that comes into it; it is not yet running.
    #[must_use]
    pub fn new(world: World, bundles: Arc<dyn BundleSource>) -> Self {
        let kinds = Kinds::APPLICATIONS.and(Kinds::CLUSTERS).and(Kinds::REMOVALS).and(Kinds::EVENTS);
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
        loop {
            if !self.dirty.is_empty() && self.retry_at.is_none() {
                tokio::select! {
                    planned = self.round() => self.settle(planned, &shutdown)?,
                    () = shutdown.cancelled() => return Ok(()),
                }
            }
            self.tell_news().await;
            for key in self.later.take_due() {
                self.dirty.again(key);
            }
            let is_idle = self.dirty.is_empty() || self.retry_at.is_some();
            let wake_at = self.wake_at();
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return Ok(()),
                changes = self.subscription.next() => {
                    self.dirty.note(&changes, &self.world, &mut self.news);
                    self.news.note_events(changes.event_count);
                }
                () = sleep_until(wake_at), if is_idle => self.retry_at = self.retry_at.filter(|at| *at > Instant::now()),
                // There is more to plan: only look whether anything more urgent came.
                () = std::future::ready(()), if !is_idle => {}
            }
        }
    }

    /// When there is something to do though nothing changes.
    fn wake_at(&self) -> Option<Instant> {
        [self.retry_at, self.news.due_at(), self.later.due_at()].into_iter().flatten().min()
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
