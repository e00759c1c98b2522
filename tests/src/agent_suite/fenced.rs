//! An agent with its fence, told what to run and renewed by the test itself, on a clock that the test moves.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nave_agent::api::Api;
use nave_agent::clock::Clock;
use nave_agent::fence::machine::Renewed;
use nave_agent::fence::{Fence, driver};
use nave_agent::reconcile::{self, Config};
use nave_agent::reports::Reports;
use nave_agent::work::{Work, WorkSet};
use nave_common::assignment::{Activity, Assignment, Desired, ExclusiveTerms, Generation, Run};
use nave_common::bundle::Bundle;
use nave_common::failover::{Epoch, Fence as Fencing};
use nave_common::manifest::Manifest;
use nave_common::name::ApplicationKey;
use nave_common::overrides::Override;
use nave_common::render;
use nave_common::status::{AssignmentStatus, FenceState, FenceStatus};
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::agent::Wish;
use super::cluster::{PATIENCE, Requests, TestCluster};

/// How long the hub says that a lease lasts.
pub const LEASE: Duration = Duration::from_secs(60);

/// A boot clock that stands still until the test moves it.
#[derive(Debug)]
pub struct HandClock {
    seconds: AtomicU64,
    boot_id: Mutex<String>,
}

impl HandClock {
    /// Moves it on.
    pub fn pass(&self, seconds: u64) {
        self.seconds.fetch_add(seconds, Ordering::SeqCst);
    }

    /// The machine starts anew.
    ///
    /// # Panics
    /// Where the lock is poisoned.
    pub fn reboot(&self) {
        self.boot_id.lock().expect("no panic before").push('x');
    }
}

impl Clock for HandClock {
    fn boot(&self) -> nave_common::time::BootTime {
        let seconds = self.seconds.load(Ordering::SeqCst);
        nave_common::time::BootTime::from_duration(Duration::from_secs(seconds))
    }

    fn boot_id(&self) -> Option<String> {
        Some(self.boot_id.lock().expect("no panic before").clone())
    }

    fn step(&self) -> Duration {
        Duration::from_millis(10)
    }
}

/// What survives the agent's process.
pub struct Disk {
    folder: tempfile::TempDir,
    told: BTreeMap<ApplicationKey, Arc<Work>>,
    counter: u64,
    /// The machine's clock.
    pub clock: Arc<HandClock>,
}

/// A running agent with its fence.
pub struct FencedAgent {
    disk: Disk,
    work: watch::Sender<WorkSet>,
    fence: Fence,
    beats: u64,
    /// What it tells.
    pub reports: Reports,
    /// What it asks of the API server.
    pub requests: Arc<Requests>,
    shutdown: CancellationToken,
    tasks: (JoinHandle<Result<(), reconcile::Error>>, JoinHandle<()>),
}

impl FencedAgent {
    /// Starts one that knows nothing.
    ///
    /// # Panics
    /// Where there is no place for its disk.
    #[must_use]
    pub fn start(cluster: &TestCluster) -> Self {
        let clock = HandClock { seconds: AtomicU64::new(1000), boot_id: Mutex::new("boot".to_owned()) };
        let folder = tempfile::tempdir().expect("a folder");
        Self::start_on(cluster, Disk { folder, told: BTreeMap::new(), counter: 0, clock: Arc::new(clock) })
    }

    /// Starts one on a disk.
    #[must_use]
    pub fn start_on(cluster: &TestCluster, disk: Disk) -> Self {
        let (client, requests) = cluster.counted_client();
        let (work, told) = watch::channel(Arc::new(disk.told.clone()));
        let (reports, shutdown) = (Reports::new(), CancellationToken::new());
        let fence = open(disk.folder.path(), &disk, &reports);
        let config = Config { record_interval: Duration::from_secs(3600), ..Config::default() };
        let api = Api::new(client.clone(), config.field_manager.clone());
        let handed_on = fence.subscribe();
        let reconcile =
            tokio::spawn(reconcile::run(client, handed_on, reports.clone(), config, shutdown.clone()));
        let driver = tokio::spawn(driver::run(fence.clone(), api, told, shutdown.clone()));
        Self { disk, work, fence, beats: 0, reports, requests, shutdown, tasks: (reconcile, driver) }
    }

    /// Stops it.
    ///
    /// # Panics
    /// Where it does not end well.
    pub async fn stop(self) -> Disk {
        self.shutdown.cancel();
        self.tasks.0.await.expect("the reconciler does not panic").expect("the reconciler ends well");
        self.tasks.1.await.expect("the fence does not panic");
        self.disk
    }

    /// The machine's clock.
    #[must_use]
    pub fn clock(&self) -> &HandClock {
        &self.disk.clock
    }

    /// Tells it of an Exclusive application, whose fence is the agent.
    ///
    /// # Panics
    /// Where it cannot be rendered.
    pub fn tell(&mut self, application: &str, wish: &Wish, activity: Activity, epoch: u64) -> ApplicationKey {
        self.disk.counter += 1;
        let key: ApplicationKey = application.parse().expect("a name");
        let work = work(&key, wish, activity, epoch, self.disk.counter);
        self.disk.told.insert(key.clone(), Arc::new(work));
        self.work.send_replace(Arc::new(self.disk.told.clone()));
        key
    }

    /// Answers a heartbeat as a hub does that renews `epoch`.
    ///
    /// # Panics
    /// Where that is not asked for in time.
    pub async fn renew(&mut self, key: &ApplicationKey, epoch: u64) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        let epoch = Epoch::from_number(epoch);
        loop {
            self.beats += 1;
            if self.fence.beat(self.beats).contains(&(key.clone(), epoch)) {
                break;
            }
            assert!(tokio::time::Instant::now() < deadline, "{key}: no lease of {epoch} is asked for");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let renewed = Renewed { application: key.clone(), epoch, duration: LEASE };
        self.fence.acknowledged(self.beats, 1, &[renewed]);
    }

    /// The newest status.
    #[must_use]
    pub fn status(&self, key: &ApplicationKey) -> Option<AssignmentStatus> {
        self.reports.all().0.into_iter().find(|status| status.application == *key)
    }

    /// Waits until the status of the newest generation is as it should be.
    ///
    /// # Panics
    /// Where that takes too long.
    pub async fn wait(
        &self,
        key: &ApplicationKey,
        what: &str,
        is_so: impl Fn(&AssignmentStatus) -> bool,
    ) -> AssignmentStatus {
        let generation = self.disk.told.get(key).map(|work| work.assignment.generation);
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let status = self.status(key);
            if let Some(status) = &status
                && Some(status.generation) == generation
                && is_so(status)
            {
                return status.clone();
            }
            assert!(tokio::time::Instant::now() < deadline, "{key} {what}: still {status:#?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until the fence stands so.
    ///
    /// # Panics
    /// Where that takes too long.
    pub async fn wait_fence(&self, key: &ApplicationKey, state: FenceState) -> FenceStatus {
        let is_so = |status: &AssignmentStatus| status.fence.as_ref().is_some_and(|it| it.state == state);
        let status = self.wait(key, &format!("{state:?}"), is_so).await;
        status.fence.expect("it was there just now")
    }

    /// Waits until what runs is applied.
    ///
    /// # Panics
    /// Where that takes too long.
    pub async fn wait_running(&self, key: &ApplicationKey) -> AssignmentStatus {
        let wanted = self.disk.told.get(key).and_then(|work| Some(work.run()?.rendering));
        self.wait(key, "running", |status| status.applied == wanted && status.fence.is_none()).await
    }
}

fn open(folder: &Path, disk: &Disk, reports: &Reports) -> Fence {
    let clock: Arc<dyn Clock> = Arc::<HandClock>::clone(&disk.clock);
    let known_until = Generation { term: 1, counter: disk.counter };
    Fence::open(folder, clock, &Arc::new(disk.told.clone()), known_until, reports.clone())
}

fn work(key: &ApplicationKey, wish: &Wish, activity: Activity, epoch: u64, counter: u64) -> Work {
    let manifest = |object: &Value| Manifest::new(object.clone()).expect("a manifest");
    let bundle = Bundle::new(wish.objects.iter().map(manifest).collect()).expect("a bundle");
    let terms =
        ExclusiveTerms { epoch: Epoch::from_number(epoch), fence: Fencing::Agent, fence_timeout_ms: 30_000 };
    let mut run = Run {
        revision: counter,
        bundle: nave_common::digest::Digest::of(b"bundle"),
        override_: Override::default(),
        rendering: nave_common::digest::Digest::of(b""),
        namespace: None,
        create_namespace: false,
        sync: wish.sync.clone(),
        activity,
        park: Vec::new(),
        exclusive: Some(terms),
    };
    let rendering = render::render(&bundle, render::Inputs::of(key, &run)).expect("a rendering");
    run.rendering = rendering.digest;
    let assignment = Assignment {
        application: key.clone(),
        cluster: "test".parse().expect("a name"),
        generation: Generation { term: 1, counter },
        change_id: String::new(),
        desired: Desired::Run(Box::new(run)),
    };
    Work { assignment, rendering: Some(Arc::new(rendering)) }
}
