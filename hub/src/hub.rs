//! The hub as a whole: everything is put together here, started in order, and stopped in order.

mod certificate;
mod core;
mod ground;
mod tasks;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use nave_common::context::Context;
use nave_common::runtime::tls;
use tokio::net::TcpListener;
use tokio::sync::watch;

pub use self::core::Core;
pub use self::ground::Ground;
use crate::clock::{Clock, SystemClock};
use crate::config::{self, Config};
use crate::fencing;
use crate::init::{self, Folder};
use crate::listen::{self, Listener};
use crate::store;
use crate::world::{self, World};

/// A running hub. Dropping it without [`Hub::shutdown`] breaks everything off; nothing that was acknowledged is lost.
#[derive(Debug)]
pub struct Hub {
    core: Core,
    folder: Folder,
    listen_address: SocketAddr,
    http_address: SocketAddr,
}

/// Why a hub does not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting cannot work.
    #[error("the configuration cannot be used: {0}")]
    Config(#[from] config::Error),
    /// The data folder cannot be used.
    #[error(transparent)]
    Init(#[from] init::Error),
    /// The store cannot be opened.
    #[error("the store cannot be opened")]
    Store(#[from] store::Error),
    /// What the store holds cannot be read.
    #[error("the store cannot be read")]
    World(#[from] world::Error),
    /// TLS cannot be set up.
    #[error("TLS cannot be set up")]
    Tls(#[from] tls::Error),
    /// The fencing webhook cannot be used as it is set up.
    #[error("the fencing webhook cannot be used")]
    Fencing(#[from] fencing::Error),
    /// An address cannot be listened at.
    #[error("cannot listen at {address}; is another hub running there?")]
    Listen {
        /// Which address.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
}

impl Hub {
    /// Starts a hub: it serves when this returns.
    ///
    /// # Errors
    /// Where the configuration cannot work, the data folder is new and may not be made ready, the store cannot be
    /// read, or an address is taken.
    pub async fn start(config: Config) -> Result<Self, Error> {
        config.check()?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let folder = Folder::new(&config.data_dir);
        let mut ground = Ground::open(&folder, &config, clock.clone()).await?;
        let (socket, listen_address) = listen_at(config.listen)?;
        let (http_socket, http_address) = listen_at(config.http_listen)?;
        ground.addresses = addresses(&config, listen_address);
        if config.init && !folder.admin_context().exists() {
            folder.make_admin_context(&ground.authority, &ground.addresses, clock.now())?;
        }
        folder.update_admin_context(&ground.addresses)?;
        let mut core = Core::audited(ground, &config, Some(folder.audit_log())).await?;
        let (tls, acceptor) = watch::channel(certificate::acceptor(core.parts())?);
        let parts = core.parts().clone();
        core.run(certificate::renew(parts.clone(), tls));
        let listener = Listener {
            socket,
            tls: acceptor,
            limits: config.limits.clone(),
            shutdown: parts.shutdown.clone(),
            break_off: core.break_off().clone(),
            metrics: parts.metrics.clone(),
        };
        core.serve(listener.start());
        core.serve_http(http_socket);
        tracing::info!(
            listen = %listen_address,
            http = %http_address,
            addresses = ?parts.addresses,
            version = env!("CARGO_PKG_VERSION"),
            "hub started"
        );
        Ok(Self { core, folder, listen_address, http_address })
    }

    /// Where agents and people connect.
    #[must_use]
    pub fn listen_address(&self) -> SocketAddr {
        self.listen_address
    }

    /// What agents and people are told to connect to, each as `host:port`.
    #[must_use]
    pub fn addresses(&self) -> &[String] {
        &self.core.parts().addresses
    }

    /// Where health and metrics are served.
    #[must_use]
    pub fn http_address(&self) -> SocketAddr {
        self.http_address
    }

    /// The file of the administrator's context.
    #[must_use]
    pub fn admin_context_file(&self) -> PathBuf {
        self.folder.admin_context()
    }

    /// The administrator's context.
    ///
    /// # Errors
    /// Where its file was taken away, as one should from a hub in use.
    pub fn admin_context(&self) -> Result<Context, init::Error> {
        self.folder.read_admin_context()
    }

    /// The hub's picture of everything; for tests and tools that link the hub.
    #[must_use]
    pub fn world(&self) -> &World {
        self.core.world()
    }

    /// Waits until something of the hub fails for good, and says what.
    pub async fn failed(&mut self) -> String {
        self.core.failed().await
    }

    /// Stops: takes no new connections, tells those that are open, waits for them within bounds, then closes the store.
    pub async fn shutdown(self) {
        self.core.shutdown().await;
    }
}

fn listen_at(address: SocketAddr) -> Result<(TcpListener, SocketAddr), Error> {
    let failed = |source| Error::Listen { address, source };
    let socket = listen::bind(address).map_err(failed)?;
    let found = socket.local_addr().map_err(failed)?;
    Ok((socket, found))
}

/// What agents and people are told to connect to.
fn addresses(config: &Config, listen: SocketAddr) -> Vec<String> {
    if !config.advertise.is_empty() {
        return config.advertise.clone();
    }
    if listen.ip().is_unspecified() {
        tracing::warn!(
            "no address is given: agents on other machines cannot be told where this hub is; use --address"
        );
        return vec![format!("127.0.0.1:{}", listen.port())];
    }
    vec![listen.to_string()]
}
