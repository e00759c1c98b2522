//! What is known of the past: inventories that are written, deleted, and found again.

use std::time::Duration;

use nave_common::name::ApplicationKey;
use tokio::time::Instant;

use super::application::Past;
use super::reconciler::{Reconciler, Sweeping};
use super::wakes::Wake;
use super::{pause, tasks, wall_clock};
use crate::api::Error;
use crate::inventory::store::Saved;
use crate::inventory::sweep::Swept;

/// The record of a pass waits for its end, but no longer than this.
const LONG_PASS: Duration = Duration::from_secs(10);

impl Reconciler {
    /// Writes the inventory if what differs is due: at once where something new is about to be made.
    pub(super) fn save_if_due(&mut self, key: &ApplicationKey, now: Instant) {
        let Some(application) = self.applications.get_mut(key) else { return };
        let pass_is_short = application.pass_since.is_some_and(|since| now.duration_since(since) < LONG_PASS);
        let is_gone = application.is_leaving() && application.objects.is_empty();
        let may_write = application.may_write();
        let record = &mut application.record;
        let is_due = record.due_at.is_some_and(|due| due <= now) && !pass_is_short;
        if record.is_held_up(now) || !may_write || is_gone || !(record.has_intents() || is_due) {
            return;
        }
        let inventory = application.inventory();
        let record = &mut application.record;
        record.saving = Some(record.intents);
        record.due_at = None;
        self.tasks.spawn(tasks::save(self.api.clone(), inventory, record.saved.clone()));
    }

    /// Takes in that an inventory was written, or not.
    pub(super) fn saved(&mut self, key: &ApplicationKey, outcome: Result<Saved, Error>) {
        let Some(application) = self.applications.get_mut(key) else { return };
        let record = &mut application.record;
        let intents = record.saving.take().unwrap_or(0);
        match outcome {
            Ok(saved) => {
                let had_intents = intents > record.intents_saved;
                record.saved = saved;
                record.failures = 0;
                record.retry_at = None;
                record.problem = None;
                record.intents_saved = intents;
                if had_intents {
                    // What was handed over stands here now, so the other may let go of it.
                    let others = self.applications.get(key).map(|application| self.contended(application));
                    for other in others.unwrap_or_default() {
                        self.replan(&other, false);
                    }
                }
                self.activate(key);
            }
            Err(error) => self.record_failed(key, &error),
        }
        self.tell(key);
    }

    fn record_failed(&mut self, key: &ApplicationKey, error: &Error) {
        tracing::warn!(application = %key, error = error.describe(), "its inventory cannot be written");
        let Some(application) = self.applications.get_mut(key) else { return };
        let record = &mut application.record;
        record.failures += 1;
        record.problem = Some(error.describe());
        let pause = pause::short(record.failures, rand::random());
        let at = Instant::now() + error.retry_after().unwrap_or_default().max(pause);
        record.retry_at = Some(at);
        // What was to be written now is late already, however long what came meanwhile may wait.
        record.touch(at);
        self.wakes.add(at, Wake::Record(key.clone()));
    }

    /// Deletes the inventory of an application that was told to go and has no objects left.
    pub(super) fn finish_removal(&mut self, key: &ApplicationKey, now: Instant) {
        let Some(application) = self.applications.get_mut(key) else { return };
        let is_over = application.is_leaving() && application.objects.is_empty() && application.may_write();
        if !is_over || application.removed || application.record.is_held_up(now) {
            return;
        }
        application.record.saving = Some(application.record.intents);
        let inventory = application.inventory();
        let saved = application.record.saved.clone();
        self.tasks.spawn(tasks::drop_inventory(self.api.clone(), inventory, saved));
    }

    /// Takes in that an inventory was deleted, or not.
    pub(super) fn dropped(&mut self, key: &ApplicationKey, outcome: Result<(), Error>) {
        let Some(application) = self.applications.get_mut(key) else { return };
        application.record.saving = None;
        match outcome {
            Ok(()) => {
                application.record.saved = Saved::default();
                application.record.due_at = None;
                application.record.problem = None;
                application.applied = None;
                application.removed = application.is_leaving();
                if application.removed {
                    tracing::info!(application = %key, "removed");
                } else {
                    // Told anew while its inventory went: what it holds by now is written again.
                    application.record.intents += 1;
                    self.activate(key);
                }
            }
            Err(error) => self.record_failed(key, &error),
        }
        self.tell(key);
    }

    pub(super) fn start_sweep(&mut self) {
        if matches!(self.sweeping, Sweeping::Due) {
            self.sweeping = Sweeping::Busy;
            self.tasks.spawn(tasks::sweep(self.api.clone(), self.discovery.clone()));
        }
    }

    /// Takes in that the cluster was swept, or not.
    pub(super) fn swept(&mut self, outcome: Result<(Swept, Vec<String>), Error>) {
        let (mut swept, unread) = match outcome {
            Ok(found) => found,
            Err(error) => {
                let pause = error.retry_after().unwrap_or_default().max(self.server_pauses.next());
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
}
