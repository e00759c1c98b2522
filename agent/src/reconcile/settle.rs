//! Takes in what tasks brought about for single objects.

use std::sync::Arc;
use std::time::Duration;

use nave_common::digest::Digest;
use nave_common::manifest::ObjectKey;
use nave_common::name::ApplicationKey;
use nave_common::status::SyncState;
use tokio::time::Instant;

use super::object::{Live, Need, Role, Why};
use super::outcome::{conflicting, explain, log_applied, passes_by_itself, take_applied, take_verdict};
use super::reconciler::Reconciler;
use super::replan::is_definition;
use super::tasks::Done;
use super::wakes::Wake;
use super::{pause, wall_clock};
use crate::api::Error;
use crate::apply::{look, order, patch, prune};
use crate::drift::follow::Message;

/// What one pass or a burst of changes did is recorded together.
const SOON: Duration = Duration::from_millis(300);
/// How long the pause grows between looks at something that is being deleted, beside its being followed.
const GOING_INTERVAL: Duration = Duration::from_secs(5);
/// How often a Namespace or CRD of a removed application is given time to become empty, before it is let go of as it is.
const MAX_EMPTYING_LOOKS: u32 = 4;
/// After so many failures in a row that may pass by themselves, it counts as a failure.
const MAX_QUIET_FAILURES: u32 = 3;
/// What is to stop and could not be stopped is tried again at least so often.
const FENCE_INTERVAL: Duration = Duration::from_secs(2);
/// A namespace that is missing is looked for at most this often.
const NAMESPACE_INTERVAL: Duration = Duration::from_secs(1);

impl Reconciler {
    /// Takes in the outcome of one task.
    pub(super) fn settle(&mut self, done: Done) {
        match done {
            Done::Discovered { application, problem } => self.discovered(&application, problem.as_ref()),
            Done::Looked { application, asked_at, verdicts } => self.looked(&application, asked_at, verdicts),
            Done::Applied { application, key, why, digest, outcome } => {
                self.in_flight = self.in_flight.saturating_sub(1);
                self.applied(&application, &key, why, digest, *outcome);
            }
            Done::Left { application, key, outcome } => {
                self.in_flight = self.in_flight.saturating_sub(1);
                self.left(&application, &key, outcome);
            }
            Done::Saved { application, outcome } => self.saved(&application, outcome),
            Done::Dropped { application, outcome } => self.dropped(&application, outcome),
            Done::Swept(outcome) => self.swept(outcome),
            Done::Diagnosed { application, key, diagnosis } => self.diagnosed(&application, &key, diagnosis),
        }
    }

    fn looked(
        &mut self,
        application_key: &ApplicationKey,
        asked_at: Instant,
        verdicts: Vec<(Arc<ObjectKey>, look::Verdict)>,
    ) {
        for (key, verdict) in verdicts {
            self.looked_at(application_key, &key, verdict, asked_at);
        }
        self.activate(application_key);
        self.tell(application_key);
    }

    fn looked_at(
        &mut self,
        application_key: &ApplicationKey,
        key: &Arc<ObjectKey>,
        verdict: look::Verdict,
        asked_at: Instant,
    ) {
        let Some(application) = self.applications.get_mut(application_key) else { return };
        let Some(object) = application.objects.get_mut(key) else { return };
        object.busy = false;
        if std::mem::take(&mut object.counted) {
            application.queue.end(object.rank);
        }
        if object.role != Role::Look {
            // Planned anew meanwhile, to wait for what its follower tells: that may have been told while the look was under
            // way, and is told once. So it is taken now, or looked for again.
            if object.meanwhile.is_none() && object.role == Role::Keep && object.live == Live::Unknown {
                object.role = Role::Look;
            }
            self.after_task(application_key, key);
            return self.requeue(application_key, key);
        }
        match verdict {
            look::Verdict::Failed(error) => return self.fail(application_key, key, &error),
            look::Verdict::Going => {
                let why = "the object that has its name is being deleted; it is made once that is gone";
                object.set_problem(SyncState::Syncing, why.to_owned(), wall_clock());
                return self.pause(application_key, key, pause::short);
            }
            _ => {}
        }
        take_verdict(object, verdict, asked_at);
        let again = pause::long(object.failures + 4, rand::random());
        match &object.role {
            Role::Keep => application.queue.push_ranked(object.rank, Arc::clone(key)),
            Role::Refused(_) => {
                // Its owner may let go of it, or it may come to be equal.
                let wake = Wake::Object(application_key.clone(), Arc::clone(key));
                self.wakes.add(Instant::now() + again, wake);
                self.touch(application_key, self.config.record_interval);
            }
            Role::Share => self.touch(application_key, self.config.record_interval),
            _ => {}
        }
        self.take_meanwhile(application_key, key);
    }

    fn applied(
        &mut self,
        application_key: &ApplicationKey,
        key: &Arc<ObjectKey>,
        why: Why,
        digest: Digest,
        outcome: patch::Outcome,
    ) {
        let Some(application) = self.applications.get_mut(application_key) else { return };
        let Some(object) = application.objects.get_mut(key) else { return };
        object.busy = false;
        if std::mem::take(&mut object.counted) {
            application.queue.end(object.rank);
        }
        match outcome {
            patch::Outcome::Applied { created, observation, yields, forced } => {
                log_applied(application_key, key, why, &forced, object);
                if why.is_repair() {
                    application.drift_count += 1;
                }
                let is_new = take_applied(object, digest, created, observation, yields);
                let (is_definition, is_namespace) = (is_definition(object), object.rank == order::NAMESPACES);
                self.touch(application_key, if is_new { SOON } else { self.config.record_interval });
                self.server_answers();
                if is_definition {
                    // databases.example.com
                    self.kinds_changed(key.name.split_once('.').map_or("", |(_, group)| group));
                } else if is_namespace {
                    self.namespace_is_there(&key.name);
                }
            }
            patch::Outcome::Conflicting(_) if object.live == Live::Absent => {
                // It is there all the same, without its label. Whose it is by now is looked into.
                object.role = Role::Look;
                object.live = Live::Unknown;
                self.pause(application_key, key, pause::short);
            }
            patch::Outcome::Conflicting(conflicts) => {
                object.set_problem(SyncState::OutOfSync, conflicting(&conflicts), wall_clock());
                self.pause(application_key, key, pause::long);
            }
            patch::Outcome::Replaced => {
                object.role = Role::Look;
                object.live = Live::Unknown;
                if let Some(entry) = &mut object.entry {
                    entry.uid = None;
                }
                self.pause(application_key, key, pause::short);
            }
            patch::Outcome::Failed(error) => self.fail(application_key, key, &error),
        }
        self.after_task(application_key, key);
    }

    fn left(&mut self, application_key: &ApplicationKey, key: &Arc<ObjectKey>, outcome: prune::Outcome) {
        let Some(application) = self.applications.get_mut(application_key) else { return };
        let Some(object) = application.objects.get_mut(key) else { return };
        object.busy = false;
        if std::mem::take(&mut object.counted) {
            application.queue.end(object.rank);
        }
        if object.wanted.is_some() {
            // Wanted again meanwhile. What became of it must be found out.
            object.role = Role::Look;
            object.live = Live::Unknown;
            self.after_task(application_key, key);
            return;
        }
        match outcome {
            prune::Outcome::Done => {
                tracing::info!(application = %application_key, object = %key, "let go of");
                self.let_go(application_key, key);
            }
            prune::Outcome::NotOurs(why) => {
                tracing::warn!(application = %application_key, object = %key, why, "left alone");
                self.let_go(application_key, key);
            }
            prune::Outcome::Going(why) => {
                // Its follower tells when it is gone. Where it has none, or waits for what it holds, of which nobody
                // tells, it is looked at again: soon at first, since most of it is gone within a second.
                object.set_problem(SyncState::Syncing, why, wall_clock());
                object.going_looks = object.going_looks.saturating_add(1);
                let pause = pause::short(object.going_looks, rand::random()).min(GOING_INTERVAL);
                let until = Instant::now() + pause;
                object.paused_until = Some(until);
                self.wakes.add(until, Wake::Object(application_key.clone(), Arc::clone(key)));
            }
            prune::Outcome::Kept(why) => self.kept(application_key, key, why),
            prune::Outcome::Failed(error) => self.fail(application_key, key, &error),
        }
        self.after_task(application_key, key);
    }

    /// An object that was to go stays.
    fn kept(&mut self, application_key: &ApplicationKey, key: &Arc<ObjectKey>, why: String) {
        let Some(application) = self.applications.get_mut(application_key) else { return };
        let is_leaving = application.is_leaving();
        let Some(object) = application.objects.get_mut(key) else { return };
        let may_empty = matches!(object.rank, order::NAMESPACES | order::DEFINITIONS);
        if !is_leaving {
            object.role = Role::Retain(why);
            application.queue.settle(object.rank);
            self.pause(application_key, key, |failures, chance| pause::long(failures + 3, chance));
        } else if may_empty && object.failures < MAX_EMPTYING_LOOKS {
            object.set_problem(SyncState::Syncing, why, wall_clock());
            self.pause(application_key, key, pause::short);
        } else {
            application.left_behind.push(format!("{key} stays: {why}"));
            object.role = Role::Release;
            object.paused_until = None;
        }
    }

    /// Takes in what was told of an object while a request for it was under way; what the answer covers is not news.
    fn take_meanwhile(&mut self, application_key: &ApplicationKey, key: &Arc<ObjectKey>) {
        let Some(application) = self.applications.get_mut(application_key) else { return };
        if let Some(object) = application.objects.get_mut(key)
            && let Some(sight) = object.meanwhile.take()
        {
            let resource = Arc::clone(&object.resource);
            self.see(Message { resource, sight: *sight });
        }
    }

    /// What follows whenever a request for an object is over.
    fn after_task(&mut self, application_key: &ApplicationKey, key: &Arc<ObjectKey>) {
        self.take_meanwhile(application_key, key);
        self.react(application_key, key);
        let Some(application) = self.applications.get(application_key) else { return };
        let need = application.objects.get(key).map(super::object::Object::need);
        if matches!(need, Some(Need::Delete | Need::Release)) {
            self.requeue(application_key, key);
        }
        self.activate(application_key);
    }

    /// Takes an object that was to go out of the inventory.
    pub(super) fn let_go(&mut self, application_key: &ApplicationKey, key: &Arc<ObjectKey>) {
        let Some(application) = self.applications.get_mut(application_key) else { return };
        let Some(object) = application.objects.remove(key) else { return };
        application.queue.settle(object.rank);
        self.touch(application_key, SOON);
        self.activate(application_key);
        self.tell(application_key);
    }

    /// Notes that something did not work, and when it is tried again.
    fn fail(&mut self, application_key: &ApplicationKey, key: &Arc<ObjectKey>, error: &Error) {
        let now = Instant::now();
        if error.is_unreachable() {
            let pause = self.server_pauses.next();
            self.server_paused_until = Some(now + pause);
            self.wakes.add(now + pause, Wake::Server);
        }
        let Some(application) = self.applications.get_mut(application_key) else { return };
        let Some(object) = application.objects.get_mut(key) else { return };
        let passes = passes_by_itself(error);
        let is_quiet = passes && object.failures + 1 < MAX_QUIET_FAILURES;
        let sync = if is_quiet { SyncState::Syncing } else { SyncState::Failed };
        let reason = explain(error, object, key);
        tracing::warn!(
            application = %application_key,
            object = %key,
            error = reason,
            failures = object.failures + 1,
            "did not work"
        );
        object.set_problem(sync, reason, wall_clock());
        let group = object.resource.gvk.group.clone();
        let asked = error.retry_after();
        self.pause(application_key, key, |failures, chance| match asked {
            Some(asked) => asked + pause::short(1, chance),
            None if passes => pause::short(failures, chance),
            None => pause::long(failures, chance),
        });
        if !error.is_not_found() {
            return;
        }
        if let Some(namespace) = &key.namespace {
            self.look_for_namespace(application_key, namespace, now);
        }
        if order::may_be_custom(&group) {
            self.discovery.forget_group(&group);
            self.discover_at(application_key, now);
        }
    }

    /// A namespace that was left to others may be gone, and then it is this application's to make.
    fn look_for_namespace(&mut self, application_key: &ApplicationKey, namespace: &str, now: Instant) {
        let Some(application) = self.applications.get_mut(application_key) else { return };
        let found = application.objects.iter_mut().find(|(key, object)| {
            object.rank == order::NAMESPACES && key.name == namespace && object.role == Role::Share
        });
        let Some((_, object)) = found.filter(|(_, object)| object.wanted.is_some() && object.is_free(now))
        else {
            return;
        };
        object.look_again = true;
        object.paused_until = Some(now + NAMESPACE_INTERVAL);
        self.replan(application_key, false);
    }

    /// A namespace was made, or is there again: what failed for want of it is tried at once.
    fn namespace_is_there(&mut self, namespace: &str) {
        let mut concerned = Vec::new();
        for application in self.applications.values_mut() {
            for (key, object) in &mut application.objects {
                let is_in_it = key.namespace.as_deref() == Some(namespace);
                if is_in_it && object.failures > 0 && object.problem.is_some() && !object.busy {
                    object.start_afresh();
                    concerned.push((application.key.clone(), Arc::clone(key)));
                }
            }
        }
        for (application, key) in concerned {
            self.requeue(&application, &key);
        }
    }

    /// Leaves an object alone for a while after a failure.
    fn pause(
        &mut self,
        application_key: &ApplicationKey,
        key: &Arc<ObjectKey>,
        length: impl Fn(u32, f64) -> Duration,
    ) {
        let Some(application) = self.applications.get_mut(application_key) else { return };
        let Some(object) = application.objects.get_mut(key) else { return };
        object.failures += 1;
        let length = length(object.failures, rand::random());
        let until = Instant::now() + if object.is_fenced { length.min(FENCE_INTERVAL) } else { length };
        object.paused_until = Some(until);
        self.wakes.add(until, Wake::Object(application_key.clone(), Arc::clone(key)));
        self.tell(application_key);
    }

    /// The API server has answered, so nothing has to wait for it any more.
    pub(super) fn server_answers(&mut self) {
        if self.server_paused_until.take().is_some() {
            self.server_pauses.reset();
        }
    }
}
