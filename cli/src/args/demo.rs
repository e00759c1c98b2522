//! What `nave demo` takes.

use std::path::PathBuf;

/// See the main job on this machine: a hub, agents and clusters, and an application that reaches them all.
///
/// A hub and six agents run in this process, each agent with its own simulated cluster, in three regions, over real TLS
/// sockets. An application arrives, is changed, is broken by hand and put back, lives on without the hub, and goes again.
/// Everything lies in a temporary folder that goes with it. Takes well under a minute.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    nave demo\n  \
    nave demo -f k8s/                          your own manifests instead of a shop\n  \
    nave demo --hold                           keep it up, to try nave on it\n  \
    nave demo --kubeconfig a --kubeconfig b    real clusters: it makes namespaces there and removes them again\n  \
    nave demo --json | jq .steps")]
pub(crate) struct Demo {
    /// Plain Kubernetes manifests to deploy instead of the shop: a file or a folder. May be repeated.
    #[arg(short = 'f', long = "filename", value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// A real cluster instead of the simulated ones. May be repeated.
    #[arg(long = "kubeconfig", value_name = "FILE")]
    pub(crate) kubeconfigs: Vec<PathBuf>,
    /// Keep everything up at the end, until Ctrl-C or SIGTERM, and say how to use it.
    #[arg(long)]
    pub(crate) hold: bool,
    /// Print one JSON report on standard output, and nothing else.
    #[arg(long)]
    pub(crate) json: bool,
}
