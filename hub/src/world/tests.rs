//! The world against a store in memory, on paused time.

use std::sync::Arc;
use std::time::Duration;

use nave_common::assignment::{Assignment, Desired, Generation};
use nave_common::cluster::Cluster;
use nave_common::health::Health;
use nave_common::metadata::ClusterMetadata;
use nave_common::name::{ApplicationKey, ClusterName};
use nave_common::resources::Resources;
use nave_common::status::{AssignmentStatus, ClusterObservation, Liveness, SyncState};
use nave_common::time::Timestamp;
use tokio_util::sync::CancellationToken;

use super::{Error, Interest, Kinds, Options, World};
use crate::clock::TokioClock;
use crate::records::{ClusterRecord, Name, Record};
use crate::store::memory::MemoryStore;
use crate::store::{Sequence, Store, Transaction, Write};

fn eu() -> ClusterName {
    "eu-1".parse().unwrap()
}

fn shop() -> ApplicationKey {
    "retail/shop".parse().unwrap()
}

fn cluster() -> Record {
    let cluster = Cluster { metadata: ClusterMetadata::new(eu()), spec: Default::default(), status: None };
    Record::Cluster(Box::new(ClusterRecord::new(cluster)))
}

fn tombstone(counter: u64) -> Record {
    Record::Assignment(Box::new(Assignment {
        application: shop(),
        cluster: eu(),
        generation: Generation { term: 1, counter },
        change_id: String::new(),
        desired: Desired::Remove,
    }))
}

fn removed(counter: u64) -> AssignmentStatus {
    AssignmentStatus {
        application: shop(),
        generation: Generation { term: 1, counter },
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
    }
}

/// A world that is being fed until it is dropped.
struct Scene {
    store: Arc<MemoryStore>,
    world: World,
    _shutdown: tokio_util::sync::DropGuard,
}

impl Scene {
    async fn new(store: MemoryStore) -> Self {
        let store = Arc::new(store);
        let clock = Arc::new(TokioClock::new("2026-11-01T10:00:00Z".parse().unwrap()));
        let world = World::load(store.clone(), clock, Options::default()).await.unwrap();
        let shutdown = CancellationToken::new();
        let (fed, until) = (world.clone(), shutdown.clone());
        tokio::spawn(async move { fed.follow(until).await });
        Self { store, world, _shutdown: shutdown.drop_guard() }
    }

    async fn write(&self, writes: Vec<Write>) -> Sequence {
        let sequence = self.store.commit(Transaction { compares: Vec::new(), writes }).await.unwrap();
        self.world.caught_up(sequence).await.unwrap();
        sequence
    }

    fn liveness(&self) -> Liveness {
        self.world.read(|state| state.cluster_status(&eu()).unwrap().liveness)
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_ends_only_when_nothing_is_heard() {
    let scene = Scene::new(MemoryStore::default()).await;
    assert!(scene.world.connected(&eu()).is_none(), "it has not joined");
    scene.write(vec![cluster().write().unwrap()]).await;
    assert_eq!(scene.liveness(), Liveness::Unheard);
    let mut subscription = scene.world.subscribe(Interest::All(Kinds::CLUSTERS));
    let link = scene.world.connected(&eu()).unwrap();
    assert_eq!(scene.liveness(), Liveness::Alive);
    assert_eq!(subscription.next().await.clusters, [eu()].into());
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_secs(2)).await;
        link.heard();
    }
    assert_eq!(subscription.take(), None, "heartbeats are no news");
    assert_eq!(scene.liveness(), Liveness::Alive);
    tokio::time::sleep(Duration::from_millis(10_100)).await;
    assert_eq!(scene.liveness(), Liveness::Lost, "connected, but silent");
    link.heard();
    assert_eq!(scene.liveness(), Liveness::Alive);
    drop(link);
    assert_eq!(scene.liveness(), Liveness::Suspect);
    tokio::time::sleep(Duration::from_millis(10_100)).await;
    assert_eq!(scene.liveness(), Liveness::Lost);
    let status = scene.world.read(|state| state.cluster_status(&eu()).unwrap());
    assert_eq!(status.last_heard_at.unwrap().to_string(), "2026-11-01T10:00:50.1Z");
}

#[tokio::test(start_paused = true)]
async fn a_new_connection_outlives_the_old_one() {
    let scene = Scene::new(MemoryStore::default()).await;
    scene.write(vec![cluster().write().unwrap()]).await;
    let old = scene.world.connected(&eu()).unwrap();
    let new = scene.world.connected(&eu()).unwrap();
    drop(old);
    assert_eq!(scene.liveness(), Liveness::Alive);
    drop(new);
    assert_eq!(scene.liveness(), Liveness::Suspect);
}

#[tokio::test(start_paused = true)]
async fn only_this_removal_is_confirmed() {
    let scene = Scene::new(MemoryStore::default()).await;
    scene.write(vec![cluster().write().unwrap(), tombstone(5).write().unwrap()]).await;
    let mut control = scene.world.subscribe(Interest::All(Kinds::REMOVALS));
    scene.world.observe(&eu(), vec![removed(4)], true, None);
    assert_eq!(control.take(), None);
    scene.world.observe(&eu(), vec![removed(5)], false, None);
    assert_eq!(control.next().await.assignments, [(eu(), shop())].into());
    assert!(scene.world.read(|state| state.assignment(&eu(), &shop()).unwrap().is_removed()));
    // A full report without it says that nothing is known of it any more.
    scene.world.observe(&eu(), Vec::new(), true, None);
    assert!(!scene.world.read(|state| state.assignment(&eu(), &shop()).unwrap().is_removed()));
}

#[tokio::test(start_paused = true)]
async fn a_world_that_fell_behind_reads_everything_again() {
    let scene = Scene::new(MemoryStore::new(2)).await;
    scene.write(vec![cluster().write().unwrap()]).await;
    let link = scene.world.connected(&eu()).unwrap();
    let allocatable = Resources { cpu_millicores: 5, ..Resources::default() };
    let observation = ClusterObservation { allocatable, ..ClusterObservation::default() };
    scene.world.observe(&eu(), Vec::new(), true, Some(observation));
    let mut session = scene.world.subscribe(Interest::Cluster(eu()));
    // More commits than the log keeps, without a turn for the feeder in between.
    let mut last = Sequence::ZERO;
    for counter in 1..10 {
        let transaction =
            Transaction { compares: Vec::new(), writes: vec![tombstone(counter).write().unwrap()] };
        last = scene.store.commit(transaction).await.unwrap();
    }
    scene.world.caught_up(last).await.unwrap();
    assert!(session.next().await.everything);
    scene.world.read(|state| {
        assert_eq!(state.assignment(&eu(), &shop()).unwrap().assignment.generation.counter, 9);
        assert_eq!(state.fleet().find(&eu()).unwrap().allocatable, Some(allocatable));
    });
    assert_eq!(scene.liveness(), Liveness::Alive);
    drop(link);
    assert_eq!(scene.liveness(), Liveness::Suspect);
}

#[tokio::test]
async fn a_new_store_gets_its_first_term() {
    let scene = Scene::new(MemoryStore::default()).await;
    assert_eq!(scene.world.read(super::State::generation), Generation { term: 1, counter: 0 });
    let again = Scene::new(MemoryStore::default()).await;
    again.write(vec![Record::Term(7).write().unwrap(), Record::Generation(3).write().unwrap()]).await;
    assert_eq!(again.world.read(super::State::generation), Generation { term: 7, counter: 3 });
}

#[tokio::test]
async fn a_damaged_record_stops_the_world_and_is_named() {
    let store = Arc::new(MemoryStore::default());
    let Write::Put { key, .. } = cluster().write().unwrap() else { panic!("a put") };
    store.commit(Transaction::new().put(key, "{}")).await.unwrap();
    let clock = Arc::new(TokioClock::new(Timestamp::from_millis(0).unwrap()));
    let error = World::load(store, clock, Options::default()).await.unwrap_err();
    let Error::Record(error) = error else { panic!("{error}") };
    assert!(error.to_string().contains("cluster/eu-1"), "{error}");
}

#[tokio::test]
async fn deleted_records_leave_nothing_behind() {
    let scene = Scene::new(MemoryStore::default()).await;
    scene.write(vec![cluster().write().unwrap(), tombstone(1).write().unwrap()]).await;
    let names = [Name::Cluster(eu()), Name::Assignment(eu(), shop())];
    scene.write(names.iter().map(|name| name.delete().unwrap()).collect()).await;
    scene.world.read(|state| {
        assert!(state.clusters().is_empty() && state.assignments().is_empty() && state.fleet().is_empty());
        assert!(state.assignments_of(&shop()).is_none());
    });
}
