//! Drives the fence: takes what is told, ends permits when their leases are over on the boot clock, has pods followed and
//! asks the API server before it confirms.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use nave_common::digest::Digest;
use nave_common::failover::Epoch;
use nave_common::name::ApplicationKey;
use nave_common::status::FenceState;
use nave_common::time::BootTime;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::check::{self, Verdict};
use super::pods::Tracker;
use super::status::Seen;
use super::{Exclusive, Fence, Shared, follow};
use crate::api::Api;
use crate::reconcile::wall_clock;
use crate::work::WorkSet;

/// How long until what stands in the way is looked at again.
const CHECK_INTERVAL: Duration = Duration::from_millis(500);
/// How many applications are checked at the same time.
const MAX_CHECKS: usize = 8;

/// Which stopping of an application is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct About {
    /// When it was to stop.
    since: BootTime,
    /// The parked rendering.
    rendering: Digest,
}

/// What came of asking the API server about one application.
#[derive(Debug)]
struct Checked {
    about: About,
    verdict: Verdict,
}

/// The driver of one fence.
struct Driver {
    shared: Arc<Shared>,
    api: Api,
    under_way: JoinSet<(ApplicationKey, Checked)>,
    checked: BTreeMap<ApplicationKey, Checked>,
    /// When each was last asked about.
    asked_at: BTreeMap<ApplicationKey, Instant>,
    following: JoinSet<()>,
}

/// Drives the fence until it is told to stop, or nothing more can be told.
pub async fn run(fence: Fence, api: Api, mut told: watch::Receiver<WorkSet>, shutdown: CancellationToken) {
    let shared = fence.shared;
    let mut keeping = JoinSet::new();
    keeping.spawn(keep(Arc::clone(&shared)));
    let mut driver = Driver {
        shared: Arc::clone(&shared),
        api,
        under_way: JoinSet::new(),
        checked: BTreeMap::new(),
        asked_at: BTreeMap::new(),
        following: JoinSet::new(),
    };
    loop {
        shared.refresh();
        let is_waiting = driver.evaluate();
        let pause = driver.pause(is_waiting);
        tokio::select! {
            () = shutdown.cancelled() => break,
            changed = told.changed() => {
                if changed.is_err() {
                    break;
                }
                let set = Arc::clone(&told.borrow_and_update());
                shared.take(&set);
            }
            () = shared.news.notified() => {}
            () = shared.reports.stopped_changed() => {}
            Some(done) = driver.under_way.join_next() => driver.note(done),
            () = tokio::time::sleep(pause) => {}
        }
    }
    // What changed last may not be kept yet.
    keeping.shutdown().await;
    keep_now(shared).await;
}

/// Keeps leases and pods whenever they change, beside everything else: a disk that hangs must not hold up the end of a
/// lease.
async fn keep(shared: Arc<Shared>) {
    loop {
        shared.to_keep.notified().await;
        keep_now(Arc::clone(&shared)).await;
    }
}

async fn keep_now(shared: Arc<Shared>) {
    let written = tokio::task::spawn_blocking(move || {
        let (machine, tracker) = shared.to_be_kept();
        shared.remember(&tracker);
        shared.file.write(&machine)
    });
    match written.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::warn!(%error, "leases cannot be kept; an agent that is started anew will stop Exclusive work first");
        }
        Err(error) => tracing::error!(%error, "the keeping of leases broke off"),
    }
}

impl Driver {
    /// How long nothing has to be looked at: until the next lease is over, but no longer than the clock may stand still.
    fn pause(&self, is_waiting: bool) -> Duration {
        let clock = &self.shared.clock;
        let step = if is_waiting { clock.step().min(CHECK_INTERVAL) } else { clock.step() };
        match self.shared.wake_at() {
            Some(at) => step.min(at.since(clock.boot())),
            None => step,
        }
    }

    /// Looks at everything that is to stop. True where something is not confirmed yet.
    fn evaluate(&mut self) -> bool {
        let mut is_waiting = false;
        let shared = Arc::clone(&self.shared);
        let mut state = shared.lock();
        let state = &mut *state;
        if state.entries.values().any(|entry| entry.exclusive.is_some()) && self.following.is_empty() {
            self.following.spawn(follow::follow(self.api.clone(), Arc::clone(&self.shared)));
        }
        let is_stopping = |key: &ApplicationKey| {
            let entry = state.entries.get(key).and_then(|entry| entry.exclusive.as_ref());
            entry.is_some_and(|exclusive| exclusive.stop.is_some())
        };
        self.checked.retain(|key, _| is_stopping(key));
        self.asked_at.retain(|key, _| is_stopping(key));
        for (key, entry) in &mut state.entries {
            let Some(exclusive) = &mut entry.exclusive else { continue };
            if exclusive.stop.is_some() {
                is_waiting |= self.evaluate_one(key, exclusive, &state.tracker);
            }
        }
        is_waiting
    }

    /// Looks at one application that is to stop. True where it is not confirmed yet.
    fn evaluate_one(&mut self, key: &ApplicationKey, exclusive: &mut Exclusive, tracker: &Tracker) -> bool {
        let Some(rendering) = exclusive.parked.rendering.as_ref().map(|rendering| rendering.digest) else {
            return false;
        };
        let timeout = Duration::from_millis(exclusive.terms.fence_timeout_ms);
        let Some(stop) = &mut exclusive.stop else { return false };
        let known = tracker.of(&exclusive.label);
        let is_parked = self.shared.reports.stopped(key) == Some(rendering);
        if !is_parked || !known.running.is_empty() {
            // What was found before is no longer so.
            self.checked.remove(key);
        }
        let about = About { since: stop.since, rendering };
        let checked = self.checked.get(key).filter(|checked| checked.about == about);
        let seen = Seen {
            is_parked,
            is_following: tracker.is_following,
            known: &known,
            doubtful_nodes: if exclusive.terms.epoch == Epoch::default() {
                Vec::new() // It never ran here.
            } else {
                tracker.doubtful_nodes(&exclusive.label)
            },
            unseen: exclusive.unseen.as_ref(),
            is_checked: checked.is_some_and(|checked| checked.verdict == Verdict::Quiet),
            check: checked.map_or("", |checked| checked.verdict.why()),
        };
        if stop.assess(&seen, timeout, self.shared.clock.boot(), wall_clock()) {
            let (state, reason) = (stop.state, stop.reason.as_str());
            tracing::info!(application = %key, epoch = %exclusive.terms.epoch, ?state, reason, "fence");
        }
        let is_confirmed = stop.state == FenceState::Confirmed;
        self.shared.reports.set_fence(key, exclusive.status());
        if is_confirmed {
            return false;
        }
        let request = check::Request {
            label: exclusive.label.clone(),
            jobs: exclusive.foreign_jobs(&known),
            may_be_quiet: is_parked && known.running.is_empty(),
        };
        if request.may_be_quiet || !request.jobs.is_empty() {
            self.ask(key, about, request);
        }
        true
    }

    /// Asks the API server about an application, unless it was just asked.
    fn ask(&mut self, key: &ApplicationKey, about: About, request: check::Request) {
        let now = Instant::now();
        let is_due = self.asked_at.get(key).is_none_or(|at| now.duration_since(*at) >= CHECK_INTERVAL);
        if !is_due || self.under_way.len() >= MAX_CHECKS {
            return;
        }
        self.asked_at.insert(key.clone(), now);
        let (api, key) = (self.api.clone(), key.clone());
        self.under_way.spawn(async move {
            let verdict = check::ask(&api, &request).await;
            (key, Checked { about, verdict })
        });
    }

    fn note(&mut self, done: Result<(ApplicationKey, Checked), tokio::task::JoinError>) {
        match done {
            Ok((key, checked)) => {
                self.checked.insert(key, checked);
            }
            Err(error) => tracing::error!(%error, "a check of the fence broke off"),
        }
    }
}
