//! The verbs about failover: what would move, what moves, what a person decides of it.

use clap::Subcommand;
use nave_common::name::ClusterName;
use nave_common::time::HumanDuration;

use super::{ChangeFormat, Format, Project};

/// See and decide how applications leave clusters that are lost, and come home.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    nave failover status                         what moves, and what it waits for\n  \
    nave failover plan --region eu               what would happen if region eu were lost\n  \
    nave failover run shop --to us-1 --wait      move it now\n  \
    nave failover history shop                   what happened, and how long each step took")]
pub(crate) struct Failover {
    #[command(subcommand)]
    pub(crate) verb: FailoverVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum FailoverVerb {
    Plan(FailoverLoss),
    Drill(Drill),
    Run(FailoverRun),
    Status(FailoverStatus),
    History(FailoverHistory),
    Approve(FailoverDecide),
    Abort(FailoverAbort),
    ConfirmFenced(ConfirmFenced),
    Freeze(Freeze),
    Thaw(Thaw),
}

/// Show what would happen if clusters or whole regions were lost. Changes nothing.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    nave failover plan --region eu\n  \
    nave failover plan --cluster eu-1 --cluster eu-2 -o json")]
pub(crate) struct FailoverLoss {
    /// Every cluster of this region is lost. May be repeated.
    #[arg(long = "region", value_name = "REGION", required_unless_present = "clusters")]
    pub(crate) regions: Vec<String>,
    /// This cluster is lost. May be repeated.
    #[arg(long = "cluster", value_name = "CLUSTER")]
    pub(crate) clusters: Vec<ClusterName>,
    /// How it is printed.
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) output: Format,
}

/// Exercise the loss of clusters or regions on paper: as plan, with exit code 4 where something would have nowhere to go.
///
/// Changes nothing. Run it in a pipeline, so that you learn before the night in question that a region has no room.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    nave failover drill --region eu              exit code 4: not everything would survive\n  \
    nave failover drill --cluster eu-1 -q")]
pub(crate) struct Drill {
    #[command(flatten)]
    pub(crate) loss: FailoverLoss,
}

/// Move an application now, as planned moves go: it starts elsewhere before it stops; Exclusive work stops first.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    nave failover run shop                       away from where it runs, to where the hub thinks best\n  \
    nave failover run shop --from eu-1 --to us-1 --wait\n  \
    nave failover run retail/ledger --to eu-1    home again")]
pub(crate) struct FailoverRun {
    /// NAME, or application NAME
    #[arg(required = true, num_args = 1..=2, value_name = "APPLICATION")]
    pub(crate) what: Vec<String>,
    #[command(flatten)]
    pub(crate) project: Project,
    /// The cluster that it leaves; needed where it runs in several.
    #[arg(long, value_name = "CLUSTER")]
    pub(crate) from: Option<ClusterName>,
    /// Where it goes; the hub's choice where it is left out.
    #[arg(long, value_name = "CLUSTER")]
    pub(crate) to: Option<ClusterName>,
    /// Check everything, and order nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Wait until it runs there.
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) wait: bool,
    /// How long to wait at most.
    #[arg(long, value_name = "DURATION", default_value = "5m")]
    pub(crate) timeout: HumanDuration,
    /// How the result is printed.
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) output: ChangeFormat,
}

/// Show how applications stand: where they run and are parked, what moves, and what it waits for.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    nave failover status\n  \
    nave failover status ledger\n  \
    nave failover status -A -o json")]
pub(crate) struct FailoverStatus {
    /// NAME, or application NAME; all of the project where it is left out
    #[arg(num_args = 0..=2, value_name = "APPLICATION")]
    pub(crate) what: Vec<String>,
    #[command(flatten)]
    pub(crate) project: Project,
    /// In every project.
    #[arg(short = 'A', long)]
    pub(crate) all_projects: bool,
    /// How it is printed.
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) output: Format,
}

/// Show what moved, newest first, with the time that each step took since its cause began.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    nave failover history shop\n  \
    nave failover history -A                     of every application\n  \
    nave failover history shop -o wide           with the time of day of each step")]
pub(crate) struct FailoverHistory {
    /// NAME, or application NAME; all of the project where it is left out
    #[arg(num_args = 0..=2, value_name = "APPLICATION")]
    pub(crate) what: Vec<String>,
    #[command(flatten)]
    pub(crate) project: Project,
    /// In every project.
    #[arg(short = 'A', long)]
    pub(crate) all_projects: bool,
    /// How it is printed.
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) output: Format,
}

/// Let a move be made that waits for approval (failover.mode: Manual).
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    nave failover approve shop                   the one that waits\n  \
    nave failover approve shop 3")]
pub(crate) struct FailoverDecide {
    /// The application.
    #[arg(value_name = "APPLICATION")]
    pub(crate) application: String,
    /// The number of the move (see `nave failover status`); the only one that can be meant where it is left out.
    #[arg(value_name = "MOVE", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) number: Option<u64>,
    #[command(flatten)]
    pub(crate) project: Project,
    /// How the result is printed.
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) output: ChangeFormat,
}

/// Give up a move, where that is still possible.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    nave failover abort shop\n  \
    nave failover abort shop 3")]
pub(crate) struct FailoverAbort {
    #[command(flatten)]
    pub(crate) same: FailoverDecide,
}

/// Say that the old copy of Exclusive work is dead: you looked, and nothing of it runs in that cluster any more.
///
/// The application starts elsewhere then. If the old copy runs all the same, two run at once. So look first: are its
/// nodes off, and will they stay off until the hub hears that cluster again?
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    nave failover confirm-fenced ledger --cluster eu-1\n  \
    nave failover confirm-fenced ledger --cluster eu-1 --yes      in a script, that has looked")]
pub(crate) struct ConfirmFenced {
    /// NAME, or application NAME
    #[arg(required = true, num_args = 1..=2, value_name = "APPLICATION")]
    pub(crate) what: Vec<String>,
    #[command(flatten)]
    pub(crate) project: Project,
    /// The cluster in which it ran.
    #[arg(long, value_name = "CLUSTER")]
    pub(crate) cluster: ClusterName,
    /// Do not ask.
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// How the result is printed.
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) output: ChangeFormat,
}

/// Stop all moves that nobody orders, on the whole hub. Drains and ordered moves go on.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  nave failover freeze")]
pub(crate) struct Freeze {
    /// How the result is printed.
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) output: ChangeFormat,
}

/// Let moves go on: what a person froze, and what the hub froze because it doubted what it saw.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  nave failover thaw")]
pub(crate) struct Thaw {
    /// How the result is printed.
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) output: ChangeFormat,
}
