//! What can be seen of a world from outside: the pods and objects in each cluster, and what the hub's store holds.

use std::collections::{BTreeMap, BTreeSet};

use futures::FutureExt as _;
use nave_common::assignment::{Activity, Assignment, Desired};
use nave_common::failover::Epoch;
use nave_common::failover::state::{FailoverState, Move};
use nave_common::name::{ApplicationKey, ClusterName};
use nave_common::render::activity::EPOCH_ANNOTATION;
use nave_hub::records::{self, Name, Record};
use nave_hub::store::{Change, Sequence, Store, Watch};
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
#[derive(Debug)]
pub struct Durable {
    commits: Watch,
    /// What each cluster is told.
    pub assignments: BTreeMap<(ApplicationKey, ClusterName), Assignment>,
    /// How each application stands in failover.
    pub failovers: BTreeMap<ApplicationKey, FailoverState>,
}

impl Durable {
    /// Eyes on a store, from its first commit on.
    ///
    /// # Panics
    /// Where the store does not answer at once, as one in memory does.
    #[must_use]
    pub fn of(store: &dyn Store) -> Self {
        match store.watch(Sequence::ZERO).now_or_never() {
            Some(Ok(commits)) => Self { commits, assignments: BTreeMap::new(), failovers: BTreeMap::new() },
            other => panic!("the store cannot be watched: {other:?}"),
        }
    }

    /// Takes in what was written since, and returns every state of failover there was meanwhile, oldest first.
    ///
    /// # Panics
    /// Where the store holds what is no record.
    pub fn look(&mut self) -> Vec<FailoverState> {
        let mut states = Vec::new();
        while let Some(commit) = self.commits.next().now_or_never() {
            let commit = commit.unwrap_or_else(|error| panic!("the store cannot be followed: {error}"));
            for change in &commit.changes {
                states.extend(self.take(change).unwrap_or_else(|error| panic!("{}: {error}", change.key)));
            }
        }
        states
    }

    fn take(&mut self, change: &Change) -> Result<Option<FailoverState>, records::Error> {
        let Some(value) = &change.value else {
            match Name::parse(&change.key)? {
                Some(Name::Assignment(cluster, application)) => {
                    self.assignments.remove(&(application, cluster));
                }
                Some(Name::Failover(application)) => {
                    self.failovers.remove(&application);
                }
                _ => {}
            }
            return Ok(None);
        };
        match Record::parse(&change.key, value)? {
            Some(Record::Assignment(assignment)) => {
                let place = (assignment.application.clone(), assignment.cluster.clone());
                self.assignments.insert(place, *assignment);
                Ok(None)
            }
            Some(Record::Failover(state)) => {
                self.failovers.insert(state.application.clone(), (*state).clone());
                Ok(Some(*state))
            }
            _ => Ok(None),
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
