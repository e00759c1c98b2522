//! The verbs about hubs and clusters: tokens, joining, contexts.

use std::path::PathBuf;

use clap::Subcommand;
use nave_common::name::ClusterName;
use nave_common::time::HumanDuration;

use super::Format;

/// Make, list and delete join tokens: what a cluster needs to come into the fleet.
#[derive(Debug, clap::Args)]
pub(crate) struct Token {
    #[command(subcommand)]
    pub(crate) verb: TokenVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokenVerb {
    Create(CreateToken),
    /// List the tokens. Their secrets are shown by nothing.
    #[command(after_help = "Example:\n  nave token list")]
    List {
        /// How it is printed.
        #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
        output: Format,
    },
    /// Delete tokens, so that nothing joins with them any more.
    #[command(after_help = "Example:\n  nave token delete k7f2")]
    Delete {
        /// The ids, as `nave token list` shows them.
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
    },
}

/// Make a join token. It is printed once, on standard output, and can be seen nowhere else.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    nave token create --cluster eu-1 --label region=eu\n  \
    nave join --name eu-1 --token \"$(nave token create)\"")]
pub(crate) struct CreateToken {
    /// How long it can be used.
    #[arg(long, value_name = "DURATION", default_value = "1h")]
    pub(crate) ttl: HumanDuration,
    /// How many clusters may join with it.
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) uses: u32,
    /// Labels that every cluster gets that joins with it. May be repeated.
    #[arg(long = "label", value_name = "KEY=VALUE")]
    pub(crate) labels: Vec<String>,
    /// Only this cluster may join with it.
    #[arg(long, value_name = "CLUSTER")]
    pub(crate) cluster: Option<ClusterName>,
}

/// Bring a cluster into the fleet: run an agent in it.
///
/// It prints what it does and applies it to the cluster of your kubeconfig: a namespace, a service account with its
/// rights, a secret with the token, and the agent's Deployment.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    nave join --token \"$(nave token create)\" --name eu-1 --label region=eu\n  \
    nave join --token T --name eu-1 --print > agent.yaml     print the manifests, and do nothing")]
pub(crate) struct Join {
    /// The join token, from `nave token create`.
    #[arg(long, env = "NAVE_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    pub(crate) token: String,
    /// The cluster's name in the fleet.
    #[arg(long, value_name = "CLUSTER")]
    pub(crate) name: ClusterName,
    /// Labels that the cluster gets. May be repeated.
    #[arg(long = "label", value_name = "KEY=VALUE")]
    pub(crate) labels: Vec<String>,
    /// The kubeconfig of the cluster; $KUBECONFIG or ~/.kube/config where it is left out.
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig; the current one where it is left out.
    #[arg(long, value_name = "NAME")]
    pub(crate) kube_context: Option<String>,
    /// The agent's image.
    #[arg(long, value_name = "IMAGE", default_value = concat!("ghcr.io/nave-dev/nave-agent:", env!("CARGO_PKG_VERSION")))]
    pub(crate) image: String,
    /// The size of the volume for the agent's identity and cache, which outlives its pod.
    #[arg(long, value_name = "QUANTITY", default_value = "1Gi", conflicts_with = "no_volume")]
    pub(crate) volume_size: String,
    /// Keep the agent's identity and cache in its pod: a pod that moves to another node needs a new token.
    #[arg(long)]
    pub(crate) no_volume: bool,
    /// Print the manifests (the secret in them too), and do nothing.
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) print: bool,
    /// Let the cluster check everything, and change nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// Show and choose contexts: the hubs you can reach, and who you are there.
#[derive(Debug, clap::Args)]
pub(crate) struct Context {
    #[command(subcommand)]
    pub(crate) verb: ContextVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ContextVerb {
    /// List the contexts; the current one is marked.
    #[command(after_help = "Example:\n  nave context list")]
    List {
        /// How it is printed. Keys are never printed.
        #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
        output: Format,
    },
    /// Make a context the current one.
    #[command(after_help = "Example:\n  nave context use prod")]
    Use {
        /// Its name.
        name: String,
    },
    /// Show one context: the current one where none is named. Its key is not printed.
    #[command(after_help = "Example:\n  nave context show")]
    Show {
        /// Its name.
        name: Option<String>,
    },
    /// Take contexts out of a file, such as the one that `nave-hub init` wrote, into your own.
    #[command(after_help = "Example:\n  nave context import /var/lib/nave-hub/admin.yaml --use")]
    Import {
        /// The file; - for standard input.
        file: PathBuf,
        /// Give the context this name, where the file holds one.
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
        /// Make it the current one.
        #[arg(long = "use")]
        make_current: bool,
    },
    /// Take a context out of your file.
    #[command(after_help = "Example:\n  nave context delete old")]
    Delete {
        /// Its name.
        name: String,
    },
}

/// Look for what is wrong between this machine and the fleet, and say what to do about it.
///
/// Looks at the context and its certificate, each address of the hub, clocks, versions, failover, and clusters that are
/// lost or silent. Ends with 1 where something fails.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  nave doctor\n  nave doctor -o json")]
pub(crate) struct Doctor {
    /// How it is printed.
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) output: super::ChangeFormat,
}

/// Show the version of this program and of the hub.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  nave version\n  nave version --client")]
pub(crate) struct Version {
    /// Only of this program.
    #[arg(long)]
    pub(crate) client: bool,
    /// How it is printed.
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) output: super::ChangeFormat,
}

/// Print the completions of a shell.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    source <(nave completions bash)\n  \
    nave completions fish > ~/.config/fish/completions/nave.fish")]
pub(crate) struct Completions {
    /// The shell.
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}
