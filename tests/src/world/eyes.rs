//! What can be seen of a world from outside: the pods and objects in each cluster, and what the hub's store holds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::FutureExt as _;
use nave_common::assignment::{Activity, Assignment, Desired};
use nave_common::failover::Epoch;
use nave_common::failover::state::{FailoverState, Move};
use nave_common::name::{ApplicationKey, ClusterName};
use nave_common::render::activity::EPOCH_ANNOTATION;
use nave_hub::records::Record;
use nave_hub::store::{Sequence, Store};
use nave_sim::{Cluster, Reply, Request};
use serde_json::Value;

/// A pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// The application, by its label.
    pub application: String,
    /// The token that it was started with.
    pub epoch: Epoch,
    /// Whether it is up and not on its way out.
    pub is_ready: bool,
}

/// What is in a cluster.
#[derive(Debug, Clone, Default)]
pub struct Contents {
    revision: u64,
    /// Every pod that runs or may run.
    pub pods: Vec<Pod>,
    /// Every object that an application asks for: its UID, kind and namespace, which is the application's name.
    pub objects: BTreeMap<String, (String, String)>,
    /// The replicas that each Deployment asks for, by its namespace.
    pub replicas: BTreeMap<String, u64>,
}

/// What is looked at in a cluster: the kinds of which applications are made.
const LOOKED_AT: [(&str, &str); 2] =
    [("ConfigMap", "/api/v1/configmaps"), ("Deployment", "/apis/apps/v1/deployments")];

impl Contents {
    /// Looks again, where anything changed.
    pub fn look(&mut self, cluster: &Cluster, applications: &BTreeSet<String>) {
        let revision = cluster.revision();
        if revision == self.revision {
            return;
        }
        self.revision = revision;
        self.pods = items(cluster, "/api/v1/pods").iter().filter_map(pod).collect();
        self.objects.clear();
        self.replicas.clear();
        for (kind, path) in LOOKED_AT {
            for object in items(cluster, path) {
                let metadata = &object["metadata"];
                let namespace = metadata["namespace"].as_str().unwrap_or_default().to_owned();
                if !applications.contains(&namespace) || metadata["name"] != namespace.as_str() {
                    continue;
                }
                if kind == "Deployment" {
                    let replicas = object["spec"]["replicas"].as_u64().unwrap_or(1);
                    self.replicas.insert(namespace.clone(), replicas);
                }
                let uid = metadata["uid"].as_str().unwrap_or_default().to_owned();
                self.objects.insert(uid, (kind.to_owned(), namespace));
            }
        }
    }
}

/// Every object of a kind, by the path at which it is listed.
pub(super) fn items(cluster: &Cluster, path: &str) -> Vec<Value> {
    let request = Request { method: "GET".into(), path: path.into(), ..Request::default() };
    let Reply::Whole { body, .. } = cluster.handle(&request) else { return Vec::new() };
    let mut list: Value = serde_json::from_slice(&body).unwrap_or_default();
    match list["items"].take() {
        Value::Array(items) => items,
        _ => Vec::new(),
    }
}

fn pod(value: &Value) -> Option<Pod> {
    let phase = value["status"]["phase"].as_str().unwrap_or("Pending");
    if matches!(phase, "Succeeded" | "Failed") {
        return None;
    }
    let metadata = &value["metadata"];
    let number = metadata["annotations"][EPOCH_ANNOTATION].as_str().and_then(|text| text.parse().ok());
    Some(Pod {
        application: metadata["labels"]["app"].as_str()?.to_owned(),
        epoch: Epoch::from_number(number.unwrap_or_default()),
        is_ready: phase == "Running" && metadata["deletionTimestamp"].is_null(),
    })
}

/// What the hub's store holds of assignments and failover.
#[derive(Debug, Default)]
pub struct Durable {
    at: Option<Sequence>,
    /// What each cluster is told.
    pub assignments: BTreeMap<(ApplicationKey, ClusterName), Assignment>,
    /// How each application stands in failover.
    pub failovers: BTreeMap<ApplicationKey, FailoverState>,
}

impl Durable {
    /// Looks again, where anything was written.
    ///
    /// # Panics
    /// Where the store does not answer at once, as one in memory does, or holds what is no record.
    pub fn look(&mut self, store: &Arc<dyn Store>) {
        let list = |prefix: &str, limit: usize| {
            let page = store.list(prefix, None, limit).now_or_never();
            page.unwrap_or_else(|| panic!("the store waits")).unwrap_or_else(|error| panic!("{error}"))
        };
        let at = list("meta/", 1).at;
        if self.at == Some(at) {
            return;
        }
        self.at = Some(at);
        self.assignments.clear();
        self.failovers.clear();
        for entry in list("assignment/", 1000).entries.iter().chain(&list("failover/", 1000).entries) {
            match Record::parse(&entry.key, &entry.value).unwrap_or_else(|error| panic!("{error}")) {
                Some(Record::Assignment(assignment)) => {
                    let place = (assignment.application.clone(), assignment.cluster.clone());
                    self.assignments.insert(place, *assignment);
                }
                Some(Record::Failover(state)) => {
                    self.failovers.insert(state.application.clone(), *state);
                }
                _ => {}
            }
        }
    }

    /// Every move that is under way or done.
    pub fn moves(&self) -> impl Iterator<Item = (&ApplicationKey, &Move)> {
        self.failovers
            .iter()
            .flat_map(|(key, state)| state.moves.iter().chain(&state.history).map(move |one| (key, one)))
    }

    /// The clusters that are told to run it.
    #[must_use]
    pub fn active(&self, application: &ApplicationKey) -> Vec<&ClusterName> {
        self.assignments
            .iter()
            .filter(|(place, assignment)| place.0 == *application && is_active(assignment))
            .map(|(place, _)| &place.1)
            .collect()
    }
}

/// Whether a cluster is told to run it.
#[must_use]
pub fn is_active(assignment: &Assignment) -> bool {
    matches!(&assignment.desired, Desired::Run(run) if run.activity == Activity::Active)
}
