//! The whole way from a written application to assignments, against a store in memory.

mod failover;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use nave_common::application::Application;
use nave_common::assignment::{Desired, Generation};
use nave_common::bundle::Bundle;
use nave_common::cluster::Cluster;
use nave_common::digest::Digest;
use nave_common::health::Health;
use nave_common::name::{ApplicationKey, ClusterName};
use nave_common::resources::Resources;
use nave_common::revision::Revision;
use nave_common::status::{AssignmentStatus, ClusterObservation, SyncState};
use nave_common::time::Timestamp;
use serde_json::{Value, json};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{BundleError, BundleSource, Control, Shared};
use crate::clock::{Clock, TokioClock};
use crate::records::{ApplicationRecord, ClusterRecord, Record};
use crate::store::memory::MemoryStore;
use crate::store::{Sequence, Store, Transaction, Write};
use crate::world::{Link, Options, State, World};

/// Bundles in memory, counting how often each is asked for.
#[derive(Debug, Default)]
struct Bundles {
    held: Mutex<BTreeMap<Digest, Arc<Bundle>>>,
    asked_count: AtomicUsize,
}

impl Bundles {
    fn put(&self, objects: &Value) -> (Digest, u32, Resources) {
        let bundle = Bundle::from_objects(objects.as_array().unwrap().clone()).unwrap();
        let (digest, requests) = (bundle.digest(), bundle.requests());
        let count = u32::try_from(bundle.manifests().len()).unwrap();
        self.held.lock().unwrap().insert(digest, Arc::new(bundle));
        (digest, count, requests)
    }
}

#[async_trait]
impl BundleSource for Bundles {
    async fn bundle(&self, digest: &Digest) -> Result<Arc<Bundle>, BundleError> {
        self.asked_count.fetch_add(1, Ordering::SeqCst);
        let held = self.held.lock().unwrap().get(digest).cloned();
        held.ok_or_else(|| BundleError("no such bundle".into()))
    }
}

/// A clock that runs with tokio's, and can be put ahead of it, as after a pause of the whole process.
#[derive(Debug)]
struct SkippingClock {
    running: TokioClock,
    skipped: Mutex<Duration>,
}

impl SkippingClock {
    fn new() -> Self {
        let running = TokioClock::new("2026-11-01T10:00:00Z".parse().unwrap());
        Self { running, skipped: Mutex::default() }
    }

    fn skip(&self, time: Duration) {
        *self.skipped.lock().unwrap() += time;
    }
}

impl Clock for SkippingClock {
    fn now(&self) -> Timestamp {
        self.running.now().plus(*self.skipped.lock().unwrap())
    }

    fn boot(&self) -> Duration {
        self.running.boot() + *self.skipped.lock().unwrap()
    }
}

/// A hub without edges: store, world, control.
struct Scene {
    store: Arc<dyn Store>,
    world: World,
    bundles: Arc<Bundles>,
    links: Vec<Link>,
    clock: Arc<SkippingClock>,
    shared: Shared,
    _shutdown: DropGuard,
}

fn shop() -> ApplicationKey {
    "shop".parse().unwrap()
}

fn config_map(value: &str) -> Value {
    json!([{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"value": value}}])
}

impl Scene {
    async fn new() -> Self {
        let clock = Arc::new(SkippingClock::new());
        Self::start(Arc::new(MemoryStore::default()), Arc::new(Bundles::default()), clock).await
    }

    async fn start(store: Arc<dyn Store>, bundles: Arc<Bundles>, clock: Arc<SkippingClock>) -> Self {
        let world = World::load(store.clone(), clock.clone(), Options::default()).await.unwrap();
        let shutdown = CancellationToken::new();
        let (fed, until) = (world.clone(), shutdown.clone());
        tokio::spawn(async move { fed.follow(until).await.unwrap() });
        let shared = Shared::new(&world);
        let control = Control::new(world.clone(), bundles.clone(), shared.clone());
        tokio::spawn(control.run(shutdown.clone()));
        let links = Vec::new();
        Self { store, world, bundles, links, clock, shared, _shutdown: shutdown.drop_guard() }
    }

    async fn restarted(self) -> Self {
        let (store, bundles, clock) = (self.store.clone(), self.bundles.clone(), self.clock.clone());
        drop(self);
        Self::start(store, bundles, clock).await
    }

    async fn write(&self, records: impl IntoIterator<Item = Record>) -> Sequence {
        let writes: Vec<Write> = records.into_iter().map(|record| record.write().unwrap()).collect();
        let sequence = self.store.commit(Transaction { compares: Vec::new(), writes }).await.unwrap();
        self.world.caught_up(sequence).await.unwrap();
        sequence
    }

    async fn put_cluster(&self, name: &str, labels: Value) {
        let mut cluster: Cluster =
            serde_json::from_value(json!({"metadata": {"name": name, "labels": labels}})).unwrap();
        cluster.metadata.created_at = Some(self.clock.now());
        self.write([Record::Cluster(Box::new(ClusterRecord {
            cluster,
            change_id: format!("label-{name}"),
            enrolment: None,
        }))])
        .await;
    }

    async fn join(&mut self, name: &str, labels: Value) {
        self.put_cluster(name, labels).await;
        self.links.push(self.world.connected(&name.parse().unwrap()).unwrap());
    }

    /// Writes an application and its next revision, as the API does.
    async fn apply(&self, spec: Value, objects: Value) -> Application {
        let (bundle, object_count, requests) = self.bundles.put(&objects);
        let mut spec = spec;
        spec["source"] = json!({"bundle": {"digest": bundle}});
        let application: Application =
            serde_json::from_value(json!({"metadata": {"name": "shop"}, "spec": spec})).unwrap();
        let number =
            self.world.read(|state| state.latest_revision(&shop()).map_or(1, |last| last.number + 1));
        let revision = Revision {
            application: shop(),
            number,
            bundle,
            origin: "test".into(),
            object_count,
            requests,
            created_at: Timestamp::from_millis(0).unwrap(),
            created_by: "test".into(),
        };
        self.write([record(&application), Record::Revision(Box::new(revision))]).await;
        application
    }

    /// Waits until something holds of the state; what never comes is told with what is there.
    async fn until(&self, what: &str, holds: impl Fn(&State) -> bool) {
        for _ in 0..500 {
            if self.world.read(&holds) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        panic!("{what}: {}", self.told());
    }

    async fn until_told(&self, expected: &str) {
        self.until(expected, |state| told(state) == expected).await;
    }

    /// Waits until nothing has been written for a while.
    async fn settled(&self) -> Sequence {
        let mut last = Sequence::ZERO;
        loop {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let now = self.store.last_sequence().await.unwrap();
            if now == last {
                return now;
            }
            last = now;
        }
    }

    fn told(&self) -> String {
        self.world.read(told)
    }

    fn confirm(&self, cluster: &str) {
        let cluster: ClusterName = cluster.parse().unwrap();
        let generation =
            self.world.read(|state| state.assignment(&cluster, &shop()).unwrap().assignment.generation);
        let status = AssignmentStatus {
            application: shop(),
            generation,
            applied: None,
            removed: true,
            sync: SyncState::Synced,
            health: Health::Healthy,
            reason: String::new(),
            object_count: 0,
            healthy_count: 0,
            drift_count: 0,
            objects: Vec::new(),
            fence: None,
            observed_at: Timestamp::from_millis(0).unwrap(),
        };
        self.world.observe(&cluster, vec![status], false, None);
    }

    fn events(&self) -> Vec<String> {
        self.world.read(|state| {
            state.events().values().map(|event| format!("{}: {}", event.reason, event.message)).collect()
        })
    }
}

fn record(application: &Application) -> Record {
    Record::Application(Box::new(ApplicationRecord {
        application: application.clone(),
        change_id: "change-1".into(),
    }))
}

/// `+` runs, `-` is to be removed, each with the revision and change that it came with.
fn told(state: &State) -> String {
    let Some(told) = state.assignments_of(&shop()) else { return String::new() };
    let one =
        |(cluster, assignment): (&ClusterName, &Arc<nave_common::assignment::Assignment>)| match &assignment
            .desired
        {
            Desired::Run(run) => format!("+{cluster}@{}", run.revision),
            Desired::Remove => format!("-{cluster}"),
        };
    told.iter().map(one).collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn an_application_is_assigned_and_follows_its_clusters() {
    let mut scene = Scene::new().await;
    scene.join("eu-1", json!({"env": "prod"})).await;
    scene.apply(json!({"placement": {"clusters": {"matchLabels": {"env": "prod"}}}}), config_map("1")).await;
    scene.until_told("+eu-1@1").await;
    let assignment = scene
        .world
        .read(|state| state.assignment(&"eu-1".parse().unwrap(), &shop()).unwrap().assignment.clone());
    assert_eq!(assignment.change_id, "change-1");
    assert_eq!(assignment.generation, Generation { term: 1, counter: 1 });
    assert_eq!(scene.world.read(State::generation), assignment.generation);

    // A cluster joins, and gets it without the bundle being read again.
    scene.join("eu-2", json!({"env": "prod"})).await;
    scene.until_told("+eu-1@1 +eu-2@1").await;
    assert_eq!(scene.bundles.asked_count.load(Ordering::SeqCst), 1);

    // Its label changes: a tombstone, which goes once its agent has confirmed.
    scene.put_cluster("eu-1", json!({"env": "dev"})).await;
    scene.until_told("-eu-1 +eu-2@1").await;
    let tombstone = scene
        .world
        .read(|state| state.assignment(&"eu-1".parse().unwrap(), &shop()).unwrap().assignment.clone());
    assert_eq!(tombstone.change_id, "label-eu-1");
    scene.confirm("eu-1");
    scene.until_told("+eu-2@1").await;
    assert!(scene.events().contains(&"PlacementChanged: leaves eu-1".to_owned()), "{:?}", scene.events());
}

#[tokio::test]
async fn a_deleted_application_is_gone_once_everyone_has_let_go() {
    let mut scene = Scene::new().await;
    scene.join("eu-1", json!({})).await;
    let mut application = scene.apply(json!({}), config_map("1")).await;
    scene.until_told("+eu-1@1").await;
    application.metadata.deleted_at = Some(Timestamp::from_millis(1).unwrap());
    scene.write([record(&application)]).await;
    scene.until_told("-eu-1").await;
    scene.settled().await;
    assert!(scene.world.read(|state| state.applications().contains_key(&shop())));
    scene.confirm("eu-1");
    scene
        .until("gone", |state| state.applications().is_empty() && state.latest_revision(&shop()).is_none())
        .await;
    assert_eq!(scene.told(), "");
    scene.settled().await;
    assert!(
        scene.events().contains(&"Removed: removed from every cluster".to_owned()),
        "{:?}",
        scene.events()
    );
}

#[tokio::test]
async fn a_restart_writes_nothing() {
    let mut scene = Scene::new().await;
    for name in ["eu-1", "eu-2"] {
        scene.join(name, json!({})).await;
    }
    scene.apply(json!({"placement": {"count": 3}}), config_map("1")).await;
    scene.until_told("+eu-1@1 +eu-2@1").await;
    let before = scene.settled().await;
    let scene = scene.restarted().await;
    assert_eq!(scene.settled().await, before);
    assert_eq!(scene.told(), "+eu-1@1 +eu-2@1");
    assert_eq!(scene.bundles.asked_count.load(Ordering::SeqCst), 1);
    // The picture of what is missing is there again, too.
    let status = scene.world.read(|state| state.application_status(&shop(), scene.world.clock().now()));
    assert_eq!((status.cluster_count, status.unplaced_count), (2, 1));
    assert_eq!(status.reason, "eu-1: Unheard: not heard since the hub started");
}

#[tokio::test]
async fn an_edit_that_changes_nothing_writes_nothing() {
    let mut scene = Scene::new().await;
    scene.join("eu-1", json!({})).await;
    let mut application = scene.apply(json!({}), config_map("1")).await;
    scene.until_told("+eu-1@1").await;
    scene.settled().await;
    application.metadata.labels.insert("team".into(), "retail".into());
    let written = scene.write([record(&application)]).await;
    assert_eq!(scene.settled().await, written);
}

#[tokio::test]
async fn what_cannot_be_rendered_touches_nothing_and_is_said_once() {
    let mut scene = Scene::new().await;
    scene.join("eu-1", json!({})).await;
    scene.apply(json!({}), config_map("1")).await;
    scene.until_told("+eu-1@1").await;
    scene.apply(json!({}), config_map("${nave:REGION}")).await;
    scene
        .until("refused", |state| {
            state.placement(&shop()).is_some_and(|placement| !placement.problems.is_empty())
        })
        .await;
    scene.settled().await;
    assert_eq!(scene.told(), "+eu-1@1");
    // Planning it again, as after a restart, does not tell it again.
    let scene = scene.restarted().await;
    scene.settled().await;
    let told: Vec<String> =
        scene.events().into_iter().filter(|event| event.starts_with("RenderingRefused")).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("REGION") && told[0].contains("eu-1"), "{told:?}");
    let status = scene.world.read(|state| state.application_status(&shop(), scene.world.clock().now()));
    assert!(status.placement_problems[0].contains("REGION"), "{status:?}");
}

#[tokio::test(start_paused = true)]
async fn a_bundle_that_comes_late_is_tried_again() {
    let mut scene = Scene::new().await;
    scene.join("eu-1", json!({})).await;
    let application = scene.apply(json!({}), config_map("1")).await;
    scene.until_told("+eu-1@1").await;
    let held = std::mem::take(&mut *scene.bundles.held.lock().unwrap());
    scene.apply(json!({"namespace": "shop"}), config_map("2")).await;
    let lost = std::mem::take(&mut *scene.bundles.held.lock().unwrap());
    scene.settled().await;
    drop(application);
    *scene.bundles.held.lock().unwrap() = held;
    scene.bundles.held.lock().unwrap().extend(lost);
    tokio::time::sleep(Duration::from_secs(6)).await;
    scene.until_told("+eu-1@2").await;
}

#[tokio::test]
async fn room_that_is_said_or_freed_places_what_waited() {
    let mut scene = Scene::new().await;
    scene.join("eu-1", json!({})).await;
    let has = |cpu_millicores| ClusterObservation {
        allocatable: Resources { cpu_millicores, memory_bytes: 1 << 30, pods: 100 },
        ..ClusterObservation::default()
    };
    let eu: ClusterName = "eu-1".parse().unwrap();
    scene.world.observe(&eu, Vec::new(), true, Some(has(100)));
    let pod = json!([{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers":
        [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "500m"}}}]}}]);
    scene.apply(json!({"placement": {"count": 1}}), pod).await;
    scene
        .until("unplaced", |state| {
            state.placement(&shop()).is_some_and(|placement| placement.unplaced_count == 1)
        })
        .await;
    scene.world.observe(&eu, Vec::new(), true, Some(has(1000)));
    scene.until_told("+eu-1@1").await;
    let status = scene.world.read(|state| state.cluster_status(&eu).unwrap());
    assert_eq!((status.requested.cpu_millicores, status.application_count), (500, 1));
}

#[tokio::test]
async fn a_cluster_whose_nodes_are_not_counted_yet_counts_as_roomy() {
    let mut scene = Scene::new().await;
    scene.join("eu-1", json!({})).await;
    let eu: ClusterName = "eu-1".parse().unwrap();
    scene.world.observe(&eu, Vec::new(), true, Some(ClusterObservation::default()));
    let pod = json!([{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers":
        [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "500m"}}}]}}]);
    scene.apply(json!({}), pod).await;
    scene.until_told("+eu-1@1").await;
    assert!(!scene.events().iter().any(|event| event.contains("room")), "{:?}", scene.events());
    // Nodes that are there and not ready do have nothing to give.
    let none_ready = ClusterObservation { node_count: 3, ..ClusterObservation::default() };
    scene.world.observe(&eu, Vec::new(), true, Some(none_ready));
    let free = scene.world.read(|state| state.fleet().find(&eu).unwrap().free());
    assert_eq!(free, Some(Resources::default()));
}

#[tokio::test]
async fn ten_thousand_clusters_are_told_in_one_generation() {
    let mut scene = Scene::new().await;
    let names: Vec<String> = (0..10_000).map(|n| format!("c{n}")).collect();
    for names in names.chunks(100) {
        let records = names.iter().map(|name| {
            let cluster: Cluster = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
            Record::Cluster(Box::new(ClusterRecord::new(cluster)))
        });
        scene.write(records).await;
    }
    for name in &names {
        scene.links.push(scene.world.connected(&name.parse().unwrap()).unwrap());
    }
    scene.settled().await;
    let before = scene.apply(json!({}), config_map("1")).await;
    let count = |state: &State| state.assignments_of(&shop()).map_or(0, |told| told.len());
    scene.until("all told", |state| count(state) == 10_000).await;
    drop(before);
    scene.world.read(|state| {
        let told = state.assignments_of(&shop()).unwrap();
        assert!(told.values().all(|assignment| assignment.generation.counter == 1));
    });
}

#[tokio::test]
async fn writers_in_between_make_it_plan_again() {
    let mut scene = Scene::new().await;
    for name in ["eu-1", "eu-2", "eu-3"] {
        scene.join(name, json!({"n": name})).await;
    }
    // Many edits, each while the one before may be being planned: the last one wins.
    for round in 0..30 {
        let only = ["eu-1", "eu-2", "eu-3"][round % 3];
        scene.apply(json!({"placement": {"clusters": {"matchLabels": {"n": only}}}}), config_map("1")).await;
    }
    scene
        .until("the last edit", |state| {
            let placement = state.placement(&shop());
            let stored = state.applications().get(&shop());
            placement.map(|placement| placement.sequence) == stored.map(|stored| stored.sequence)
        })
        .await;
    scene.settled().await;
    assert_eq!(scene.told().matches('+').count(), 1, "{}", scene.told());
    assert!(scene.told().contains("+eu-3@30"), "{}", scene.told());
}

#[tokio::test(start_paused = true)]
async fn clusters_that_are_lost_together_are_told_together() {
    let mut scene = Scene::new().await;
    for n in 0..20 {
        scene.join(&format!("c{n}"), json!({})).await;
    }
    tokio::time::sleep(Duration::from_secs(15)).await;
    let events = scene.events();
    let lost: Vec<&String> = events.iter().filter(|event| event.starts_with("ClusterLost")).collect();
    assert_eq!(lost.len(), 1, "{events:?}");
    assert!(lost[0].starts_with("ClusterLost: 20 clusters"), "{lost:?}");
}

#[tokio::test(start_paused = true)]
async fn one_cluster_that_moves_many_applications_does_not_flood_events() {
    let mut scene = Scene::new().await;
    for index in 0..100 {
        let mut application = scene.apply(json!({}), config_map("1")).await;
        application.metadata.name = format!("app-{index}").parse().unwrap();
        let mut revision = scene.world.read(|state| Revision::clone(state.latest_revision(&shop()).unwrap()));
        revision.application = application.key();
        scene.write([record(&application), Record::Revision(Box::new(revision))]).await;
    }
    scene.settled().await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    scene.join("eu-1", json!({})).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let events = scene.events();
    // Whether it is first seen while it is not yet heard or only after is up to the scheduler; either is told.
    let is_told = |event: &&String| event.contains("comes to eu-1") || event.contains("eu-1 is not heard");
    assert_eq!(events.iter().filter(is_told).count(), 20, "{events:?}");
    assert!(events.iter().any(|event| event.starts_with("MorePlacementsChanged")), "{events:?}");
    assert_eq!(scene.world.read(|state| state.assignments_in(&"eu-1".parse().unwrap()).unwrap().len()), 101);
}
