//! The verbs that change what should run, and the one that waits for it.

use std::path::PathBuf;

use clap::ValueEnum;
use nave_common::name::{ApplicationName, ClusterName, NamespaceName};
use nave_common::selector::Selector;
use nave_common::time::HumanDuration;

use super::{ChangeFormat, Project};

/// What is read.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Files {
    /// A file, or a folder with all its folders; - for standard input. May be repeated.
    #[arg(short, long = "filename", visible_alias = "file", value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
}

/// Plain Kubernetes manifests in place of documents of Nave: an application is made around them.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "For plain Kubernetes manifests")]
pub(crate) struct RawManifests {
    /// Take the files as the manifests of an application of this name.
    #[arg(long, value_name = "NAME")]
    pub(crate) app: Option<ApplicationName>,
    /// The namespace of manifests that name none.
    #[arg(short, long, value_name = "NAMESPACE", requires = "app")]
    pub(crate) namespace: Option<NamespaceName>,
    /// Make that namespace where it is missing.
    #[arg(long, requires = "namespace")]
    pub(crate) create_namespace: bool,
    /// The clusters to run on, such as env=prod; every cluster where it is left out.
    #[arg(short = 'l', long, value_name = "SELECTOR", requires = "app")]
    pub(crate) selector: Option<Selector>,
}

/// How long to wait, and for what.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Waiting {
    /// How long to wait at most.
    #[arg(long, value_name = "DURATION", default_value = "5m")]
    pub(crate) timeout: HumanDuration,
    /// Give up (exit code 4) once it has been Degraded or Failed for this long without a pause.
    #[arg(long, value_name = "DURATION", default_value = "30s")]
    pub(crate) give_up_after: HumanDuration,
}

/// Change what should run to what stands in files. What is there already and the same is left alone.
///
/// Everything is checked before anything is sent. Manifests that a document names by `source.bundle.path`, relative to
/// itself, are read and uploaded.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    nave apply -f shop.yaml\n  \
    nave apply -f deploy/ --dry-run\n  \
    nave apply -f shop.yaml --wait --timeout 10m\n  \
    kustomize build prod | nave apply --app shop -n shop --create-namespace -l env=prod -f -")]
pub(crate) struct Apply {
    #[command(flatten)]
    pub(crate) files: Files,
    #[command(flatten)]
    pub(crate) raw: RawManifests,
    #[command(flatten)]
    pub(crate) project: Project,
    /// Check and plan everything, and change nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Wait until every application is in sync and healthy in all its clusters.
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) wait: bool,
    #[command(flatten)]
    pub(crate) waiting: Waiting,
    /// How the result is printed.
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) output: ChangeFormat,
}

/// Delete applications, everywhere; clusters, from the fleet; join tokens.
///
/// An application is gone once every cluster has let go of it. Nothing is deleted that Nave did not make. A cluster is only
/// forgotten: its objects stay as they are, and its agent is refused from then on.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    nave delete application shop\n  \
    nave delete -f shop.yaml --wait\n  \
    nave delete cluster eu-1                     one that is drained\n  \
    nave delete cluster eu-1 --force             one that is lost for good\n  \
    nave delete token k7f2")]
pub(crate) struct Delete {
    /// KIND NAME… or KIND/NAME…
    #[arg(value_name = "KIND NAME", required_unless_present = "files")]
    pub(crate) what: Vec<String>,
    /// Delete the applications in these files or folders; - for standard input. May be repeated.
    #[arg(short, long = "filename", visible_alias = "file", value_name = "FILE", conflicts_with = "what")]
    pub(crate) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) project: Project,
    /// Say what would be deleted, and delete nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Of clusters: also where applications are assigned to it, if it is lost.
    #[arg(long, conflicts_with = "files")]
    pub(crate) force: bool,
    /// What is not there is no error.
    #[arg(long)]
    pub(crate) ignore_not_found: bool,
    /// Wait until it is gone.
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) wait: bool,
    /// How long to wait at most.
    #[arg(long, value_name = "DURATION", default_value = "5m")]
    pub(crate) timeout: HumanDuration,
    /// How the result is printed.
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) output: ChangeFormat,
}

/// Stop all writes of an application, everywhere or in some clusters, so that a person can mend by hand.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    nave suspend application shop\n  \
    nave suspend application shop --cluster eu-1")]
pub(crate) struct Suspend {
    /// NAME, or application NAME
    #[arg(required = true, num_args = 1..=2, value_name = "APPLICATION")]
    pub(crate) what: Vec<String>,
    #[command(flatten)]
    pub(crate) project: Project,
    /// Only in this cluster. May be repeated.
    #[arg(long, value_name = "CLUSTER")]
    pub(crate) cluster: Vec<ClusterName>,
    /// How the result is printed.
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) output: ChangeFormat,
}

/// Let the writes of a suspended application go on.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    nave resume application shop\n  \
    nave resume application shop --cluster eu-1")]
pub(crate) struct Resume {
    #[command(flatten)]
    pub(crate) same: Suspend,
}

/// Go back to an earlier revision of an application. That makes a new revision, with the earlier one's manifests.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    nave undo application shop                      to the one before the present\n  \
    nave undo application shop --to-revision 3 --wait")]
pub(crate) struct Undo {
    /// NAME, or application NAME
    #[arg(required = true, num_args = 1..=2, value_name = "APPLICATION")]
    pub(crate) what: Vec<String>,
    #[command(flatten)]
    pub(crate) project: Project,
    /// The revision to go back to (see `nave history`).
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) to_revision: Option<u64>,
    /// Say what would be done, and do nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Wait until it is in sync and healthy in all its clusters.
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) wait: bool,
    #[command(flatten)]
    pub(crate) waiting: Waiting,
    /// How the result is printed.
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) output: ChangeFormat,
}

/// What can be waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum WaitFor {
    /// What is wanted is applied in every cluster.
    Synced,
    /// It is in sync and healthy in every cluster.
    Healthy,
    /// It is gone.
    Deleted,
}

/// Wait until applications are in sync, healthy or gone.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    nave wait application shop --for=healthy --timeout 10m\n  \
    nave wait application shop --for=deleted")]
pub(crate) struct Wait {
    /// application NAME…
    #[arg(required = true, value_name = "APPLICATION")]
    pub(crate) what: Vec<String>,
    #[command(flatten)]
    pub(crate) project: Project,
    /// What to wait for.
    #[arg(long = "for", value_enum, default_value_t = WaitFor::Healthy, value_name = "CONDITION")]
    pub(crate) condition: WaitFor,
    #[command(flatten)]
    pub(crate) waiting: Waiting,
    /// How the result is printed.
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) output: ChangeFormat,
}
