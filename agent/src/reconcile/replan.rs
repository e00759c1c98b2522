//! From what was told to what is to be done: takes in new work, finds out kinds, plans, and fills the queue.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use nave_common::digest::Digest;
use nave_common::inventory::InventoryEntry;
use nave_common::manifest::{Manifest, ObjectKey};
use nave_common::name::ApplicationKey;
use nave_common::status::SyncState;
use nave_common::time::Timestamp;
use tokio::time::Instant;

use super::application::{Application, Past};
use super::claims::Holder;
use super::object::{Live, Need, Object, Role};
use super::reconciler::{Reconciler, Sweeping};
use super::resolve::{self, Resolved};
use super::wakes::Wake;
use super::{pause, tasks, wall_clock};
use crate::api::{Gvk, Resource};
use crate::apply::conflict::Claim;
use crate::apply::plan::{self, Inputs, Rival, Step, Wanted};
use crate::apply::{look, order};
use crate::work::{Work, WorkSet};

/// An open pass delays the following of new kinds at most so long.
const PASS_GRACE: Duration = Duration::from_secs(1);

/// What is applied is not known. Differs from every digest of a manifest.
fn unknown_digest() -> Digest {
    Digest::from_bytes([0; 32])
}

/// A kind and a namespace: what one list request looks at.
type Place = (Arc<Resource>, Option<String>);

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
        for key in &changed {
            self.begin(key);
        }
        if !absent.is_empty() {
            self.follow_kinds();
        }
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
        if generation > application.generation {
            application.generation = generation;
            self.touch(key, interval);
        }
        if same {
            self.tell(key);
            return false;
        }
        application_changed(self.application(key, past), before.as_deref());
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
        let Some(application) = self.applications.get(key) else { return };
        if application.past == Past::Unknown {
            self.start_sweep();
            return;
        }
        if self.discover(key) {
            // Planned once the answer is there.
            if let Some(application) = self.applications.get_mut(key) {
                application.discovering.fresh = true;
            }
        } else {
            self.replan(key, true);
        }
    }

    /// Puts what differs from what is wanted into the queue, where the plan is as before.
    fn requeue_changed(&mut self, key: &ApplicationKey) {
        let Some(application) = self.applications.get_mut(key) else { return };
        let now = Instant::now();
        application.pass_since = Some(now);
        for (key, object) in &mut application.objects {
            object.failures = 0;
            object.paused_until = None;
            if matches!(object.need(), Need::Apply(_)) && !object.busy {
                application.queue.push_ranked(object.rank, Arc::clone(key));
            }
        }
        self.wakes.add(now + PASS_GRACE, Wake::Pass(key.clone()));
        self.activate(key);
    }

    /// Asks for the kinds that are not known. Whether there is something to ask.
    pub(super) fn discover(&mut self, key: &ApplicationKey) -> bool {
        let Some(application) = self.applications.get_mut(key) else { return false };
        if application.discovering.busy {
            application.discovering.again = true;
            return true;
        }
        let manifests = application.manifests().iter();
        let wanted = manifests.map(|manifest| Gvk::new(manifest.api_version(), &manifest.key().kind));
        let unresolved = application.objects.iter().filter(|(_, object)| object.resource.plural.is_empty());
        let gvks: Vec<_> = wanted.chain(unresolved.map(|(_, object)| object.resource.gvk.clone())).collect();
        let unknown =
            resolve::unknown_api_versions(gvks.into_iter(), |gvk| self.discovery.known(gvk).is_some());
        if unknown.is_empty() {
            return false;
        }
        application.discovering.busy = true;
        self.tasks.spawn(tasks::discover(self.discovery.clone(), key.clone(), unknown));
        true
    }

    /// Asks again later for what stayed unknown.
    pub(super) fn discover_later(&mut self, key: &ApplicationKey) {
        let Some(application) = self.applications.get_mut(key) else { return };
        let discovering = &mut application.discovering;
        let at = Instant::now() + pause::short(discovering.failures.max(1), rand::random());
        if discovering.again_at.is_none_or(|planned| at < planned) {
            discovering.again_at = Some(at);
            self.wakes.add(at, Wake::Discover(key.clone()));
        }
    }

    /// Tells the index what an application has to do with.
    pub(super) fn claim(&mut self, key: &ApplicationKey) {
        let Some(application) = self.applications.get(key) else { return };
        let wanted = application.manifests().iter().map(Manifest::key);
        let held = application.objects.keys().map(AsRef::as_ref);
        self.claims.set(application.holder, held, wanted, application.default_namespace());
    }

    /// Plans an application anew and fills its queue. `fresh` where what is wanted has changed, so that what failed or
    /// was refused is tried again at once.
    pub(super) fn replan(&mut self, key: &ApplicationKey, fresh: bool) {
        // Out of the map, so that the others can be looked at meanwhile.
        let Some(mut application) = self.applications.remove(key) else { return };
        if application.work.is_none() || application.refusal.is_some() || application.past == Past::Unknown {
            self.applications.insert(key.clone(), application);
            return;
        }
        let now = wall_clock();
        let contended_before = self.contended(&application);
        let resolved = self.resolve(&application);
        let steps = self.plan(&application, &resolved);
        let touched = self.merge(&mut application, resolved, steps, fresh, now);
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
        self.follow_kinds();
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
        let mut to_look: BTreeMap<Place, Vec<(Arc<ObjectKey>, u32)>> = BTreeMap::new();
        let may_write = application.may_write();
        for (key, object) in &mut application.objects {
            object.counted = object.busy;
            if object.busy {
                application.queue.begin(object.rank);
            }
            if fresh {
                object.failures = 0;
                object.paused_until = None;
            }
            let follower = self.followers.get(&object.resource.gvk);
            let told_already = follower.is_some_and(|follower| follower.listed || follower.blind.is_some());
            if object.role == Role::Keep && object.live == Live::Unknown && told_already {
                // What its follower had to tell is over, and it was not among it.
                object.role = Role::Look;
            }
            match object.need() {
                Need::Look if may_write && object.is_free(now) => {
                    let index = object.wanted.map_or(0, |wanted| wanted.index);
                    object.busy = true;
                    object.counted = true;
                    application.queue.begin(object.rank);
                    let group = (Arc::clone(&object.resource), key.namespace.clone());
                    to_look.entry(group).or_default().push((Arc::clone(key), index));
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
                self.tasks.spawn(tasks::look(self.api.clone(), request));
            }
        }
        self.wakes.add(now + PASS_GRACE, Wake::Pass(application.key.clone()));
    }
}

/// What follows from new work for the application's own state.
fn application_changed(application: &mut Application, before: Option<&Work>) {
    let known =
        before.and_then(|work| work.rendering.as_ref()).map_or(&[][..], |rendering| &rendering.manifests);
    // To compare is cheaper than to take a digest, and most of a new revision is as before.
    let digest_of = |(index, manifest): (usize, &Manifest)| match known.get(index) {
        Some(same) if same == manifest => application.digests.get(index).copied(),
        _ => None,
    };
    let digests = application.manifests().iter().enumerate();
    let digests = digests.map(|it| digest_of(it).unwrap_or_else(|| it.1.digest())).collect();
    application.digests = digests;
    application.same_objects = match (before, application.work.as_deref()) {
        (Some(before), Some(after)) => have_same_objects(before, after),
        _ => false,
    };
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
        && before
            .manifests
            .iter()
            .zip(&after.manifests)
            .all(|(before, after)| before.key() == after.key() && before.api_version() == after.api_version())
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
            if under_way || (was_refused && !fresh) {
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
