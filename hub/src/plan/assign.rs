//! Assignment: from an application and its placement to what each cluster is told.
//!
//! Two steps, since the second needs renderings that take I/O to get: [`draft`] turns what failover decided into what is
//! told, and says which renderings are not known; [`Draft::finish`] compares what is wanted with what clusters are told already. What is told
//! already is not told again, and where something cannot be rendered, what runs stays as it is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use nave_common::application::{Application, ApplicationSpec};
use nave_common::assignment::{Activity, Assignment, Desired, ExclusiveTerms, Run, SyncPolicy};
use nave_common::bundle::Bundle;
use nave_common::cluster::Cluster;
use nave_common::digest::Digest;
use nave_common::failover::{Epoch, Exclusive};
use nave_common::name::{ApplicationKey, ClusterName, NamespaceName};
use nave_common::overrides::Override;
use nave_common::render::{self, Rendering};
use nave_common::revision::Revision;

use super::bits::Bits;
use super::failover::{Decision, Stand};
use super::fleet::Fleet;
use super::history;
use super::placement::Waits;

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
    /// Whether anything runs.
    pub activity: Activity,
    /// The digest of the application's own rules of parking; `None` where nothing is parked by them.
    pub park: Option<Digest>,
    /// What the pods of Exclusive work are marked with.
    pub exclusive: Option<(ApplicationKey, Epoch)>,
}

impl RenderKey {
    fn of(application: &ApplicationKey, run: &Run) -> Self {
        // Every rule has a JSON form.
        let digest = |rules| Digest::of(&serde_json::to_vec(rules).unwrap_or_default());
        let is_parked = !run.activity.is_active() && !run.park.is_empty();
        Self {
            bundle: run.bundle,
            override_: run.override_.digest(),
            namespace: run.namespace.clone(),
            create_namespace: run.create_namespace,
            activity: run.activity,
            park: is_parked.then(|| digest(&run.park)),
            exclusive: run.exclusive.map(|terms| (application.clone(), terms.epoch)),
        }
    }

    /// What `run`, of which this is the key, is rendered with.
    #[must_use]
    pub fn inputs<'a>(&'a self, run: &'a Run) -> render::Inputs<'a> {
        let mark = |(application, epoch): &'a (ApplicationKey, Epoch)| render::ExclusiveMark {
            application,
            epoch: *epoch,
        };
        render::Inputs {
            override_: &run.override_,
            namespace: run.namespace.as_ref(),
            create_namespace: run.create_namespace,
            activity: run.activity,
            park: &run.park,
            exclusive: self.exclusive.as_ref().map(mark),
        }
    }
}

/// The digests of renderings, or why there is none.
pub type Renderings = BTreeMap<RenderKey, Result<Digest, String>>;

/// Where an application goes, before it is known what is rendered there.
#[derive(Debug, Clone)]
#[must_use]
pub struct Draft {
    unplaced_count: u32,
    problems: Vec<String>,
    waits: Waits,
    groups: Vec<Group>,
}

/// Chosen clusters that are told the same.
#[derive(Debug, Clone)]
struct Group {
    /// What they are told; the rendering is filled in where it is known, and suspension cluster by cluster.
    run: Run,
    clusters: Vec<ClusterName>,
    rendering: Known,
}

#[derive(Debug, Clone)]
enum Known {
    Yes,
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

/// The clusters that are told to run something, and in which it is not parked.
pub fn active(told: &Told) -> impl Iterator<Item = (&ClusterName, &Run)> {
    running(told).filter(|(_, run)| run.activity.is_active())
}

/// What chosen clusters have in common, after what failover decided.
pub fn draft(inputs: &Inputs<'_>, decision: &Decision) -> Draft {
    let Inputs { application, revision, fleet, .. } = *inputs;
    let draft = |groups| Draft {
        unplaced_count: decision.unplaced_count,
        problems: decision.problems.clone(),
        waits: decision.waits,
        groups,
    };
    let Some(revision) = revision.filter(|_| application.metadata.deleted_at.is_none()) else {
        return draft(Vec::new());
    };
    let key = application.key();
    let groups =
        grouped(&application.spec, decision, fleet).into_iter().map(|(override_, stand, clusters)| {
            let mut run = run(&application.spec, revision.number, revision.bundle, override_, stand);
            let rendering = match known_rendering(inputs.told, &run, &clusters) {
                Some(digest) => {
                    run.rendering = digest;
                    Known::Yes
                }
                None => Known::No(RenderKey::of(&key, &run)),
            };
            Group { run, clusters, rendering }
        });
    draft(groups.collect())
}

/// The chosen clusters by the override rules that match them, and by what they are to do: those with the same are told
/// the same.
fn grouped(
    spec: &ApplicationSpec,
    decision: &Decision,
    fleet: &Fleet,
) -> Vec<(Override, Stand, Vec<ClusterName>)> {
    let rules: Vec<Bits> = spec.overrides.iter().map(|rule| fleet.matching(&rule.clusters)).collect();
    let mut groups: BTreeMap<(Vec<usize>, Stand), (Override, Vec<ClusterName>)> = BTreeMap::new();
    for (cluster, stand) in &decision.stands {
        let Some(slot) = fleet.slot(cluster) else { continue };
        let Some(candidate) = fleet.get(slot) else { continue };
        let matching: Vec<usize> = (0..rules.len()).filter(|rule| rules[*rule].has(slot)).collect();
        let (_, clusters) = groups
            .entry((matching, *stand))
            .or_insert_with(|| (Override::for_cluster(&spec.overrides, &candidate.labels), Vec::new()));
        clusters.push(candidate.name.clone());
    }
    let told = |((_, stand), (override_, clusters))| (override_, stand, clusters);
    groups.into_iter().map(told).collect()
}

/// A rendering that one of the clusters is told already need not be made again.
fn known_rendering(told: &Told, run: &Run, clusters: &[ClusterName]) -> Option<Digest> {
    clusters.iter().find_map(|cluster| match &told.get(cluster)?.desired {
        Desired::Run(before) => {
            let same = before.bundle == run.bundle
                && before.namespace == run.namespace
                && before.create_namespace == run.create_namespace
                && before.activity == run.activity
                && (run.activity.is_active() || before.park == run.park)
                && before.exclusive.map(|terms| terms.epoch) == run.exclusive.map(|terms| terms.epoch)
                && before.override_ == run.override_;
            same.then_some(before.rendering)
        }
        Desired::Remove => None,
    })
}

impl Draft {
    /// The renderings that [`Draft::finish`] needs, with what is rendered: see [`RenderKey::inputs`].
    pub fn wanted(&self) -> impl Iterator<Item = (&RenderKey, &Run)> {
        self.groups.iter().filter_map(|group| match &group.rendering {
            Known::No(key) => Some((key, &group.run)),
            Known::Yes => None,
        })
    }

    /// How many clusters are chosen.
    #[must_use]
    pub fn cluster_count(&self) -> usize {
        self.groups.iter().map(|group| group.clusters.len()).sum()
    }

    /// The clusters in which the application begins to run, on which room is then taken. What is parked takes none.
    pub fn arrivals<'a>(&'a self, told: &'a Told) -> impl Iterator<Item = &'a ClusterName> {
        let runs = |cluster: &ClusterName| {
            told.get(cluster).is_some_and(
                |assignment| matches!(&assignment.desired, Desired::Run(run) if run.activity.is_active()),
            )
        };
        let active = self.groups.iter().filter(|group| group.run.activity.is_active());
        active.flat_map(|group| &group.clusters).filter(move |cluster| !runs(cluster))
    }

    /// Compares what is wanted with what clusters are told. A rendering that is neither known nor given counts as one
    /// that failed.
    pub fn finish(self, inputs: &Inputs<'_>, renderings: &Renderings) -> Plan {
        let mut plan = Plan {
            unplaced_count: self.unplaced_count,
            placement_problems: self.problems,
            waits: self.waits,
            ..Plan::default()
        };
        let mut chosen: BTreeSet<ClusterName> = BTreeSet::new();
        for mut group in self.groups {
            chosen.extend(group.clusters.iter().cloned());
            if let Known::No(key) = &group.rendering {
                match renderings.get(key).cloned().unwrap_or_else(|| Err("not rendered".into())) {
                    Ok(digest) => group.run.rendering = digest,
                    Err(why) => {
                        plan.rendering_problems.push(refused(&group.clusters, &why));
                        continue;
                    }
                }
            }
            tell(&mut plan, inputs, group);
        }
        leave(&mut plan, inputs, &chosen);
        plan.changes.sort_unstable_by(|a, b| a.cluster().cmp(b.cluster()));
        history::trim(&mut plan, inputs);
        plan
    }
}

/// Tells the clusters of a group what to run, where they are not told so already.
fn tell(plan: &mut Plan, inputs: &Inputs<'_>, group: Group) {
    let sync = &inputs.application.spec.sync;
    let mut run = group.run;
    for cluster in group.clusters {
        run.sync.suspended = sync.is_suspended_on(&cluster);
        let told = inputs.told.get(&cluster).map(|assignment| &assignment.desired);
        if !matches!(told, Some(Desired::Run(before)) if **before == run) {
            plan.changes.push(Change::Tell(cluster, Desired::Run(Box::new(run.clone()))));
        }
    }
}

/// Takes the application away from the clusters that are not chosen, and forgets what is done.
fn leave(plan: &mut Plan, inputs: &Inputs<'_>, chosen: &BTreeSet<ClusterName>) {
    // Without a Revision nothing is known of what is wanted, so nothing is taken away.
    let may_remove = inputs.revision.is_some() || inputs.application.metadata.deleted_at.is_some();
    for (cluster, assignment) in inputs.told.iter().filter(|(cluster, _)| !chosen.contains(*cluster)) {
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

/// What is told, but for the rendering.
fn run(spec: &ApplicationSpec, revision: u64, bundle: Digest, override_: Override, stand: Stand) -> Run {
    let (activity, epoch) = match stand {
        Stand::Active(epoch) => (Activity::Active, epoch),
        Stand::Parked(epoch) => (Activity::Parked, epoch),
    };
    let terms = |(epoch, rules): (Epoch, Exclusive)| ExclusiveTerms {
        epoch,
        fence: rules.fence,
        fence_timeout_ms: u64::try_from(rules.fence_timeout.0.as_millis()).unwrap_or(u64::MAX),
    };
    Run {
        revision,
        bundle,
        override_,
        rendering: Digest::of(&[]),
        namespace: spec.namespace.clone(),
        create_namespace: spec.create_namespace,
        sync: SyncPolicy {
            prune: spec.sync.prune,
            adopt: spec.sync.adopt,
            prune_adopted: spec.sync.prune_adopted,
            ignore_fields: spec.sync.ignore_fields.clone(),
            suspended: spec.sync.suspended,
        },
        activity,
        park: spec.failover.park.clone(),
        exclusive: epoch.zip(spec.failover.exclusive_rules()).map(terms),
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
    let mut run = run(spec, revision, digest, override_, Stand::Active(None));
    run.sync.suspended = spec.sync.is_suspended_on(&cluster.metadata.name);
    let rendering = render::render(bundle, render::Inputs::of(&application.key(), &run))?;
    run.rendering = rendering.digest;
    Ok((run, rendering))
}

#[cfg(test)]
#[path = "assign_tests.rs"]
mod tests;
