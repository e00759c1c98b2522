//! Who wants to know of what, and the sets in which they are told.
//!
//! A subscriber has one mailbox of sets: what changed ten times before it looks is told once, so a slow subscriber costs
//! memory bounded by the number of resources, and delays nobody. A change finds its subscribers by what it is about, so
//! ten thousand sessions that each want one cluster cost nothing to the changes of the others.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use nave_common::name::{ApplicationKey, ClusterName};
use tokio::sync::Notify;

/// What a subscriber wants to know of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Interest {
    /// What one cluster is told: its record, and the assignments to it. What its agent observes is no part of it.
    Cluster(ClusterName),
    /// Everything about one application: its record, revisions, assignments, and what is observed of it.
    Application(ApplicationKey),
    /// Everything of these kinds.
    All(Kinds),
}

/// Kinds of changes, to be added up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Kinds(u8);

impl Kinds {
    /// Records and revisions of applications.
    pub const APPLICATIONS: Self = Self(1);
    /// Records of clusters, their liveness, and what their agents say of them as a whole.
    pub const CLUSTERS: Self = Self(1 << 1);
    /// What clusters are told.
    pub const ASSIGNMENTS: Self = Self(1 << 2);
    /// Events.
    pub const EVENTS: Self = Self(1 << 3);
    /// With `ASSIGNMENTS` or `APPLICATIONS`: also what is observed of them.
    pub const OBSERVED: Self = Self(1 << 4);
    /// Removals that an agent has completed, as assignments.
    pub const REMOVALS: Self = Self(1 << 5);
    /// How applications and the hub stand in failover.
    pub const FAILOVERS: Self = Self(1 << 6);
    /// Changes of what agents say that failover looks at, as assignments.
    pub const STANDINGS: Self = Self(1 << 7);

    /// These kinds and `other`.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// What changed since a subscriber last looked. Everything named is to be read again; it may be gone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Applications.
    pub applications: BTreeSet<ApplicationKey>,
    /// Clusters.
    pub clusters: BTreeSet<ClusterName>,
    /// Assignments.
    pub assignments: BTreeSet<(ClusterName, ApplicationKey)>,
    /// Applications whose standing in failover changed.
    pub failovers: BTreeSet<ApplicationKey>,
    /// Whether what people said of failover as a whole changed.
    pub hub_failover: bool,
    /// How many events are new.
    pub event_count: u64,
    /// The world was loaded anew, and what changed is not known: everything is to be read again.
    pub everything: bool,
}

impl Changes {
    /// Whether nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.applications.is_empty()
            && self.clusters.is_empty()
            && self.assignments.is_empty()
            && self.failovers.is_empty()
            && !self.hub_failover
            && self.event_count == 0
            && !self.everything
    }
}

/// One thing that changed, as the state says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Effect {
    /// An application's record or revisions.
    Application(ApplicationKey),
    /// How an application's placement went.
    Placement(ApplicationKey),
    /// A cluster's record, liveness or observation.
    Cluster(ClusterName),
    /// What a cluster is told.
    Assignment(ClusterName, ApplicationKey),
    /// What an agent says of an assignment.
    Status(ClusterName, ApplicationKey),
    /// What an agent says of an assignment, as far as failover looks at it; beside a `Status`.
    Standing(ClusterName, ApplicationKey),
    /// How an application stands in failover.
    Failover(ApplicationKey),
    /// What people said of failover as a whole.
    HubFailover,
    /// That an agent has completed a removal.
    Removed(ClusterName, ApplicationKey),
    /// An event.
    Event,
}

/// A subscriber's end. Dropping it ends the subscription.
#[derive(Debug)]
pub struct Subscription {
    mailbox: Arc<Mailbox>,
    interest: Interest,
    registry: Arc<Registry>,
}

impl Subscription {
    /// What changed since the last call, waiting until something has. The state read after this call holds at least
    /// these changes. Cancel-safe: a dropped call loses nothing.
    pub async fn next(&mut self) -> Changes {
        let mailbox = self.mailbox.clone();
        loop {
            let waiting = mailbox.notify.notified();
            if let Some(changes) = self.take() {
                return changes;
            }
            waiting.await;
        }
    }

    /// What changed since the last call, if anything has.
    pub fn take(&mut self) -> Option<Changes> {
        let changes = std::mem::take(&mut *lock(&self.mailbox.changes));
        (!changes.is_empty()).then_some(changes)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        lock(&self.registry.boxes).forget(&self.interest, &self.mailbox);
    }
}

#[derive(Debug, Default)]
struct Mailbox {
    changes: Mutex<Changes>,
    notify: Notify,
}

impl Mailbox {
    fn tell(&self, note: impl FnOnce(&mut Changes)) {
        note(&mut lock(&self.changes));
        self.notify.notify_one();
    }
}

/// All subscriptions.
#[derive(Debug, Default)]
pub(super) struct Registry {
    boxes: Mutex<Boxes>,
}

#[derive(Debug, Default)]
struct Boxes {
    by_cluster: HashMap<ClusterName, Vec<Arc<Mailbox>>>,
    by_application: HashMap<ApplicationKey, Vec<Arc<Mailbox>>>,
    all: Vec<(Kinds, Arc<Mailbox>)>,
}

impl Registry {
    pub(super) fn subscribe(self: &Arc<Self>, interest: Interest) -> Subscription {
        let mailbox = Arc::new(Mailbox::default());
        let mut boxes = lock(&self.boxes);
        match &interest {
            Interest::Cluster(name) => {
                boxes.by_cluster.entry(name.clone()).or_default().push(mailbox.clone());
            }
            Interest::Application(key) => {
                boxes.by_application.entry(key.clone()).or_default().push(mailbox.clone());
            }
            Interest::All(kinds) => boxes.all.push((*kinds, mailbox.clone())),
        }
        drop(boxes);
        Subscription { mailbox, interest, registry: self.clone() }
    }

    /// Tells everyone what they want to know of `effects`.
    pub(super) fn publish(&self, effects: &[Effect]) {
        if effects.is_empty() {
            return;
        }
        let boxes = lock(&self.boxes);
        for effect in effects {
            boxes.publish(effect);
        }
    }

    /// Tells everyone that the world was loaded anew.
    pub(super) fn publish_everything(&self) {
        let boxes = lock(&self.boxes);
        let every = boxes.all.iter().map(|(_, mailbox)| mailbox);
        let every = every.chain(boxes.by_cluster.values().flatten());
        for mailbox in every.chain(boxes.by_application.values().flatten()) {
            mailbox.tell(|changes| changes.everything = true);
        }
    }
}

impl Boxes {
    fn publish(&self, effect: &Effect) {
        for (kinds, mailbox) in &self.all {
            if let Some(note) = note_for(*kinds, effect) {
                mailbox.tell(note);
            }
        }
        let (cluster, application) = match effect {
            Effect::Cluster(cluster) => (Some(cluster), None),
            Effect::Assignment(cluster, application) => (Some(cluster), Some(application)),
            Effect::Application(key)
            | Effect::Placement(key)
            | Effect::Status(_, key)
            | Effect::Failover(key)
            | Effect::Removed(_, key) => (None, Some(key)),
            // Said beside a Status.
            Effect::Standing(..) | Effect::Event | Effect::HubFailover => (None, None),
        };
        for mailbox in cluster.and_then(|name| self.by_cluster.get(name)).into_iter().flatten() {
            mailbox.tell(|changes| note(changes, effect));
        }
        for mailbox in application.and_then(|key| self.by_application.get(key)).into_iter().flatten() {
            mailbox.tell(|changes| note(changes, effect));
        }
    }

    fn forget(&mut self, interest: &Interest, mailbox: &Arc<Mailbox>) {
        let other = |held: &Arc<Mailbox>| !Arc::ptr_eq(held, mailbox);
        match interest {
            Interest::Cluster(name) => {
                if let Some(held) = self.by_cluster.get_mut(name) {
                    held.retain(other);
                    if held.is_empty() {
                        self.by_cluster.remove(name);
                    }
                }
            }
            Interest::Application(key) => {
                if let Some(held) = self.by_application.get_mut(key) {
                    held.retain(other);
                    if held.is_empty() {
                        self.by_application.remove(key);
                    }
                }
            }
            Interest::All(_) => self.all.retain(|(_, held)| other(held)),
        }
    }
}

/// Whether and how a subscriber to `kinds` is told of `effect`.
fn note_for(kinds: Kinds, effect: &Effect) -> Option<impl FnOnce(&mut Changes)> {
    let applications = kinds.has(Kinds::APPLICATIONS);
    let observed = kinds.has(Kinds::OBSERVED);
    let (application, assignment) = match effect {
        Effect::Application(_) => (applications, false),
        Effect::Placement(_) => (applications && observed, false),
        // What is assigned is part of an application's status.
        Effect::Assignment(..) => (applications && observed, kinds.has(Kinds::ASSIGNMENTS)),
        Effect::Status(..) => (applications && observed, observed && kinds.has(Kinds::ASSIGNMENTS)),
        Effect::Removed(..) => (false, kinds.has(Kinds::REMOVALS)),
        Effect::Standing(..) => (false, kinds.has(Kinds::STANDINGS)),
        // How it stands is part of an application's status.
        Effect::Failover(_) => (applications && observed, false),
        Effect::Cluster(_) | Effect::Event | Effect::HubFailover => (false, false),
    };
    let cluster = matches!(effect, Effect::Cluster(_)) && kinds.has(Kinds::CLUSTERS);
    let event = matches!(effect, Effect::Event) && kinds.has(Kinds::EVENTS);
    let is_failover = matches!(effect, Effect::Failover(_) | Effect::HubFailover);
    let failover = is_failover && kinds.has(Kinds::FAILOVERS);
    if !(application || assignment || cluster || event || failover) {
        return None;
    }
    Some(move |changes: &mut Changes| match effect {
        Effect::Application(key) | Effect::Placement(key) => {
            changes.applications.insert(key.clone());
        }
        Effect::Assignment(name, key)
        | Effect::Status(name, key)
        | Effect::Standing(name, key)
        | Effect::Removed(name, key) => {
            if application {
                changes.applications.insert(key.clone());
            }
            if assignment {
                changes.assignments.insert((name.clone(), key.clone()));
            }
        }
        Effect::Cluster(name) => {
            changes.clusters.insert(name.clone());
        }
        Effect::Failover(key) => {
            if application {
                changes.applications.insert(key.clone());
            }
            if failover {
                changes.failovers.insert(key.clone());
            }
        }
        Effect::HubFailover => changes.hub_failover = true,
        Effect::Event => changes.event_count += 1,
    })
}

/// Notes an effect for a subscriber to one resource, who wants everything that reaches it.
fn note(changes: &mut Changes, effect: &Effect) {
    match effect {
        Effect::Application(key) | Effect::Placement(key) => {
            changes.applications.insert(key.clone());
        }
        Effect::Cluster(name) => {
            changes.clusters.insert(name.clone());
        }
        Effect::Assignment(name, key)
        | Effect::Status(name, key)
        | Effect::Standing(name, key)
        | Effect::Removed(name, key) => {
            changes.assignments.insert((name.clone(), key.clone()));
        }
        Effect::Failover(key) => {
            changes.failovers.insert(key.clone());
        }
        Effect::HubFailover => changes.hub_failover = true,
        Effect::Event => changes.event_count += 1,
    }
}

/// Nothing under these locks panics half-way, so a poisoned one is as good as another.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(name: &str) -> ClusterName {
        name.parse().unwrap()
    }

    fn application(name: &str) -> ApplicationKey {
        name.parse().unwrap()
    }

    #[tokio::test]
    async fn a_subscriber_is_told_once_of_what_it_wants() {
        let registry = Arc::new(Registry::default());
        let mut session = registry.subscribe(Interest::Cluster(cluster("eu-1")));
        let mut page = registry.subscribe(Interest::All(Kinds::ASSIGNMENTS.and(Kinds::OBSERVED)));
        let mut planner = registry.subscribe(Interest::All(Kinds::APPLICATIONS.and(Kinds::REMOVALS)));
        let pair = |name: &str| (cluster(name), application("shop"));
        for _ in 0..3 {
            registry.publish(&[
                Effect::Assignment(cluster("eu-1"), application("shop")),
                Effect::Status(cluster("eu-2"), application("shop")),
                Effect::Removed(cluster("eu-3"), application("shop")),
            ]);
        }
        assert_eq!(session.next().await.assignments, [pair("eu-1")].into());
        assert_eq!(session.take(), None);
        assert_eq!(page.next().await.assignments, [pair("eu-1"), pair("eu-2")].into());
        let planned = planner.next().await;
        assert_eq!((planned.assignments, planned.applications), ([pair("eu-3")].into(), [].into()));
    }

    #[test]
    fn a_dropped_subscription_leaves_nothing_behind() {
        let registry = Arc::new(Registry::default());
        drop(registry.subscribe(Interest::Cluster(cluster("eu-1"))));
        drop(registry.subscribe(Interest::Application(application("shop"))));
        drop(registry.subscribe(Interest::All(Kinds::EVENTS)));
        let boxes = lock(&registry.boxes);
        assert!(boxes.by_cluster.is_empty() && boxes.by_application.is_empty() && boxes.all.is_empty());
    }
}
