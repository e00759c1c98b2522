//! From what is wanted to what is to be done: plans, puts the plan into the objects, and fills the queue.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use nave_common::digest::Digest;
use nave_common::inventory::InventoryEntry;
use nave_common::manifest::ObjectKey;
use nave_common::name::ApplicationKey;
use nave_common::status::SyncState;
use nave_common::time::Timestamp;
use tokio::time::Instant;

use super::application::{Application, Past};
use super::claims::Holder;
use super::object::{Live, Need, Object, Role};
use super::reconciler::{PASS_GRACE, Reconciler};
use super::resolve::{self, Resolved};
use super::wakes::Wake;
use super::{tasks, wall_clock};
use crate::api::Resource;
use crate::apply::conflict::Claim;
use crate::apply::plan::{self, Inputs, Rival, Step, Wanted};
use crate::apply::{look, order};

/// What is applied is not known. Differs from every digest of a manifest.
pub(super) fn unknown_digest() -> Digest {
    Digest::from_bytes([0; 32])
}

/// A kind and a namespace: what one list request looks at.
type Place = (Arc<Resource>, Option<String>);

impl Reconciler {
    /// Plans an application anew and fills its queue. `fresh` where what is wanted has changed, so that what failed or
    /// was refused is tried again at once.
    pub(super) fn replan(&mut self, key: &ApplicationKey, fresh: bool) {
        // Out of the map, so that the others can be looked at meanwhile.
        let Some(mut application) = self.applications.remove(key) else { return };
        let nothing_to_plan = application.work.is_none() || application.refusal.is_some();
        // As long as kinds are being asked for it cannot be told which are not there.
        let knows_enough = application.past == Past::Known
            && !application.discovering.busy
            && application.discovering.problem.is_none();
        if nothing_to_plan || !knows_enough || (application.discovering.fresh && !fresh) {
            self.applications.insert(key.clone(), application);
            return;
        }
        application.discovering.fresh = false;
        let now = wall_clock();
        let contended_before = self.contended(&application);
        let resolved = self.resolve(&application);
        let steps = self.plan(&application, &resolved);
        let touched = self.merge(&mut application, resolved, steps, fresh, now);
        application.note_fencing();
        self.enqueue(&mut application, fresh);
        let contended = &self.contended(&application) | &contended_before;
        let retry_discovery = !application.unresolved.is_empty()
            || application.objects.values().any(|object| object.awaits_kind);
        self.applications.insert(key.clone(), application);
        self.claim(key);
        if let Some(delay) = touched {
            self.touch(key, delay);
        }
        if retry_discovery {
            self.discover_later(key);
        }
        self.kinds_are_stale = true;
        self.activate(key);
        self.tell(key);
        if fresh {
            for other in contended {
                self.replan(&other, false);
            }
        }
    }

    /// The other applications that wait for what this one does.
    pub(super) fn contended(&self, application: &Application) -> BTreeSet<ApplicationKey> {
        let mut found = BTreeSet::new();
        for key in application.objects.keys() {
            for holder in self.claims.others(application.holder, key) {
                let Some(other) = self.holders.get(&holder).and_then(|other| self.applications.get(other))
                else {
                    continue;
                };
                let waits = other.objects.get(key).is_some_and(|object| {
                    matches!(object.role, Role::Refused(_) | Role::Share | Role::HandOver(_))
                });
                if waits {
                    found.insert(other.key.clone());
                }
            }
        }
        found
    }

    fn resolve(&self, application: &Application) -> Resolved {
        let namespace = application.default_namespace();
        resolve::resolve(application.manifests(), &application.digests, namespace, |gvk| {
            self.discovery.known(gvk)
        })
    }

    fn plan(&self, application: &Application, resolved: &Resolved) -> BTreeMap<ObjectKey, Step> {
        let wanted = resolved
            .targets
            .iter()
            .map(|(key, target)| {
                let wanted = Wanted {
                    index: target.wanted.index,
                    digest: target.wanted.digest,
                    api_version: target.resource.gvk.api_version(),
                };
                (key.clone(), wanted)
            })
            .collect();
        let work = application.work.as_ref();
        let run = work.and_then(|work| work.run());
        let shared = resolved
            .targets
            .keys()
            .filter(|key| work.is_some_and(|work| look::is_bare_namespace(work, key)))
            .cloned()
            .collect();
        plan::plan(&Inputs {
            application: &application.key,
            remove: application.is_leaving(),
            wanted: &wanted,
            unresolved: &resolved.unresolved,
            inventory: &application.entries(),
            prune: run.is_none_or(|run| run.sync.prune),
            prune_adopted: run.is_some_and(|run| run.sync.prune_adopted),
            shared: &shared,
            rival: &|key| self.rival(application, key),
        })
    }

    /// What another application has to do with an object: who holds it comes before who only wants it.
    fn rival(&self, application: &Application, key: &ObjectKey) -> Option<Rival> {
        let mut rivals: Vec<Rival> = self
            .claims
            .others(application.holder, key)
            .filter_map(|holder| self.applications.get(self.holders.get(&holder)?))
            .filter_map(|other| rival_of(other, key))
            .collect();
        rivals.sort_by(|left, right| {
            (left.entry.is_none(), &left.application).cmp(&(right.entry.is_none(), &right.application))
        });
        rivals.into_iter().next()
    }

    /// Puts a plan into an application's objects. Says within which time the inventory is to be written, if it is.
    fn merge(
        &self,
        application: &mut Application,
        mut resolved: Resolved,
        steps: BTreeMap<ObjectKey, Step>,
        fresh: bool,
        now: Timestamp,
    ) -> Option<Duration> {
        let mut touched = None;
        let mut before = std::mem::take(&mut application.objects);
        for (key, step) in steps {
            let (key, known) = match before.remove_entry(&key) {
                Some((key, object)) => (key, Some(object)),
                None => (Arc::new(key), None),
            };
            let target = resolved.targets.remove(&*key);
            let resource = target.as_ref().map(|target| Arc::clone(&target.resource));
            let resource = resource.or_else(|| known.as_ref().and_then(|object| self.find_kind(object)));
            let Some(mut object) = known.or_else(|| Some(Object::new(resource.clone()?, now))) else {
                continue;
            };
            let resource_known = resource.is_some();
            object.resource = resource.unwrap_or(object.resource);
            object.wanted = target.as_ref().map(|target| target.wanted);
            object.awaits_kind = target.is_some_and(|target| target.awaits_kind);
            let entry_before = object.entry.clone();
            if !assign(&mut object, step, resource_known, fresh, now) {
                // Forgotten: nothing is done to it, and the inventory lets go of it.
                touched = Some(Duration::ZERO);
                continue;
            }
            if entry_before.is_none() && object.entry.is_some() {
                application.record.intents += 1;
                if object.role == Role::Keep {
                    (object.live, object.paths) = self.seen_by_others(application.holder, &key);
                }
            } else if object.entry != entry_before {
                touched = touched.or(Some(self.config.record_interval));
            }
            application.objects.insert(key, object);
        }
        application.unresolved = resolved.unresolved;
        touched
    }

    /// The kind of an object that is held and not wanted, now that kinds were asked for.
    fn find_kind(&self, object: &Object) -> Option<Arc<Resource>> {
        if object.resource.plural.is_empty() {
            self.discovery.known(&object.resource.gvk)
        } else {
            Some(Arc::clone(&object.resource))
        }
    }

    /// What another application knows of an object that is handed over.
    fn seen_by_others(&self, holder: Holder, key: &ObjectKey) -> (Live, Box<[u64]>) {
        self.claims
            .others(holder, key)
            .filter_map(|other| self.applications.get(self.holders.get(&other)?)?.objects.get(key))
            .find(|object| object.live != Live::Unknown)
            .map_or_else(
                || (Live::Unknown, Box::default()),
                |object| (object.live.clone(), object.paths.clone()),
            )
    }

    /// Fills the queue with what the objects need.
    fn enqueue(&mut self, application: &mut Application, fresh: bool) {
        let now = Instant::now();
        application.queue.clear();
        application.pass_since = Some(now);
        let mut to_look: BTreeMap<Place, Vec<look::Sought>> = BTreeMap::new();
        let mut to_follow_anew = BTreeSet::new();
        let may_write = application.may_write();
        for (key, object) in &mut application.objects {
            object.counted = object.busy;
            if object.busy {
                application.queue.begin(object.rank);
            }
            if fresh {
                object.start_afresh();
            }
            if object.role == Role::Keep && object.live == Live::Unknown && !object.awaits_kind {
                match self.followers.get(&object.resource.gvk) {
                    // It will never be told of, so it is looked for.
                    Some(follower) if follower.hopeless => object.role = Role::Look,
                    // What its follower had to tell is over, and nobody noted it then.
                    Some(follower) if follower.listed => {
                        to_follow_anew.insert(Arc::clone(&object.resource));
                    }
                    Some(_) | None => {}
                }
            }
            match object.need() {
                Need::Look if may_write && object.is_free(now) => {
                    object.busy = true;
                    object.counted = true;
                    application.queue.begin(object.rank);
                    let place = (Arc::clone(&object.resource), key.namespace.clone());
                    to_look.entry(place).or_default().push(object.sought(key));
                }
                Need::Apply(_) if object.is_free(now) => {
                    application.queue.push_ranked(object.rank, Arc::clone(key));
                }
                Need::Delete | Need::Release => application.queue.push_leaving(object.rank, Arc::clone(key)),
                Need::Nothing | Need::Wait | Need::Look | Need::Apply(_) => {}
            }
        }
        if let Some(work) = application.work.as_ref() {
            for ((resource, namespace), objects) in to_look {
                let request = look::Request { work: Arc::clone(work), resource, namespace, objects };
                self.tasks.spawn(tasks::look(self.api.clone(), request, Arc::clone(&self.looks)));
            }
        }
        for resource in to_follow_anew {
            self.follow_anew(&resource);
        }
        self.wakes.add(now + PASS_GRACE, Wake::Pass(application.key.clone()));
    }
}

/// What `other` has to do with the object `key`.
fn rival_of(other: &Application, key: &ObjectKey) -> Option<Rival> {
    let held = other.objects.get(key).and_then(|object| object.entry.clone());
    let default = other.default_namespace();
    let wants_by_manifest = || {
        other.refusal.is_none()
            && other.manifests().iter().any(|manifest| {
                let wanted = manifest.key();
                wanted.group == key.group
                    && wanted.kind == key.kind
                    && wanted.name == key.name
                    && key.namespace.as_ref().is_none_or(|namespace| match &wanted.namespace {
                        Some(wanted) => wanted == namespace,
                        None => default == namespace,
                    })
            })
    };
    // Of one that nothing is told of it is not known whether it still wants what it holds; so it does.
    let wants = if other.work.is_none() { held.is_some() } else { wants_by_manifest() };
    (wants || held.is_some()).then(|| Rival { application: other.key.clone(), wants, entry: held })
}

/// Puts one step into one object. False where the inventory is to let go of it.
fn assign(object: &mut Object, step: Step, resource_known: bool, fresh: bool, now: Timestamp) -> bool {
    let look_again = fresh || std::mem::take(&mut object.look_again);
    let was_refused = matches!(object.role, Role::Refused(_) | Role::Share);
    let clear = |object: &mut Object| {
        object.problem = None;
        object.paused_until = None;
    };
    match step {
        Step::Keep => {
            if object.role != Role::Keep {
                clear(object);
            }
            object.role = Role::Keep;
        }
        Step::Look => {
            let under_way = object.role == Role::Keep && object.live != Live::Unknown;
            if under_way || (was_refused && !look_again) {
                return true;
            }
            clear(object);
            object.role = Role::Look;
            object.entry.get_or_insert_with(|| intent(&object.resource));
        }
        Step::Take(entry) => {
            clear(object);
            object.role = Role::Keep;
            object.claim = Claim::Owner;
            // Its labels are still the other's, so it is applied whatever its digest.
            object.entry = Some(InventoryEntry { applied: unknown_digest(), owned: None, ..entry });
        }
        Step::Share => {
            object.role = Role::Share;
            object.problem = None;
            object.entry = None;
        }
        Step::Refuse(why) => {
            object.set_problem(SyncState::OutOfSync, why.clone(), now);
            object.role = Role::Refused(why);
            object.entry = None;
        }
        Step::Prune | Step::Release if !resource_known => {
            // Its kind is served no longer; with a kind go all its objects.
            object.role = Role::Share;
            object.wanted = None;
            return false;
        }
        Step::Prune => become_role(object, Role::Prune),
        Step::Release => become_role(object, Role::Release),
        Step::Retain(why) => become_role(object, Role::Retain(why)),
        Step::HandOver(to) => become_role(object, Role::HandOver(to)),
        Step::Forget => {
            object.role = Role::Share;
            object.wanted = None;
            return false;
        }
    }
    true
}

fn become_role(object: &mut Object, role: Role) {
    if std::mem::discriminant(&object.role) != std::mem::discriminant(&role) {
        object.problem = None;
        object.paused_until = None;
        object.failures = 0;
    }
    object.role = role;
}

/// What the inventory holds of an object that is about to be made.
fn intent(resource: &Resource) -> InventoryEntry {
    InventoryEntry {
        api_version: resource.gvk.api_version(),
        uid: None,
        applied: unknown_digest(),
        owned: None,
        adopted: false,
    }
}

/// Whether an object defines a kind.
pub(super) fn is_definition(object: &Object) -> bool {
    object.rank == order::DEFINITIONS
}
