//! What a hub stands on: its folder, and in it everything that lasts.

use std::sync::Arc;

use nave_common::runtime::tls;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::Error;
use crate::audit::Audit;
use crate::bundles::Bundles;
use crate::clock::Clock;
use crate::config::{Config, StoreConfig};
use crate::events::Events;
use crate::init::{self, Folder};
use crate::metrics::Metrics;
use crate::parts::Parts;
use crate::session::grants::Grants;
use crate::session::registry::Registry;
use crate::store::Store;
use crate::store::blob::Blobs;
use crate::store::blob::folder::FolderBlobs;
use crate::store::disk::FreeSpace;
use crate::store::memory::MemoryStore;
use crate::store::sled::{Options, SledStore};
use crate::world::{self, World};

/// What must stay free on the disk of the bundles.
const FREE_BYTES: u64 = 64 << 20;

/// What a hub stands on, and what it tells the time by.
#[derive(Debug)]
pub struct Ground {
    /// Every key that lasts.
    pub store: Arc<dyn Store>,
    /// Every body that lasts.
    pub blobs: Arc<dyn Blobs>,
    /// Who signs certificates.
    pub authority: tls::Authority,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// What agents and people are told to connect to, each as `host:port`.
    pub addresses: Vec<String>,
}

impl Ground {
    /// Opens a hub's folder, or makes a new one ready where that is allowed. The addresses are known later.
    pub(super) async fn open(folder: &Folder, config: &Config, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let known = folder.authority()?;
        if known.is_none() && !config.init {
            return Err(init::Error::New(config.data_dir.clone()).into());
        }
        // The store's lock comes before the first write: a folder that another hub has is left as it is.
        let store: Arc<dyn Store> = match config.store {
            StoreConfig::Sled { cache_bytes } => {
                Arc::new(SledStore::open(Options { cache_bytes, ..Options::new(folder.store()) }).await?)
            }
            StoreConfig::Memory => Arc::new(MemoryStore::default()),
        };
        let blobs = Arc::new(FolderBlobs::open(folder.bundles(), FreeSpace::reserve(FREE_BYTES)).await?);
        let authority = match known {
            Some(authority) => authority,
            None => folder.make_authority(clock.now())?,
        };
        Ok(Self { store, blobs, authority, clock, addresses: Vec::new() })
    }

    /// Reads what is there, and puts together what every edge of the hub works with.
    pub(super) async fn parts(
        self,
        config: &Config,
        events: Events,
        audit: Audit,
        metrics: Arc<Metrics>,
        shutdown: CancellationToken,
    ) -> Result<Arc<Parts>, Error> {
        let options =
            world::Options { liveness_lease: config.liveness_lease, failover: config.failover.clone() };
        let world = World::load(self.store.clone(), self.clock.clone(), options).await?;
        // Before anything is served: whatever an earlier hub renewed, it did before now.
        let grants = Arc::new(Grants::new(world.now().boot));
        let limits = config.limits.clone();
        Ok(Arc::new(Parts {
            store: self.store,
            world,
            bundles: Bundles::new(self.blobs, limits.bundle_cache_bytes),
            started_at: self.clock.now(),
            clock: self.clock,
            metrics,
            events,
            audit,
            authority: self.authority,
            addresses: self.addresses,
            heartbeat_interval: config.heartbeat_interval,
            liveness_lease: config.liveness_lease,
            agent_certificate_lifetime: config.agent_certificate_lifetime,
            grants,
            sessions: Arc::new(Registry::default()),
            watch_places: Arc::new(Semaphore::new(limits.watches)),
            fetch_places: Arc::new(Semaphore::new(limits.bundle_fetches)),
            heavy_places: Arc::new(Semaphore::new(limits.heavy_calls)),
            enroll_turn: Semaphore::new(1),
            limits,
            shutdown,
        }))
    }
}
