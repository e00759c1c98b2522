//! The verbs about the hub itself.

use std::path::PathBuf;

use clap::Subcommand;
use nave_common::time::HumanDuration;

use super::{ChangeFormat, Project};

/// Look after the hub: its state, its maintenance, its backup.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    nave hub status\n  \
    nave hub maintenance --for 30m               before you stop or upgrade the hub\n  \
    nave hub backup -o hub.nave")]
pub(crate) struct Hub {
    #[command(subcommand)]
    pub(crate) verb: HubVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum HubVerb {
    Status(HubStatus),
    Maintenance(Maintenance),
    Backup(Backup),
    Release(Release),
}

/// Show which hub it is, whether failover is frozen or held, and what waits after a restore.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  nave hub status\n  nave hub status -o json")]
pub(crate) struct HubStatus {
    /// How it is printed.
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) output: ChangeFormat,
}

/// Promise agents that the hub may be away for a while, so that none of them stops Exclusive work meanwhile.
///
/// Until it ends no Exclusive work moves by itself, even if its cluster is lost.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    nave hub maintenance --for 30m\n  \
    nave hub maintenance --end")]
pub(crate) struct Maintenance {
    /// How long, from now; at most 24h.
    #[arg(long = "for", value_name = "DURATION", required_unless_present = "end", conflicts_with = "end")]
    pub(crate) duration: Option<HumanDuration>,
    /// It is over. What was promised stays promised: leases shorten with the next heartbeats.
    #[arg(long)]
    pub(crate) end: bool,
    /// How the result is printed.
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) output: ChangeFormat,
}

/// Fetch one consistent archive of everything the hub knows, while it serves. It holds keys and secrets: guard it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    nave hub backup -o hub.nave\n  \
    nave hub backup -o - | age -r KEY > hub.nave.age")]
pub(crate) struct Backup {
    /// Where it is written, for its owner alone; - for standard output.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,
}

/// After a restore: decide what becomes of applications that wait, of one or of all.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    nave hub release shop --keep-running\n  \
    nave hub release --apply-backup              all that wait")]
pub(crate) struct Release {
    /// NAME, or application NAME; all that wait where it is left out
    #[arg(num_args = 0..=2, value_name = "APPLICATION")]
    pub(crate) what: Vec<String>,
    #[command(flatten)]
    pub(crate) project: Project,
    /// What runs in the clusters stays as it is.
    #[arg(long, required_unless_present = "apply_backup", conflicts_with = "apply_backup")]
    pub(crate) keep_running: bool,
    /// What the backup says is applied.
    #[arg(long)]
    pub(crate) apply_backup: bool,
    /// How the result is printed.
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) output: ChangeFormat,
}
