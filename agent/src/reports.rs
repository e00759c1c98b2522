//! The Reports: the newest that is known of each application and of the cluster, for whoever tells the hub.
//!
//! A report that was not fetched in time is replaced by the next one, so a slow connection costs memory for one report
//! per application and never holds up the reconciler.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nave_common::digest::Digest;
use nave_common::name::ApplicationKey;
use nave_common::status::{AssignmentStatus, ClusterObservation, FenceStatus};
use tokio::sync::Notify;

/// A handle on the newest reports; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Reports {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    newest: Mutex<Newest>,
    changed: Notify,
    stopped: Notify,
}

#[derive(Debug, Default)]
struct Newest {
    statuses: BTreeMap<ApplicationKey, AssignmentStatus>,
    observation: Option<ClusterObservation>,
    /// How the stopping of Exclusive work stands; it goes with each status.
    fences: BTreeMap<ApplicationKey, FenceStatus>,
    /// The parked renderings under which nothing is left that makes pods.
    stopped: BTreeMap<ApplicationKey, Digest>,
    dirty: BTreeSet<ApplicationKey>,
    observation_dirty: bool,
}

impl Reports {
    /// With nothing in them.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the newest status of an application. One that says the same as the last, but for its time, is no news.
    pub fn publish(&self, status: AssignmentStatus) {
        let mut newest = self.lock();
        let key = status.application.clone();
        let same = newest.statuses.get_mut(&key).is_some_and(|last| {
            last.observed_at = status.observed_at;
            *last == status
        });
        newest.statuses.insert(key.clone(), status);
        if !same {
            newest.dirty.insert(key);
            drop(newest);
            self.shared.changed.notify_one();
        }
    }

    /// Takes the newest observation of the cluster; one equal to the last is no news.
    pub fn observe(&self, observation: ClusterObservation) {
        let mut newest = self.lock();
        if newest.observation.as_ref() != Some(&observation) {
            newest.observation = Some(observation);
            newest.observation_dirty = true;
            drop(newest);
            self.shared.changed.notify_one();
        }
    }

    /// Takes how the stopping of an application's Exclusive work stands; `None` where it is not to be stopped.
    pub fn set_fence(&self, application: &ApplicationKey, fence: Option<FenceStatus>) {
        let mut newest = self.lock();
        if newest.fences.get(application) == fence.as_ref() {
            return;
        }
        match fence {
            Some(fence) => newest.fences.insert(application.clone(), fence),
            None => newest.fences.remove(application),
        };
        if newest.statuses.contains_key(application) {
            newest.dirty.insert(application.clone());
            drop(newest);
            self.shared.changed.notify_one();
        }
    }

    /// Notes under which parked rendering everything that makes pods was stopped, and has taken it in; `None` where
    /// something may make some.
    pub fn set_stopped(&self, application: &ApplicationKey, rendering: Option<Digest>) {
        let mut newest = self.lock();
        if newest.stopped.get(application) == rendering.as_ref() {
            return;
        }
        match rendering {
            Some(rendering) => newest.stopped.insert(application.clone(), rendering),
            None => newest.stopped.remove(application),
        };
        drop(newest);
        self.shared.stopped.notify_one();
    }

    /// The parked rendering under which everything that makes pods is stopped.
    #[must_use]
    pub fn stopped(&self, application: &ApplicationKey) -> Option<Digest> {
        self.lock().stopped.get(application).copied()
    }

    /// Completes when something was noted by [`Self::set_stopped`] since it last did. For one caller.
    pub async fn stopped_changed(&self) {
        self.shared.stopped.notified().await;
    }

    /// Drops what is known of an application that is gone.
    pub fn forget(&self, application: &ApplicationKey) {
        let mut newest = self.lock();
        newest.statuses.remove(application);
        newest.stopped.remove(application);
        newest.dirty.remove(application);
    }

    /// Waits until there is something that was not taken yet.
    pub async fn changed(&self) {
        loop {
            let notified = self.shared.changed.notified();
            {
                let newest = self.lock();
                if !newest.dirty.is_empty() || newest.observation_dirty {
                    return;
                }
            }
            notified.await;
        }
    }

    /// What changed since it was last taken.
    #[must_use]
    pub fn take_dirty(&self) -> (Vec<AssignmentStatus>, Option<ClusterObservation>) {
        let mut newest = self.lock();
        let dirty = std::mem::take(&mut newest.dirty);
        let statuses = dirty.iter().filter_map(|key| newest.status(key)).collect();
        let observation =
            std::mem::take(&mut newest.observation_dirty).then(|| newest.observation.clone()).flatten();
        (statuses, observation)
    }

    /// Everything, for a connection that starts anew. What was not taken yet still counts as changed.
    #[must_use]
    pub fn all(&self) -> (Vec<AssignmentStatus>, Option<ClusterObservation>) {
        let newest = self.lock();
        let statuses = newest.statuses.keys().filter_map(|key| newest.status(key)).collect();
        (statuses, newest.observation.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Newest> {
        // Every change above is complete in itself, so what a panicking thread left is usable.
        self.shared.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Newest {
    /// The newest status of an application, with how its fence stands.
    fn status(&self, application: &ApplicationKey) -> Option<AssignmentStatus> {
        let fence = self.fences.get(application).cloned();
        Some(AssignmentStatus { fence, ..self.statuses.get(application)?.clone() })
    }
}

#[cfg(test)]
mod tests {
    use nave_common::assignment::Generation;
    use nave_common::health::Health;
    use nave_common::status::SyncState;

    use super::*;

    fn status(application: &str, object_count: u32, millis: i64) -> AssignmentStatus {
        AssignmentStatus {
            application: application.parse().unwrap(),
            generation: Generation::default(),
            applied: None,
            removed: false,
            sync: SyncState::Synced,
            health: Health::Healthy,
            reason: String::new(),
            object_count,
            healthy_count: object_count,
            drift_count: 0,
            objects: Vec::new(),
            fence: None,
            observed_at: nave_common::time::Timestamp::from_millis(millis).unwrap(),
        }
    }

    #[tokio::test]
    async fn newest_report_of_each_application_wins() {
        let reports = Reports::new();
        reports.publish(status("a", 1, 0));
        reports.publish(status("b", 1, 0));
        reports.publish(status("a", 2, 1));
        reports.changed().await;
        let (statuses, observation) = reports.take_dirty();
        assert_eq!(statuses, [status("a", 2, 1), status("b", 1, 0)]);
        assert_eq!(observation, None);
        assert_eq!(reports.take_dirty(), (Vec::new(), None));
        assert_eq!(reports.all().0.len(), 2);
    }

    #[tokio::test]
    async fn report_that_says_the_same_is_no_news() {
        let reports = Reports::new();
        reports.publish(status("a", 1, 0));
        let _ = reports.take_dirty();
        reports.publish(status("a", 1, 500));
        reports.observe(ClusterObservation::default());
        assert_eq!(reports.take_dirty(), (Vec::new(), Some(ClusterObservation::default())));
        reports.observe(ClusterObservation::default());
        assert!(tokio::time::timeout(std::time::Duration::from_millis(20), reports.changed()).await.is_err());
    }

    #[test]
    fn forgotten_application_is_not_reported() {
        let reports = Reports::new();
        reports.publish(status("a", 1, 0));
        reports.forget(&"a".parse().unwrap());
        assert_eq!(reports.take_dirty(), (Vec::new(), None));
    }
}
