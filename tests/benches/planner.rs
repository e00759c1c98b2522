//! How fast the hub decides: 10,000 clusters, 1,000 applications. Prints medians.
//!
//! The planner is measured by itself; then control with a store in memory, from a written application to the committed
//! assignments. The budgets stand in the design: a whole plan under 2 s, the loss of one cluster under 50 ms.

#![expect(clippy::expect_used, reason = "a bench whose scene cannot be set up has nothing to measure")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nave_common::application::Application;
use nave_common::assignment::{Assignment, Generation};
use nave_common::bundle::Bundle;
use nave_common::cluster::Cluster;
use nave_common::digest::Digest;
use nave_common::failover::state::{Cause, FailoverState};
use nave_common::metadata::Labels;
use nave_common::name::ClusterName;
use nave_common::resources::Resources;
use nave_common::revision::Revision;
use nave_common::status::Liveness;
use nave_common::time::{BootTime, Timestamp};
use nave_hub::clock::SystemClock;
use nave_hub::control::{BundleError, BundleSource, Control, Shared};
use nave_hub::plan::assign::{self, Change, Inputs, Renderings, Told};
use nave_hub::plan::failover::{self, Decision, Limits, Now, Signal};
use nave_hub::plan::fleet::{Candidate, Fleet};
use nave_hub::plan::placement::{Problem, Steer, place};
use nave_hub::records::{ApplicationRecord, ClusterRecord, Record};
use nave_hub::store::memory::MemoryStore;
use nave_hub::store::{Store, Transaction};
use nave_hub::world::{Interest, Kinds, Options, World};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

const CLUSTER_COUNT: usize = 10_000;
const APPLICATION_COUNT: usize = 1000;
const RUNS: usize = 11;

fn main() {
    let mut fleet = fleet();
    let mut scenes: Vec<Scene> = (0..APPLICATION_COUNT).map(Scene::new).collect();
    println!("{CLUSTER_COUNT} clusters, {APPLICATION_COUNT} applications");
    let first = Instant::now();
    let told: usize = scenes.iter_mut().map(|scene| scene.plan(&mut fleet)).sum();
    println!("whole plan, first ({told} assignments)        {:>10.1?}", first.elapsed());
    let again = median(5, || {
        let changed: usize = scenes.iter_mut().map(|scene| scene.plan(&mut fleet)).sum();
        assert_eq!(changed, 0, "planning again changes nothing");
    });
    println!("whole plan, nothing changed                  {again:>10.1?}");
    let kinds = [("count 3 of all", 10), ("1 % by selector", 1), ("everywhere", 0)];
    for (what, index) in kinds {
        let time = median(RUNS, || {
            scenes[index].plan(&mut fleet);
        });
        println!("one application, {what:<20}        {time:>10.1?}");
    }
    let words = median(RUNS, || {
        let scene = &scenes[10];
        let key = scene.application.key();
        let placement = &scene.application.spec.placement;
        let requests = scene.revision.requests;
        let report = place(&Problem {
            application: &key,
            placement,
            requests,
            current: &[],
            fleet: &fleet,
            steer: Steer::default(),
        });
        assert_eq!(report.decisions.len(), CLUSTER_COUNT);
    });
    println!("one placement with all its words             {words:>10.1?}");
    lose_one(&scenes, &mut fleet);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(control());
}

/// The loss of one cluster, the one with most that can move: all applications that run there are decided anew.
fn lose_one(scenes: &[Scene], fleet: &mut Fleet) {
    let can_move = |scene: &&Scene| scene.application.spec.placement.count.is_some();
    let mut load: BTreeMap<&ClusterName, usize> = BTreeMap::new();
    for cluster in scenes.iter().filter(can_move).flat_map(|scene| scene.told.keys()) {
        *load.entry(cluster).or_default() += 1;
    }
    let lost = load.into_iter().max_by_key(|(_, count)| *count).expect("some run somewhere").0.clone();
    fleet.update(&lost, |seen| *seen.liveness = Liveness::Lost);
    // What runs in every cluster that matches has nowhere to go; control does not plan it for a loss.
    let is_affected = |scene: &&Scene| scene.told.contains_key(&lost) && can_move(scene);
    let affected: Vec<&Scene> = scenes.iter().filter(is_affected).collect();
    let mut moved_count = 0;
    let time = median(RUNS, || {
        moved_count = affected.iter().map(|scene| scene.lose(&lost, fleet).begun_count).sum();
    });
    assert_eq!(moved_count as usize, affected.len(), "what can move moves");
    println!("one cluster lost ({moved_count} applications move) {time:>10.1?}");
    // As if all that can move ran in the one that is lost.
    let mut crowded: Vec<Scene> = Vec::new();
    for scene in scenes.iter().filter(can_move).take(100) {
        let mut scene = scene.clone();
        if let Some((_, assignment)) = scene.told.pop_first() {
            scene.told.insert(lost.clone(), assignment);
        }
        crowded.push(scene);
    }
    let time = median(RUNS, || {
        let moved_count: u32 = crowded.iter().map(|scene| scene.lose(&lost, fleet).begun_count).sum();
        assert!(moved_count > 0, "what can move moves");
    });
    println!("one cluster lost, with 100 in it             {time:>10.1?}");
    fleet.update(&lost, |seen| *seen.liveness = Liveness::Alive);
}

/// From a written application to its committed assignments, as control has it.
async fn control() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let world =
        World::load(store.clone(), Arc::new(SystemClock), Options::default()).await.expect("a new store");
    let shutdown = CancellationToken::new();
    let (fed, until) = (world.clone(), shutdown.clone());
    tokio::spawn(async move { fed.follow(until).await });
    let bundles = Arc::new(OneBundle(Arc::new(bundle())));
    let (bundle, requests) = (bundles.0.digest(), bundles.0.requests());
    tokio::spawn(Control::new(world.clone(), bundles, Shared::new(&world)).run(shutdown.clone()));
    for names in (0..CLUSTER_COUNT).collect::<Vec<_>>().chunks(100) {
        write(&store, &world, names.iter().map(|index| cluster_record(*index))).await;
    }
    let names: Vec<_> = world.read(|state| state.clusters().keys().cloned().collect());
    let links: Vec<_> = names.iter().map(|name| world.connected(name)).collect();
    assert!(links.iter().all(Option::is_some));
    for (what, spec) in
        [("in 3 clusters", json!({"placement": {"count": 3}})), ("in all clusters", json!({}))]
    {
        let mut times = Vec::new();
        for run in 0..RUNS {
            let application = application(what.len() + run, spec.clone());
            let key = application.key();
            let wanted = if spec == json!({}) { CLUSTER_COUNT } else { 3 };
            let mut subscription = world.subscribe(Interest::All(Kinds::ASSIGNMENTS));
            let revision = revision(&application, bundle, requests);
            let started = Instant::now();
            let record = ApplicationRecord { application, change_id: "change".into() };
            let records = [Record::Application(Box::new(record)), Record::Revision(Box::new(revision))];
            write(&store, &world, records).await;
            while world.read(|state| state.assignments_of(&key).map_or(0, |told| told.len())) < wanted {
                subscription.next().await;
            }
            times.push(started.elapsed());
        }
        println!("written -> assigned, {what:<16}        {:>10.1?}", middle(times));
    }
    let heartbeat = median(RUNS, || {
        for link in links.iter().flatten() {
            link.heard();
        }
    });
    println!("{CLUSTER_COUNT} heartbeats                             {heartbeat:>10.1?}");
    shutdown.cancel();
    let count: usize = world.read(|state| state.assignments().values().map(|told| told.len()).sum());
    let started = Instant::now();
    let again = World::load(store, Arc::new(SystemClock), Options::default()).await.expect("the same store");
    println!("world loaded again ({count} assignments)  {:>10.1?}", started.elapsed());
    assert_eq!(again.read(|state| state.assignments().len()), CLUSTER_COUNT);
}

async fn write(store: &Arc<dyn Store>, world: &World, records: impl IntoIterator<Item = Record>) {
    let writes = records.into_iter().map(|record| record.write().expect("a record")).collect();
    let sequence = store.commit(Transaction { compares: Vec::new(), writes }).await.expect("a commit");
    world.caught_up(sequence).await.expect("a world");
}

#[derive(Debug)]
struct OneBundle(Arc<Bundle>);

#[async_trait::async_trait]
impl BundleSource for OneBundle {
    async fn bundle(&self, _digest: &Digest) -> Result<Arc<Bundle>, BundleError> {
        Ok(self.0.clone())
    }
}

fn bundle() -> Bundle {
    let object = |index: usize| {
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": format!("d{index}")},
            "spec": {"replicas": 2, "template": {"spec": {"containers": [{"name": "c", "image": "i:1",
                "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}}}]}}}})
    };
    Bundle::from_objects((0..10).map(object)).expect("a bundle")
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

/// One application, planned again and again.
#[derive(Clone)]
struct Scene {
    application: Application,
    revision: Revision,
    told: Told,
}

impl Scene {
    fn new(index: usize) -> Self {
        let overrides =
            json!([{"clusters": {"matchLabels": {"region": "r1"}}, "variables": {"REGION": "r1"}}]);
        let group = format!("g{}", index % 100);
        let mut spec = match index {
            // Ten run everywhere, ninety in one cluster of a hundred, the others in a few, spread over regions.
            _ if index.is_multiple_of(100) => json!({}),
            _ if index % 100 < 10 => json!({"placement": {"clusters": {"matchLabels": {"group": group}}}}),
            _ => json!({"placement": {"count": 3 + index % 5, "spread": [{"by": "region", "minDomains": 2}],
                "clusters": {"matchLabels": {"env": "prod"}}}}),
        };
        spec["overrides"] = overrides;
        let application = application(index, spec);
        let requests = Resources { cpu_millicores: 100, memory_bytes: 1 << 27, pods: 2 };
        let revision = revision(&application, Digest::of(b"bundle"), requests);
        Self { application, revision, told: Told::new() }
    }

    /// How it stands once `lost` is lost.
    fn lose(&self, lost: &ClusterName, fleet: &Fleet) -> Decision {
        let now = Now { boot: BootTime::from_duration(Duration::from_secs(10)), wall: Timestamp::EPOCH };
        let signal = Signal { cause: Cause::Lost, began_at: now.wall, due_at: now.boot };
        let seen = |cluster: &ClusterName| failover::Seen {
            signal: (cluster == lost).then_some(signal),
            is_heard: cluster != lost,
            ..failover::Seen::default()
        };
        failover::decide(&failover::Inputs {
            application: &self.application,
            revision: Some(1),
            requests: self.revision.requests,
            told: &self.told,
            fleet,
            state: &FailoverState::new(self.application.key()),
            seen: &self.told.keys().map(|cluster| (cluster.clone(), seen(cluster))).collect(),
            lease_over_at: None,
            limits: Limits { moves: u32::MAX, ..Limits::default() },
            generation: Generation::default(),
            now,
        })
    }

    /// Plans, takes what was decided, and returns how much changed.
    fn plan(&mut self, fleet: &mut Fleet) -> usize {
        let removed = BTreeSet::new();
        let inputs = Inputs {
            application: &self.application,
            revision: Some(&self.revision),
            revisions: &[1],
            told: &self.told,
            removed: &removed,
            fleet,
        };
        let draft = assign::draft(&inputs, &stands(&inputs));
        let renderings: Renderings =
            draft.wanted().map(|(key, _)| (key.clone(), Ok(key.override_))).collect();
        let plan = draft.finish(&inputs, &renderings);
        let changed = plan.changes.len();
        for change in plan.changes {
            let Change::Tell(cluster, desired) = change else { panic!("nothing is forgotten") };
            fleet.update(&cluster, |seen| *seen.requested = seen.requested.plus(self.revision.requests));
            let assignment = Assignment {
                application: self.application.key(),
                cluster: cluster.clone(),
                generation: Generation::default(),
                change_id: String::new(),
                desired,
            };
            self.told.insert(cluster, Arc::new(assignment));
        }
        changed
    }
}

fn labels(index: usize) -> Labels {
    let pairs = [
        ("region", format!("r{}", index % 12)),
        ("zone", format!("z{}", index % 36)),
        ("env", if index.is_multiple_of(5) { "dev" } else { "prod" }.to_owned()),
        ("group", format!("g{}", index % 100)),
        ("site", format!("s{index}")),
    ];
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

fn fleet() -> Fleet {
    let candidate = |index: usize| Candidate {
        labels: Arc::new(labels(index)),
        allocatable: Some(Resources { cpu_millicores: 64_000, memory_bytes: 1 << 38, pods: 1000 }),
        ..Candidate::new(format!("cluster-{index}").parse().expect("a name"))
    };
    (0..CLUSTER_COUNT).map(candidate).collect()
}

fn cluster_record(index: usize) -> Record {
    let cluster: Cluster = serde_json::from_value(
        json!({"metadata": {"name": format!("cluster-{index}"), "labels": labels(index)}}),
    )
    .expect("a cluster");
    Record::Cluster(Box::new(ClusterRecord::new(cluster)))
}

fn application(index: usize, mut spec: Value) -> Application {
    spec["source"] = json!({"bundle": {"digest": Digest::of(b"bundle")}});
    serde_json::from_value(json!({"metadata": {"name": format!("app-{index}")}, "spec": spec}))
        .expect("an application")
}

fn revision(application: &Application, bundle: Digest, requests: Resources) -> Revision {
    Revision {
        application: application.key(),
        number: 1,
        bundle,
        origin: "bench".into(),
        object_count: 1,
        requests,
        created_at: Timestamp::from_millis(0).expect("the epoch"),
        created_by: "bench".into(),
    }
}

fn median(runs: usize, mut work: impl FnMut()) -> Duration {
    let time = |work: &mut dyn FnMut()| {
        let started = Instant::now();
        work();
        started.elapsed()
    };
    middle((0..runs).map(|_| time(&mut work)).collect())
}

fn middle(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
