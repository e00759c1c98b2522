//! What every edge of the hub works with: the store and the world, bundles, clocks, counters and bounds.

use std::sync::Arc;
use std::time::{Duration, Instant};

use nave_common::runtime::tls::Authority;
use nave_common::time::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::audit::Audit;
use crate::bundles::Bundles;
use crate::clock::Clock;
use crate::config::Limits;
use crate::error::Error;
use crate::events::Events;
use crate::metrics::Metrics;
use crate::session::grants::Grants;
use crate::session::registry::Registry;
use crate::store::{Sequence, Store, Transaction};
use crate::world::World;

/// What every edge of the hub works with.
#[derive(Debug)]
pub struct Parts {
    /// Every write.
    pub store: Arc<dyn Store>,
    /// What is known, in memory.
    pub world: World,
    /// Bundles.
    pub bundles: Bundles,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// What happened, on its way to the store.
    pub events: Events,
    /// What was asked for, on its way to the audit log.
    pub audit: Audit,
    /// Who signs certificates.
    pub authority: Authority,
    /// What agents and people are told to connect to.
    pub addresses: Vec<String>,
    /// How often an agent says that it is there.
    pub heartbeat_interval: Duration,
    /// How long a cluster counts as alive since it was last heard.
    pub liveness_lease: Duration,
    /// How long an agent's certificate is valid.
    pub agent_certificate_lifetime: Duration,
    /// Bounds.
    pub limits: Limits,
    /// The live streams of agents.
    pub sessions: Arc<Registry>,
    /// The exclusive leases.
    pub grants: Arc<Grants>,
    /// Places for watching clients.
    pub watch_places: Arc<Semaphore>,
    /// Places for bundles that are being sent.
    pub fetch_places: Arc<Semaphore>,
    /// Places for calls that hold much memory: uploads, applies, renderings, differences.
    pub heavy_places: Arc<Semaphore>,
    /// Whose turn it is to enrol.
    pub enroll_turn: Semaphore,
    /// When the hub started.
    pub started_at: Timestamp,
    /// Set when the hub stops: what runs long ends.
    pub shutdown: CancellationToken,
}

impl Parts {
    /// Writes, and returns once the write is durable and the world shows it: whoever is answered reads his own write.
    ///
    /// # Errors
    /// As the store's commit; and where the hub stops meanwhile.
    pub async fn commit(&self, transaction: Transaction) -> Result<Sequence, Error> {
        let started = Instant::now();
        let sequence = self.store.commit(transaction).await?;
        self.metrics.committed(started.elapsed());
        self.caught_up(sequence).await?;
        Ok(sequence)
    }

    /// Waits until the world shows a commit.
    ///
    /// # Errors
    /// Where the hub stops meanwhile.
    pub async fn caught_up(&self, sequence: Sequence) -> Result<(), Error> {
        self.world.caught_up(sequence).await.map_err(|error| Error::Unavailable(error.to_string()))
    }

    /// A place for a call that holds much memory, waiting until there is one.
    ///
    /// # Errors
    /// Never while the hub runs.
    pub async fn heavy_place(&self) -> Result<OwnedSemaphorePermit, Error> {
        let place = self.heavy_places.clone().acquire_owned().await;
        place.map_err(|_| Error::Unavailable("the hub is stopping".into()))
    }

    /// The wall clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

impl From<crate::records::Error> for Error {
    fn from(error: crate::records::Error) -> Self {
        Self::Internal(crate::error::with_causes(&error))
    }
}
