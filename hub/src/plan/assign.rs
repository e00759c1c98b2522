//! Assignment: from an application and its placement to what each cluster is told.
//!
//! Two steps, since the second needs renderings that take I/O to get: [`draft`] decides the clusters and says which
//! renderings are not known; [`Draft::finish`] compares what is wanted with what clusters are told already. What is told
//! already is not told again, and where something cannot be rendered, what runs stays as it is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use nave_common::application::{Application, ApplicationSpec};
use nave_common::assignment::{Activity, Assignment, Desired, Run, SyncPolicy};
use nave_common::bundle::Bundle;
use nave_common::cluster::Cluster;
use nave_common::digest::Digest;
use nave_common::name::{ClusterName, NamespaceName};
use nave_common::overrides::Override;
use nave_common::render::{self, Rendering};
use nave_common::revision::Revision;

use super::bits::Bits;
use super::fleet::Fleet;
use super::history;
use super::placement::{self, Placed, Problem, Waits};

/// The most names in one problem's text.
const MAX_NAMES: usize = 5;

/// What clusters are told about one application.
pub type Told = BTreeMap<ClusterName, Arc<Assignment>>;

/// All that the assignments of one application depend on.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// What is wanted.
    pub application: &'a Application,
    /// The Revision that is wanted; `None` before the first.
    pub revision: Option<&'a Revision>,
    /// The numbers of all its Revisions, oldest first.
    pub revisions: &'a [u64],
    /// What clusters are told now, tombstones among it.
    pub told: &'a Told,
    /// The tombstones whose removal the agent has completed.
    pub removed: &'a BTreeSet<ClusterName>,
    /// The clusters there are.
    pub fleet: &'a Fleet,
}

/// What a rendering depends on; equal keys have equal renderings.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RenderKey {
    /// The bundle.
    pub bundle: Digest,
    /// The digest of the cluster's changes.
    pub override_: Digest,
    /// The namespace to make.
    pub namespace: Option<NamespaceName>,
    /// Whether it is made.
    pub create_namespace: bool,
}

/// The digests of renderings, or why there is none.
pub type Renderings = BTreeMap<RenderKey, Result<Digest, String>>;

/// Where an application goes, before it is known what is rendered there.
#[derive(Debug, Clone)]
#[must_use]
pub struct Draft {
    placed: Placed,
    groups: Vec<Group>,
}

/// Chosen clusters with the same changes.
#[derive(Debug, Clone)]
struct Group {
    override_: Override,
    clusters: Vec<ClusterName>,
    rendering: Known,
}

#[derive(Debug, Clone)]
enum Known {
    Yes(Digest),
    No(RenderKey),
}

/// One change of what a cluster is told.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// The cluster is told this.
    Tell(ClusterName, Desired),
    /// There is nothing left to tell it: a removal is complete, or the cluster is no longer there.
    Forget(ClusterName),
}

/// The decision for one application.
#[derive(Debug, Clone, Default, PartialEq)]
#[must_use]
pub struct Plan {
    /// What changes, ordered by cluster.
    pub changes: Vec<Change>,
    /// How many more clusters are wanted than could be found.
    pub unplaced_count: u32,
    /// What is not as wanted and why: of the placement.
    pub placement_problems: Vec<String>,
    /// What is not as wanted and why: what could not be rendered.
    pub rendering_problems: Vec<String>,
    /// What could change the decision.
    pub waits: Waits,
    /// Revisions that go.
    pub trimmed: Vec<u64>,
    /// Whether the application itself goes: its deletion was asked for, and every cluster has let go of it.
    pub is_gone: bool,
}

impl Change {
    /// The cluster that is told.
    #[must_use]
    pub fn cluster(&self) -> &ClusterName {
        match self {
            Self::Tell(cluster, _) | Self::Forget(cluster) => cluster,
        }
    }
}

/// The clusters that are told to run something.
pub fn running(told: &Told) -> impl Iterator<Item = (&ClusterName, &Run)> {
    told.iter().filter_map(|(cluster, assignment)| match &assignment.desired {
        Desired::Run(run) => Some((cluster, &**run)),
        Desired::Remove => None,
    })
}

/// Decides the clusters, and what they have in common.
pub fn draft(inputs: &Inputs<'_>) -> Draft {
    let Inputs { application, revision, fleet, .. } = *inputs;
    let Some(revision) = revision.filter(|_| application.metadata.deleted_at.is_none()) else {
        return Draft { placed: nowhere(inputs), groups: Vec::new() };
    };
    let current: Vec<ClusterName> = running(inputs.told).map(|(cluster, _)| cluster.clone()).collect();
    let placed = placement::decide(&Problem {
        application: &application.key(),
        placement: &application.spec.placement,
        requests: revision.requests,
        current: &current,
        fleet,
    });
    let groups = grouped(&application.spec, &placed, fleet).into_iter().map(|(override_, clusters)| {
        let rendering = known_rendering(inputs, revision, &override_, &clusters);
        Group { override_, clusters, rendering }
    });
    Draft { groups: groups.collect(), placed }
}

fn nowhere(inputs: &Inputs<'_>) -> Placed {
    let is_deleted = inputs.application.metadata.deleted_at.is_some();
    let problems = if is_deleted { Vec::new() } else { vec!["there is no revision yet".to_owned()] };
    Placed { picks: Vec::new(), unplaced_count: 0, problems, waits: Waits::default() }
}

/// The chosen clusters by the override rules that match them: those with the same rules have the same changes.
fn grouped(spec: &ApplicationSpec, placed: &Placed, fleet: &Fleet) -> Vec<(Override, Vec<ClusterName>)> {
    let rules: Vec<Bits> = spec.overrides.iter().map(|rule| fleet.matching(&rule.clusters)).collect();
    let mut groups: BTreeMap<Vec<usize>, (Override, Vec<ClusterName>)> = BTreeMap::new();
    for pick in &placed.picks {
        let Some(candidate) = fleet.get(pick.slot) else { continue };
        let matching: Vec<usize> = (0..rules.len()).filter(|rule| rules[*rule].has(pick.slot)).collect();
        let (_, clusters) = groups
            .entry(matching)
            .or_insert_with(|| (Override::for_cluster(&spec.overrides, &candidate.labels), Vec::new()));
        clusters.push(candidate.name.clone());
    }
    groups.into_values().collect()
}

/// A rendering that one of the clusters is told already need not be made again.
fn known_rendering(
    inputs: &Inputs<'_>,
    revision: &Revision,
    override_: &Override,
    clusters: &[ClusterName],
) -> Known {
    let spec = &inputs.application.spec;
    let found = clusters.iter().find_map(|cluster| match &inputs.told.get(cluster)?.desired {
        Desired::Run(run) => {
            let same = run.bundle == revision.bundle
                && run.namespace == spec.namespace
                && run.create_namespace == spec.create_namespace
                && run.override_ == *override_;
            same.then_some(run.rendering)
        }
        Desired::Remove => None,
    });
    found.map_or_else(
        || {
            Known::No(RenderKey {
                bundle: revision.bundle,
                override_: override_.digest(),
                namespace: spec.namespace.clone(),
                create_namespace: spec.create_namespace,
            })
        },
        Known::Yes,
    )
}

impl Draft {
    /// The renderings that [`Draft::finish`] needs, with the changes from which each is made.
    pub fn wanted(&self) -> impl Iterator<Item = (&RenderKey, &Override)> {
        self.groups.iter().filter_map(|group| match &group.rendering {
            Known::No(key) => Some((key, &group.override_)),
            Known::Yes(_) => None,
        })
    }

    /// How many clusters are chosen.
    #[must_use]
    pub fn cluster_count(&self) -> usize {
        self.groups.iter().map(|group| group.clusters.len()).sum()
    }

    /// The clusters to which the application comes anew, on which room is then taken.
    pub fn arrivals<'a>(&'a self, told: &'a Told) -> impl Iterator<Item = &'a ClusterName> {
        let runs = |cluster: &ClusterName| {
            told.get(cluster).is_some_and(|assignment| matches!(assignment.desired, Desired::Run(_)))
        };
        self.groups.iter().flat_map(|group| &group.clusters).filter(move |cluster| !runs(cluster))
    }

    /// Compares what is wanted with what clusters are told. A rendering that is neither known nor given counts as one
    /// that failed.
    pub fn finish(self, inputs: &Inputs<'_>, renderings: &Renderings) -> Plan {
        let mut plan = Plan {
            unplaced_count: self.placed.unplaced_count,
            placement_problems: self.placed.problems,
            waits: self.placed.waits,
            ..Plan::default()
        };
        let mut chosen: BTreeSet<&ClusterName> = BTreeSet::new();
        for group in &self.groups {
            chosen.extend(&group.clusters);
            let rendering = match &group.rendering {
                Known::Yes(digest) => Ok(*digest),
                Known::No(key) => renderings.get(key).cloned().unwrap_or_else(|| Err("not rendered".into())),
            };
            match (rendering, inputs.revision) {
                (Ok(digest), Some(revision)) => tell(&mut plan, inputs, revision, group, digest),
                (Err(why), _) => plan.rendering_problems.push(refused(&group.clusters, &why)),
                (Ok(_), None) => {}
            }
        }
        leave(&mut plan, inputs, &chosen);
        plan.changes.sort_unstable_by(|a, b| a.cluster().cmp(b.cluster()));
        history::trim(&mut plan, inputs);
        plan
    }
}

/// Tells the clusters of a group what to run, where they are not told so already.
fn tell(plan: &mut Plan, inputs: &Inputs<'_>, revision: &Revision, group: &Group, rendering: Digest) {
    let spec = &inputs.application.spec;
    let mut run = run(spec, revision.number, revision.bundle, group.override_.clone(), rendering);
    for cluster in &group.clusters {
        run.sync.suspended = spec.sync.is_suspended_on(cluster);
        let told = inputs.told.get(cluster).map(|assignment| &assignment.desired);
        if !matches!(told, Some(Desired::Run(before)) if **before == run) {
            plan.changes.push(Change::Tell(cluster.clone(), Desired::Run(Box::new(run.clone()))));
        }
    }
}

/// Takes the application away from the clusters that are not chosen, and forgets what is done.
fn leave(plan: &mut Plan, inputs: &Inputs<'_>, chosen: &BTreeSet<&ClusterName>) {
    // Without a Revision nothing is known of what is wanted, so nothing is taken away.
    let may_remove = inputs.revision.is_some() || inputs.application.metadata.deleted_at.is_some();
    for (cluster, assignment) in inputs.told.iter().filter(|(cluster, _)| !chosen.contains(cluster)) {
        if inputs.fleet.slot(cluster).is_none() {
            // Nobody is there to be told or to answer.
            plan.changes.push(Change::Forget(cluster.clone()));
            continue;
        }
        match assignment.desired {
            Desired::Run(_) if may_remove => {
                plan.changes.push(Change::Tell(cluster.clone(), Desired::Remove));
            }
            Desired::Remove if inputs.removed.contains(cluster) => {
                plan.changes.push(Change::Forget(cluster.clone()));
            }
            _ => {}
        }
    }
}

fn refused(clusters: &[ClusterName], why: &str) -> String {
    let mut names: Vec<&str> = clusters.iter().map(ClusterName::as_str).collect();
    names.sort_unstable();
    let shown = names.iter().take(MAX_NAMES).copied().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(MAX_NAMES) {
        0 => format!("cannot be rendered for {shown}: {why}"),
        more => format!("cannot be rendered for {shown} and {more} more: {why}"),
    }
}

fn run(spec: &ApplicationSpec, revision: u64, bundle: Digest, override_: Override, rendering: Digest) -> Run {
    Run {
        revision,
        bundle,
        override_,
        rendering,
        namespace: spec.namespace.clone(),
        create_namespace: spec.create_namespace,
        sync: SyncPolicy {
            prune: spec.sync.prune,
            adopt: spec.sync.adopt,
            prune_adopted: spec.sync.prune_adopted,
            ignore_fields: spec.sync.ignore_fields.clone(),
            suspended: spec.sync.suspended,
        },
        activity: Activity::Active,
        park: spec.failover.park.clone(),
        exclusive: None,
    }
}

/// What one cluster would be told to run of an application, and the manifests that come of it.
///
/// # Errors
/// Where the bundle cannot be rendered with the cluster's changes.
pub fn run_for(
    application: &Application,
    revision: u64,
    digest: Digest,
    bundle: &Bundle,
    cluster: &Cluster,
) -> Result<(Run, Rendering), render::Error> {
    let spec = &application.spec;
    let override_ = Override::for_cluster(&spec.overrides, &cluster.metadata.labels);
    let mut run = run(spec, revision, digest, override_, Digest::of(&[]));
    run.sync.suspended = spec.sync.is_suspended_on(&cluster.metadata.name);
    let rendering = render::render(bundle, render::Inputs::of(&application.key(), &run))?;
    run.rendering = rendering.digest;
    Ok((run, rendering))
}

#[cfg(test)]
#[path = "assign_tests.rs"]
mod tests;
