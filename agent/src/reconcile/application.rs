//! One application in this cluster: its work, its objects, its queue, its record. No I/O.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use nave_common::assignment::Generation;
use nave_common::digest::Digest;
use nave_common::health::Health;
use nave_common::inventory::{Inventory, InventoryEntry};
use nave_common::manifest::{Manifest, ObjectKey};
use nave_common::name::ApplicationKey;
use nave_common::render::activity;
use nave_common::status::SyncState;
use nave_common::time::Timestamp;
use tokio::time::Instant;

use super::claims::Holder;
use super::object::{Live, Object, Role};
use super::queue::Queue;
use crate::api::{Gvk, Resource};
use crate::apply::order::{self, DEFINITIONS};
use crate::apply::plan::Unresolved;
use crate::inventory::store::Saved;
use crate::work::Work;

/// The namespace of objects that name none, where the application names none either.
const DEFAULT_NAMESPACE: &str = "default";

/// What is known of what was applied before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Past {
    /// The inventory was there in full, or the sweep has found what there is.
    Known,
    /// The inventory is not there, or not in full, and the sweep is not done.
    Unknown,
}

/// The inventory as a thing that is written.
#[derive(Debug, Default)]
pub struct Record {
    /// What is in the cluster.
    pub saved: Saved,
    /// When what differs is to be written; `None` where nothing does.
    pub due_at: Option<Instant>,
    /// The intents that a write under way holds; `None` while there is none.
    pub saving: Option<u64>,
    /// How many times something was about to be made that was not in the inventory yet.
    pub intents: u64,
    /// How many of these are in the cluster. Nothing new is made before all of them are.
    pub intents_saved: u64,
    /// Writes that failed in a row.
    pub failures: u32,
    /// After a failure nothing is written before this.
    pub retry_at: Option<Instant>,
    /// Why the last one failed.
    pub problem: Option<String>,
}

impl Record {
    /// Whether a write is under way, or must wait after a failure.
    #[must_use]
    pub fn is_held_up(&self, now: Instant) -> bool {
        self.saving.is_some() || self.retry_at.is_some_and(|at| at > now)
    }

    /// Whether something is about to be made whose intent is not in the cluster yet.
    #[must_use]
    pub fn has_intents(&self) -> bool {
        self.intents > self.intents_saved
    }

    /// Notes that it differs and is to be written at some time. True where that is earlier than it was to be before.
    pub fn touch(&mut self, at: Instant) -> bool {
        let is_earlier = self.due_at.is_none_or(|due| at < due);
        if is_earlier {
            self.due_at = Some(at);
        }
        is_earlier
    }
}

/// Finding out kinds.
#[derive(Debug, Default)]
pub struct Discovering {
    /// Whether it is under way.
    pub busy: bool,
    /// Whether it is to be done once more when that is over.
    pub again: bool,
    /// Whether new work waits for it.
    pub fresh: bool,
    /// Times in a row that something stayed unknown.
    pub failures: u32,
    /// What could not be asked.
    pub problem: Option<String>,
    /// When what stayed unknown is asked for again.
    pub again_at: Option<Instant>,
}

/// When what is told was told.
#[derive(Debug, Default)]
pub struct Telling {
    /// Whether there is something new to tell.
    pub dirty: bool,
    /// When something was told last.
    pub last_at: Option<Instant>,
    /// When it is to be told anew, because the time that something has lasted is part of it.
    pub refresh_at: Option<Instant>,
}

/// One application.
#[derive(Debug)]
pub struct Application {
    /// Its key.
    pub key: ApplicationKey,
    /// Its short number.
    pub holder: Holder,
    /// What was told of it; `None` while nothing is known, and then nothing is changed.
    pub work: Option<Arc<Work>>,
    /// The digests of the rendering's manifests.
    pub digests: Vec<Digest>,
    /// Whether the work wants the same objects as the work before it, by the same rules.
    pub same_objects: bool,
    /// Its objects: wanted, or held by the inventory.
    pub objects: BTreeMap<Arc<ObjectKey>, Object>,
    /// Manifests of unknown kinds.
    pub unresolved: Vec<Unresolved>,
    /// The newest generation that was acted on.
    pub generation: Generation,
    /// Why the work is not acted on.
    pub refusal: Option<String>,
    /// What is known of what was applied before.
    pub past: Past,
    /// Its inventory.
    pub record: Record,
    /// What is to be started.
    pub queue: Queue,
    /// Whether it is in the reconciler's round.
    pub active: bool,
    /// Finding out kinds.
    pub discovering: Discovering,
    /// When the pass that is open began.
    pub pass_since: Option<Instant>,
    /// The rendering that was last applied in full.
    pub applied: Option<Digest>,
    /// How many times a foreign change was undone.
    pub drift_count: u64,
    /// Whether everything of it is gone, as it was told.
    pub removed: bool,
    /// Objects that stayed when it was removed, and why.
    pub left_behind: Vec<String>,
    /// What is told of it.
    pub telling: Telling,
    /// Since when things are as told last, where no object says.
    pub since: Timestamp,
}

impl Application {
    /// An application of which nothing is known but its name.
    #[must_use]
    pub fn new(key: ApplicationKey, holder: Holder, past: Past, now: Timestamp) -> Self {
        Self {
            key,
            holder,
            work: None,
            digests: Vec::new(),
            same_objects: false,
            objects: BTreeMap::new(),
            unresolved: Vec::new(),
            generation: Generation::default(),
            refusal: None,
            past,
            record: Record::default(),
            queue: Queue::default(),
            active: false,
            discovering: Discovering::default(),
            pass_since: None,
            applied: None,
            drift_count: 0,
            removed: false,
            left_behind: Vec::new(),
            telling: Telling::default(),
            since: now,
        }
    }

    /// Takes over what an inventory, or the sweep, says was applied before. What is known already is not replaced.
    pub fn remember(&mut self, entries: BTreeMap<ObjectKey, InventoryEntry>, now: Timestamp) {
        for (key, entry) in entries {
            let gvk = Gvk::new(&entry.api_version, &key.kind);
            // Its name in paths is found out before anything is done with it.
            let resource = Resource { gvk, plural: String::new(), namespaced: key.namespace.is_some() };
            let object =
                self.objects.entry(Arc::new(key)).or_insert_with(|| Object::new(Arc::new(resource), now));
            if object.entry.as_ref().is_none_or(|known| known.uid.is_none()) {
                object.entry = Some(entry);
            }
        }
    }

    /// What is wanted now, as manifests.
    #[must_use]
    pub fn manifests(&self) -> &[Manifest] {
        self.work
            .as_ref()
            .and_then(|work| work.rendering.as_ref())
            .map_or(&[][..], |rendering| &rendering.manifests)
    }

    /// The namespace of manifests that name none.
    #[must_use]
    pub fn default_namespace(&self) -> &str {
        let run = self.work.as_ref().and_then(|work| work.run());
        run.and_then(|run| run.namespace.as_ref()).map_or(DEFAULT_NAMESPACE, |namespace| namespace.as_str())
    }

    /// The manifest of an object, if it is wanted.
    #[must_use]
    pub fn manifest(&self, object: &Object) -> Option<&Manifest> {
        self.manifests().get(object.wanted?.index as usize)
    }

    /// Whether it was told to go.
    #[must_use]
    pub fn is_leaving(&self) -> bool {
        self.work.as_ref().is_some_and(|work| work.run().is_none())
    }

    /// Whether it was told to be left alone.
    #[must_use]
    pub fn is_suspended(&self) -> bool {
        self.work.as_ref().and_then(|work| work.run()).is_some_and(|run| run.sync.suspended)
    }

    /// Whether nothing of it is to run.
    #[must_use]
    pub fn is_parked(&self) -> bool {
        self.work.as_ref().is_some_and(|work| work.is_parked())
    }

    /// Whether it is Exclusive and nothing of it may run: what makes pods is stopped then whatever else holds.
    #[must_use]
    pub fn is_fenced(&self) -> bool {
        let run = self.work.as_ref().and_then(|work| work.run());
        self.is_parked() && run.is_some_and(|run| run.exclusive.is_some())
    }

    /// Whether anything may be written for it. Where it is suspended and fenced, only what stops work.
    #[must_use]
    pub fn may_write(&self) -> bool {
        self.work.is_some()
            && self.refusal.is_none()
            && self.past == Past::Known
            && (!self.is_suspended() || self.is_fenced())
    }

    /// Notes in each object whether it is to be stopped, and whether it is left alone but for that.
    pub fn note_fencing(&mut self) {
        let (is_parked, is_fenced, is_suspended) = (self.is_parked(), self.is_fenced(), self.is_suspended());
        let work = self.work.clone();
        let rules = work.as_ref().and_then(|work| work.run()).map_or(&[][..], |run| &run.park);
        for (key, object) in &mut self.objects {
            object.is_parked = is_parked;
            object.is_fenced = is_fenced && activity::is_stopped(key, rules);
            object.is_held = is_fenced && is_suspended;
            if !object.busy && !object.counted && object.wanted.is_some() {
                // What would scale a workload up again is stopped before it.
                let scales = is_parked && key.group == "keda.sh";
                object.rank = if scales { order::SUPPORTS } else { order::rank(&key.group, &key.kind) };
            }
        }
    }

    /// Whether it is parked, and everything that makes pods has taken in that it is stopped.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        let is_going = |object: &Object| matches!(object.role, Role::Prune | Role::HandOver(_));
        let is_quiet = |object: &Object| {
            let health = object.health.as_ref().map(|report| report.health);
            object.live == Live::Absent || matches!(health, Some(Health::Healthy | Health::Suspended))
        };
        let is_stopped = |object: &Object| {
            if object.is_fenced {
                // What somebody else has is not this application's, and what it runs is seen by its label.
                object.is_settled() && is_quiet(object)
            } else {
                object.is_settled() || object.is_suspended() || (object.wanted.is_none() && !is_going(object))
            }
        };
        self.is_fenced()
            && self.may_write()
            && self.pass_since.is_none()
            && !self.discovering.busy
            && self.unresolved.is_empty()
            && self.objects.values().all(is_stopped)
    }

    /// Whether something that is wanted could not be applied; then nothing that is no longer wanted is deleted.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        let failed = |object: &Object| {
            object.wanted.is_some()
                && object.problem.as_ref().is_some_and(|problem| problem.sync == SyncState::Failed)
        };
        !self.unresolved.is_empty() || self.objects.values().any(failed)
    }

    /// The inventory as it is now.
    #[must_use]
    pub fn inventory(&self) -> Inventory {
        Inventory { application: self.key.clone(), generation: self.generation, objects: self.entries() }
    }

    /// What the inventory holds.
    #[must_use]
    pub fn entries(&self) -> BTreeMap<ObjectKey, InventoryEntry> {
        self.objects
            .iter()
            .filter_map(|(key, object)| Some((ObjectKey::clone(key), object.entry.clone()?)))
            .collect()
    }

    /// The kinds that are to be followed. In a pass new kinds are put off, so that the API server does not tell of every
    /// object that is just being made; not put off are kinds of which nothing was seen yet, and CRDs.
    #[must_use]
    pub fn kinds(&self, in_a_pass: bool) -> BTreeSet<Arc<Resource>> {
        let followed = |object: &&Object| {
            let is_made = object.entry.as_ref().is_some_and(|entry| entry.uid.is_some());
            let is_definition = object.rank == DEFINITIONS && object.entry.is_some();
            let is_due = !in_a_pass || object.live == Live::Unknown;
            !object.awaits_kind
                && !object.resource.plural.is_empty()
                && (is_definition || (is_made && is_due))
        };
        self.objects.values().filter(followed).map(|object| Arc::clone(&object.resource)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// A write failed while another change noted that it could wait for an hour; the first waited as long.
    #[test]
    fn record_is_due_as_early_as_anything_in_it() {
        let (now, hour) = (Instant::now(), Duration::from_secs(3600));
        let mut record = Record::default();
        assert!(record.touch(now + hour));
        assert!(record.touch(now), "earlier");
        assert!(!record.touch(now + hour), "later is no news");
        assert_eq!(record.due_at, Some(now));
    }
}
