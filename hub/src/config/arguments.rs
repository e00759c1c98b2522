//! What can be typed: flags, and the environment in their place.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use nave_common::time::HumanDuration;

use super::failover::FailoverArguments;
use super::file::set;
use super::{Config, Error, FileConfig, StoreConfig, check_address};

/// The hub of a Nave fleet: holds desired state and streams it to agents.
#[derive(Debug, Parser)]
#[command(name = "nave-hub", version, about, max_term_width = 100, args_conflicts_with_subcommands = true)]
pub struct Arguments {
    /// What to do; `run` where nothing is said.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Flags of `run`.
    #[command(flatten)]
    pub run: RunArguments,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a new data folder ready: the certificate authority and the administrator's context.
    Init(InitArguments),
    /// Serve until a signal ends it.
    Run(Box<RunArguments>),
    /// Put a hub back from a backup, into a new data folder.
    Restore(RestoreArguments),
}

/// Flags of `restore`.
///
/// The restored hub has a higher term than the old one, so that agents that have seen it refuse the old one. Every
/// application is held at first: its agents go on with what they have, and nothing is sent or taken away until they have
/// said that this is what the backup says. What differs waits for you: `nave hub release` decides. The backup holds the
/// authority's key and the values of Secrets; keep it as you keep those.
#[derive(Debug, Args)]
pub struct RestoreArguments {
    /// The backup, from `nave hub backup`.
    #[arg(value_name = "ARCHIVE")]
    pub archive: PathBuf,
    /// The new hub's data folder: new or empty.
    #[arg(long, env = "NAVE_HUB_DATA_DIR", value_name = "FOLDER")]
    pub data_dir: PathBuf,
    /// Says that the old hub is stopped and cannot start again. Two hubs of one fleet would each tell its agents
    /// something else.
    #[arg(long)]
    pub old_hub_is_dead: bool,
    /// A term that was seen, such as the one that an agent reports as ahead: the restored term is above it.
    #[arg(long, value_name = "TERM")]
    pub term: Option<u64>,
}

/// Flags of `init`.
#[derive(Debug, Args)]
pub struct InitArguments {
    /// The folder of everything the hub keeps.
    #[arg(long, env = "NAVE_HUB_DATA_DIR", value_name = "FOLDER")]
    pub data_dir: PathBuf,
    /// Where the hub can be reached, as HOST:PORT; may be given more than once.
    #[arg(
        long = "address",
        env = "NAVE_HUB_ADVERTISE",
        value_name = "HOST:PORT",
        value_delimiter = ',',
        value_parser = address
    )]
    pub addresses: Vec<String>,
}

/// Flags of `run`.
#[derive(Debug, Default, Args)]
pub struct RunArguments {
    /// The configuration file (YAML).
    #[arg(long, env = "NAVE_HUB_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The folder of everything the hub keeps.
    #[arg(long, env = "NAVE_HUB_DATA_DIR", value_name = "FOLDER")]
    pub data_dir: Option<PathBuf>,
    /// Make a new data folder ready first, as `nave-hub init` would.
    #[arg(long, env = "NAVE_HUB_INIT")]
    pub init: bool,
    /// Where agents and people connect [default: 0.0.0.0:7443].
    #[arg(long, env = "NAVE_HUB_LISTEN", value_name = "ADDRESS:PORT")]
    pub listen: Option<SocketAddr>,
    /// What agents and people are told to connect to; may be given more than once.
    #[arg(
        long = "address",
        env = "NAVE_HUB_ADVERTISE",
        value_name = "HOST:PORT",
        value_delimiter = ',',
        value_parser = address
    )]
    pub addresses: Vec<String>,
    /// Where health and metrics are served, without TLS [default: 127.0.0.1:7480].
    #[arg(long, env = "NAVE_HUB_HTTP_LISTEN", value_name = "ADDRESS:PORT")]
    pub http_listen: Option<SocketAddr>,
    /// How often an agent says that it is there [default: 2s].
    #[arg(long, env = "NAVE_HUB_HEARTBEAT_INTERVAL", value_name = "DURATION")]
    pub heartbeat_interval: Option<HumanDuration>,
    /// How long a cluster counts as alive since it was last heard [default: 10s].
    #[arg(long, env = "NAVE_HUB_LIVENESS_LEASE", value_name = "DURATION")]
    pub liveness_lease: Option<HumanDuration>,
    /// How long an agent's certificate is valid; agents renew it at two thirds of that [default: 365d].
    #[arg(long, env = "NAVE_HUB_AGENT_CERTIFICATE_LIFETIME", value_name = "DURATION")]
    pub agent_certificate_lifetime: Option<HumanDuration>,
    /// Memory for the store's page cache, in bytes.
    #[arg(long, env = "NAVE_HUB_STORE_CACHE_BYTES", value_name = "BYTES")]
    pub store_cache_bytes: Option<u64>,
    /// The largest message that is read, in bytes.
    #[arg(long, env = "NAVE_HUB_MAX_MESSAGE_BYTES", value_name = "BYTES")]
    pub max_message_bytes: Option<usize>,
    /// TLS handshakes at the same time.
    #[arg(long, env = "NAVE_HUB_MAX_HANDSHAKES", value_name = "COUNT")]
    pub max_handshakes: Option<usize>,
    /// Flags about failover.
    #[command(flatten)]
    pub failover: FailoverArguments,
    /// How log lines are written [default: text].
    #[arg(long, env = "NAVE_HUB_LOG_FORMAT", value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
    /// What is logged, such as `info` or `info,nave_hub::session=debug` [default: info].
    #[arg(long, env = "NAVE_HUB_LOG", value_name = "FILTER")]
    pub log: Option<String>,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl LogFormat {
    /// As it is typed.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

fn address(text: &str) -> Result<String, String> {
    check_address(text).map(|()| text.to_owned())
}

/// How the log is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// How log lines are written.
    pub format: LogFormat,
    /// What is logged.
    pub level: String,
}

impl RunArguments {
    /// The checked configuration: the file's, the environment's, the flags'.
    ///
    /// # Errors
    /// The first setting that cannot be read or cannot work.
    pub fn resolve(self) -> Result<(Config, Log), Error> {
        let file = self.config.as_deref().map(FileConfig::load).transpose()?.unwrap_or_default();
        let log = self.log(&file)?;
        let mut config = Config { init: self.init, ..Config::new("") };
        file.put_on(&mut config);
        set(&mut config.data_dir, self.data_dir);
        set(&mut config.listen, self.listen);
        set(&mut config.advertise, (!self.addresses.is_empty()).then_some(self.addresses));
        set(&mut config.http_listen, self.http_listen);
        set(&mut config.heartbeat_interval, self.heartbeat_interval.map(|it| it.0));
        set(&mut config.liveness_lease, self.liveness_lease.map(|it| it.0));
        set(&mut config.agent_certificate_lifetime, self.agent_certificate_lifetime.map(|it| it.0));
        set(&mut config.store, self.store_cache_bytes.map(|cache_bytes| StoreConfig::Sled { cache_bytes }));
        self.failover.put_on(&mut config.failover);
        set(&mut config.limits.message_bytes, self.max_message_bytes);
        set(&mut config.limits.handshakes, self.max_handshakes);
        if config.data_dir.as_os_str().is_empty() {
            return Err(Error::new("--data-dir", "is missing; expected a folder, such as /var/lib/nave"));
        }
        config.check()?;
        Ok((config, log))
    }

    fn log(&self, file: &FileConfig) -> Result<Log, Error> {
        let format = match (self.log_format, file.log.format.as_deref()) {
            (Some(format), _) => format,
            (None, Some("json")) => LogFormat::Json,
            (None, Some("text") | None) => LogFormat::Text,
            (None, Some(other)) => {
                return Err(Error::new("log.format", format!("is {other:?}; expected text or json")));
            }
        };
        let level = self.log.clone().or_else(|| file.log.level.clone()).unwrap_or_else(|| "info".into());
        Ok(Log { format, level })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_win_over_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hub.yaml");
        std::fs::write(&path, "dataDir: /from-file\nlisten: 127.0.0.1:1\nlog: {format: json}\n").unwrap();
        let flags = RunArguments {
            config: Some(path),
            listen: "127.0.0.1:2".parse().ok(),
            ..RunArguments::default()
        };
        let (config, log) = flags.resolve().unwrap();
        assert_eq!(config.data_dir, PathBuf::from("/from-file"));
        assert_eq!(config.listen.port(), 2);
        assert_eq!(log.format, LogFormat::Json);
    }

    #[test]
    fn a_hub_needs_a_folder() {
        let error = RunArguments::default().resolve().unwrap_err();
        assert_eq!(error.setting, "--data-dir");
    }

    #[test]
    fn run_is_what_is_done_where_nothing_is_said() {
        let typed = Arguments::try_parse_from(["nave-hub", "--data-dir", "/data"]).unwrap();
        assert!(typed.command.is_none() && typed.run.data_dir.is_some());
        let typed =
            Arguments::try_parse_from(["nave-hub", "init", "--data-dir", "/data", "--address", "hub:1"])
                .unwrap();
        assert!(matches!(typed.command, Some(Command::Init(_))));
    }
}
