//! The whole agent, wired in one place: desired state, connection, fence and reconcile, each in a task of its own.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::api::Api;
use crate::clock::Clock;
use crate::connection::Connection;
use crate::connection::dial::Dial;
use crate::desired::{self, DesiredState};
use crate::fence::{Fence, driver};
use crate::identity::Identity;
use crate::reconcile;
use crate::reports::Reports;

/// What an agent is started with.
pub struct Options {
    /// Who it is.
    pub identity: Identity,
    /// How it reaches hubs.
    pub dial: Arc<dyn Dial>,
    /// Where its cache stands.
    pub data_dir: PathBuf,
    /// How it works on its cluster.
    pub reconcile: reconcile::Config,
    /// The clock that exclusive leases are counted on.
    pub clock: Arc<dyn Clock>,
}

/// A running agent. Dropped without [`Agent::stop`], it ends in the background.
pub struct Agent {
    shutdown: CancellationToken,
    reports: Reports,
    connection: JoinHandle<()>,
    driver: JoinHandle<()>,
    reconcile: JoinHandle<Result<(), reconcile::Error>>,
}

impl Agent {
    /// Starts an agent for the cluster that `client` reaches.
    ///
    /// # Errors
    /// Where its cache cannot be used.
    pub fn start(client: kube::Client, options: Options) -> Result<Self, desired::Error> {
        let desired = DesiredState::open(&options.data_dir.join("cache"))?;
        let reports = Reports::default();
        let shutdown = CancellationToken::new();
        let told = desired.subscribe();
        // What may not run is fenced before anything else is done.
        let folder = options.data_dir.join("cache");
        let set = Arc::clone(&told.borrow());
        let fence = Fence::open(&folder, options.clock, &set, desired.generation(), reports.clone());
        let api = Api::new(client.clone(), options.reconcile.field_manager.clone());
        let driver = tokio::spawn(driver::run(fence.clone(), api, told, shutdown.clone()));
        let work = fence.subscribe();
        let reconcile =
            tokio::spawn(reconcile::run(client, work, reports.clone(), options.reconcile, shutdown.clone()));
        let connection = Connection {
            identity: options.identity,
            dial: options.dial,
            desired,
            fence,
            reports: reports.clone(),
        };
        let connection = tokio::spawn(connection.run(shutdown.clone()));
        Ok(Self { shutdown, reports, connection, driver, reconcile })
    }

    /// What the agent sees, as it would tell a hub.
    #[must_use]
    pub fn reports(&self) -> &Reports {
        &self.reports
    }

    /// Completes if the agent ends by itself, which is a fault.
    pub async fn ended(&mut self) -> String {
        tokio::select! {
            done = &mut self.connection => format!("the connection ended: {done:?}"),
            done = &mut self.driver => format!("the fence ended: {done:?}"),
            done = &mut self.reconcile => format!("reconcile ended: {done:?}"),
        }
    }

    /// Stops, letting writes in flight end.
    pub async fn stop(mut self) {
        self.shutdown.cancel();
        if let Err(error) = (&mut self.connection).await {
            tracing::error!(%error, "the connection's task did not end well");
        }
        if let Err(error) = (&mut self.driver).await {
            tracing::error!(%error, "the fence's task did not end well");
        }
        match (&mut self.reconcile).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "reconcile ended with an error"),
            Err(error) => tracing::error!(%error, "reconcile's task did not end well"),
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}
