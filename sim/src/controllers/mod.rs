//! The controllers of a cluster in miniature: what turns a Deployment into ready pods, and the rest.
//!
//! Each looks at one object that changed or whose time has come, and writes what follows from it. They are
//! run by `State::run` until nothing changes any more; they never wait.

mod claim;
mod conditions;
mod daemon_set;
mod definition;
mod deployment;
mod job;
mod namespace;
mod pod;
mod replica_set;
mod service;
mod stateful_set;
mod templates;

use std::sync::Arc;

use jiff::Timestamp;

pub(crate) use conditions::{Condition, set as set_condition};
pub(crate) use definition::CLEANUP;

use crate::garbage;
use crate::state::State;
use crate::store::{Key, Object};

/// The name that the controllers write under.
pub(crate) const MANAGER: &str = "kube-controller-manager";
/// So many objects in one run are a loop.
const RUN_MAX: usize = 100_000;

impl State {
    /// Lets the controllers do what there is to do at this time. The instant at which there is more to do.
    pub fn run(&mut self, now: Timestamp) -> Option<Timestamp> {
        while let Some(entry) = self.timers.first_entry() {
            if *entry.key() > now {
                break;
            }
            for key in entry.remove() {
                self.store.mark(key);
            }
        }
        for _ in 0..RUN_MAX {
            let Some(key) = self.store.take_dirty() else { break };
            self.reconcile(&key, now);
        }
        self.timers.keys().next().copied()
    }

    fn reconcile(&mut self, key: &Key, now: Timestamp) {
        let Some(resource) = self.registry.get(key.resource) else { return };
        let object = self.store.get(key);
        if let Some(object) = &object {
            garbage::collect(self, object, now);
        }
        // Collection may have changed or removed it.
        let object: Option<Arc<Object>> = self.store.get(key);
        if !key.namespace.is_empty() && object.is_none() {
            namespace::content_went(self, key);
        }
        if resource.custom {
            if object.is_none() {
                definition::instance_went(self, &resource);
            }
            return;
        }
        match (resource.group.as_str(), resource.plural.as_str(), object) {
            ("", "namespaces", Some(object)) => namespace::reconcile(self, &object, now),
            ("", "nodes", Some(object)) => pod::node_changed(self, &object, now),
            ("", "pods", Some(object)) => pod::reconcile(self, &object, now),
            ("", "pods", None) => pod::went(self, key),
            ("", "services", Some(object)) => service::reconcile(self, &object, now),
            ("", "persistentvolumeclaims", Some(object)) => claim::reconcile(self, &object, now),
            ("apps", "deployments", Some(object)) => deployment::reconcile(self, &object, now),
            ("apps", "replicasets", Some(object)) => replica_set::reconcile(self, &object, now),
            ("apps", "statefulsets", Some(object)) => stateful_set::reconcile(self, &object, now),
            ("apps", "daemonsets", Some(object)) => daemon_set::reconcile(self, &object, now),
            ("batch", "jobs", Some(object)) => job::reconcile(self, &object, now),
            ("apiextensions.k8s.io", "customresourcedefinitions", object) => {
                definition::reconcile(self, key, object.as_deref(), now);
            }
            ("apiregistration.k8s.io", "apiservices", Some(object)) => {
                service::api_service(self, &object, now);
            }
            ("policy", "poddisruptionbudgets", Some(object)) => {
                service::disruption_budget(self, &object, now);
            }
            _ => {}
        }
    }
}
