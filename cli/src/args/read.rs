//! The verbs that look and change nothing.

use std::path::PathBuf;

use nave_common::name::ClusterName;
use nave_common::selector::Selector;

use super::{Format, Project};

/// Show resources: one line each, or all that is known of them.
///
/// KIND is one of applications (app), clusters (cl), assignments (asg), events (ev), revisions (rev), tokens (tok);
/// singular and plural are the same. Revisions take the name of their application.
#[derive(Debug, clap::Args)]
#[command(
    visible_alias = "list",
    after_help = "Examples:\n  \
    nave get applications\n  \
    nave get app shop -o yaml\n  \
    nave get clusters -l region=eu -o wide\n  \
    nave get assignments shop               where shop runs, and how well\n  \
    nave get applications -A --watch        every project, and every change as it happens\n  \
    nave get revisions shop"
)]
pub(crate) struct Get {
    /// KIND, KIND NAME… or KIND/NAME…
    #[arg(required = true, value_name = "KIND [NAME]")]
    pub(crate) what: Vec<String>,
    #[command(flatten)]
    pub(crate) project: Project,
    /// In every project.
    #[arg(short = 'A', long)]
    pub(crate) all_projects: bool,
    /// Only what has these labels, such as env=prod,region!=us.
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    pub(crate) selector: Option<Selector>,
    /// Of assignments and events: only in this cluster.
    #[arg(long, value_name = "CLUSTER")]
    pub(crate) cluster: Option<ClusterName>,
    /// Of events: how many of the newest.
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    pub(crate) limit: u32,
    /// Go on and print every change (as JSON: one object a line, with type Applied or Deleted).
    #[arg(short, long)]
    pub(crate) watch: bool,
    /// How it is printed.
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) output: Format,
}

/// Show one application or cluster in full: where it runs and why there, and what is not healthy.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    nave describe application shop\n  \
    nave describe application retail/shop\n  \
    nave describe cluster eu-1")]
pub(crate) struct Describe {
    /// application NAME, cluster NAME, or KIND/NAME.
    #[arg(required = true, num_args = 1..=2, value_name = "KIND NAME")]
    pub(crate) what: Vec<String>,
    #[command(flatten)]
    pub(crate) project: Project,
}

/// Show what an apply would change, cluster by cluster, and change nothing.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    nave diff -f shop.yaml\n  \
    nave diff -f deploy/ --exit-code        exit code 1 where there are differences")]
pub(crate) struct Diff {
    #[command(flatten)]
    pub(crate) files: super::Files,
    #[command(flatten)]
    pub(crate) raw: super::RawManifests,
    #[command(flatten)]
    pub(crate) project: Project,
    /// Only in these clusters. May be repeated.
    #[arg(long, value_name = "CLUSTER")]
    pub(crate) cluster: Vec<ClusterName>,
    /// End with exit code 1 where there are differences.
    #[arg(long)]
    pub(crate) exit_code: bool,
    /// How many unchanged lines stand around a change.
    #[arg(long, value_name = "LINES", default_value_t = 3)]
    pub(crate) context_lines: usize,
    /// How it is printed.
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) output: super::ChangeFormat,
}

/// Print the manifests that one cluster runs, or would run, of an application. Values of Secrets are masked.
///
/// With --labels, files are rendered on this machine, without a hub, for a cluster that has these labels.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    nave render shop --cluster eu-1                       what it runs there\n  \
    nave render -f shop.yaml --cluster eu-1               what it would run there\n  \
    nave render -f shop.yaml --labels region=eu,env=prod  without a hub")]
pub(crate) struct Render {
    /// The application, where no file is given.
    #[arg(value_name = "APPLICATION", num_args = 0..=2)]
    pub(crate) what: Vec<String>,
    /// A file or folder with the application; - for standard input. May be repeated.
    #[arg(short, long = "filename", visible_alias = "file", value_name = "FILE", conflicts_with = "what")]
    pub(crate) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) project: Project,
    /// The cluster.
    #[arg(long, value_name = "CLUSTER", required_unless_present = "labels", conflicts_with = "labels")]
    pub(crate) cluster: Option<ClusterName>,
    /// The labels of the cluster for which it is rendered on this machine.
    #[arg(long, value_name = "KEY=VALUE,…", requires = "files", num_args = 0..=1, default_missing_value = "")]
    pub(crate) labels: Option<String>,
    /// yaml or json.
    #[arg(short, long, value_enum, default_value_t = ManifestFormat::Yaml, value_name = "FORMAT")]
    pub(crate) output: ManifestFormat,
}

/// How manifests are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ManifestFormat {
    /// One document each.
    Yaml,
    /// One list.
    Json,
}

/// Show the revisions of an application, newest first.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    nave history application shop\n  \
    nave history shop -o json")]
pub(crate) struct History {
    /// NAME, or application NAME
    #[arg(required = true, num_args = 1..=2, value_name = "APPLICATION")]
    pub(crate) what: Vec<String>,
    #[command(flatten)]
    pub(crate) project: Project,
    /// How it is printed.
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) output: Format,
}
