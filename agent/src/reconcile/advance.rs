//! Starts what can be started: what is due by time, and tasks from the queues, as many as may be under way.

use std::sync::Arc;
use std::time::Duration;

use nave_common::manifest::{Manifest, ObjectKey};
use nave_common::name::ApplicationKey;
use nave_common::status::SyncState;
use nave_common::time::HumanDuration;
use tokio::time::Instant;

use super::object::{Live, Need, Object, Role, Why};
use super::queue::Queue;
use super::reconciler::Reconciler;
use super::wakes::Wake;
use super::{tasks, wall_clock};
use crate::apply::conflict::Taking;
use crate::apply::{look, patch, prune};
use crate::observation::Yields;
use crate::work::Work;

/// How many tasks one application starts before the next has its turn.
const MAX_TURN: usize = 8;

impl Reconciler {
    /// Starts everything that can be started now.
    pub(super) fn advance(&mut self) {
        let now = Instant::now();
        let mut to_tell = Vec::new();
        while let Some(wake) = self.wakes.pop_due(now) {
            match wake {
                Wake::Tell(application) => to_tell.push(application),
                other => self.wake(other, now),
            }
        }
        let server_is_paused = self.server_paused_until.is_some_and(|until| until > now);
        while !server_is_paused && self.in_flight < self.config.max_in_flight {
            let Some(key) = self.round.pop_front() else { break };
            let Some(application) = self.applications.get_mut(&key) else { continue };
            application.active = false;
            if self.start_some(&key, now) {
                self.activate(&key);
            }
        }
        if self.kinds_are_stale {
            self.follow_kinds();
        }
        // After the requests are out: to sum up the status of a thousand objects takes as long as half a request.
        for application in to_tell {
            self.publish_if_due(&application, now);
        }
    }

    fn wake(&mut self, wake: Wake, now: Instant) {
        match wake {
            Wake::Object(application, key) => self.requeue(&application, &key),
            Wake::Diagnose(application, key) => self.start_diagnosis(&application, &key, now),
            Wake::Discover(application) => self.discover_again(&application, now),
            Wake::Record(application) => {
                self.save_if_due(&application, now);
                self.finish_removal(&application, now);
            }
            // Those that are due are told together, at the end of a round.
            Wake::Tell(application) => self.publish_if_due(&application, now),
            Wake::Pass(application) => self.pass_grace_is_over(&application),
            Wake::Sweep => self.start_sweep(),
            Wake::Server => {}
        }
    }

    /// Starts a few tasks of one application. True where there may be more to start.
    fn start_some(&mut self, key: &ApplicationKey, now: Instant) -> bool {
        let Some(application) = self.applications.get_mut(key) else { return false };
        if !application.may_write() {
            self.close_pass(key, now);
            return false;
        }
        let held_back = application.record.has_intents();
        let mut may_leave = None;
        for _ in 0..MAX_TURN {
            if self.in_flight >= self.config.max_in_flight {
                return true;
            }
            let Some(application) = self.applications.get_mut(key) else { return false };
            let queue = &mut application.queue;
            let mut next = queue.pop_urgent().or_else(|| if held_back { None } else { queue.pop_ranked() });
            if next.is_none() && queue.has_leaving() {
                // Nothing goes before everything that is wanted was tried, and worked.
                let may_leave = *may_leave.get_or_insert_with(|| {
                    !held_back && application.queue.is_through() && !application.is_failing()
                });
                next = may_leave.then(|| application.queue.pop_leaving()).flatten();
            }
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
        let may_be_suspended = !application.is_leaving();
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
                // Who keeps starting what is to stop is never given way to.
                let may_yield = why.is_repair() && !object.is_fenced;
                let contest = may_yield.then(|| object.contest.get_or_insert_default().note(now));
                if let Some(pause) = contest.flatten() {
                    let until = contested(object, pause, now);
                    self.wakes.add(until, Wake::Object(application_key.clone(), Arc::clone(key)));
                    self.tell(application_key);
                    return;
                }
                let Some((request, digest)) = apply_request(work, key, object) else { return };
                occupy(object, &mut application.queue);
                self.in_flight += 1;
                self.tasks.spawn(tasks::apply(self.api.clone(), request, why, digest));
            }
            Need::Look => {
                let request = look::Request {
                    work,
                    resource: Arc::clone(&object.resource),
                    namespace: key.namespace.clone(),
                    objects: vec![object.sought(key)],
                };
                occupy(object, &mut application.queue);
                self.tasks.spawn(tasks::look(self.api.clone(), request, Arc::clone(&self.looks)));
            }
            need @ (Need::Delete | Need::Release) => {
                let request = prune::Request {
                    application: application_key.clone(),
                    key: Arc::clone(key),
                    resource: Arc::clone(&object.resource),
                    uid: object.entry.as_ref().and_then(|entry| entry.uid.clone()),
                    may_be_suspended,
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

    /// Puts an object into its queue if it needs something and may be acted on.
    pub(super) fn requeue(&mut self, application_key: &ApplicationKey, key: &Arc<ObjectKey>) {
        let now = Instant::now();
        let Some(application) = self.applications.get_mut(application_key) else { return };
        let Some(object) = application.objects.get_mut(key) else { return };
        if !object.is_free(now) {
            return;
        }
        match object.need() {
            Need::Apply(_) | Need::Look => application.queue.push_urgent(Arc::clone(key)),
            Need::Delete | Need::Release => {
                application.queue.push_leaving_again(object.rank, Arc::clone(key));
            }
            // What was kept may be free to go by now; what was refused, to be had.
            Need::Nothing if matches!(object.role, Role::Retain(_) | Role::Refused(_)) => {
                object.look_again = true;
                self.replan(application_key, false);
                return;
            }
            Need::Nothing | Need::Wait => return,
        }
        self.activate(application_key);
    }

    /// What follows once nothing is left to start.
    fn close_pass(&mut self, key: &ApplicationKey, now: Instant) {
        let Some(application) = self.applications.get_mut(key) else { return };
        if !application.record.has_intents()
            && application.pass_since.is_some()
            && (application.queue.is_through() || !application.may_write())
        {
            application.pass_since = None;
            self.kinds_are_stale = true;
            self.tell_end_of_pass(key);
        }
        self.save_if_due(key, now);
        self.finish_removal(key, now);
    }
}

/// What it takes to apply an object, and the digest of what is applied.
fn apply_request(
    work: Arc<Work>,
    key: &Arc<ObjectKey>,
    object: &Object,
) -> Option<(patch::Request, nave_common::digest::Digest)> {
    let wanted = object.wanted?;
    let entry = object.entry.as_ref()?;
    let begins_again = object.scaled.is_some() && !object.yields.replicas && is_scaled(&work, key);
    let request = patch::Request {
        work,
        index: wanted.index,
        key: Arc::clone(key),
        resource: Arc::clone(&object.resource),
        uid: object.uid_to_insist_on(),
        adopted: entry.adopted,
        claim: object.claim_now(),
        last: object.paths.clone(),
        yields: Yields { replicas: object.yields.replicas && !object.is_parked, ..object.yields },
        scaled: object.scaled.filter(|_| object.is_parked || begins_again),
        taking: match (object.is_parked, object.is_fenced) {
            (_, true) => Taking::Everything,
            (true, false) => Taking::Replicas,
            (false, false) => Taking::Nothing,
        },
    };
    Some((request, wanted.digest))
}

/// Whether an autoscaler is wanted that sets the replicas of an object.
fn is_scaled(work: &Work, key: &ObjectKey) -> bool {
    let names = |manifest: &Manifest| {
        let target = &manifest.object()["spec"]["scaleTargetRef"];
        matches!(manifest.key().kind.as_str(), "HorizontalPodAutoscaler" | "ScaledObject")
            && target["name"] == key.name
            && target["kind"].as_str().unwrap_or("Deployment") == key.kind
    };
    work.rendering.as_ref().is_some_and(|rendering| rendering.manifests.iter().any(names))
}

/// Notes that a request for an object is under way, for which later ranks wait.
fn occupy(object: &mut Object, queue: &mut Queue) {
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
    object.contested_until = Some(until);
    until
}
