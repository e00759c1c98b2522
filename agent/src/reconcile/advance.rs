//! Starts what can be started: what is due by time, and tasks from the queues, as many as may be under way.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use nave_common::health::Health;
use nave_common::manifest::ObjectKey;
use nave_common::name::ApplicationKey;
use nave_common::status::SyncState;
use nave_common::time::HumanDuration;
use tokio::time::Instant;

use super::application::Application;
use super::object::{Live, Need, Object, Role, Why};
use super::reconciler::{Follower, Reconciler, Sweeping};
use super::wakes::Wake;
use super::{status, tasks, wall_clock};
use crate::api::{Gvk, Resource};
use crate::apply::{look, patch, prune};
use crate::drift::follow;
use crate::health::diagnosis;

/// How many tasks one application starts before the next has its turn.
const MAX_TURN: usize = 8;
/// How long the record of a pass that takes long waits for its end.
const LONG_PASS: Duration = Duration::from_secs(10);
/// How many workloads' pods are asked at once.
const MAX_DIAGNOSING: usize = 2;

impl Reconciler {
    /// Starts everything that can be started now.
    pub(super) fn advance(&mut self) {
        let now = Instant::now();
        while let Some(wake) = self.wakes.pop_due(now) {
            self.wake(wake, now);
        }
        if self.server_paused_until.is_some_and(|until| until > now) {
            return;
        }
        while self.in_flight < self.config.max_in_flight {
            let Some(key) = self.round.pop_front() else { return };
            let Some(application) = self.applications.get_mut(&key) else { continue };
            application.active = false;
            if self.start_some(&key, now) {
                self.activate(&key);
            }
        }
    }

    fn wake(&mut self, wake: Wake, now: Instant) {
        match wake {
            Wake::Object(application, key) => self.requeue(&application, &key),
            Wake::Diagnose(application, key) => self.start_diagnosis(&application, &key, now),
            Wake::Discover(application) => self.discover_again(&application, now),
            Wake::Record(application) => self.save_if_due(&application, now),
            Wake::Tell(application) => self.publish(&application, now),
            Wake::Pass(application) => self.pass_grace_is_over(&application),
            Wake::Sweep => self.start_sweep(),
            Wake::Server => {}
        }
    }

    /// Starts a few tasks of one application. True where there may be more to start.
    fn start_some(&mut self, key: &ApplicationKey, now: Instant) -> bool {
        let Some(application) = self.applications.get_mut(key) else { return false };
        if !application.may_write() {
            return false;
        }
        let held_back = application.record.has_intents();
        let may_leave = !held_back && application.queue.is_through() && !application.is_failing();
        for _ in 0..MAX_TURN {
            if self.in_flight >= self.config.max_in_flight {
                return true;
            }
            let Some(application) = self.applications.get_mut(key) else { return false };
            let queue = &mut application.queue;
            let next = queue
                .pop_urgent()
                .or_else(|| if held_back { None } else { queue.pop_ranked() })
                .or_else(|| if may_leave { queue.pop_leaving() } else { None });
            let Some(next) = next else {
                self.close_pass(key, now);
                return false;
            };
            self.start(key, &next, now);
        }
        true
    }

    /// Starts what one object needs, if it needs something and may be acted on.
    fn start(&mut self, application_key: &ApplicationKey, key: &Arc<ObjectKey>, now: Instant) {
        let Some(application) = self.applications.get_mut(application_key) else { return };
        let Some(work) = application.work.clone() else { return };
        let held_back = application.record.has_intents();
        let Some(object) = application.objects.get_mut(key) else { return };
        if !object.is_free(now) {
            return;
        }
        match object.need() {
            Need::Apply(Why::Create) if held_back => {
                // Urgent, but its intent is not in the cluster yet.
                application.queue.push_ranked(object.rank, Arc::clone(key));
            }
            Need::Apply(why) => {
                if why.is_repair()
                    && let Some(pause) = object.contest.get_or_insert_default().note(now)
                {
                    let until = contested(object, pause, now);
                    self.wakes.add(until, Wake::Object(application_key.clone(), Arc::clone(key)));
                    self.tell(application_key);
                    return;
                }
                let (Some(wanted), Some(entry)) = (object.wanted, &object.entry) else { return };
                let request = patch::Request {
                    work,
                    index: wanted.index,
                    key: Arc::clone(key),
                    resource: Arc::clone(&object.resource),
                    uid: object.uid_to_insist_on(),
                    adopted: entry.adopted,
                    claim: object.claim_now(),
                    last: object.paths.clone(),
                    yields: object.yields,
                };
                occupy(object, &mut application.queue);
                self.in_flight += 1;
                self.tasks.spawn(tasks::apply(self.api.clone(), request, why, wanted.digest));
            }
            Need::Look => {
                let index = object.wanted.map_or(0, |wanted| wanted.index);
                let request = look::Request {
                    work,
                    resource: Arc::clone(&object.resource),
                    namespace: key.namespace.clone(),
                    objects: vec![(Arc::clone(key), index)],
                };
                occupy(object, &mut application.queue);
                self.tasks.spawn(tasks::look(self.api.clone(), request));
            }
            need @ (Need::Delete | Need::Release) => {
                let request = prune::Request {
                    application: application_key.clone(),
                    key: Arc::clone(key),
                    resource: Arc::clone(&object.resource),
                    uid: object.entry.as_ref().and_then(|entry| entry.uid.clone()),
                };
                object.busy = true;
                self.in_flight += 1;
                if need == Need::Delete {
                    self.tasks.spawn(tasks::prune(self.api.clone(), self.discovery.clone(), request));
                } else {
                    self.tasks.spawn(tasks::release(self.api.clone(), request));
                }
            }
            Need::Nothing | Need::Wait => {}
        }
    }

    /// Puts an object into its queue if it needs something.
    pub(super) fn requeue(&mut self, application_key: &ApplicationKey, key: &Arc<ObjectKey>) {
        let now = Instant::now();
        let Some(application) = self.applications.get_mut(application_key) else { return };
        let Some(object) = application.objects.get(key) else { return };
        if !object.is_free(now) {
            return;
        }
        match object.need() {
            Need::Apply(_) | Need::Look => application.queue.push_urgent(Arc::clone(key)),
            Need::Delete | Need::Release => {
                application.queue.push_leaving_again(object.rank, Arc::clone(key))
            }
            // What was kept may be free to go by now; what was refused or shared may be free to be had.
            Need::Nothing if matches!(object.role, Role::Retain(_) | Role::Refused(_)) => {
                let again = matches!(object.role, Role::Refused(_)) && application.may_write();
                self.replan(application_key, again);
                return;
            }
            Need::Nothing | Need::Wait => return,
        }
        self.activate(application_key);
    }

    /// What follows once nothing is left to start.
    fn close_pass(&mut self, key: &ApplicationKey, now: Instant) {
        let Some(application) = self.applications.get_mut(key) else { return };
        if application.record.has_intents() {
            self.save_if_due(key, now);
            return;
        }
        if application.pass_since.is_some() && application.queue.is_through() {
            application.pass_since = None;
            self.follow_kinds();
            self.tell(key);
        }
        self.save_if_due(key, now);
        self.finish_removal(key);
    }

    fn pass_grace_is_over(&mut self, key: &ApplicationKey) {
        // From now on new kinds are followed though the pass is open.
        let needed: Vec<_> = match self.applications.get_mut(key) {
            Some(application) if application.pass_since.is_some() => {
                let open = application.pass_since.take();
                let kinds = application.kinds().into_iter().collect();
                application.pass_since = open;
                kinds
            }
            _ => return,
        };
        for resource in needed {
            self.follow(&resource);
        }
    }

    /// Follows the kinds that are in use, and no others.
    pub(super) fn follow_kinds(&mut self) {
        let mut needed: HashMap<Gvk, Arc<Resource>> = HashMap::new();
        let mut in_use: HashMap<Gvk, ()> = HashMap::new();
        for application in self.applications.values().filter(|application| application.work.is_some()) {
            needed.extend(application.kinds().into_iter().map(|resource| (resource.gvk.clone(), resource)));
            in_use.extend(application.objects.values().map(|object| (object.resource.gvk.clone(), ())));
        }
        self.followers.retain(|gvk, follower| {
            let keep = in_use.contains_key(gvk);
            if !keep {
                follower.task.abort();
            }
            keep
        });
        for resource in needed.values() {
            self.follow(resource);
        }
    }

    fn follow(&mut self, resource: &Arc<Resource>) {
        if self.followers.contains_key(&resource.gvk) {
            return;
        }
        tracing::debug!(kind = %resource.gvk, "following");
        let following = follow::follow(self.api.clone(), Arc::clone(resource), self.sights.clone());
        let task = tokio::spawn(following).abort_handle();
        let follower = Follower { task, listed: false, blind: None };
        self.followers.insert(resource.gvk.clone(), follower);
    }

    pub(super) fn start_sweep(&mut self) {
        if matches!(self.sweeping, Sweeping::Due) {
            self.sweeping = Sweeping::Busy;
            self.tasks.spawn(tasks::sweep(self.api.clone(), self.discovery.clone()));
        }
    }

    fn discover_again(&mut self, key: &ApplicationKey, now: Instant) {
        let Some(application) = self.applications.get_mut(key) else { return };
        if application.discovering.again_at.is_some_and(|at| at <= now) {
            application.discovering.again_at = None;
        }
        let waits = !application.unresolved.is_empty()
            || application.discovering.problem.is_some()
            || application.objects.values().any(|object| object.awaits_kind);
        if !waits || application.work.is_none() {
            return;
        }
        application.discovering.failures += 1;
        if !self.discover(key) {
            self.replan(key, false);
        }
    }

    /// Writes the inventory if what differs is due: at once where something new is about to be made.
    pub(super) fn save_if_due(&mut self, key: &ApplicationKey, now: Instant) {
        let Some(application) = self.applications.get_mut(key) else { return };
        let pass_is_short = application.pass_since.is_some_and(|since| now.duration_since(since) < LONG_PASS);
        let has_intents = application.record.has_intents();
        let record = &mut application.record;
        let is_due = record.due_at.is_some_and(|due| due <= now);
        if record.saving.is_some() || !(has_intents || (is_due && !pass_is_short)) {
            return;
        }
        if record.failures > 0 && !is_due {
            return;
        }
        if !application.may_write() || (application.is_leaving() && application.objects.is_empty()) {
            return;
        }
        let inventory = application.inventory();
        let record = &mut application.record;
        record.saving = Some(record.intents);
        record.due_at = None;
        self.tasks.spawn(tasks::save(self.api.clone(), inventory, record.saved.clone()));
    }

    /// Deletes the inventory of an application that was told to go and has no objects left.
    fn finish_removal(&mut self, key: &ApplicationKey) {
        let Some(application) = self.applications.get_mut(key) else { return };
        let is_over = application.is_leaving() && application.objects.is_empty() && application.may_write();
        if !is_over || application.removed || application.record.saving.is_some() {
            return;
        }
        application.record.saving = Some(application.record.intents);
        let inventory = application.inventory();
        let saved = application.record.saved.clone();
        self.tasks.spawn(tasks::drop_inventory(self.api.clone(), inventory, saved));
    }

    /// Tells how an application is.
    fn publish(&mut self, key: &ApplicationKey, now: Instant) {
        let blind = self.blind_kinds(key);
        let Some(application) = self.applications.get_mut(key) else { return };
        if application.telling.refresh_at.is_some_and(|at| at <= now) {
            application.telling.refresh_at = None;
        }
        if is_applied(application) {
            let run = application.work.as_ref().and_then(|work| work.run());
            application.applied = run.map(|run| run.rendering);
        }
        application.telling.dirty = false;
        application.telling.last_at = Some(now);
        let wall_now = wall_clock();
        let Some(status) = status::status(application, &blind, wall_now) else { return };
        let next_news = status
            .objects
            .iter()
            .filter(|object| object.health > Health::Suspended)
            .filter_map(|object| status::next_step(wall_now.since(object.since?)))
            .min();
        self.reports.publish(status);
        if let Some(delay) = next_news
            && application.telling.refresh_at.is_none_or(|at| at > now + delay)
        {
            application.telling.refresh_at = Some(now + delay);
            self.wakes.add(now + delay, Wake::Tell(key.clone()));
        }
    }

    /// The kinds of an application that cannot be followed, each with the reason.
    fn blind_kinds(&self, key: &ApplicationKey) -> Vec<String> {
        let Some(application) = self.applications.get(key) else { return Vec::new() };
        let mut blind: Vec<String> = self
            .followers
            .iter()
            .filter_map(|(gvk, follower)| Some((gvk, follower.blind.as_ref()?)))
            .filter(|(gvk, _)| application.objects.values().any(|object| object.resource.gvk == **gvk))
            .map(|(_, why)| why.clone())
            .collect();
        blind.sort();
        blind
    }

    /// Asks a workload's pods at some time, if that is not planned already.
    pub(super) fn diagnose_later(
        &mut self,
        application_key: &ApplicationKey,
        key: &Arc<ObjectKey>,
        at: Instant,
    ) {
        let Some(application) = self.applications.get_mut(application_key) else { return };
        let Some(object) = application.objects.get_mut(key) else { return };
        if !std::mem::replace(&mut object.diagnosis_due, true) {
            self.wakes.add(at, Wake::Diagnose(application_key.clone(), Arc::clone(key)));
        }
    }

    fn start_diagnosis(&mut self, application_key: &ApplicationKey, key: &Arc<ObjectKey>, now: Instant) {
        let Some(application) = self.applications.get_mut(application_key) else { return };
        let Some(object) = application.objects.get_mut(key) else { return };
        object.diagnosis_due = false;
        let Some(application) = self.applications.get(application_key) else { return };
        let Some(object) = application.objects.get(key) else { return };
        let unwell = object
            .health
            .as_ref()
            .is_some_and(|health| matches!(health.health, Health::Progressing | Health::Degraded));
        let selector =
            application.manifest(object).and_then(|manifest| diagnosis::selector(manifest.object()));
        let Some(selector) = selector.filter(|_| unwell) else { return };
        if self.diagnosing >= MAX_DIAGNOSING {
            self.diagnose_later(application_key, key, now + Duration::from_millis(500));
            return;
        }
        self.diagnosing += 1;
        let (application, key) = (application_key.clone(), Arc::clone(key));
        self.tasks.spawn(tasks::diagnose(self.api.clone(), application, key, selector));
    }
}

/// Whether everything that is wanted is in the cluster as wanted.
fn is_applied(application: &Application) -> bool {
    application.may_write()
        && application.pass_since.is_none()
        && !application.discovering.busy
        && application.unresolved.is_empty()
        && !application.digests.is_empty()
        && application
            .objects
            .values()
            .all(|object| object.is_settled() || (object.wanted.is_none() && object.role != Role::Prune))
}

/// Notes that a request for an object is under way, for which later ranks wait.
fn occupy(object: &mut Object, queue: &mut super::queue::Queue) {
    object.busy = true;
    object.counted = true;
    queue.begin(object.rank);
}

/// Leaves a contested object alone for a while.
fn contested(object: &mut Object, pause: Duration, now: Instant) -> Instant {
    let what = match object.taken.first() {
        Some(taken) => format!("{} is contested by {:?}", taken.path, taken.manager),
        None if object.live == Live::Absent => "its existence is contested: someone deletes it".to_owned(),
        None => "it is contested".to_owned(),
    };
    let reason = format!(
        "{what}: put back ten times within a minute, so it is left alone for {}; stop the other, or add the field to \
         sync.ignoreFields",
        HumanDuration(pause)
    );
    object.set_problem(SyncState::OutOfSync, reason, wall_clock());
    let until = now + pause;
    object.paused_until = Some(until);
    until
}
