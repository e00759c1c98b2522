//! Takes in what tasks brought about.

use std::sync::Arc;
use std::time::Duration;

use nave_common::health::Health;
use nave_common::manifest::ObjectKey;
use nave_common::name::ApplicationKey;
use nave_common::status::SyncState;
use tokio::time::Instant;

use super::application::Past;
use super::object::{Live, Object, Role, Seen, Why};
use super::reconciler::{Reconciler, Sweeping};
use super::replan::is_definition;
use super::tasks::Done;
use super::wakes::Wake;
use super::{pause, wall_clock};
use crate::api::Error;
use crate::apply::conflict::{Claim, Conflict};
use crate::apply::{look, order, patch, prune};
use crate::inventory::store::Saved;
use crate::inventory::sweep::Swept;
use crate::observation::{Observation, Yields};

/// How often something that is being deleted is looked at, beside being followed.
const GOING_INTERVAL: Duration = Duration::from_secs(5);
/// How often a Namespace or CRD of a removed application is given time to become empty, before it is let go of as it is.
const MAX_EMPTYING_LOOKS: u32 = 4;
/// After so many failures in a row that may pass by themselves, it counts as a failure.
const MAX_QUIET_FAILURES: u32 = 3;
/// When a workload's pods are asked again, in seconds.
const DIAGNOSIS_PAUSES: [u64; 5] = [2, 5, 15, 30, 60];

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

    fn discovered(&mut self, key: &ApplicationKey, problem: Option<&Error>) {
        let Some(application) = self.applications.get_mut(key) else { return };
        application.discovering.busy = false;
        application.discovering.problem = problem.map(Error::describe);
        if problem.is_some() {
            application.discovering.failures += 1;
            let pause = pause::short(application.discovering.failures, rand::random());
            self.wakes.add(Instant::now() + pause, Wake::Discover(key.clone()));
            self.tell(key);
            return;
        }
        self.server_answers();
        let Some(application) = self.applications.get_mut(key) else { return };
        let again = std::mem::take(&mut application.discovering.again);
        if again && self.discover(key) {
            return;
        }
        let Some(application) = self.applications.get_mut(key) else { return };
        let fresh = std::mem::take(&mut application.discovering.fresh);
        self.replan(key, fresh);
    }

    fn looked(
        &mut self,
        application_key: &ApplicationKey,
        asked_at: Instant,
        verdicts: Vec<(Arc<ObjectKey>, look::Verdict)>,
    ) {
        for (key, verdict) in verdicts {
            let Some(application) = self.applications.get_mut(application_key) else { return };
            let Some(object) = application.objects.get_mut(&key) else { continue };
            object.busy = false;
            if std::mem::take(&mut object.counted) {
                application.queue.end(object.rank);
            }
            object.meanwhile = None;
            if object.role != Role::Look {
                // Planned anew meanwhile.
                self.requeue(application_key, &key);
                continue;
            }
            let failed = matches!(verdict, look::Verdict::Failed(_));
            let rank = object.rank;
            match verdict {
                look::Verdict::Failed(error) => self.fail(application_key, &key, &error),
                other => take_verdict(object, other, asked_at),
            }
            let Some(application) = self.applications.get_mut(application_key) else { return };
            let Some(object) = application.objects.get(&key) else { continue };
            match &object.role {
                Role::Keep => application.queue.push_ranked(rank, Arc::clone(&key)),
                Role::Refused(_) | Role::Share if !failed => {
                    let again = matches!(object.role, Role::Refused(_));
                    if again {
                        let pause = pause::long(object.failures + 4, rand::random());
                        let wake = Wake::Object(application_key.clone(), Arc::clone(&key));
                        self.wakes.add(Instant::now() + pause, wake);
                    }
                    self.touch(application_key, self.config.record_interval);
                }
                _ => {}
            }
        }
        self.activate(application_key);
        self.tell(application_key);
    }

    fn applied(
        &mut self,
        application_key: &ApplicationKey,
        key: &Arc<ObjectKey>,
        why: Why,
        digest: nave_common::digest::Digest,
        outcome: patch::Outcome,
    ) {
        let interval = self.config.record_interval;
        let Some(application) = self.applications.get_mut(application_key) else { return };
        let Some(object) = application.objects.get_mut(key) else { return };
        object.busy = false;
        if std::mem::take(&mut object.counted) {
            application.queue.end(object.rank);
        }
        let mut definition_of = None;
        match outcome {
            patch::Outcome::Applied { created, observation, yields, forced } => {
                tell_log(application_key, key, why, &forced, object);
                if why.is_repair() {
                    application.drift_count += 1;
                }
                let delay = if take_applied(object, digest, created, observation, yields) {
                    Duration::ZERO
                } else {
                    interval
                };
                definition_of = is_definition(object).then(|| key.name.clone());
                self.touch(application_key, delay);
                self.server_answers();
            }
            patch::Outcome::Conflicting(conflicts) => {
                let named: Vec<_> = conflicts.iter().map(ToString::to_string).collect();
                let reason = format!(
                    "not applied: {}; make the other stop, take the field out of the manifest, or add it to \
                     sync.ignoreFields",
                    named.join(", ")
                );
                object.set_problem(SyncState::OutOfSync, reason, wall_clock());
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
        self.take_meanwhile(application_key, key);
        if let Some(name) = definition_of {
            // databases.example.com
            self.kinds_changed(name.split_once('.').map_or("", |(_, group)| group));
        }
        self.react(application_key, key);
        self.activate(application_key);
    }

    fn take_meanwhile(&mut self, application_key: &ApplicationKey, key: &Arc<ObjectKey>) {
        let Some(application) = self.applications.get_mut(application_key) else { return };
        let meanwhile = application.objects.get_mut(key).and_then(|object| object.meanwhile.take());
        if let Some(sighting) = meanwhile {
            self.note(application_key, key, *sighting);
        }
    }

    fn left(&mut self, application_key: &ApplicationKey, key: &Arc<ObjectKey>, outcome: prune::Outcome) {
        let Some(application) = self.applications.get_mut(application_key) else { return };
        let leaving = application.is_leaving();
        let Some(object) = application.objects.get_mut(key) else { return };
        object.busy = false;
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
                object.set_problem(SyncState::Syncing, why, wall_clock());
                let until = Instant::now() + GOING_INTERVAL;
                object.paused_until = Some(until);
                self.wakes.add(until, Wake::Object(application_key.clone(), Arc::clone(key)));
            }
            prune::Outcome::Kept(why) => {
                let may_empty = matches!(object.rank, order::NAMESPACES | order::DEFINITIONS);
                if !leaving {
                    let rank = object.rank;
                    object.role = Role::Retain(why);
                    application.queue.settle(rank);
                    self.pause(application_key, key, |failures, chance| pause::long(failures + 3, chance));
                } else if may_empty && object.failures < MAX_EMPTYING_LOOKS {
                    object.set_problem(SyncState::Syncing, why, wall_clock());
                    self.pause(application_key, key, pause::short);
                } else {
                    application.left_behind.push(format!("{key} stays: {why}"));
                    object.role = Role::Release;
                    object.paused_until = None;
                    self.requeue(application_key, key);
                }
            }
            prune::Outcome::Failed(error) => self.fail(application_key, key, &error),
        }
        self.take_meanwhile(application_key, key);
        // A Namespace that goes is seen to be gone by its follower; with none, by looking again.
        self.activate(application_key);
        self.tell(application_key);
    }

    /// Takes an object that was to go out of the inventory.
    pub(super) fn let_go(&mut self, application_key: &ApplicationKey, key: &Arc<ObjectKey>) {
        let Some(application) = self.applications.get_mut(application_key) else { return };
        let Some(object) = application.objects.remove(key) else { return };
        application.queue.settle(object.rank);
        self.touch(application_key, Duration::ZERO);
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
        let namespace = key.namespace.clone();
        let Some(application) = self.applications.get_mut(application_key) else { return };
        let Some(object) = application.objects.get_mut(key) else { return };
        let passes = error.is_transient() || error.is_not_found() || error.code() == 409;
        let sync = if passes && object.failures + 1 < MAX_QUIET_FAILURES {
            SyncState::Syncing
        } else {
            SyncState::Failed
        };
        let reason = explain(error, object, key);
        tracing::warn!(application = %application_key, object = %key, error = reason, failures = object.failures + 1, "did not work");
        object.set_problem(sync, reason, wall_clock());
        let asked = error.retry_after();
        let by_now = |failures: u32, chance: f64| {
            let pause = if passes { pause::short(failures, chance) } else { pause::long(failures, chance) };
            asked.map_or(pause, |asked| asked + pause::short(1, chance))
        };
        let group = object.resource.gvk.group.clone();
        let may_be_custom = order::may_be_custom(&group);
        self.pause(application_key, key, by_now);
        if error.is_not_found() {
            if let Some(namespace) = namespace {
                self.look_for_namespace(application_key, &namespace);
            }
            if may_be_custom {
                self.discovery.forget_group(&group);
                self.wakes.add(now, Wake::Discover(application_key.clone()));
            }
        }
    }

    /// A namespace that was left to others may be gone, and then it is this application's to make.
    fn look_for_namespace(&mut self, application_key: &ApplicationKey, namespace: &str) {
        let Some(application) = self.applications.get_mut(application_key) else { return };
        let found = application.objects.iter_mut().find(|(key, object)| {
            object.rank == order::NAMESPACES && key.name == namespace && object.role == Role::Share
        });
        if let Some((_, object)) = found.filter(|(_, object)| object.wanted.is_some()) {
            object.role = Role::Look;
            let key = application_key.clone();
            self.replan(&key, true);
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
        let until = Instant::now() + length(object.failures, rand::random());
        object.paused_until = Some(until);
        self.wakes.add(until, Wake::Object(application_key.clone(), Arc::clone(key)));
        self.tell(application_key);
    }

    fn server_answers(&mut self) {
        if self.server_paused_until.take().is_some() {
            self.server_pauses.reset();
        }
    }

    fn saved(&mut self, key: &ApplicationKey, outcome: Result<Saved, Error>) {
        let now = Instant::now();
        let Some(application) = self.applications.get_mut(key) else { return };
        let record = &mut application.record;
        let intents = record.saving.take().unwrap_or(0);
        match outcome {
            Ok(saved) => {
                record.saved = saved;
                record.failures = 0;
                record.problem = None;
                let had_intents = intents > record.intents_saved;
                record.intents_saved = intents;
                if had_intents {
                    let others = self.applications.get(key).map(|application| self.contended(application));
                    for other in others.unwrap_or_default() {
                        self.replan(&other, false);
                    }
                }
            }
            Err(error) => {
                tracing::warn!(application = %key, error = error.describe(), "its inventory cannot be written");
                record.failures += 1;
                record.problem = Some(error.describe());
                let pause = error
                    .retry_after()
                    .unwrap_or_default()
                    .max(pause::short(record.failures, rand::random()));
                record.due_at = Some(now + pause);
                self.wakes.add(now + pause, Wake::Record(key.clone()));
            }
        }
        self.activate(key);
        self.tell(key);
    }

    fn dropped(&mut self, key: &ApplicationKey, outcome: Result<(), Error>) {
        let Some(application) = self.applications.get_mut(key) else { return };
        application.record.saving = None;
        match outcome {
            Ok(()) => {
                tracing::info!(application = %key, "removed");
                application.record.saved = Saved::default();
                application.record.due_at = None;
                application.removed = application.is_leaving();
                application.applied = None;
            }
            Err(error) => {
                application.record.problem = Some(error.describe());
                application.record.failures += 1;
                let pause = pause::short(application.record.failures, rand::random());
                self.wakes.add(Instant::now() + pause, Wake::Server);
                self.activate(key);
            }
        }
        self.tell(key);
    }

    fn swept(&mut self, outcome: Result<(Swept, Vec<String>), Error>) {
        let (mut swept, unread) = match outcome {
            Ok(found) => found,
            Err(error) => {
                let pause = self.server_pauses.next();
                tracing::warn!(error = error.describe(), ?pause, "cannot sweep the cluster yet");
                self.sweeping = Sweeping::Due;
                self.wakes.add(Instant::now() + pause, Wake::Sweep);
                return;
            }
        };
        if !unread.is_empty() {
            tracing::warn!(kinds = ?unread, "kinds that cannot be listed; what is of them is left as it is");
        }
        let mut waiting = Vec::new();
        let now = wall_clock();
        for (key, application) in &mut self.applications {
            let found = swept.remove(key).unwrap_or_default();
            if application.past == Past::Known {
                continue;
            }
            if !found.is_empty() {
                tracing::info!(application = %key, object_count = found.len(), "its inventory was found again");
                application.record.intents += 1;
            }
            application.remember(found, now);
            application.past = Past::Known;
            if application.work.is_some() {
                waiting.push(key.clone());
            }
        }
        self.sweeping = Sweeping::Done(swept);
        for key in waiting {
            self.begin(&key);
        }
    }

    fn diagnosed(
        &mut self,
        application_key: &ApplicationKey,
        key: &Arc<ObjectKey>,
        diagnosis: Option<String>,
    ) {
        self.diagnosing = self.diagnosing.saturating_sub(1);
        let Some(application) = self.applications.get_mut(application_key) else { return };
        let Some(object) = application.objects.get_mut(key) else { return };
        let health = object.health.as_ref().map(|health| health.health);
        if !matches!(health, Some(Health::Progressing | Health::Degraded)) {
            return;
        }
        let last = DIAGNOSIS_PAUSES.len() - 1;
        let place = usize::try_from(object.diagnosis_count).unwrap_or(last).min(last);
        object.diagnosis_count += 1;
        let changed = object.diagnosis != diagnosis;
        object.diagnosis = diagnosis;
        let pause = Duration::from_secs(DIAGNOSIS_PAUSES[place]);
        self.diagnose_later(application_key, key, Instant::now() + pause);
        if changed {
            self.tell(application_key);
        }
    }
}

/// Puts what a look found into an object.
fn take_verdict(object: &mut Object, verdict: look::Verdict, asked_at: Instant) {
    let seen = |identity: &crate::observation::Identity| {
        Live::Present(Seen {
            version: identity.version,
            owned: None,
            deleting: identity.deleting,
            suspended: identity.suspended,
            evidence_at: asked_at,
        })
    };
    object.problem = None;
    match verdict {
        look::Verdict::Absent => {
            object.role = Role::Keep;
            object.live = Live::Absent;
        }
        look::Verdict::Ours(identity) => {
            object.role = Role::Keep;
            object.live = seen(&identity);
            if let Some(entry) = &mut object.entry {
                entry.adopted |= identity.adopted;
                entry.uid = Some(identity.uid);
            }
        }
        look::Verdict::TakeOver(identity) => {
            object.role = Role::Keep;
            object.claim = Claim::Adoption;
            object.live = seen(&identity);
            if let Some(entry) = &mut object.entry {
                entry.adopted = true;
                entry.uid = Some(identity.uid);
            }
        }
        look::Verdict::Leave => {
            object.role = Role::Share;
            object.entry = None;
        }
        look::Verdict::Refuse(why) => {
            object.set_problem(SyncState::OutOfSync, why.clone(), wall_clock());
            object.role = Role::Refused(why);
            object.entry = None;
        }
        look::Verdict::Failed(_) => {}
    }
}

/// Puts the answer to an apply into an object. True where the inventory must hold something new soon.
fn take_applied(
    object: &mut Object,
    digest: nave_common::digest::Digest,
    created: bool,
    observation: Observation,
    yields: Yields,
) -> bool {
    let api_version = object.resource.gvk.api_version();
    let expected_new = object.live == Live::Absent;
    let Some(entry) = &mut object.entry else { return false };
    let is_new = entry.uid.as_ref() != Some(&observation.identity.uid);
    // It came to be between the look and the apply: it is another's, and so never to be deleted.
    let was_there = expected_new && !created && is_new;
    entry.adopted |= was_there;
    entry.api_version = api_version;
    entry.applied = digest;
    entry.owned = Some(observation.ownership.digest);
    entry.uid = Some(observation.identity.uid.clone());
    object.claim = Claim::Owner;
    object.paths = observation.ownership.paths;
    object.yields = Yields {
        replicas: yields.replicas || observation.yields.replicas,
        ignored: yields.ignored | observation.yields.ignored,
    };
    object.taken = Vec::new();
    object.live = Live::Present(Seen {
        version: observation.identity.version,
        owned: entry.owned,
        deleting: observation.identity.deleting,
        suspended: observation.identity.suspended,
        evidence_at: Instant::now(),
    });
    object.problem = None;
    object.failures = 0;
    object.paused_until = None;
    object.set_health(observation.health, wall_clock());
    is_new
}

fn tell_log(application: &ApplicationKey, key: &ObjectKey, why: Why, forced: &[Conflict], object: &Object) {
    if why.is_repair() {
        let taken: Vec<_> =
            object.taken.iter().map(|taken| format!("{} by {}", taken.path, taken.manager)).collect();
        tracing::info!(%application, object = %key, ?why, ?taken, forced = forced.len(), "put back");
    } else {
        tracing::debug!(%application, object = %key, ?why, forced = forced.len(), "applied");
    }
}

/// What went wrong, with what a person can do about it.
fn explain(error: &Error, object: &Object, key: &ObjectKey) -> String {
    let what = error.describe();
    let hint = match error.code() {
        422 if what.contains("field is immutable") => {
            "; this field cannot be changed: delete the object so that it is made anew, or give it another name"
        }
        404 if key.namespace.is_some() && what.contains("namespaces") => {
            "; make the namespace, or set createNamespace"
        }
        404 if order::may_be_custom(&object.resource.gvk.group) => {
            "; is its CustomResourceDefinition installed?"
        }
        403 if what.contains("because it is being terminated") => {
            "; it is tried again once the namespace is back"
        }
        403 if !what.contains("admission") => "; the agent's service account may lack the right",
        _ => "",
    };
    format!("{what}{hint}")
}
