//! How a hub is set up: one checked value, put together from a file, the environment and flags.
//!
//! Precedence rises from the file over the environment (`NAVE_HUB_…`) to flags. Everything is checked before anything
//! starts, so that a hub never comes up half-configured.

pub mod arguments;
mod audit;
mod failover;
mod file;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

pub use audit::AuditConfig;
pub use failover::{FailoverConfig, WebhookConfig};
pub use file::FileConfig;
use nave_common::time::HumanDuration;

/// Where agents and people connect, unless said otherwise.
pub const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 7443);
/// Where health and metrics are served, unless said otherwise: this machine alone, since it asks for no certificate.
pub const DEFAULT_HTTP_LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 7480);

/// How a hub is set up.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The folder of everything the hub keeps: its authority, store and bundles.
    pub data_dir: PathBuf,
    /// Where agents and people connect, with mTLS.
    pub listen: SocketAddr,
    /// What agents and people are told to connect to, each as `host:port`. Empty: where it listens.
    pub advertise: Vec<String>,
    /// Where `/healthz`, `/readyz` and `/metrics` are served, without TLS.
    pub http_listen: SocketAddr,
    /// How often an agent says that it is there.
    pub heartbeat_interval: Duration,
    /// How long a cluster counts as alive since it was last heard.
    pub liveness_lease: Duration,
    /// How long an agent's certificate is valid; agents renew it at two thirds of that.
    pub agent_certificate_lifetime: Duration,
    /// Whether a new data folder is made ready by starting the hub.
    pub init: bool,
    /// What the store is.
    pub store: StoreConfig,
    /// How it fails over as a whole.
    pub failover: FailoverConfig,
    /// How much of the audit log is kept.
    pub audit: AuditConfig,
    /// Bounds.
    pub limits: Limits,
}

/// What the store is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreConfig {
    /// On the disk of this machine.
    Sled {
        /// Memory for its page cache, in bytes.
        cache_bytes: u64,
    },
    /// In memory: gone with the hub. For tests and demos.
    Memory,
}

/// Bounds on what clients can make a hub hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The largest message that is read, in bytes.
    pub message_bytes: usize,
    /// Requests at the same time on one connection.
    pub streams_per_connection: u32,
    /// TLS handshakes at the same time.
    pub handshakes: usize,
    /// Connections at the same time.
    pub connections: usize,
    /// How long a TLS handshake may take.
    pub handshake_timeout: Duration,
    /// Watches at the same time, of all people.
    pub watches: usize,
    /// Bundles that are being sent at the same time, to all agents.
    pub bundle_fetches: usize,
    /// Calls at the same time that hold much memory: uploads, applies, renderings, differences. Others wait.
    pub heavy_calls: usize,
    /// Memory for bundles that are read often, in bytes.
    pub bundle_cache_bytes: usize,
    /// How long a stopping hub waits for its clients.
    pub shutdown_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes: 16 << 20,
            streams_per_connection: 128,
            handshakes: 256,
            connections: 25_000,
            handshake_timeout: Duration::from_secs(10),
            watches: 1000,
            bundle_fetches: 256,
            heavy_calls: 16,
            bundle_cache_bytes: 128 << 20,
            shutdown_timeout: Duration::from_secs(10),
        }
    }
}

/// Memory for the store's page cache, unless said otherwise, in bytes.
pub const DEFAULT_CACHE_BYTES: u64 = 64 << 20;

impl Config {
    /// A hub in `data_dir` with the defaults of everything else.
    #[must_use]
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            listen: DEFAULT_LISTEN,
            advertise: Vec::new(),
            http_listen: DEFAULT_HTTP_LISTEN,
            heartbeat_interval: Duration::from_secs(2),
            liveness_lease: Duration::from_secs(10),
            agent_certificate_lifetime: Duration::from_secs(365 * 86_400),
            init: true,
            store: StoreConfig::Sled { cache_bytes: DEFAULT_CACHE_BYTES },
            failover: FailoverConfig::default(),
            audit: AuditConfig::default(),
            limits: Limits::default(),
        }
    }

    /// A hub on this machine alone, on ports that the system chooses: for tests and demos. Several can run side by side.
    #[must_use]
    pub fn local(data_dir: impl Into<PathBuf>) -> Self {
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self { listen: any_port, http_listen: any_port, ..Self::new(data_dir) }
    }

    /// Checks what types alone cannot hold.
    ///
    /// # Errors
    /// The first setting that cannot work, with what was expected.
    pub fn check(&self) -> Result<(), Error> {
        if self.data_dir.as_os_str().is_empty() {
            return Err(Error::new("dataDir", "is empty; expected a folder, such as /var/lib/nave"));
        }
        for address in &self.advertise {
            check_address(address).map_err(|why| Error::new("advertise", why))?;
        }
        self.check_times()?;
        self.failover.check()?;
        self.audit.check()?;
        self.limits.check()?;
        match self.store {
            StoreConfig::Sled { cache_bytes } if !((1 << 20)..=(64 << 30)).contains(&cache_bytes) => {
                Err(Error::new("store.cacheBytes", format!("is {cache_bytes}; expected 1 MiB to 64 GiB")))
            }
            _ => Ok(()),
        }
    }

    fn check_times(&self) -> Result<(), Error> {
        let (beat, lease) = (self.heartbeat_interval, self.liveness_lease);
        if !(Duration::from_millis(50)..=Duration::from_secs(60)).contains(&beat) {
            return Err(Error::new(
                "heartbeatInterval",
                format!("is {}; expected 50ms to 1m", HumanDuration(beat)),
            ));
        }
        // One lost heartbeat must not cost a cluster its liveness.
        if lease < beat * 2 || lease > Duration::from_secs(3600) {
            return Err(Error::new(
                "livenessLease",
                format!(
                    "is {}; expected at least twice heartbeatInterval, which is {}, and at most 1h",
                    HumanDuration(lease),
                    HumanDuration(beat)
                ),
            ));
        }
        let lifetime = self.agent_certificate_lifetime;
        if !(Duration::from_secs(1)..=Duration::from_secs(3650 * 86_400)).contains(&lifetime) {
            return Err(Error::new(
                "agentCertificateLifetime",
                format!("is {}; expected 1s to 3650d", HumanDuration(lifetime)),
            ));
        }
        Ok(())
    }
}

impl Limits {
    fn check(&self) -> Result<(), Error> {
        let bounds = [
            ("limits.messageBytes", self.message_bytes, 64 << 10, 256 << 20),
            ("limits.streamsPerConnection", self.streams_per_connection as usize, 4, 10_000),
            ("limits.handshakes", self.handshakes, 1, 10_000),
            ("limits.connections", self.connections, 1, 1_000_000),
            ("limits.watches", self.watches, 1, 100_000),
            ("limits.bundleFetches", self.bundle_fetches, 1, 10_000),
            ("limits.heavyCalls", self.heavy_calls, 1, 10_000),
            ("limits.bundleCacheBytes", self.bundle_cache_bytes, 1 << 20, 64 << 30),
        ];
        for (name, value, low, high) in bounds {
            if !(low..=high).contains(&value) {
                return Err(Error::new(name, format!("is {value}; expected {low} to {high}")));
            }
        }
        for (name, value) in [
            ("limits.handshakeTimeout", self.handshake_timeout),
            ("limits.shutdownTimeout", self.shutdown_timeout),
        ] {
            if value.is_zero() || value > Duration::from_secs(600) {
                return Err(Error::new(name, format!("is {}; expected up to 10m", HumanDuration(value))));
            }
        }
        Ok(())
    }
}

/// Checks `host:port`, with a host name, an IPv4 address, or an IPv6 address in brackets.
fn check_address(address: &str) -> Result<(), String> {
    let refused = |why: &str| format!("{address:?} is not valid: {why}; expected host:port");
    let (host, port) = address.rsplit_once(':').ok_or_else(|| refused("it has no port"))?;
    if !port.parse::<u16>().is_ok_and(|port| port != 0) {
        return Err(refused("its port is no number from 1 to 65535"));
    }
    let is_ip6 = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .is_some_and(|ip| ip.parse::<std::net::Ipv6Addr>().is_ok());
    let is_name = host.len() <= 253
        && host.split('.').all(|part| {
            !part.is_empty()
                && part.len() <= 63
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        });
    if is_ip6 || is_name { Ok(()) } else { Err(refused("its host is neither a name nor an address")) }
}

/// A setting that cannot work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{setting} {why}")]
pub struct Error {
    /// Which setting, or where it was read.
    pub setting: String,
    /// What is wrong with it and what was expected.
    pub why: String,
}

impl Error {
    fn new(setting: impl Into<String>, why: impl Into<String>) -> Self {
        Self { setting: setting.into(), why: why.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_work_and_what_cannot_work_is_refused_by_name() {
        let good = Config::new("/var/lib/nave");
        assert_eq!(good.check(), Ok(()));
        type Change = fn(&mut Config);
        let cases: [(&str, Change); 9] = [
            ("dataDir", |config| config.data_dir = PathBuf::new()),
            ("advertise", |config| config.advertise = vec!["hub".into()]),
            ("advertise", |config| config.advertise = vec!["hub:0".into()]),
            ("heartbeatInterval", |config| config.heartbeat_interval = Duration::ZERO),
            ("livenessLease", |config| config.liveness_lease = Duration::from_secs(3)),
            ("limits.handshakes", |config| config.limits.handshakes = 0),
            ("audit.fileBytes", |config| config.audit.file_bytes = 1),
            ("audit.keptFiles", |config| config.audit.kept_files = 0),
            ("store.cacheBytes", |config| config.store = StoreConfig::Sled { cache_bytes: 1 }),
        ];
        for (setting, change) in cases {
            let mut config = good.clone();
            change(&mut config);
            assert_eq!(config.check().unwrap_err().setting, setting);
        }
    }

    #[test]
    fn addresses_have_a_host_and_a_port() {
        for good in ["hub.example.com:7443", "10.0.0.1:1", "[::1]:7443", "hub:65535"] {
            assert_eq!(check_address(good), Ok(()), "{good}");
        }
        for bad in ["", ":1", "hub", "hub:", "hub:70000", "::1:7443", "https://hub:1", "a b:1", "[x]:1"] {
            assert!(check_address(bad).is_err(), "{bad}");
        }
    }
}
