//! Tells how applications are, and finds out why workloads are not well.

use std::sync::Arc;
use std::time::Duration;

use nave_common::health::Health;
use nave_common::manifest::ObjectKey;
use nave_common::name::ApplicationKey;
use tokio::time::Instant;

use super::application::Application;
use super::object::Role;
use super::reconciler::Reconciler;
use super::wakes::Wake;
use super::{status, tasks, wall_clock};
use crate::health::diagnosis;

/// How many workloads' pods are asked at once.
const MAX_DIAGNOSING: usize = 2;
/// How long one waits that finds as many being asked.
const DIAGNOSIS_TURN: Duration = Duration::from_millis(500);
/// When a workload's pods are asked again, in seconds.
const DIAGNOSIS_PAUSES: [u64; 5] = [2, 5, 15, 30, 60];

impl Reconciler {
    /// Notes that there is something new to tell of an application.
    pub(super) fn tell(&mut self, key: &ApplicationKey) {
        let Some(application) = self.applications.get_mut(key) else { return };
        if application.telling.dirty {
            return;
        }
        application.telling.dirty = true;
        let now = Instant::now();
        let at =
            application.telling.last_at.map_or(now, |last| (last + self.config.status_interval).max(now));
        self.wakes.add(at, Wake::Tell(key.clone()));
    }

    /// Notes that a pass of an application is over, which is told at once: somebody may wait for it.
    pub(super) fn tell_end_of_pass(&mut self, key: &ApplicationKey) {
        let Some(application) = self.applications.get_mut(key) else { return };
        application.telling.dirty = true;
        self.wakes.add(Instant::now(), Wake::Tell(key.clone()));
    }

    /// Tells how an application is, if there is something new to tell: it may have been told meanwhile.
    pub(super) fn publish_if_due(&mut self, key: &ApplicationKey, now: Instant) {
        let Some(application) = self.applications.get(key) else { return };
        let telling = &application.telling;
        if telling.dirty || telling.refresh_at.is_some_and(|at| at <= now) {
            self.publish(key, now);
        }
    }

    /// Tells how an application is.
    pub(super) fn publish(&mut self, key: &ApplicationKey, now: Instant) {
        let blind = self.blind_kinds(key);
        let Some(application) = self.applications.get_mut(key) else { return };
        if application.telling.refresh_at.is_some_and(|at| at <= now) {
            application.telling.refresh_at = None;
        }
        if is_applied(application) {
            let run = application.work.as_ref().and_then(|work| work.run());
            application.applied = run.map(|run| run.rendering);
        }
        let stopped =
            application.is_stopped().then(|| application.work.as_ref()?.run().map(|run| run.rendering));
        self.reports.set_stopped(key, stopped.flatten());
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

    /// Asks a workload's pods why it is not well, if it is not.
    pub(super) fn start_diagnosis(
        &mut self,
        application_key: &ApplicationKey,
        key: &Arc<ObjectKey>,
        now: Instant,
    ) {
        let Some(application) = self.applications.get_mut(application_key) else { return };
        let Some(object) = application.objects.get_mut(key) else { return };
        object.diagnosis_due = false;
        let is_unwell = object.is_unwell();
        let Some(application) = self.applications.get(application_key) else { return };
        let manifest = application.objects.get(key).and_then(|object| application.manifest(object));
        let selector = manifest.and_then(|manifest| diagnosis::selector(manifest.object()));
        let Some(selector) = selector.filter(|_| is_unwell) else { return };
        if self.diagnosing >= MAX_DIAGNOSING {
            self.diagnose_later(application_key, key, now + DIAGNOSIS_TURN);
            return;
        }
        self.diagnosing += 1;
        let (application, key) = (application_key.clone(), Arc::clone(key));
        self.tasks.spawn(tasks::diagnose(self.api.clone(), application, key, selector));
    }

    /// Takes in what a workload's pods say.
    pub(super) fn diagnosed(
        &mut self,
        application_key: &ApplicationKey,
        key: &Arc<ObjectKey>,
        diagnosis: Option<String>,
    ) {
        self.diagnosing = self.diagnosing.saturating_sub(1);
        let Some(application) = self.applications.get_mut(application_key) else { return };
        let Some(object) = application.objects.get_mut(key) else { return };
        if !object.is_unwell() {
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

/// Whether everything that is wanted is in the cluster as wanted, and nothing waits to be deleted.
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
