//! The verbs that empty clusters and fill them again.

use nave_common::name::ClusterName;
use nave_common::selector::Selector;
use nave_common::time::HumanDuration;

use super::ChangeFormat;

/// Which clusters are meant.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Clusters {
    /// The clusters.
    #[arg(value_name = "CLUSTER", required_unless_present_any = ["region", "selector"])]
    pub(crate) names: Vec<ClusterName>,
    /// Every cluster of this region.
    #[arg(long, value_name = "REGION", conflicts_with_all = ["names", "selector"])]
    pub(crate) region: Option<String>,
    /// Every cluster with these labels, such as env=test.
    #[arg(short = 'l', long, value_name = "SELECTOR", conflicts_with = "names")]
    pub(crate) selector: Option<Selector>,
    /// How the result is printed.
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) output: ChangeFormat,
}

/// Let nothing new come to clusters. What is there stays.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    nave cordon eu-1\n  \
    nave cordon --region eu")]
pub(crate) struct Cordon {
    #[command(flatten)]
    pub(crate) clusters: Clusters,
}

/// Let work come to clusters again, after a cordon or a drain.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    nave uncordon eu-1\n  \
    nave uncordon -l env=test")]
pub(crate) struct Uncordon {
    #[command(flatten)]
    pub(crate) clusters: Clusters,
}

/// Empty clusters: what runs there moves elsewhere, as planned moves go, and nothing new comes.
///
/// Nothing is deleted: objects and volumes stay where they are, with nothing running. `nave uncordon` ends it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    nave drain eu-1 --wait\n  \
    nave drain --region eu --wait --timeout 30m\n  \
    nave drain eu-1 && nave delete cluster eu-1")]
pub(crate) struct Drain {
    #[command(flatten)]
    pub(crate) clusters: Clusters,
    /// Wait until nothing runs there any more (exit code 3 where the time is over, with what still does and why).
    #[arg(long)]
    pub(crate) wait: bool,
    /// How long to wait at most.
    #[arg(long, value_name = "DURATION", default_value = "10m")]
    pub(crate) timeout: HumanDuration,
}
