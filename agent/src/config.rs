//! The agent's configuration: a file, then the environment, then flags, each over the one before; checked at start.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::Parser;
use nave_common::metadata::Labels;
use nave_common::name::ClusterName;
use serde::Deserialize;
use zeroize::Zeroizing;

/// Applies what its cluster should run and reports health, dialling out to a Nave hub.
///
/// On first start it enrols with a join token (made by `nave token create`); after that its identity stands in the data
/// folder and the token is not needed.
#[derive(Debug, Default, Parser)]
#[command(
    name = "nave-agent",
    version,
    after_help = "Example:\n  nave-agent --name eu-1 --label region=eu --token \"$(nave token create)\" --kubeconfig ~/.kube/config"
)]
pub struct Args {
    /// A YAML file with any of these settings, named as the flags are, in camelCase.
    #[arg(long, env = "NAVE_AGENT_CONFIG")]
    pub config: Option<PathBuf>,
    /// The folder of the agent's identity and cache [default: /var/lib/nave-agent].
    #[arg(long, env = "NAVE_AGENT_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// The cluster's name in the fleet; needed on first start.
    #[arg(long, env = "NAVE_AGENT_NAME")]
    pub name: Option<ClusterName>,
    /// A join token; needed on first start.
    #[arg(long, env = "NAVE_AGENT_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// A file that holds the join token.
    #[arg(long, env = "NAVE_AGENT_TOKEN_FILE")]
    pub token_file: Option<PathBuf>,
    /// Labels that the cluster gets when it joins, such as region=eu. May be repeated.
    #[arg(long = "label", value_name = "KEY=VALUE")]
    pub labels: Vec<String>,
    /// The kubeconfig of the cluster; the service account of the pod where it is left out.
    #[arg(long, env = "NAVE_AGENT_KUBECONFIG")]
    pub kubeconfig: Option<PathBuf>,
    /// Where /healthz, /readyz and /metrics are served; nowhere where it is left out.
    #[arg(long, env = "NAVE_AGENT_HTTP_LISTEN")]
    pub http_listen: Option<SocketAddr>,
    /// Requests in flight at the cluster's API server, at most [default: 16].
    #[arg(long, env = "NAVE_AGENT_MAX_IN_FLIGHT")]
    pub max_in_flight: Option<usize>,
    /// text or json [default: text].
    #[arg(long, env = "NAVE_LOG_FORMAT")]
    pub log_format: Option<String>,
    /// What is logged, such as info or nave_agent=debug [default: info].
    #[arg(long, env = "NAVE_LOG")]
    pub log: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct File {
    data_dir: Option<PathBuf>,
    name: Option<ClusterName>,
    token_file: Option<PathBuf>,
    labels: BTreeMap<String, String>,
    kubeconfig: Option<PathBuf>,
    http_listen: Option<SocketAddr>,
    max_in_flight: Option<usize>,
    log_format: Option<String>,
    log: Option<String>,
}

/// The checked configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// The folder of the agent's identity and cache.
    pub data_dir: PathBuf,
    /// The cluster's name, where it was given.
    pub name: Option<ClusterName>,
    /// The join token's text, where it was given.
    pub token: Option<Zeroizing<String>>,
    /// Labels that the cluster gets when it joins.
    pub labels: Labels,
    /// The kubeconfig, where it was given.
    pub kubeconfig: Option<PathBuf>,
    /// Where health and metrics are served.
    pub http_listen: Option<SocketAddr>,
    /// Requests in flight at the API server, at most.
    pub max_in_flight: usize,
    /// text or json.
    pub log_format: String,
    /// What is logged.
    pub log: String,
}

/// What is wrong with the configuration and what was expected.
#[derive(Debug, thiserror::Error)]
#[error("configuration: {0}")]
pub struct Error(String);

impl Config {
    /// Merges file and arguments (which clap has merged with the environment) and checks the result.
    ///
    /// # Errors
    /// The first thing that is wrong, with its name and what was expected.
    pub fn load(args: Args) -> Result<Self, Error> {
        let file = args.config.as_deref().map(read_file).transpose()?.unwrap_or_default();
        let mut labels = file.labels;
        for label in &args.labels {
            let (key, value) = label
                .split_once('=')
                .ok_or_else(|| Error(format!("--label {label:?} is not valid: expected KEY=VALUE")))?;
            labels.insert(key.to_owned(), value.to_owned());
        }
        nave_common::selector::check_labels(&labels).map_err(|error| Error(format!("labels{error}")))?;
        let max_in_flight = args.max_in_flight.or(file.max_in_flight).unwrap_or(16);
        if !(1..=256).contains(&max_in_flight) {
            return Err(Error(format!("maxInFlight is {max_in_flight}; expected 1 to 256")));
        }
        let token = match (args.token, args.token_file.or(file.token_file)) {
            (Some(token), _) => Some(Zeroizing::new(token)),
            (None, Some(path)) => Some(read_token(&path)?),
            (None, None) => None,
        };
        Ok(Self {
            data_dir: args.data_dir.or(file.data_dir).unwrap_or_else(|| "/var/lib/nave-agent".into()),
            name: args.name.or(file.name),
            token,
            labels,
            kubeconfig: args.kubeconfig.or(file.kubeconfig),
            http_listen: args.http_listen.or(file.http_listen),
            max_in_flight,
            log_format: args.log_format.or(file.log_format).unwrap_or_else(|| "text".into()),
            log: args.log.or(file.log).unwrap_or_else(|| "info".into()),
        })
    }
}

fn read_file(path: &Path) -> Result<File, Error> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Error(format!("cannot read {}: {error}", path.display())))?;
    serde_saphyr::from_str(&text).map_err(|error| Error(format!("{}: {error}", path.display())))
}

fn read_token(path: &Path) -> Result<Zeroizing<String>, Error> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Error(format!("cannot read the token file {}: {error}", path.display())))?;
    Ok(Zeroizing::new(text.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_win_over_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.yaml");
        std::fs::write(&path, "name: eu-1\nmaxInFlight: 8\nlabels: {region: eu}\n").unwrap();
        let args = Args { config: Some(path), name: Some("eu-2".parse().unwrap()), ..Args::default() };
        let config = Config::load(args).unwrap();
        assert_eq!((config.name.unwrap().as_str(), config.max_in_flight), ("eu-2", 8));
        assert_eq!(config.labels["region"], "eu");
    }

    #[test]
    fn an_unknown_setting_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.yaml");
        std::fs::write(&path, "nam: eu-1\n").unwrap();
        let error = Config::load(Args { config: Some(path), ..Args::default() }).unwrap_err().to_string();
        assert!(error.contains("nam"), "{error}");
    }
}
