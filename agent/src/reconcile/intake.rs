//! Takes in what was told: which applications are new, changed, suspended, gone; and begins with those that changed.

use std::sync::Arc;

use nave_common::manifest::Manifest;
use nave_common::name::ApplicationKey;
use tokio::time::Instant;

use super::application::{Application, Past};
use super::object::{Live, Need, Role};
use super::reconciler::{PASS_GRACE, Reconciler, Sweeping};
use super::wakes::Wake;
use super::wall_clock;
use crate::work::{Work, WorkSet};

impl Reconciler {
    /// Takes in what was told. All of it is taken in before anything is planned, so that an object that moves from one
    /// application to another is not deleted in between.
    pub(super) fn take_work(&mut self, told: &WorkSet) {
        let mut changed = Vec::new();
        for (key, work) in told.iter() {
            if self.take_one(key, work) {
                changed.push(key.clone());
            }
        }
        let absent: Vec<_> = self
            .applications
            .values()
            .filter(|application| application.work.is_some() && !told.contains_key(&application.key))
            .map(|application| application.key.clone())
            .collect();
        for key in &absent {
            self.let_be(key);
        }
        // What is to stop goes before what is to run.
        let is_fenced = |key: &ApplicationKey| self.applications.get(key).is_some_and(Application::is_fenced);
        changed.sort_by_key(|key| !is_fenced(key));
        for key in &changed {
            self.begin(key);
        }
        self.kinds_are_stale |= !absent.is_empty();
    }

    /// Whether there is something new in the work of one application.
    fn take_one(&mut self, key: &ApplicationKey, work: &Arc<Work>) -> bool {
        let past = match &self.sweeping {
            Sweeping::Done(_) => Past::Known,
            Sweeping::Due | Sweeping::Busy => Past::Unknown,
        };
        let swept = match &mut self.sweeping {
            Sweeping::Done(swept) => swept.remove(key),
            Sweeping::Due | Sweeping::Busy => None,
        };
        let interval = self.config.record_interval;
        let application = self.application(key, past);
        if let Some(entries) = swept {
            application.remember(entries, wall_clock());
        }
        if application.work.as_ref().is_some_and(|known| Arc::ptr_eq(known, work)) {
            return false;
        }
        let same = application.work.as_ref().is_some_and(|known| {
            known.assignment.desired == work.assignment.desired && application.refusal.is_none()
        });
        let generation = work.assignment.generation;
        let before = application.work.replace(Arc::clone(work));
        application.refusal = (generation < application.generation).then(|| {
            format!(
                "generation {generation} is refused: this cluster has acted on generation {} already",
                application.generation
            )
        });
        if application.refusal.is_some() {
            tracing::warn!(application = %key, why = application.refusal, "assignment is refused");
            application.queue.clear();
            self.tell(key);
            return false;
        }
        let is_newer = generation > application.generation;
        application.generation = generation;
        if same {
            // Not worth a write: what is older and differs from this was recorded when it was acted on.
            self.tell(key);
            return false;
        }
        application_changed(application, before.as_deref());
        // Whatever was stopped may run from here on; it is told again once it is stopped again.
        self.reports.set_stopped(key, None);
        if is_newer {
            self.touch(key, interval);
        }
        true
    }

    /// Stops doing anything about an application of which nothing is known any more.
    fn let_be(&mut self, key: &ApplicationKey) {
        tracing::info!(application = %key, "no longer told of; it is left as it is");
        self.reports.forget(key);
        self.wakes.forget(key);
        let Some(application) = self.applications.get_mut(key) else { return };
        application.work = None;
        application.digests.clear();
        application.unresolved.clear();
        application.queue.clear();
        application.pass_since = None;
        application.applied = None;
        // The wake that would have told it is forgotten with the others.
        application.telling.dirty = false;
        for object in application.objects.values_mut() {
            object.wanted = None;
            object.diagnosis_due = false;
            object.paused_until = None;
            if !object.busy {
                // It may be followed no longer, so what is known of it grows old.
                object.live = Live::Unknown;
            }
        }
        if application.objects.values().all(|object| object.entry.is_none() && !object.busy) {
            let holder = application.holder;
            self.claims.forget(holder);
            self.holders.remove(&holder);
            self.applications.remove(key);
        }
    }

    /// Begins with new work: what it must know first is found out, then it is planned.
    pub(super) fn begin(&mut self, key: &ApplicationKey) {
        self.tell(key);
        if self.applications.get_mut(key).is_some_and(only_contents_changed) {
            self.requeue_changed(key);
            return;
        }
        self.claim(key);
        let Some(application) = self.applications.get_mut(key) else { return };
        application.discovering.fresh = true;
        if application.past == Past::Unknown {
            self.start_sweep();
        } else if !self.discover(key) {
            self.replan(key, true);
        }
    }

    /// Puts what differs from what is wanted into the queue, where the plan is as before.
    fn requeue_changed(&mut self, key: &ApplicationKey) {
        let Some(application) = self.applications.get_mut(key) else { return };
        let now = Instant::now();
        application.pass_since = Some(now);
        for (key, object) in &mut application.objects {
            object.start_afresh();
            if matches!(object.need(), Need::Apply(_)) && !object.busy {
                application.queue.push_ranked(object.rank, Arc::clone(key));
            }
        }
        self.wakes.add(now + PASS_GRACE, Wake::Pass(key.clone()));
        self.activate(key);
    }

    /// Tells the index what an application has to do with.
    pub(super) fn claim(&mut self, key: &ApplicationKey) {
        let Some(application) = self.applications.get(key) else { return };
        let wanted = application.manifests().iter().map(Manifest::key);
        let held = application.objects.keys().map(AsRef::as_ref);
        self.claims.set(application.holder, held, wanted, application.default_namespace());
    }
}

/// What follows from new work for the application's own state.
fn application_changed(application: &mut Application, before: Option<&Work>) {
    application.digests = application.manifests().iter().map(Manifest::digest).collect();
    application.same_objects = match (before, application.work.as_deref()) {
        (Some(before), Some(after)) => have_same_objects(before, after),
        _ => false,
    };
    application.note_fencing();
    application.removed = false;
    application.left_behind.clear();
    application.discovering.failures = 0;
}

/// Whether new work wants the very same objects, kept by the same rules, and only differs in what is in them. Then it is
/// put into the objects, and nothing has to be planned.
fn only_contents_changed(application: &mut Application) -> bool {
    let settled = application.past == Past::Known
        && application.unresolved.is_empty()
        && !application.discovering.busy
        && !application.discovering.fresh
        && !application.is_suspended()
        && application.same_objects
        && application.objects.values().all(|object| {
            matches!(object.role, Role::Keep | Role::Share) && object.wanted.is_some() && !object.awaits_kind
        });
    if !settled {
        return false;
    }
    let digests = &application.digests;
    for object in application.objects.values_mut() {
        if let Some(wanted) = &mut object.wanted
            && let Some(digest) = usize::try_from(wanted.index).ok().and_then(|index| digests.get(index))
        {
            wanted.digest = *digest;
        }
    }
    true
}

/// Whether two assignments name the same objects in the same order, and keep them by the same rules.
fn have_same_objects(before: &Work, after: &Work) -> bool {
    let (Some(run_before), Some(run_after)) = (before.run(), after.run()) else { return false };
    let (Some(before), Some(after)) = (&before.rendering, &after.rendering) else { return false };
    run_before.sync == run_after.sync
        && run_before.namespace == run_after.namespace
        && run_before.create_namespace == run_after.create_namespace
        && before.manifests.len() == after.manifests.len()
        && before.manifests.iter().zip(&after.manifests).all(|(before, after)| {
            // Most are the very same, and their digests are compared faster than their names.
            before == after || (before.key() == after.key() && before.api_version() == after.api_version())
        })
}
