//! The world: the hub's picture of everything in memory, which everyone reads and nobody writes but the store's watch
//! and the agents.
//!
//! Place in the flow: `store -> (watch) -> world -> control, session, api`. It decides nothing. Readers see the state
//! under a lock that is never held across an await; those who wait for changes subscribe.

mod ahead;
mod entry;
mod facts;
mod held;
mod interest;
mod liveness;
mod load;
mod observe;
mod said;
mod state;
#[cfg(test)]
mod tests;
mod views;

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use entry::{AssignmentEntry, ClusterEntry, Observed, PlacementOutcome, Stored};
pub use facts::{ClusterFacts, Standing, WorkFacts, is_sick};
pub use held::{Finding, Holding, Report};
pub use interest::{Changes, Interest, Kinds, Subscription};
pub use liveness::Link;
pub use observe::MAX_UNKNOWN_APPLICATIONS;
pub use said::MAX_MAINTENANCE;
pub use state::State;

use crate::clock::Clock;
use crate::config::FailoverConfig;
use crate::plan::failover::Now;
use crate::store::{Sequence, Store};
use crate::{records, store};
use nave_common::failover::HubFailover;
use nave_common::name::ApplicationKey;
use nave_common::time::BootTime;

/// What can go wrong with the world.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store cannot be read.
    #[error("the store cannot be read")]
    Store(#[from] store::Error),
    /// A record in the store is damaged.
    #[error("the store holds a damaged record")]
    Record(#[from] records::Error),
    /// The world is no longer fed.
    #[error("the hub is stopping")]
    Stopped,
}

/// How the world is kept.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long a cluster counts as alive since it was last heard.
    pub liveness_lease: Duration,
    /// How the hub fails over.
    pub failover: FailoverConfig,
}

impl Default for Options {
    fn default() -> Self {
        Self { liveness_lease: Duration::from_secs(10), failover: FailoverConfig::default() }
    }
}

/// A handle on the world; clones are the same world.
#[derive(Debug, Clone)]
pub struct World(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    state: RwLock<State>,
    registry: Arc<interest::Registry>,
    /// The last commit that the state holds.
    applied: watch::Sender<Applied>,
    leases: liveness::Leases,
    clock: Arc<dyn Clock>,
    store: Arc<dyn Store>,
    options: Options,
}

#[derive(Debug, Clone, Copy)]
struct Applied {
    sequence: Sequence,
    stopped: bool,
}

impl World {
    /// Reads the whole store, making the hub's own records where it is new.
    ///
    /// # Errors
    /// Where the store cannot be read, or a record in it is damaged; the error names the record.
    pub async fn load(store: Arc<dyn Store>, clock: Arc<dyn Clock>, options: Options) -> Result<Self, Error> {
        let mut state = load::load(&*store).await?;
        state.start(now(&*clock));
        let applied = watch::Sender::new(Applied { sequence: state.sequence(), stopped: false });
        Ok(Self(Arc::new(Inner {
            state: RwLock::new(state),
            registry: Arc::default(),
            applied,
            leases: liveness::Leases::default(),
            clock,
            store,
            options,
        })))
    }

    /// Feeds the world from the store's watch and ends liveness leases, until `shutdown` or an error.
    ///
    /// # Errors
    /// Where the store fails for good, or a record in it is damaged.
    pub async fn follow(&self, shutdown: CancellationToken) -> Result<(), Error> {
        let ended = tokio::select! {
            ended = self.feed(&shutdown) => ended,
            () = self.keep_leases(&shutdown) => Ok(()),
        };
        self.0.applied.send_modify(|applied| applied.stopped = true);
        ended
    }

    /// Reads the state. `read` must be quick: writers wait for it.
    pub fn read<R>(&self, read: impl FnOnce(&State) -> R) -> R {
        read(&self.0.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until the state holds the commit `sequence`: after it, one reads one's own writes.
    ///
    /// # Errors
    /// [`Error::Stopped`] where the world is no longer fed.
    pub async fn caught_up(&self, sequence: Sequence) -> Result<(), Error> {
        let mut applied = self.0.applied.subscribe();
        let applied = applied
            .wait_for(|applied| applied.stopped || applied.sequence >= sequence)
            .await
            .map_err(|_| Error::Stopped)?;
        if applied.sequence >= sequence { Ok(()) } else { Err(Error::Stopped) }
    }

    /// Subscribes to changes from now on. Read the state after subscribing, so that nothing falls between.
    #[must_use]
    pub fn subscribe(&self, interest: Interest) -> Subscription {
        self.0.registry.subscribe(interest)
    }

    /// Notes how the planning of applications went.
    pub(crate) fn set_placements(&self, outcomes: Vec<(ApplicationKey, PlacementOutcome)>) {
        self.change(|state, effects| {
            for (key, outcome) in outcomes {
                effects.extend(state.set_placement(&key, outcome));
            }
        });
    }

    /// How failover stands on the hub as a whole: whether it is frozen and why, and whether a maintenance hold runs.
    #[must_use]
    pub fn hub_failover_view(&self) -> Arc<HubFailover> {
        self.read(|state| state.failover_view().clone())
    }

    /// Notes how failover stands on the hub as a whole.
    pub(crate) fn set_hub_failover_view(&self, view: HubFailover) {
        self.change(|state, effects| state.set_failover_view(view, effects));
    }

    /// The time on both clocks.
    #[must_use]
    pub fn now(&self) -> Now {
        now(&*self.0.clock)
    }

    /// The clock by which this world goes.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.0.clock
    }

    /// The store from which this world is fed.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.0.store
    }

    /// How this world is kept.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.0.options
    }

    /// Changes the state, then tells subscribers. The lock is released in between, so that they can read at once.
    fn change(&self, change: impl FnOnce(&mut State, &mut Vec<interest::Effect>)) {
        let mut effects = Vec::new();
        {
            let mut state = self.0.state.write().unwrap_or_else(PoisonError::into_inner);
            state.set_now(now(&*self.0.clock));
            change(&mut state, &mut effects);
        }
        self.0.registry.publish(&effects);
    }
}

fn now(clock: &dyn Clock) -> Now {
    Now { boot: BootTime::from_duration(clock.boot()), wall: clock.now() }
}
