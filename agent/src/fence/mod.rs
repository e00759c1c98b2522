//! The fence: keeps Exclusive work from running here when it may run elsewhere.
//!
//! Place in the flow: `desired -> fence -> reconcile`. It takes what was told, and hands on to [`crate::reconcile`] the
//! parked rendering of what may not run now; so healing drift can never undo a fence. [`machine`] counts leases,
//! [`leases`] keeps them over a restart of the process, [`pods`] follows what runs, [`status`] says how the stopping of
//! it stands, [`driver`] wakes up when a lease is over.
//!
//! **Invariant:** what is handed on is never the active rendering of Exclusive work whose permit is not
//! [`Permit::Run`](machine::Permit) at that moment.

pub mod check;
pub mod driver;
pub mod follow;
pub mod leases;
pub mod machine;
pub mod memory;
pub mod pods;
pub mod status;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nave_common::assignment::{Activity, Desired, ExclusiveTerms, Generation};
use nave_common::failover::Epoch;
use nave_common::manifest::ObjectKey;
use nave_common::name::ApplicationKey;
use nave_common::render;
use nave_common::render::activity::{self, pod_label};
use nave_common::time::BootTime;
use tokio::sync::{Notify, watch};

use self::leases::LeaseFile;
use self::machine::{Machine, Permit, Renewed, Told};
use self::memory::MemoryFile;
use self::pods::Tracker;
use self::status::Stop;
use crate::clock::Clock;
use crate::reconcile::wall_clock;
use crate::reports::Reports;
use crate::work::{Work, WorkSet};

/// A handle on the fence; clones share it.
#[derive(Debug, Clone)]
pub struct Fence {
    shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) reports: Reports,
    pub(crate) file: LeaseFile,
    memory: MemoryFile,
    /// The newest that was told before this process: what is granted later was never granted here before.
    known_until: Generation,
    state: Mutex<State>,
    handed_on: watch::Sender<WorkSet>,
    /// A lease was renewed or is over, or a pod was seen: the driver looks at everything.
    pub(crate) news: Notify,
    /// Leases changed and are to be kept.
    pub(crate) to_keep: Notify,
    /// A heartbeat is wanted at once.
    to_beat: Notify,
}

#[derive(Debug)]
pub(crate) struct State {
    machine: Machine,
    pub(crate) tracker: Tracker,
    pub(crate) entries: BTreeMap<ApplicationKey, Entry>,
}

/// One application as it was told.
#[derive(Debug)]
pub(crate) struct Entry {
    told: Arc<Work>,
    /// Where it is Exclusive.
    pub(crate) exclusive: Option<Exclusive>,
}

/// What the fence holds of Exclusive work.
#[derive(Debug)]
pub(crate) struct Exclusive {
    pub(crate) terms: ExclusiveTerms,
    /// The value of its pods' label.
    pub(crate) label: String,
    /// What is handed on while it may not run.
    pub(crate) parked: Arc<Work>,
    /// The first object whose pods cannot be found.
    pub(crate) unseen: Option<ObjectKey>,
    /// How stopping it stands; `None` while it may run.
    pub(crate) stop: Option<Stop>,
}

impl Fence {
    /// The fence over what `told` holds, as of `known_until`. What may not run is fenced before anything is handed on.
    /// `folder` keeps leases.
    #[must_use]
    pub fn open(
        folder: &Path,
        clock: Arc<dyn Clock>,
        told: &WorkSet,
        known_until: Generation,
        reports: Reports,
    ) -> Self {
        let boot_id = clock.boot_id();
        let file = LeaseFile::new(folder, boot_id.clone());
        let memory = MemoryFile::new(folder, boot_id);
        let state = State { machine: file.read(), tracker: memory.read(), entries: BTreeMap::new() };
        let shared = Shared {
            clock,
            reports,
            file,
            memory,
            known_until,
            state: Mutex::new(state),
            handed_on: watch::Sender::new(WorkSet::default()),
            news: Notify::new(),
            to_keep: Notify::new(),
            to_beat: Notify::new(),
        };
        let fence = Self { shared: Arc::new(shared) };
        fence.shared.take_in(told, true);
        fence
    }

    /// What reconcile follows.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<WorkSet> {
        self.shared.handed_on.subscribe()
    }

    /// The highest epoch that was ever told.
    #[must_use]
    pub fn highest(&self) -> Epoch {
        self.shared.lock().machine.highest()
    }

    /// A new stream to a hub begins: what was sent on the last one is answered no more.
    pub fn reconnected(&self) {
        self.shared.lock().machine.reconnected();
    }

    /// Notes that the heartbeat of this number is about to be sent, now, and says what it asks to be renewed.
    #[must_use]
    pub fn beat(&self, number: u64) -> Vec<(ApplicationKey, Epoch)> {
        let now = self.shared.clock.boot();
        self.shared.lock().machine.beat(number, now)
    }

    /// Takes the answer to a heartbeat of this stream.
    pub fn acknowledged(&self, number: u64, term: u64, renewed: &[Renewed]) {
        self.shared.lock().machine.acknowledged(number, term, renewed);
        self.shared.refresh();
        if !renewed.is_empty() {
            self.shared.to_keep.notify_one();
            self.shared.news.notify_one();
        }
    }

    /// Completes when a heartbeat is wanted at once, because a lease was granted of which nothing is renewed yet.
    pub async fn beat_wanted(&self) {
        self.shared.to_beat.notified().await;
    }
}

impl Shared {
    /// Every change under this lock is complete in itself, so what a panicking thread left is usable.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what was told, and hands on what may run of it.
    pub(crate) fn take(&self, told: &WorkSet) {
        self.take_in(told, false);
    }

    fn take_in(&self, told: &WorkSet, is_start: bool) {
        let mut wants_beat = false;
        {
            let mut state = self.lock();
            let state = &mut *state;
            state.entries.retain(|key, entry| {
                let is_told = told.contains_key(key);
                if !is_told {
                    let _ = state.machine.tell(key, None);
                    self.let_be(key, entry, &mut state.tracker);
                }
                is_told
            });
            for (key, work) in told.iter() {
                if state.entries.get(key).is_some_and(|entry| Arc::ptr_eq(&entry.told, work)) {
                    continue;
                }
                let exclusive = match exclusive(work, state.entries.get(key)) {
                    Ok(exclusive) => exclusive,
                    Err(error) => {
                        tracing::error!(application = %key, %error, "its parked form cannot be made, so it is left as it is");
                        continue;
                    }
                };
                let told = exclusive.as_ref().map(|it| told_of(work, it.terms));
                wants_beat |= state.machine.tell(key, told);
                let entry = Entry { told: Arc::clone(work), exclusive };
                if let Some(before) = state.entries.insert(key.clone(), entry)
                    && told.is_none()
                {
                    self.let_be(key, &before, &mut state.tracker);
                }
            }
        }
        self.refresh_at(is_start);
        self.to_keep.notify_one();
        self.news.notify_one();
        if wants_beat {
            self.to_beat.notify_one();
        }
    }

    /// Forgets what is of no concern to the fence any more.
    fn let_be(&self, key: &ApplicationKey, entry: &Entry, tracker: &mut Tracker) {
        if let Some(exclusive) = &entry.exclusive {
            tracker.forget(&exclusive.label);
            self.reports.set_fence(key, None);
        }
    }

    /// Hands on what may run now, and the parked form of what may not.
    pub(crate) fn refresh(&self) {
        self.refresh_at(false);
    }

    fn refresh_at(&self, is_start: bool) {
        let mut state = self.lock();
        let state = &mut *state;
        let (now, wall_now) = (self.clock.boot(), wall_clock());
        for (key, entry) in &mut state.entries {
            let Some(exclusive) = &mut entry.exclusive else { continue };
            let permit = state.machine.permit(key, now);
            if permit == Permit::Stop {
                if exclusive.stop.is_none() {
                    tracing::info!(application = %key, epoch = %exclusive.terms.epoch, "Exclusive work is stopped");
                    exclusive.stop = Some(Stop::new(now, wall_now));
                    self.reports.set_fence(key, exclusive.status());
                }
                continue;
            }
            if exclusive.stop.take().is_some() {
                tracing::info!(application = %key, epoch = %exclusive.terms.epoch, "Exclusive work may run");
                self.reports.set_fence(key, None);
            }
            let epoch = exclusive.terms.epoch;
            let known_until = self.known_until;
            let is_new = !is_start && known_until.term > 0 && epoch.generation() > known_until;
            if state.tracker.granted(&exclusive.label, epoch, is_new) {
                self.remember(&state.tracker);
            }
        }
        let entries = &state.entries;
        self.handed_on.send_if_modified(|set| replace(set, entries));
    }

    /// When the next permit ends.
    pub(crate) fn wake_at(&self) -> Option<BootTime> {
        let now = self.clock.boot();
        self.lock().machine.wake_at(now)
    }

    /// What is to be kept over a restart.
    pub(crate) fn to_be_kept(&self) -> (Machine, Tracker) {
        let state = self.lock();
        (state.machine.clone(), state.tracker.clone())
    }

    /// Changes what is known of pods; `change` says whether that is news.
    pub(crate) fn change_pods(&self, change: impl FnOnce(&mut Tracker) -> bool) {
        if change(&mut self.lock().tracker) {
            self.to_keep.notify_one();
            self.news.notify_one();
        }
    }

    /// Keeps what is known of pods.
    pub(crate) fn remember(&self, tracker: &Tracker) {
        if let Err(error) = self.memory.write(tracker) {
            tracing::warn!(%error, "what is known of Exclusive pods cannot be kept; a restart will look anew");
        }
    }
}

/// Makes `set` what the entries hand on. True where something changed.
fn replace(set: &mut WorkSet, entries: &BTreeMap<ApplicationKey, Entry>) -> bool {
    let is_same = |(key, entry): (&ApplicationKey, &Entry)| {
        set.get(key).is_some_and(|before| Arc::ptr_eq(before, entry.handed_on()))
    };
    if set.len() == entries.len() && entries.iter().all(is_same) {
        return false;
    }
    let handed_on = entries.iter().map(|(key, entry)| (key.clone(), Arc::clone(entry.handed_on())));
    *set = Arc::new(handed_on.collect());
    true
}

impl Entry {
    fn handed_on(&self) -> &Arc<Work> {
        match &self.exclusive {
            Some(exclusive) if exclusive.stop.is_some() => &exclusive.parked,
            _ => &self.told,
        }
    }
}

fn told_of(work: &Work, terms: ExclusiveTerms) -> Told {
    match work.run().map(|run| run.activity) {
        Some(Activity::Active) => Told::Active(terms),
        _ => Told::Parked(terms),
    }
}

/// What the fence holds of work that is Exclusive. How its stopping stands goes on.
fn exclusive(work: &Arc<Work>, before: Option<&Entry>) -> Result<Option<Exclusive>, render::Error> {
    let (Some(run), Some(rendering)) = (work.run(), &work.rendering) else { return Ok(None) };
    let Some(terms) = run.exclusive else { return Ok(None) };
    let stop = before.and_then(|entry| entry.exclusive.as_ref()).and_then(|it| it.stop.clone());
    let label = pod_label(&work.assignment.application);
    let unseen = activity::unseen(&rendering.manifests, &run.park).cloned();
    if !run.activity.is_active() {
        return Ok(Some(Exclusive { terms, label, parked: Arc::clone(work), unseen, stop }));
    }
    let rendering = render::park(rendering, &run.park)?;
    let mut assignment = work.assignment.clone();
    let mut parked = run.clone();
    parked.activity = Activity::Parked;
    parked.rendering = rendering.digest;
    assignment.desired = Desired::Run(Box::new(parked));
    let parked = Arc::new(Work { assignment, rendering: Some(Arc::new(rendering)) });
    Ok(Some(Exclusive { terms, label, parked, unseen, stop }))
}

#[cfg(test)]
mod tests;
