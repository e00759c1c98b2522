//! The reconciler's state and its loop. What each thing that comes in leads to is in [`super::replan`],
//! [`super::sights`] and [`super::settle`]; what is started, in [`super::advance`].

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use nave_common::name::ApplicationKey;
use nave_common::runtime::backoff::Reconnect;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::application::{Application, Past};
use super::claims::{Claims, Holder};
use super::tasks::Done;
use super::wakes::{Wake, Wakes};
use super::{Config, Error, wall_clock};
use crate::api::{Api, Gvk};
use crate::discovery::Discovery;
use crate::drift::follow::Message;
use crate::inventory::store::{self, Saved};
use crate::inventory::sweep::Swept;
use crate::reports::Reports;
use crate::work::WorkSet;

/// How many sights wait for the reconciler at most; then the watches wait.
const MAX_WAITING_SIGHTS: usize = 64;

/// How many of the same kind are taken in at once, before something else gets its turn.
const MAX_BATCH: usize = 64;

/// An open pass delays the following of new kinds at most so long.
pub(super) const PASS_GRACE: Duration = Duration::from_secs(1);

/// How long the last writes may take when the agent is told to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// Without anything to wake up for, the loop looks around all the same.
const IDLE_INTERVAL: Duration = Duration::from_secs(60);

/// The sweep for what lost inventories held.
#[derive(Debug)]
pub(super) enum Sweeping {
    /// It is to be done.
    Due,
    /// It is under way.
    Busy,
    /// It is done; this is what it found of applications that are not known yet.
    Done(Swept),
}

/// A kind that is followed.
#[derive(Debug)]
pub(super) struct Follower {
    pub(super) task: AbortHandle,
    /// Whether everything that was there has been seen once.
    pub(super) listed: bool,
    /// Why it sees nothing at the moment.
    pub(super) blind: Option<String>,
    /// Whether it will see nothing until a person does something.
    pub(super) hopeless: bool,
}

/// The reconciler.
#[derive(Debug)]
pub(super) struct Reconciler {
    pub(super) api: Api,
    pub(super) discovery: Discovery,
    pub(super) config: Config,
    pub(super) reports: Reports,
    pub(super) applications: BTreeMap<ApplicationKey, Application>,
    /// The keys of applications by their short numbers.
    pub(super) holders: HashMap<Holder, ApplicationKey>,
    pub(super) claims: Claims,
    pub(super) followers: HashMap<Gvk, Follower>,
    /// The followers' tasks; they end with the reconciler.
    pub(super) following: JoinSet<()>,
    /// Whether other kinds may be in use than are followed.
    pub(super) kinds_are_stale: bool,
    pub(super) sights: mpsc::Sender<Message>,
    pub(super) tasks: JoinSet<Done>,
    /// How many looks for existing objects go on at the same time.
    pub(super) looks: Arc<Semaphore>,
    /// How many requests for single objects are under way.
    pub(super) in_flight: usize,
    /// How many workloads' pods are being asked.
    pub(super) diagnosing: usize,
    /// Applications that may have something to start, each once.
    pub(super) round: VecDeque<ApplicationKey>,
    pub(super) wakes: Wakes,
    pub(super) sweeping: Sweeping,
    /// Nothing is started until then, because the API server does not answer.
    pub(super) server_paused_until: Option<Instant>,
    pub(super) server_pauses: Reconnect,
    received: Option<mpsc::Receiver<Message>>,
}

impl Reconciler {
    pub(super) fn new(api: Api, reports: Reports, config: Config) -> Self {
        let (sights, received) = mpsc::channel(MAX_WAITING_SIGHTS);
        Self {
            discovery: Discovery::new(api.clone()),
            api,
            reports,
            applications: BTreeMap::new(),
            holders: HashMap::new(),
            claims: Claims::default(),
            followers: HashMap::new(),
            following: JoinSet::new(),
            kinds_are_stale: false,
            looks: Arc::new(Semaphore::new(config.max_in_flight.max(1))),
            sights,
            tasks: JoinSet::new(),
            in_flight: 0,
            diagnosing: 0,
            round: VecDeque::new(),
            wakes: Wakes::default(),
            sweeping: Sweeping::Due,
            server_paused_until: None,
            server_pauses: Reconnect::new(),
            received: Some(received),
            config,
        }
    }

    /// Runs until it is told to stop.
    pub(super) async fn run(
        mut self,
        mut work: watch::Receiver<WorkSet>,
        shutdown: &CancellationToken,
    ) -> Result<(), Error> {
        let Some(mut sights) = self.received.take() else { return Ok(()) };
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            () = self.load() => {}
        }
        // What was applied and is in no inventory is looked for beside everything else, once.
        self.start_sweep();
        let told = Arc::clone(&work.borrow_and_update());
        self.take_work(&told);
        let outcome = loop {
            self.advance();
            let wake_at = self.wakes.next_at().unwrap_or_else(|| Instant::now() + IDLE_INTERVAL);
            tokio::select! {
                () = shutdown.cancelled() => break Ok(()),
                changed = work.changed() => {
                    if changed.is_err() {
                        break Err(Error::NoWork);
                    }
                    let told = Arc::clone(&work.borrow_and_update());
                    self.take_work(&told);
                }
                Some(message) = sights.recv() => {
                    self.see(message);
                    for _ in 0..MAX_BATCH {
                        let Ok(message) = sights.try_recv() else { break };
                        self.see(message);
                    }
                }
                Some(done) = self.tasks.join_next() => {
                    self.settle(done.map_err(Error::Task)?);
                    for _ in 0..MAX_BATCH {
                        let Some(done) = self.tasks.try_join_next() else { break };
                        self.settle(done.map_err(Error::Task)?);
                    }
                }
                () = tokio::time::sleep_until(wake_at) => {}
            }
        };
        self.stop().await;
        outcome
    }

    /// Reads every inventory. While that does not work nothing is known, and nothing is done.
    async fn load(&mut self) {
        let mut pauses = Reconnect::new();
        let (found, unreadable) = loop {
            match store::load(&self.api).await {
                Ok(loaded) => break loaded,
                Err(error) => {
                    let pause = error.retry_after().unwrap_or_default().max(pauses.next());
                    tracing::warn!(error = error.describe(), ?pause, "cannot read the inventories yet");
                    tokio::time::sleep(pause).await;
                }
            }
        };
        let now = wall_clock();
        for found in found {
            let key = found.inventory.application.clone();
            let past = if found.complete { Past::Known } else { Past::Unknown };
            let saved = Saved::from(&found);
            let application = self.application(&key, past);
            application.record.saved = saved;
            application.generation = found.inventory.generation;
            application.remember(found.inventory.objects, now);
            self.claim(&key);
        }
        for key in unreadable {
            tracing::warn!(application = %key, "its inventory cannot be read; what it held will be looked for");
            let _ = self.application(&key, Past::Unknown);
        }
    }

    /// The application of a name; a new one where there was none.
    pub(super) fn application(&mut self, key: &ApplicationKey, past: Past) -> &mut Application {
        if !self.applications.contains_key(key) {
            let holder = (0..).find(|holder| !self.holders.contains_key(holder)).unwrap_or(Holder::MAX);
            self.holders.insert(holder, key.clone());
            let application = Application::new(key.clone(), holder, past, wall_clock());
            self.applications.insert(key.clone(), application);
        }
        self.applications.entry(key.clone()).or_insert_with(|| {
            // It was made just now where it was missing.
            Application::new(key.clone(), Holder::MAX, past, wall_clock())
        })
    }

    /// Puts an application into the round of those that may have something to start.
    pub(super) fn activate(&mut self, key: &ApplicationKey) {
        if let Some(application) = self.applications.get_mut(key)
            && !application.active
        {
            application.active = true;
            if application.is_fenced() {
                self.round.push_front(key.clone());
            } else {
                self.round.push_back(key.clone());
            }
        }
    }

    /// Notes that an inventory is to be written within `delay`.
    pub(super) fn touch(&mut self, key: &ApplicationKey, delay: Duration) {
        let Some(application) = self.applications.get_mut(key) else { return };
        let at = Instant::now() + delay;
        if application.record.touch(at) {
            self.wakes.add(at, Wake::Record(key.clone()));
        }
    }

    /// Writes what is not written yet, and ends every task.
    async fn stop(mut self) {
        for follower in self.followers.values() {
            follower.task.abort();
        }
        let deadline = Instant::now() + STOP_TIMEOUT;
        // What is under way is let come to its end, so that its outcome is recorded; a record that is being written, too:
        // broken off, it would leave what was applied unknown, and all of it to be applied again.
        while self.in_flight > 0 || self.applications.values().any(|it| it.record.saving.is_some()) {
            match tokio::time::timeout_at(deadline, self.tasks.join_next()).await {
                Ok(Some(Ok(done))) => self.settle(done),
                _ => break,
            }
        }
        let mut unsaved: BTreeSet<ApplicationKey> = BTreeSet::new();
        for (key, application) in &self.applications {
            if application.record.due_at.is_some() && application.may_write() {
                unsaved.insert(key.clone());
            }
        }
        for key in unsaved {
            let Some(application) = self.applications.get(&key) else { continue };
            let inventory = application.inventory();
            let save = store::save(&self.api, &inventory, &application.record.saved);
            match tokio::time::timeout_at(deadline, save).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => {
                    tracing::warn!(application = %key, error = error.describe(), "its inventory is not written")
                }
                Err(_) => tracing::warn!(application = %key, "its inventory is not written: no time left"),
            }
        }
    }
}
