//! Asks the API server about one application that is to stop, and stops what its manifests do not reach.
//!
//! A CronJob that is suspended starts nothing more, but the Jobs that it has started go on. Such a Job is deleted, and
//! its pods with it, each within its grace: suspended, it would come to life again here under an epoch that is over, and
//! with `concurrencyPolicy: Forbid` no later run would ever start. A Job of the manifests is parked instead.

use serde_json::Value;

use super::pods::{self, Job};
use crate::api::list::Query;
use crate::api::{Api, Error, Gvk, Resource, Target};

/// What is asked.
#[derive(Debug)]
pub struct Request {
    /// The label of its pods.
    pub label: String,
    /// Jobs that run pods of it and that no manifest names; they are deleted.
    pub jobs: Vec<Job>,
    /// Whether it looks as if nothing ran, and the API server is to be asked whether that is so.
    pub may_be_quiet: bool,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing of it runs, and nothing is left that would start anything.
    Quiet,
    /// Not yet; this is in the way, if it is worth a word.
    NotYet(String),
}

impl Verdict {
    /// What is in the way.
    #[must_use]
    pub fn why(&self) -> &str {
        match self {
            Self::Quiet => "",
            Self::NotYet(why) => why,
        }
    }
}

/// Asks, and deletes Jobs that are to go.
pub async fn ask(api: &Api, request: &Request) -> Verdict {
    let outcome = async {
        for job in &request.jobs {
            delete(api, job).await?;
        }
        if request.may_be_quiet {
            look(api, &request.label).await
        } else {
            Ok(Verdict::NotYet(String::new()))
        }
    };
    outcome.await.unwrap_or_else(|error| Verdict::NotYet(error.describe()))
}

async fn delete(api: &Api, job: &Job) -> Result<(), Error> {
    let resource = resource("batch/v1", "Job", "jobs");
    let target = Target { resource: &resource, namespace: Some(&job.namespace), name: &job.name };
    match api.delete(target, Some(&job.uid), None).await {
        Ok(_) => {
            tracing::info!(
                namespace = job.namespace,
                job = job.name,
                "a Job of Exclusive work is deleted, because that is to stop"
            );
            Ok(())
        }
        // It is gone, or another has its name.
        Err(error) if error.is_not_found() || error.code() == 409 => Ok(()),
        Err(error) => Err(error),
    }
}

/// First what makes pods and then the pods: what has taken in that it stands at zero makes no more.
async fn look(api: &Api, label: &str) -> Result<Verdict, Error> {
    let selector = format!("{}={label}", nave_common::render::activity::EXCLUSIVE_LABEL);
    let sets = resource("apps/v1", "ReplicaSet", "replicasets");
    for set in api.list(Query::all(&sets).labelled(&selector)).await? {
        if !is_at_zero(&set) {
            let name = set["metadata"]["name"].as_str().unwrap_or_default();
            return Ok(Verdict::NotYet(format!("ReplicaSet {name} has not come to zero yet")));
        }
    }
    let resource = Resource::core("Pod", "pods", true);
    let listed = api.list(Query::all(&resource).labelled(&selector)).await?;
    let running: Vec<_> = listed.iter().filter_map(pods::read).filter_map(|sight| sight.pod).collect();
    Ok(if running.is_empty() {
        Verdict::Quiet
    } else {
        Verdict::NotYet(format!("pods still run: {}", pods::names(&running)))
    })
}

/// Whether its controller has seen that it is to have no pods, and it has none.
fn is_at_zero(set: &Value) -> bool {
    let number = |value: &Value| value.as_i64().unwrap_or(0);
    let is_observed = number(&set["status"]["observedGeneration"]) >= number(&set["metadata"]["generation"]);
    // Left out, the count is one.
    is_observed && set["spec"]["replicas"] == 0 && number(&set["status"]["replicas"]) == 0
}

fn resource(api_version: &str, kind: &str, plural: &str) -> Resource {
    Resource { gvk: Gvk::new(api_version, kind), plural: plural.to_owned(), namespaced: true }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_replica_set_is_at_zero_only_once_its_controller_says_so() {
        let set = |wanted: Value, there: i64, observed: i64| {
            json!({"metadata": {"generation": 4}, "spec": {"replicas": wanted},
                "status": {"replicas": there, "observedGeneration": observed}})
        };
        assert!(is_at_zero(&set(json!(0), 0, 4)));
        for set in [set(json!(0), 0, 3), set(json!(0), 1, 4), set(json!(1), 0, 4), set(Value::Null, 0, 4)] {
            assert!(!is_at_zero(&set), "{set}");
        }
    }
}
