//! The configuration file: YAML, read strictly. What it leaves out keeps its default.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use nave_common::time::HumanDuration;
use serde::Deserialize;

use super::audit::FileAudit;
use super::failover::FileFailover;
use super::{Config, Error, StoreConfig};

/// The largest configuration file, in bytes.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// What a configuration file may say. Every setting may be left out.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct FileConfig {
    /// [`Config::data_dir`].
    pub data_dir: Option<PathBuf>,
    /// [`Config::listen`].
    pub listen: Option<SocketAddr>,
    /// [`Config::advertise`].
    pub advertise: Option<Vec<String>>,
    /// [`Config::http_listen`].
    pub http_listen: Option<SocketAddr>,
    /// [`Config::heartbeat_interval`].
    pub heartbeat_interval: Option<HumanDuration>,
    /// [`Config::liveness_lease`].
    pub liveness_lease: Option<HumanDuration>,
    /// [`Config::agent_certificate_lifetime`].
    pub agent_certificate_lifetime: Option<HumanDuration>,
    /// The log.
    pub log: FileLog,
    /// [`Config::store`].
    pub store: FileStore,
    /// [`Config::failover`].
    pub failover: FileFailover,
    /// [`Config::audit`].
    pub audit: FileAudit,
    /// [`Config::limits`].
    pub limits: FileLimits,
}

/// What a configuration file may say of the log.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct FileLog {
    /// `text` or `json`.
    pub format: Option<String>,
    /// What is logged, such as `info` or `info,nave_hub::session=debug`.
    pub level: Option<String>,
}

/// What a configuration file may say of the store.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct FileStore {
    /// Memory for the page cache, in bytes.
    pub cache_bytes: Option<u64>,
}

/// What a configuration file may say of the bounds.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct FileLimits {
    message_bytes: Option<usize>,
    streams_per_connection: Option<u32>,
    handshakes: Option<usize>,
    connections: Option<usize>,
    handshake_timeout: Option<HumanDuration>,
    watches: Option<usize>,
    bundle_fetches: Option<usize>,
    heavy_calls: Option<usize>,
    bundle_cache_bytes: Option<usize>,
    shutdown_timeout: Option<HumanDuration>,
}

impl FileConfig {
    /// Reads a configuration file.
    ///
    /// # Errors
    /// Where it cannot be read, or says anything that is not known, with its place.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let refused = |why: String| Error::new(path.display().to_string(), why);
        let size =
            std::fs::metadata(path).map_err(|error| refused(format!("cannot be read: {error}")))?.len();
        if size > MAX_FILE_BYTES {
            return Err(refused(format!("has {size} bytes; at most {MAX_FILE_BYTES} are allowed")));
        }
        let text =
            std::fs::read_to_string(path).map_err(|error| refused(format!("cannot be read: {error}")))?;
        // An empty file says nothing, which is legal.
        if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
            return Ok(Self::default());
        }
        serde_saphyr::from_str(&text).map_err(|error| refused(format!("is not valid: {error}")))
    }

    /// Puts what the file says over `config`.
    pub fn put_on(self, config: &mut Config) {
        set(&mut config.data_dir, self.data_dir);
        set(&mut config.listen, self.listen);
        set(&mut config.advertise, self.advertise);
        set(&mut config.http_listen, self.http_listen);
        set(&mut config.heartbeat_interval, self.heartbeat_interval.map(|it| it.0));
        set(&mut config.liveness_lease, self.liveness_lease.map(|it| it.0));
        set(&mut config.agent_certificate_lifetime, self.agent_certificate_lifetime.map(|it| it.0));
        set(&mut config.store, self.store.cache_bytes.map(|cache_bytes| StoreConfig::Sled { cache_bytes }));
        self.failover.put_on(&mut config.failover);
        self.audit.put_on(&mut config.audit);
        let limits = &mut config.limits;
        set(&mut limits.message_bytes, self.limits.message_bytes);
        set(&mut limits.streams_per_connection, self.limits.streams_per_connection);
        set(&mut limits.handshakes, self.limits.handshakes);
        set(&mut limits.connections, self.limits.connections);
        set(&mut limits.handshake_timeout, self.limits.handshake_timeout.map(|it| it.0));
        set(&mut limits.watches, self.limits.watches);
        set(&mut limits.bundle_fetches, self.limits.bundle_fetches);
        set(&mut limits.heavy_calls, self.limits.heavy_calls);
        set(&mut limits.bundle_cache_bytes, self.limits.bundle_cache_bytes);
        set(&mut limits.shutdown_timeout, self.limits.shutdown_timeout.map(|it| it.0));
    }
}

/// Replaces what is there by what is said, if anything is said.
pub(super) fn set<T>(slot: &mut T, said: Option<T>) {
    if let Some(value) = said {
        *slot = value;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn load(text: &str) -> Result<FileConfig, Error> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hub.yaml");
        std::fs::write(&path, text).unwrap();
        FileConfig::load(&path)
    }

    #[test]
    fn a_file_changes_what_it_names() {
        let file = load(
            "listen: 127.0.0.1:1\nheartbeatInterval: 500ms\nlimits: {handshakes: 7}\naudit: {keptFiles: 9}\n",
        )
        .unwrap();
        let mut config = Config::new("/data");
        file.put_on(&mut config);
        assert_eq!(config.listen.port(), 1);
        assert_eq!(config.heartbeat_interval, Duration::from_millis(500));
        assert_eq!(config.limits.handshakes, 7);
        assert_eq!(config.audit.kept_files, 9);
        assert_eq!(config.data_dir, PathBuf::from("/data"));
        assert_eq!(load("# nothing\n").unwrap(), FileConfig::default());
    }

    #[test]
    fn a_file_with_an_unknown_word_is_refused_by_place() {
        let error = load("listen: 127.0.0.1:1\nlissen: x\n").unwrap_err().to_string();
        assert!(error.contains("lissen") && error.contains("hub.yaml"), "{error}");
    }
}
