//! Control: the loops that drive planners. Each waits, takes a snapshot, plans, commits, and plans again on a conflict.

use std::sync::Arc;

use async_trait::async_trait;
use nave_common::application::Application;
use nave_common::bundle::Bundle;
use nave_common::digest::Digest;
use nave_common::status::PlacementReport;
use tokio_util::sync::CancellationToken;

use crate::world::{State, World};

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

/// The loop that places applications and assigns them to clusters.
#[derive(Debug)]
pub struct Control {
    world: World,
    bundles: Arc<dyn BundleSource>,
}

impl Control {
    /// A loop that is not yet running.
    #[must_use]
    pub fn new(world: World, bundles: Arc<dyn BundleSource>) -> Self {
        Self { world, bundles }
    }

    /// Plans until `shutdown`.
    ///
    /// # Errors
    /// Where the store fails for good.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), Error> {
        let _ = (&self.world, &self.bundles);
        shutdown.cancelled().await;
        Ok(())
    }
}

/// What can go wrong in control.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store cannot be written.
    #[error("the store cannot be written")]
    Store(#[from] crate::store::Error),
    /// A record cannot be written.
    #[error("a record cannot be written")]
    Record(#[from] crate::records::Error),
}

/// Where an application as given would run, or runs, and why; nothing is changed.
#[must_use]
pub fn preview(
    state: &State,
    application: &Application,
    requests: nave_common::resources::Resources,
) -> PlacementReport {
    let _ = (state, application, requests);
    PlacementReport::default()
}
