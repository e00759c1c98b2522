//! What runs in every hub, on whatever it stands and however its clients reach it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::ground::Ground;
use super::{Error, tasks};
use crate::audit::{self, Audit};
use crate::config::Config;
use crate::error::with_causes;
use crate::events;
use crate::fencing::Webhook;
use crate::listen::Connection;
use crate::metrics::Metrics;
use crate::parts::Parts;
use crate::world::World;

/// How long the store may take to finish what it was given.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(30);

/// A hub without sockets of its own: connections are handed to it. Dropping it without [`Core::shutdown`] breaks
/// everything off; nothing that was acknowledged is lost.
#[derive(Debug)]
pub struct Core {
    parts: Arc<Parts>,
    break_off: CancellationToken,
    tasks: JoinSet<()>,
    audit: Option<audit::Writer>,
    failed_sender: watch::Sender<Option<String>>,
    failed: watch::Receiver<Option<String>>,
}

impl Core {
    /// Reads what `ground` holds, and starts planning. Nobody is served before [`Core::serve`].
    ///
    /// # Errors
    /// Where the store cannot be read, or the fencing webhook cannot be used.
    pub async fn start(ground: Ground, config: &Config) -> Result<Self, Error> {
        Self::audited(ground, config, None).await
    }

    /// As [`Core::start`], with an audit log in the file `audit_log`, if one is named.
    ///
    /// # Errors
    /// As [`Core::start`].
    pub(super) async fn audited(
        ground: Ground,
        config: &Config,
        audit_log: Option<PathBuf>,
    ) -> Result<Self, Error> {
        let webhook = config.failover.fencing_webhook.as_ref().map(Webhook::new).transpose()?;
        let (events, event_writer) = events::channel();
        let metrics = Arc::new(Metrics::new());
        let (audit, audit_writer) = match audit_log {
            Some(path) => Audit::start(path, config.audit, metrics.clone()),
            None => Audit::nowhere(),
        };
        let parts = ground.parts(config, events, audit, metrics, CancellationToken::new()).await?;
        let (failed_sender, failed) = watch::channel(None);
        let mut tasks = JoinSet::new();
        tasks::start_planning(&mut tasks, &parts, &failed_sender);
        tasks::start_housekeeping(&mut tasks, &parts, event_writer, webhook);
        let (break_off, audit) = (CancellationToken::new(), Some(audit_writer));
        Ok(Self { parts, break_off, tasks, audit, failed_sender, failed })
    }

    /// Serves agents and people on connections whose peers are known, until shutdown.
    pub fn serve(&mut self, connections: mpsc::Receiver<Connection>) {
        tasks::start_serving(&mut self.tasks, &self.parts, connections, &self.failed_sender);
    }

    /// Serves health and metrics, until shutdown.
    pub fn serve_http(&mut self, socket: TcpListener) {
        tasks::start_http(&mut self.tasks, &self.parts, socket, &self.failed_sender);
    }

    /// Runs something else of the hub, which has to end at shutdown.
    pub(super) fn run(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// Set when connections that are still open have to end.
    pub(super) fn break_off(&self) -> &CancellationToken {
        &self.break_off
    }

    /// What every edge works with.
    pub(super) fn parts(&self) -> &Arc<Parts> {
        &self.parts
    }

    /// The hub's picture of everything; for tests and tools that link the hub.
    #[must_use]
    pub fn world(&self) -> &World {
        &self.parts.world
    }

    /// Waits until something of the hub fails for good, and says what.
    pub async fn failed(&mut self) -> String {
        match self.failed.wait_for(Option::is_some).await {
            Ok(failed) => failed.clone().unwrap_or_default(),
            Err(_) => "the hub has stopped".to_owned(),
        }
    }

    /// Stops: takes no new connections, tells those that are open, waits for them within bounds, then closes the store.
    pub async fn shutdown(mut self) {
        self.parts.shutdown.cancel();
        self.parts.sessions.stop();
        let timeout = self.parts.limits.shutdown_timeout;
        let break_off = self.break_off.clone();
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(timeout, all).await.is_err() {
            tracing::warn!("some clients did not end in time; their connections are broken off");
            break_off.cancel();
            let rest = async { while self.tasks.join_next().await.is_some() {} };
            let _ = tokio::time::timeout(timeout, rest).await;
            self.tasks.abort_all();
        }
        if let Some(audit) = self.audit.take() {
            audit.close().await;
        }
        match tokio::time::timeout(CLOSE_TIMEOUT, self.parts.store.close()).await {
            Ok(Ok(())) => tracing::info!("hub stopped"),
            Ok(Err(error)) => tracing::error!(error = %with_causes(&error), "the store did not close"),
            Err(_) => tracing::error!("the store did not close in time"),
        }
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        self.parts.shutdown.cancel();
        self.parts.sessions.stop();
        self.break_off.cancel();
    }
}
