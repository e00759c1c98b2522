//! Takes in what followers saw.

use std::sync::Arc;
use std::time::Duration;

use nave_common::health::Health;
use nave_common::manifest::ObjectKey;
use nave_common::name::ApplicationKey;
use nave_common::status::SyncState;
use nave_common::time::Timestamp;
use serde_json::Value;
use tokio::time::Instant;

use super::object::{Live, Need, Object, Role, Seen, Sighting};
use super::reconciler::Reconciler;
use super::replan::{is_definition, unknown_digest};
use super::wakes::Wake;
use super::wall_clock;
use crate::api::{Gvk, Resource};
use crate::drift::follow::{Message, Sight};
use crate::observation::{Lens, Observation, Version, owner};
use crate::ownership::{self, exclusion};

/// An object that was not applied because of others, and has changed since, is tried again after this.
const CONFLICT_INTERVAL: Duration = Duration::from_secs(1);

/// How long a workload may be on its way before its pods are asked why.
const FIRST_DIAGNOSIS: Duration = Duration::from_millis(500);

impl Reconciler {
    /// Takes in one sight.
    pub(super) fn see(&mut self, message: Message) {
        let resource = message.resource;
        match message.sight {
            Sight::Present(object) => self.see_present(&resource, object),
            Sight::Gone(object) => self.see_gone(&resource, object),
            Sight::Listed { started_at } => self.see_listed(&resource.gvk, started_at),
            Sight::Blind { why, passes } => self.see_nothing(&resource.gvk, Some(why), passes),
            Sight::Seeing => self.see_nothing(&resource.gvk, None, true),
        }
    }

    fn see_present(&mut self, resource: &Resource, object: Value) {
        let Some(key) = key_of(resource, &object) else { return };
        let Some(application_key) = self.find(&key, &object) else { return };
        let Some(application) = self.applications.get_mut(&application_key) else { return };
        let Some(known) = application.objects.get_mut(&key) else { return };
        if known.resource.gvk != resource.gvk {
            // Applied under another version of its group, in which it is followed, too.
            return;
        }
        if known.busy {
            known.meanwhile = Some(Box::new(Sight::Present(object)));
            return;
        }
        if is_known(known, Version::of(&object)) {
            return;
        }
        let object = &object;
        let Some((shared_key, known)) = application.objects.get_key_value(&key) else { return };
        let manifest = application.manifest(known).map(|manifest| manifest.object());
        let ignored = match (&application.work, manifest) {
            (Some(work), Some(manifest)) => exclusion::of_work(work, &key, manifest),
            _ => Vec::new(),
        };
        let is_parked = application.is_parked();
        let field_manager = self.api.field_manager();
        let lens = Lens { field_manager, manifest, ignored: &ignored, is_parked, now: wall_clock() };
        let observation = Observation::of(object, lens);
        let owned = known.entry.as_ref().and_then(|entry| entry.owned);
        let mut restored = None;
        let mut taken = Vec::new();
        if let Some(owned) = owned.filter(|owned| *owned != observation.ownership.digest) {
            if known.paths.is_empty() {
                restored = ownership::restore(object, field_manager, &observation.ownership, &owned);
            }
            taken = ownership::taken(object, field_manager, restored.as_ref().unwrap_or(&known.paths));
        }
        let shared_key = Arc::clone(shared_key);
        let group = object["spec"]["group"].as_str().filter(|_| is_definition(known)).map(str::to_owned);
        let was_healthy = known.health.as_ref().is_some_and(|health| health.health == Health::Healthy);
        let is_healthy = observation.health.health == Health::Healthy;
        if let Some(restored) = restored {
            let application = self.applications.get_mut(&application_key);
            if let Some(known) = application.and_then(|application| application.objects.get_mut(&shared_key))
            {
                known.paths = restored;
            }
        }
        self.note(&application_key, &shared_key, Sighting::Present(Box::new(observation), taken));
        if let Some(group) = group.filter(|_| is_healthy && !was_healthy) {
            self.kinds_changed(&group);
        }
    }

    fn see_gone(&mut self, resource: &Resource, object: Value) {
        let Some(key) = key_of(resource, &object) else { return };
        let Some(application_key) = self.find(&key, &object) else { return };
        let Some(application) = self.applications.get_mut(&application_key) else { return };
        let Some(known) = application.objects.get_mut(&key) else { return };
        if known.resource.gvk != resource.gvk {
            return;
        }
        if known.busy {
            known.meanwhile = Some(Box::new(Sight::Gone(object)));
            return;
        }
        let object = &object;
        let Some((shared_key, known)) = application.objects.get_key_value(&key) else { return };
        let shared_key = Arc::clone(shared_key);
        let group = object["spec"]["group"].as_str().filter(|_| is_definition(known)).map(str::to_owned);
        let uid = object["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
        self.note(&application_key, &shared_key, Sighting::Gone(uid, Version::of(object)));
        if let Some(group) = group {
            self.kinds_changed(&group);
        }
    }

    /// Everything that was there at `started_at` has been told: what was not, is not there.
    fn see_listed(&mut self, gvk: &Gvk, started_at: Instant) {
        if let Some(follower) = self.followers.get_mut(gvk) {
            follower.listed = true;
            follower.blind = None;
            follower.hopeless = false;
        }
        let mut missing = Vec::new();
        for application in self.applications.values() {
            for (key, object) in &application.objects {
                let is_made = object.entry.as_ref().is_some_and(|entry| entry.uid.is_some());
                let not_seen = match &object.live {
                    Live::Unknown => true,
                    Live::Absent => false,
                    Live::Present(seen) => seen.evidence_at < started_at,
                };
                if object.resource.gvk == *gvk
                    && is_made
                    && not_seen
                    && !object.busy
                    && object.role != Role::Look
                {
                    missing.push((application.key.clone(), Arc::clone(key)));
                }
            }
        }
        for (application, key) in missing {
            self.note_missing(&application, &key);
        }
    }

    /// A kind cannot be followed, or can again.
    fn see_nothing(&mut self, gvk: &Gvk, why: Option<String>, passes: bool) {
        let Some(follower) = self.followers.get_mut(gvk) else { return };
        let is_hopeless = !follower.listed && why.is_some() && !passes;
        let became_hopeless = is_hopeless && !follower.hopeless;
        follower.hopeless = is_hopeless;
        follower.blind = why;
        let concerned: Vec<_> = self
            .applications
            .values()
            .filter(|application| application.objects.values().any(|object| object.resource.gvk == *gvk))
            .map(|application| application.key.clone())
            .collect();
        for key in concerned {
            self.tell(&key);
            if became_hopeless {
                // What is there must be found out in another way.
                self.replan(&key, false);
            }
        }
    }

    /// The application that an object is of: as its labels say, or else whichever holds it.
    fn find(&self, key: &ObjectKey, object: &Value) -> Option<ApplicationKey> {
        let has = |application: &ApplicationKey| {
            self.applications
                .get(application)
                .is_some_and(|application| application.objects.contains_key(key))
        };
        let holds = |application: &ApplicationKey| {
            let objects = self.applications.get(application).map(|application| &application.objects);
            objects.and_then(|objects| objects.get(key)).is_some_and(|object| object.entry.is_some())
        };
        if let Some(owner) = owner(object).filter(has) {
            return Some(owner);
        }
        let candidates = self.claims.others(super::claims::Holder::MAX, key);
        candidates.filter_map(|holder| self.holders.get(&holder)).find(|other| holds(other)).cloned()
    }

    /// Notes what was seen of an object for which no request is under way.
    fn note(&mut self, application_key: &ApplicationKey, key: &Arc<ObjectKey>, sighting: Sighting) {
        let Some(application) = self.applications.get_mut(application_key) else { return };
        let Some(object) = application.objects.get_mut(key) else { return };
        let (now, wall_now) = (Instant::now(), wall_clock());
        match sighting {
            Sighting::Present(observation, taken) => {
                let uid_before = object.entry.as_ref().and_then(|entry| entry.uid.clone());
                if note_present(object, application_key, *observation, taken, now, wall_now) {
                    let uid = object.entry.as_ref().and_then(|entry| entry.uid.as_ref());
                    if uid != uid_before.as_ref() {
                        self.touch(application_key, Duration::ZERO);
                    }
                    self.try_soon_after_conflict(application_key, key, now);
                    self.react(application_key, key);
                }
            }
            Sighting::Gone(uid, version) => {
                let is_it = object
                    .entry
                    .as_ref()
                    .is_some_and(|entry| entry.uid.as_ref().is_none_or(|known| *known == uid));
                let is_news =
                    !matches!(&object.live, Live::Present(seen) if version.is_covered_by(seen.version));
                if is_it && is_news {
                    self.note_absent(application_key, key);
                }
            }
        }
    }

    /// An object that was not applied because of others has changed: perhaps what stood in the way is gone.
    fn try_soon_after_conflict(
        &mut self,
        application_key: &ApplicationKey,
        key: &Arc<ObjectKey>,
        now: Instant,
    ) {
        let Some(application) = self.applications.get_mut(application_key) else { return };
        let Some(object) = application.objects.get_mut(key) else { return };
        let is_conflicting =
            object.problem.as_ref().is_some_and(|problem| problem.sync == SyncState::OutOfSync);
        let is_contested = object.contested_until.is_some_and(|until| until > now);
        let soon = now + CONFLICT_INTERVAL;
        if is_conflicting && !is_contested && object.paused_until.is_some_and(|until| until > soon) {
            object.paused_until = Some(soon);
            self.wakes.add(soon, Wake::Object(application_key.clone(), Arc::clone(key)));
        }
    }

    /// Notes that an object is not among those that have Nave's label. Nobody saw it go, so it may have lost its label,
    /// or another may have its name: what is wanted is looked for.
    fn note_missing(&mut self, application_key: &ApplicationKey, key: &Arc<ObjectKey>) {
        let Some(application) = self.applications.get_mut(application_key) else { return };
        let Some(object) = application.objects.get_mut(key) else { return };
        if object.role == Role::Keep {
            object.role = Role::Look;
            object.live = Live::Unknown;
            self.react(application_key, key);
        } else {
            self.note_absent(application_key, key);
        }
    }

    /// Notes that an object is not there.
    pub(super) fn note_absent(&mut self, application_key: &ApplicationKey, key: &Arc<ObjectKey>) {
        let Some(application) = self.applications.get_mut(application_key) else { return };
        let Some(object) = application.objects.get_mut(key) else { return };
        object.live = Live::Absent;
        object.health = None;
        object.health_since = wall_clock();
        match object.role {
            Role::Prune | Role::Release => self.let_go(application_key, key),
            Role::Retain(_) | Role::HandOver(_) => {
                application.objects.remove(key);
                self.touch(application_key, Duration::ZERO);
                self.tell(application_key);
            }
            Role::Look | Role::Keep | Role::Share | Role::Refused(_) => self.react(application_key, key),
        }
    }

    /// What follows from a change of an object's state.
    pub(super) fn react(&mut self, application_key: &ApplicationKey, key: &Arc<ObjectKey>) {
        self.tell(application_key);
        let Some(application) = self.applications.get(application_key) else { return };
        let Some(object) = application.objects.get(key) else { return };
        let needs_something = matches!(object.need(), Need::Apply(_) | Need::Look);
        if object.is_unwell() && object.wanted.is_some() && object.diagnosis_count == 0 {
            self.diagnose_later(application_key, key, Instant::now() + FIRST_DIAGNOSIS);
        }
        if needs_something {
            self.requeue(application_key, key);
        }
    }
}

/// Whether an object is known as it was in this version already, as it is from the answer to what Nave itself wrote. What
/// is known is not looked at again, which costs more than anything else that is done with a sight.
fn is_known(object: &mut Object, version: Version) -> bool {
    match &mut object.live {
        Live::Present(seen) if version.is_covered_by(seen.version) && seen.owned.is_some() => {
            seen.evidence_at = Instant::now();
            true
        }
        _ => false,
    }
}

/// Puts what was seen into an object. False where nothing follows from it.
pub(super) fn note_present(
    object: &mut Object,
    application: &ApplicationKey,
    observation: Observation,
    taken: Vec<ownership::Taken>,
    now: Instant,
    wall_now: Timestamp,
) -> bool {
    let identity = observation.identity;
    let Some(entry) = &mut object.entry else { return false };
    if object.role == Role::Look {
        return true;
    }
    if entry.uid.as_ref() != Some(&identity.uid) {
        if !identity.belongs_to(application) {
            // Another object has its place. If it is wanted, whose it is is looked into.
            let is_wanted = object.role == Role::Keep;
            if is_wanted {
                object.role = Role::Look;
            }
            return is_wanted;
        }
        // Made by this agent, or by one before it that had no time to record it.
        entry.uid = Some(identity.uid.clone());
        entry.adopted |= identity.adopted;
    }
    let owned = observation.ownership.digest;
    let was_conflicting = object.problem.as_ref().is_some_and(|problem| problem.sync == SyncState::OutOfSync);
    if entry.owned == Some(owned) || object.paths.is_empty() {
        object.paths = observation.ownership.paths;
    }
    if observation.yields.replicas && !object.yields.replicas && entry.owned != Some(owned) {
        // An autoscaler has come: the field is dropped by one more apply, which is no repair.
        entry.applied = unknown_digest();
    }
    object.yields = observation.yields;
    object.scaled = observation.scaled.or(object.scaled.filter(|_| object.is_parked));
    object.taken = taken;
    object.live = Live::Present(Seen {
        version: identity.version,
        owned: Some(owned),
        deleting: identity.deleting,
        suspended: identity.suspended,
        evidence_at: now,
    });
    object.set_health(observation.health, wall_now);
    if object.need() == Need::Nothing && was_conflicting {
        object.problem = None;
    }
    true
}

fn key_of(resource: &Resource, object: &Value) -> Option<ObjectKey> {
    Some(ObjectKey {
        group: resource.gvk.group.clone(),
        kind: resource.gvk.kind.clone(),
        namespace: object["metadata"]["namespace"].as_str().map(str::to_owned),
        name: object["metadata"]["name"].as_str()?.to_owned(),
    })
}
