//! A whole world in one process, on virtual time, from one seed: the real hub, real agents over tonic, and simulated
//! clusters behind the real Kubernetes client, with faults on every line and in every process.
//!
//! The hosts, lines and time are turmoil's. Each host has a runtime of its own whose time is paused and moved on by a
//! step of [`STEP`]; a host that computes on other threads holds time up until it is done. The hub keeps its store in
//! memory, outside of its host, so that it survives a crash as a durable one does. There is no TLS: who calls is known by
//! the host that it calls from.
//!
//! **How exact a replay is.** The same seed gives the same clusters, applications, faults, times and latencies. It does
//! not give the same order of everything: `select!` and hash maps take their randomness from the process, pauses between
//! retries are drawn from the system, and work on blocking threads may end in another order than before. Virtual time
//! hides how long that work took, so a run differs from its replay by orders within a few milliseconds, not by what
//! struck when. A failure that needs one exact order may take several replays; the deep simulation is the exact one.
//!
//! **What is not in it.** No process is paused: turmoil runs a host or kills it, and a host whose lines are held goes on
//! working. No hub is put back from an old backup either. The deep simulation has both.
//!
//! A line of turmoil is no TCP that sends again what was lost: a partition leaves a dead connection behind, as a
//! firewall that forgot it does, and ends find out by their own keep-alives. What must not be lost for that reason alone
//! is held back instead: between an agent and its API server the line stands still, or the server breaks it.

pub mod applications;
pub mod clock;
mod drive;
pub mod eyes;
pub mod faults;
pub mod full_store;
pub mod hosts;
pub mod net;
mod people;
pub mod report;
mod settled;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use futures::FutureExt as _;
use nave_common::failover::Frozen;
use nave_common::name::ClusterName;
use nave_hub::records::{ClusterRecord, Record};
use nave_hub::store::{Store as _, Transaction};
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::mpsc;
use turmoil::Sim;

use self::applications::Work;
use self::clock::{TrueTime, Wall};
pub use self::drive::run;
use self::eyes::{Contents, Durable};
use self::faults::{Fault, Schedule};
use self::full_store::FullStore;
use self::hosts::{HUB, HubDisk, PERSON, SpokeDisk};
use self::people::People;
use self::report::{Report, Tally};
use crate::deep::invariants::{Checker, Happened};

/// How far time moves on at once.
pub const STEP: Duration = Duration::from_millis(10);
/// How long a message is under way at most, where no fault slows it.
const MAX_LATENCY: Duration = Duration::from_millis(20);
/// The clusters: a name and a region each.
pub const SPOKES: [(&str, &str); 3] = [("eu-1", "eu"), ("us-1", "us"), ("ap-1", "ap")];
/// Connections and messages that wait in one host at most.
const QUEUE: usize = 4096;

/// A world.
pub struct World<'a> {
    seed: u64,
    sim: Sim<'a>,
    time: TrueTime,
    schedule: Schedule,
    hub: Arc<HubDisk>,
    spokes: Vec<Arc<SpokeDisk>>,
    work: Vec<Work>,
    names: BTreeSet<String>,
    people: People,
    faults: Vec<Fault>,
    contents: Vec<Contents>,
    /// The spokes whose machines have no power: their pods are in etcd and run nowhere.
    unpowered: BTreeSet<usize>,
    durable: Durable,
    /// Why the hub, when it was last looked at, moved nothing by itself.
    frozen: Option<Frozen>,
    /// From when on nothing is put down to a fault; `None` before everything was up once.
    calm_from_ms: Option<u64>,
    checker: Checker,
    happened: Vec<Happened>,
    /// Objects of applications: in which cluster, and whose.
    objects: BTreeMap<String, (usize, String)>,
    /// The newest token that the storage behind each application has seen.
    storage: BTreeMap<String, nave_common::failover::Epoch>,
    tally: Tally,
    report: Report,
    trace: VecDeque<String>,
    _folder: TempDir,
}

impl World<'_> {
    /// A world in which nothing has happened yet. `work` is applied when it begins.
    ///
    /// # Panics
    /// Where this machine has no room for its files.
    #[must_use]
    pub fn new(seed: u64, work: Vec<Work>) -> Self {
        let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("a folder for a world: {error}"));
        let time = TrueTime::default();
        let schedule = Schedule::of(seed);
        let mut sim = turmoil::Builder::new()
            .tick_duration(STEP)
            .simulation_duration(Duration::from_secs(86_400))
            .min_message_latency(Duration::from_millis(1))
            .max_message_latency(MAX_LATENCY)
            .tcp_capacity(QUEUE)
            .rng_seed(seed)
            .enable_random_order()
            .build();
        let hub = Arc::new(HubDisk {
            store: new_store(),
            bundles: folder.path().join("bundles"),
            peers: Mutex::default(),
            config: hosts::hub_config(folder.path().join("hub")),
            time: time.clone(),
            wall: Wall::default(),
            view: Mutex::default(),
            drift_ppm: schedule.drifts[SPOKES.len()],
        });
        let host = hub.clone();
        sim.host(HUB, move || hosts::hub(host.clone()));
        let spokes: Vec<_> = (0..SPOKES.len())
            .map(|index| spoke(&mut sim, index, (seed, schedule.drifts[index]), folder.path(), &time))
            .collect();
        let (errands, receiver) = mpsc::unbounded_channel();
        let open = Arc::new(AtomicUsize::new(0));
        sim.client(PERSON, hosts::person(receiver, open.clone()));
        introduce(&sim, &hub, &spokes);
        let people = People::new(errands, open);
        let checker = Checker::new(work.iter().map(|work| (work.key(), work.subject())).collect());
        Self {
            seed,
            sim,
            time,
            schedule,
            durable: Durable::of(hub.store.as_ref()),
            hub,
            contents: vec![Contents::default(); spokes.len()],
            spokes,
            unpowered: BTreeSet::new(),
            names: work.iter().map(|work| work.name.to_owned()).collect(),
            work,
            people,
            faults: Vec::new(),
            frozen: None,
            calm_from_ms: None,
            checker,
            happened: Vec::new(),
            objects: BTreeMap::new(),
            storage: BTreeMap::new(),
            tally: Tally::default(),
            report: Report::default(),
            trace: VecDeque::new(),
            _folder: folder,
        }
    }
}

/// A store that knows the clusters, as if they had joined.
fn new_store() -> Arc<FullStore> {
    let store = Arc::new(FullStore::default());
    let mut joined = Transaction::new();
    for (name, region) in SPOKES {
        let record = json!({"cluster": {
            "metadata": {"name": name, "labels": {"region": region}}, "spec": {"uid": uid(name)}}});
        let record: ClusterRecord =
            serde_json::from_value(record).unwrap_or_else(|error| panic!("cluster {name}: {error}"));
        let write = Record::Cluster(Box::new(record)).write();
        joined.writes.push(write.unwrap_or_else(|error| panic!("cluster {name}: {error}")));
    }
    match store.commit(joined).now_or_never() {
        Some(Ok(_)) => store,
        other => panic!("the clusters cannot join: {other:?}"),
    }
}

fn uid(name: &str) -> String {
    format!("uid-{name}")
}

fn spoke(
    sim: &mut Sim<'_>,
    index: usize,
    (seed, drift_ppm): (u64, i32),
    folder: &Path,
    time: &TrueTime,
) -> Arc<SpokeDisk> {
    let (name, region) = SPOKES[index];
    let disk = Arc::new(SpokeDisk {
        name: name.to_owned(),
        kube_host: format!("cluster-{name}"),
        uid: uid(name),
        data_dir: folder.join(name),
        cluster: Arc::new(OnceLock::new()),
        config: nave_sim::Config {
            name: name.to_owned(),
            seed: seed.wrapping_add(index as u64),
            node_labels: BTreeMap::from([("region".to_owned(), region.to_owned())]),
            ready_delay: Duration::from_secs(2),
            ..nave_sim::Config::default()
        },
        drift_ppm,
        time: time.clone(),
    });
    let host = disk.clone();
    sim.host(disk.kube_host.as_str(), move || hosts::cluster(host.clone()));
    let host = disk.clone();
    sim.host(format!("agent-{name}"), move || hosts::agent(host.clone()));
    disk
}

/// Tells the hub who is at which address.
fn introduce(sim: &Sim<'_>, hub: &HubDisk, spokes: &[Arc<SpokeDisk>]) {
    let mut peers = hub.peers.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let known = |text: String| text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
    for spoke in spokes {
        let address = sim.lookup(format!("agent-{}", spoke.name));
        peers.insert(address, known(format!("spiffe://nave/cluster/{}", spoke.name)));
    }
    peers.insert(sim.lookup(PERSON), known("spiffe://nave/user/ana".to_owned()));
}

/// The name of a spoke's cluster.
fn cluster_name(index: usize) -> ClusterName {
    let (name, _) = SPOKES[index];
    name.parse().unwrap_or_else(|error| panic!("{name}: {error}"))
}
