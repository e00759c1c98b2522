//! The cluster side of an agent, told what to run by the test itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use nave_agent::reconcile::{self, Config};
use nave_agent::reports::Reports;
use nave_agent::work::{Work, WorkSet};
use nave_common::application::Adopt;
use nave_common::assignment::{Activity, Assignment, Desired, Generation, Run, SyncPolicy};
use nave_common::digest::Digest;
use nave_common::manifest::Manifest;
use nave_common::name::ApplicationKey;
use nave_common::overrides::Override;
use nave_common::render::Rendering;
use nave_common::status::{AssignmentStatus, SyncState};
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::cluster::{PATIENCE, Requests, TestCluster};

/// What an application is to be.
#[derive(Debug, Clone)]
pub struct Wish {
    /// Its objects.
    pub objects: Vec<Value>,
    /// The namespace of those that name none.
    pub namespace: Option<String>,
    /// Whether that is made.
    pub create_namespace: bool,
    /// How it is kept.
    pub sync: SyncPolicy,
}

impl Wish {
    /// These objects, with the usual rules.
    #[must_use]
    pub fn new(objects: Vec<Value>) -> Self {
        let sync = SyncPolicy {
            prune: true,
            adopt: Adopt::default(),
            prune_adopted: false,
            ignore_fields: Vec::new(),
            suspended: false,
        };
        Self { objects, namespace: None, create_namespace: false, sync }
    }

    /// With a rule for what is there already.
    #[must_use]
    pub fn adopting(mut self, adopt: Adopt) -> Self {
        self.sync.adopt = adopt;
        self
    }

    /// With other changes.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

/// A running agent.
pub struct TestAgent {
    work: watch::Sender<WorkSet>,
    told: BTreeMap<ApplicationKey, Arc<Work>>,
    counter: u64,
    /// What it tells.
    pub reports: Reports,
    /// What it asks of the API server.
    pub requests: Arc<Requests>,
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), reconcile::Error>>,
}

impl TestAgent {
    /// Starts one that knows nothing.
    #[must_use]
    pub fn start(cluster: &TestCluster) -> Self {
        Self::start_told(cluster, BTreeMap::new(), 0)
    }

    /// Starts one with the disk of one that was stopped.
    #[must_use]
    pub fn start_again(
        cluster: &TestCluster,
        told: BTreeMap<ApplicationKey, Arc<Work>>,
        counter: u64,
    ) -> Self {
        Self::start_told(cluster, told, counter)
    }

    fn start_told(cluster: &TestCluster, told: BTreeMap<ApplicationKey, Arc<Work>>, counter: u64) -> Self {
        // Digests are recorded when the agent stops, or after an hour: no case is to depend on when.
        let config = Config { record_interval: Duration::from_secs(3600), ..Config::default() };
        Self::start_with(cluster, told, counter, config)
    }

    /// Starts one that knows nothing and works as `config` says.
    #[must_use]
    pub fn start_as(cluster: &TestCluster, config: Config) -> Self {
        Self::start_with(cluster, BTreeMap::new(), 0, config)
    }

    fn start_with(
        cluster: &TestCluster,
        told: BTreeMap<ApplicationKey, Arc<Work>>,
        counter: u64,
        config: Config,
    ) -> Self {
        let (client, requests) = cluster.counted_client();
        let (work, receiver) = watch::channel(Arc::new(told.clone()));
        let reports = Reports::new();
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(reconcile::run(client, receiver, reports.clone(), config, shutdown.clone()));
        Self { work, told, counter, reports, requests, shutdown, task }
    }

    /// Stops it as an operator would, and starts another with the same disk.
    ///
    /// # Panics
    /// Where it does not end well.
    pub async fn restart(self, cluster: &TestCluster) -> Self {
        let (told, counter) = self.stop().await;
        Self::start_told(cluster, told, counter)
    }

    /// Stops it without warning, and starts another with the same disk.
    pub async fn crash(self, cluster: &TestCluster) -> Self {
        self.task.abort();
        let _ = self.task.await;
        Self::start_told(cluster, self.told, self.counter)
    }

    /// Stops it as an operator would.
    ///
    /// # Panics
    /// Where it does not end well.
    pub async fn stop(self) -> (BTreeMap<ApplicationKey, Arc<Work>>, u64) {
        self.shutdown.cancel();
        self.task.await.expect("the reconciler does not panic").expect("the reconciler ends well");
        (self.told, self.counter)
    }

    /// Tells it to run an application; the next generation.
    pub fn tell(&mut self, application: &str, wish: &Wish) -> ApplicationKey {
        self.counter += 1;
        self.tell_at(application, wish, self.counter)
    }

    /// Tells it to run an application, as of a generation.
    ///
    /// # Panics
    /// Where an object is no manifest.
    pub fn tell_at(&mut self, application: &str, wish: &Wish, counter: u64) -> ApplicationKey {
        let work = work(application, wish, counter);
        let key = work.assignment.application.clone();
        self.told.insert(key.clone(), Arc::new(work));
        self.send();
        key
    }

    /// Tells it several applications at once.
    pub fn tell_all(&mut self, wishes: &[(&str, &Wish)]) {
        for (application, wish) in wishes {
            self.counter += 1;
            let work = work(application, wish, self.counter);
            self.told.insert(work.assignment.application.clone(), Arc::new(work));
        }
        self.send();
    }

    /// Tells it to remove an application.
    pub fn tell_removal(&mut self, key: &ApplicationKey) {
        self.counter += 1;
        let assignment = assignment(key.clone(), self.counter, Desired::Remove);
        self.told.insert(key.clone(), Arc::new(Work { assignment, rendering: None }));
        self.send();
    }

    /// Tells it nothing of an application any more.
    pub fn tell_nothing(&mut self, key: &ApplicationKey) {
        self.told.remove(key);
        self.send();
    }

    fn send(&self) {
        self.work.send_replace(Arc::new(self.told.clone()));
    }

    /// The newest status of an application.
    #[must_use]
    pub fn status(&self, key: &ApplicationKey) -> Option<AssignmentStatus> {
        self.reports.all().0.into_iter().find(|status| status.application == *key)
    }

    /// Waits until the status of the newest generation is as it should be.
    ///
    /// # Panics
    /// Where that takes too long; the message holds the status.
    pub async fn wait(
        &self,
        key: &ApplicationKey,
        what: &str,
        is_so: impl Fn(&AssignmentStatus) -> bool,
    ) -> AssignmentStatus {
        let generation = self.told.get(key).map(|work| work.assignment.generation);
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let status = self.status(key);
            if let Some(status) = &status
                && Some(status.generation) == generation
                && is_so(status)
            {
                return status.clone();
            }
            let now = tokio::time::Instant::now();
            assert!(now < deadline && !self.task.is_finished(), "{key} {what}: still {status:#?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until exactly what is wanted is applied.
    ///
    /// # Panics
    /// Where that takes too long.
    pub async fn wait_synced(&self, key: &ApplicationKey) -> AssignmentStatus {
        let wanted = self.told.get(key).and_then(|work| Some(work.run()?.rendering));
        self.wait(key, "synced", |status| status.sync == SyncState::Synced && status.applied == wanted).await
    }
}

fn work(application: &str, wish: &Wish, counter: u64) -> Work {
    let manifests: Vec<_> = wish
        .objects
        .iter()
        .map(|object| Manifest::new(object.clone()).unwrap_or_else(|error| panic!("{error}: {object:#}")))
        .collect();
    let digests: Vec<_> = manifests.iter().map(Manifest::digest).collect();
    let digest = Digest::of_parts(digests.iter().map(|digest| digest.as_bytes().as_slice()));
    let run = Run {
        revision: counter,
        bundle: digest,
        override_: Override::default(),
        rendering: digest,
        namespace: wish.namespace.as_ref().map(|name| name.parse().expect("a namespace")),
        create_namespace: wish.create_namespace,
        sync: wish.sync.clone(),
        activity: Activity::Active,
        park: Vec::new(),
        exclusive: None,
    };
    let key = application.parse().expect("an application's name");
    Work {
        assignment: assignment(key, counter, Desired::Run(Box::new(run))),
        rendering: Some(Arc::new(Rendering { manifests, digest })),
    }
}

fn assignment(application: ApplicationKey, counter: u64, desired: Desired) -> Assignment {
    Assignment {
        application,
        cluster: "test".parse().expect("a name"),
        generation: Generation { term: 1, counter },
        change_id: String::new(),
        desired,
    }
}
