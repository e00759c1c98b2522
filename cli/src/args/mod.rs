//! What was typed. What it means is for the commands to say.

mod change;
mod cluster;
mod demo;
mod failover;
mod fleet;
mod hub;
mod read;

use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};
use nave_common::name::ProjectName;
use nave_common::time::HumanDuration;

pub(crate) use change::{Apply, Delete, Files, RawManifests, Suspend, Undo, Wait, WaitFor, Waiting};
pub(crate) use cluster::{Clusters, Cordon, Drain, Uncordon};
pub(crate) use demo::Demo;
pub(crate) use failover::{
    ConfirmFenced, Failover, FailoverDecide, FailoverHistory, FailoverLoss, FailoverRun, FailoverStatus,
    FailoverVerb,
};
pub(crate) use fleet::{
    Completions, Context, ContextVerb, CreateToken, Doctor, Join, Token, TokenVerb, Version,
};
pub(crate) use hub::{Backup, Hub, HubStatus, HubVerb, Maintenance, Release};
pub(crate) use read::{Describe, Diff, Get, History, ManifestFormat, Render};

/// Runs applications on many Kubernetes clusters through a Nave hub.
#[derive(Debug, Parser)]
#[command(
    name = "nave",
    version,
    max_term_width = 110,
    arg_required_else_help = true,
    after_help = "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 timed out, 4 degraded.\n\n\
        Examples:\n  \
        nave apply -f shop.yaml --wait          change what should run, and wait until it does\n  \
        nave get applications                   see what runs\n  \
        nave describe application shop          see where, why there, and what is wrong\n  \
        nave join --token T --name eu-1         bring the cluster of your kubeconfig into the fleet"
)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// The context to use instead of the current one (see `nave context list`).
    #[arg(long, global = true, env = "NAVE_CONTEXT", value_name = "NAME")]
    pub(crate) context: Option<String>,
    /// Where the hub listens, instead of the addresses of the context. May be repeated.
    #[arg(long, global = true, env = "NAVE_HUB", value_name = "HOST:PORT", value_delimiter = ',', value_parser = host_and_port)]
    pub(crate) hub: Vec<String>,
    /// How long one request to the hub may take.
    #[arg(long, global = true, value_name = "DURATION", default_value = "30s")]
    pub(crate) request_timeout: HumanDuration,
    /// Print nothing but what was asked for: no progress, no hints, no warnings.
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// Whether to colour the output; NO_COLOR is respected too.
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    pub(crate) color: Color,
}

/// An address as it was typed, where it is one.
fn host_and_port(text: &str) -> Result<String, String> {
    let is_port = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0);
    let is_host = |host: &str| {
        let is_v6 = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).is_some();
        !host.is_empty() && !host.contains('/') && (is_v6 || !host.contains(':'))
    };
    match text.trim().rsplit_once(':') {
        Some((host, port)) if is_host(host) && is_port(port) => Ok(text.trim().to_owned()),
        _ => Err("expected HOST:PORT, such as hub.example.com:7443".to_owned()),
    }
}

/// When output is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The project that is meant.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Project {
    /// The project. An application can also be named PROJECT/NAME.
    #[arg(short, long, env = "NAVE_PROJECT", default_value = "default", value_name = "PROJECT")]
    pub(crate) project: ProjectName,
}

/// How results are printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A table for people.
    #[default]
    Table,
    /// A table with more columns.
    Wide,
    /// JSON.
    Json,
    /// YAML, as `nave apply` takes it.
    Yaml,
    /// One KIND/NAME a line.
    Name,
}

/// How the result of a change is printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ChangeFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON document, at the end.
    Json,
    /// One YAML document, at the end.
    Yaml,
    /// One KIND/NAME a line.
    Name,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Apply(Apply),
    Get(Get),
    Describe(Describe),
    Diff(Diff),
    Render(Render),
    Delete(Delete),
    Suspend(Suspend),
    Resume(change::Resume),
    History(History),
    Undo(Undo),
    Wait(Wait),
    Failover(Failover),
    Cordon(Cordon),
    Uncordon(Uncordon),
    Drain(Drain),
    Hub(Hub),
    Token(Token),
    Join(Join),
    Context(Context),
    Version(Version),
    Doctor(Doctor),
    Completions(Completions),
    Demo(Demo),
}

impl Global {
    pub(crate) fn request_timeout(&self) -> Duration {
        self.request_timeout.0
    }
}
