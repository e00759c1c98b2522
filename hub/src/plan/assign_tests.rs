//! What clusters are told, given what they are told already.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use nave_common::assignment::Generation;
use nave_common::failover::state::FailoverState;
use nave_common::name::ClusterName;
use nave_common::time::{BootTime, Timestamp};
use serde_json::json;

use super::*;
use crate::plan::failover::{self, Limits, Now};
use crate::plan::fleet::Candidate;

fn application(spec: serde_json::Value) -> Application {
    let mut spec = spec;
    spec["source"] = json!({"bundle": {"digest": Digest::of(b"bundle")}});
    serde_json::from_value(json!({"metadata": {"name": "shop"}, "spec": spec})).unwrap()
}

fn cluster(name: &str, labels: &[(&str, &str)]) -> Candidate {
    let labels = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    Candidate { labels: Arc::new(labels), ..Candidate::new(name.parse().unwrap()) }
}

fn revision(number: u64) -> Revision {
    Revision {
        application: "shop".parse().unwrap(),
        number,
        bundle: Digest::of(b"bundle"),
        origin: "inline".into(),
        object_count: 1,
        requests: nave_common::resources::Resources::default(),
        created_at: Timestamp::from_millis(0).unwrap(),
        created_by: "test".into(),
    }
}

/// How an application stands where nothing is wrong.
fn stands(inputs: &Inputs<'_>) -> Decision {
    let revision = inputs.revision;
    failover::decide(&failover::Inputs {
        application: inputs.application,
        revision: revision.map(|revision| revision.number),
        requests: revision.map(|revision| revision.requests).unwrap_or_default(),
        told: inputs.told,
        fleet: inputs.fleet,
        state: &FailoverState::new(inputs.application.key()),
        seen: &BTreeMap::new(),
        lease_over_at: None,
        limits: Limits::default(),
        generation: Generation::default(),
        now: Now { boot: BootTime::from_duration(Duration::ZERO), wall: Timestamp::EPOCH },
    })
}

/// One application on a fleet, planned again and again.
struct Scene {
    application: Application,
    revisions: Vec<Revision>,
    told: Told,
    removed: BTreeSet<ClusterName>,
    fleet: Fleet,
    /// Override digests that cannot be rendered.
    broken: BTreeSet<Digest>,
    /// How many renderings were asked for.
    rendered_count: usize,
}

impl Scene {
    fn new(spec: serde_json::Value, clusters: impl IntoIterator<Item = Candidate>) -> Self {
        Self {
            application: application(spec),
            revisions: vec![revision(1)],
            told: Told::new(),
            removed: BTreeSet::new(),
            fleet: clusters.into_iter().collect(),
            broken: BTreeSet::new(),
            rendered_count: 0,
        }
    }

    fn plan(&mut self) -> Plan {
        let numbers: Vec<u64> = self.revisions.iter().map(|revision| revision.number).collect();
        let inputs = Inputs {
            application: &self.application,
            revision: self.revisions.last(),
            revisions: &numbers,
            told: &self.told,
            removed: &self.removed,
            fleet: &self.fleet,
        };
        let draft = draft(&inputs, &stands(&inputs));
        let render = |(key, run): (&RenderKey, &Run)| {
            let digest =
                Digest::of_parts([key.bundle.as_bytes().as_slice(), run.override_.digest().as_bytes()]);
            let broken = self.broken.contains(&key.override_);
            (key.clone(), if broken { Err("variable REGION is not defined".to_owned()) } else { Ok(digest) })
        };
        let renderings: Renderings = draft.wanted().map(render).collect();
        self.rendered_count += renderings.len();
        let plan = draft.finish(&inputs, &renderings);
        for change in &plan.changes {
            match change {
                Change::Forget(cluster) => {
                    self.told.remove(cluster);
                    self.removed.remove(cluster);
                }
                Change::Tell(cluster, desired) => {
                    let assignment = Assignment {
                        application: self.application.key(),
                        cluster: cluster.clone(),
                        generation: Generation::default(),
                        change_id: String::new(),
                        desired: desired.clone(),
                    };
                    self.told.insert(cluster.clone(), Arc::new(assignment));
                }
            }
        }
        plan
    }

    /// Plans, and says in a few letters what clusters are told anew: `+` run, `-` remove, `x` nothing more.
    fn told_anew(&mut self) -> String {
        let sign = |change: &Change| match change {
            Change::Tell(cluster, Desired::Run(_)) => format!("+{cluster}"),
            Change::Tell(cluster, Desired::Remove) => format!("-{cluster}"),
            Change::Forget(cluster) => format!("x{cluster}"),
        };
        self.plan().changes.iter().map(sign).collect::<Vec<_>>().join(" ")
    }
}

#[test]
fn planning_again_tells_nothing_and_renders_nothing() {
    let mut scene = Scene::new(json!({}), [cluster("a", &[]), cluster("b", &[])]);
    assert_eq!(scene.told_anew(), "+a +b");
    assert_eq!(scene.rendered_count, 1);
    assert_eq!(scene.told_anew(), "");
    scene.fleet.put(cluster("c", &[]));
    assert_eq!(scene.told_anew(), "+c");
    assert_eq!(scene.rendered_count, 1, "the rendering is known from the others");
}

#[test]
fn clusters_with_the_same_changes_share_one_rendering() {
    let rule = |region: &str| json!({"clusters": {"matchLabels": {"region": region}}, "variables": {"REGION": region}});
    let clusters =
        (0..20).map(|n| cluster(&format!("c{n}"), &[("region", if n % 2 == 0 { "eu" } else { "us" })]));
    let mut scene = Scene::new(json!({"overrides": [rule("eu"), rule("us"), rule("ap")]}), clusters);
    assert_eq!(scene.plan().changes.len(), 20);
    assert_eq!(scene.rendered_count, 2);
    let Desired::Run(run) = &scene.told[&"c1".parse().unwrap()].desired else { panic!("it runs") };
    assert_eq!(run.override_.variables, BTreeMap::from([("REGION".to_owned(), "us".to_owned())]));
}

#[test]
fn what_cannot_be_rendered_stays_as_it_is() {
    let mut scene = Scene::new(json!({}), [cluster("a", &[]), cluster("b", &[("region", "eu")])]);
    assert_eq!(scene.told_anew(), "+a +b");
    let before = scene.told.clone();
    // Every cluster gets a change, and that of eu is broken; a new cluster in eu is not told to run what is broken.
    scene.application.spec.overrides = serde_json::from_value(json!([
        {"variables": {"X": "1"}},
        {"clusters": {"matchLabels": {"region": "eu"}}, "variables": {"X": "2"}},
    ]))
    .unwrap();
    let broken = Override { variables: [("X".to_owned(), "2".to_owned())].into(), ..Override::default() };
    scene.broken.insert(broken.digest());
    scene.fleet.put(cluster("c", &[("region", "eu")]));
    let plan = scene.plan();
    assert_eq!(plan.changes.iter().map(|change| change.cluster().as_str()).collect::<Vec<_>>(), ["a"]);
    assert_eq!(plan.rendering_problems, ["cannot be rendered for b, c: variable REGION is not defined"]);
    assert_eq!(scene.told[&"b".parse().unwrap()], before[&"b".parse().unwrap()]);
}

#[test]
fn a_tombstone_stays_until_its_removal_is_confirmed() {
    let mut scene = Scene::new(
        json!({"placement": {"clusters": {"matchLabels": {"env": "prod"}}}}),
        [cluster("a", &[("env", "prod")])],
    );
    assert_eq!(scene.told_anew(), "+a");
    scene.fleet.put(cluster("a", &[]));
    assert_eq!(scene.told_anew(), "-a");
    assert_eq!(scene.told_anew(), "");
    scene.removed.insert("a".parse().unwrap());
    assert_eq!(scene.told_anew(), "xa");
    scene.fleet.put(cluster("a", &[("env", "prod")]));
    assert_eq!(scene.told_anew(), "+a");
}

#[test]
fn a_deleted_application_goes_when_everyone_has_let_go() {
    let mut scene = Scene::new(json!({}), [cluster("a", &[]), cluster("b", &[])]);
    assert_eq!(scene.told_anew(), "+a +b");
    scene.application.metadata.deleted_at = Some(Timestamp::from_millis(1).unwrap());
    assert_eq!(scene.told_anew(), "-a -b");
    scene.removed.insert("a".parse().unwrap());
    // A cluster that is no longer there has nobody who could confirm.
    scene.fleet.remove(&"b".parse().unwrap());
    assert_eq!(scene.told_anew(), "xa xb");
    let last = scene.plan();
    assert_eq!((last.is_gone, last.trimmed), (true, vec![1]));
}

#[test]
fn without_a_revision_nothing_is_taken_away() {
    let mut scene = Scene::new(json!({}), [cluster("a", &[])]);
    assert_eq!(scene.told_anew(), "+a");
    scene.revisions.clear();
    assert_eq!(scene.told_anew(), "");
}

#[test]
fn history_is_trimmed_but_for_what_is_in_use() {
    let mut scene = Scene::new(json!({"revisionHistoryLimit": 2}), [cluster("a", &[])]);
    let _ = scene.plan();
    scene.revisions.extend((2..=5).map(revision));
    // At the moment of this plan, cluster a is still told to run revision 1.
    assert_eq!(scene.plan().trimmed, [2, 3]);
    scene.revisions.retain(|revision| ![2, 3].contains(&revision.number));
    assert_eq!(scene.plan().trimmed, [1]);
}

#[test]
fn a_cluster_can_be_suspended_alone() {
    let mut scene = Scene::new(json!({}), [cluster("a", &[]), cluster("b", &[])]);
    let _ = scene.plan();
    scene.application.spec.sync.suspended_clusters = vec!["b".parse().unwrap()];
    assert_eq!(scene.told_anew(), "+b");
    let Desired::Run(run) = &scene.told[&"b".parse().unwrap()].desired else { panic!("it runs") };
    assert!(run.sync.suspended);
}
