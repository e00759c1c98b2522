//! Observes the cluster as a whole: its version, its nodes and what they have to give, and whether its API server
//! answers. It changes nothing.
//!
//! Nodes are followed by one watch; of each node only a few numbers are kept. Beside that one small request every
//! [`PROBE_INTERVAL`] tells a server that hangs from one that has nothing to say.

use std::collections::HashMap;
use std::time::Duration;

use nave_common::quantity;
use nave_common::resources::Resources;
use nave_common::runtime::backoff::Reconnect;
use nave_common::status::ClusterObservation;
use nave_common::time::Timestamp;
use serde_json::Value;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::api::list::Query;
use crate::api::watch::Event;
use crate::api::{Api, Error, Resource};
use crate::health::conditions;
use crate::reports::Reports;

/// How often the API server is asked for its version.
const PROBE_INTERVAL: Duration = Duration::from_secs(5);
/// How often while it does not answer.
const PROBE_INTERVAL_IN_TROUBLE: Duration = Duration::from_secs(2);
/// How long an answer may take. With the interval it says how soon work may leave a cluster whose API server hangs.
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);
/// Changes of nodes are told together, at most this often.
const SETTLE: Duration = Duration::from_millis(250);
/// A node with its list of images is large.
const PAGE_NODES: u32 = 50;

/// What is kept of one node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Node {
    ready: bool,
    allocatable: Resources,
}

/// What is known of all nodes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Nodes {
    count: u32,
    ready_count: u32,
    allocatable: Resources,
}

/// Observes until it is told to stop.
pub async fn observe(api: Api, reports: Reports, shutdown: CancellationToken) {
    let (sender, nodes) = watch::channel(Nodes::default());
    let doubt = Notify::new();
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = probe(&api, &reports, nodes, &doubt) => {}
        () = follow_nodes(&api, &sender, &doubt) => {}
    }
}

/// Asks for the version over and over, and tells what is known whenever it changes.
///
/// Whoever doubts that the API server answers has it asked at once.
async fn probe(api: &Api, reports: &Reports, mut nodes: watch::Receiver<Nodes>, doubt: &Notify) {
    let mut observation = ClusterObservation {
        agent_version: env!("CARGO_PKG_VERSION").into(),
        ..ClusterObservation::default()
    };
    let mut unanswered_since: Option<Timestamp> = None;
    let mut next_probe_at = Instant::now();
    loop {
        if next_probe_at <= Instant::now() {
            match version(api).await {
                Ok(version) => {
                    observation.kubernetes_version = version;
                    observation.problem = None;
                    unanswered_since = None;
                    next_probe_at = Instant::now() + PROBE_INTERVAL;
                }
                Err(why) => {
                    let since = *unanswered_since.get_or_insert_with(crate::reconcile::wall_clock);
                    observation.problem = Some(format!("the API server cannot be used since {since}: {why}"));
                    next_probe_at = Instant::now() + PROBE_INTERVAL_IN_TROUBLE;
                }
            }
        }
        let known = *nodes.borrow_and_update();
        observation.node_count = known.count;
        observation.ready_node_count = known.ready_count;
        observation.allocatable = known.allocatable;
        reports.observe(observation.clone());
        tokio::select! {
            () = tokio::time::sleep_until(next_probe_at) => {}
            () = doubt.notified() => next_probe_at = next_probe_at.min(Instant::now()),
            changed = nodes.changed() => {
                if changed.is_err() {
                    return;
                }
                tokio::time::sleep(SETTLE).await;
            }
        }
    }
}

async fn version(api: &Api) -> Result<String, String> {
    match tokio::time::timeout(PROBE_TIMEOUT, api.get_path("/version")).await {
        Ok(Ok(version)) => Ok(version["gitVersion"].as_str().unwrap_or_default().to_owned()),
        Ok(Err(error)) => Err(error.describe()),
        Err(_) => Err(format!("it did not answer within {} s", PROBE_TIMEOUT.as_secs())),
    }
}

/// Lists and watches nodes without end.
async fn follow_nodes(api: &Api, known: &watch::Sender<Nodes>, doubt: &Notify) {
    let resource = Resource::core("Node", "nodes", false);
    let mut nodes = HashMap::new();
    let mut version = String::new();
    let mut pauses = Reconnect::new();
    loop {
        let outcome = if version.is_empty() {
            list_nodes(api, &resource, &mut nodes).await.map(|listed| version = listed)
        } else {
            watch_nodes(api, &resource, &mut nodes, &mut version, known).await
        };
        known.send_if_modified(|last| replace(last, sum(&nodes)));
        match outcome {
            Ok(()) => pauses.reset(),
            Err(error) => {
                if error.code() == 410 {
                    version.clear();
                } else if error.is_unreachable() {
                    doubt.notify_one();
                }
                tracing::debug!(error = error.describe(), "cannot follow nodes for now");
                tokio::time::sleep(error.retry_after().unwrap_or_default().max(pauses.next())).await;
            }
        }
    }
}

fn replace(last: &mut Nodes, new: Nodes) -> bool {
    let changed = *last != new;
    *last = new;
    changed
}

async fn list_nodes(
    api: &Api,
    resource: &Resource,
    nodes: &mut HashMap<String, Node>,
) -> Result<String, Error> {
    let mut listed = HashMap::new();
    let query = Query { page: Some(PAGE_NODES), ..Query::all(resource) };
    let mut next = String::new();
    loop {
        let page = api.list_page(query, &next).await?;
        listed.extend(page.items.iter().filter_map(read));
        if page.next.is_empty() {
            *nodes = listed;
            return Ok(page.resource_version);
        }
        next = page.next;
    }
}

async fn watch_nodes(
    api: &Api,
    resource: &Resource,
    nodes: &mut HashMap<String, Node>,
    version: &mut String,
    known: &watch::Sender<Nodes>,
) -> Result<(), Error> {
    let opened_at = Instant::now();
    let mut watch = api.watch(resource, "", version).await?;
    while let Some(event) = watch.next().await? {
        match event {
            Event::Bookmark(newer) => *version = newer,
            Event::Present(object) => {
                *version = object["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned();
                nodes.extend(read(&object));
            }
            Event::Gone(object) => {
                *version = object["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned();
                if let Some((name, _)) = read(&object) {
                    nodes.remove(&name);
                }
            }
        }
        known.send_if_modified(|last| replace(last, sum(nodes)));
    }
    if opened_at.elapsed() < Duration::from_secs(1) {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    Ok(())
}

fn read(object: &Value) -> Option<(String, Node)> {
    let name = object["metadata"]["name"].as_str()?.to_owned();
    let allocatable = &object["status"]["allocatable"];
    let text = |name: &str| match &allocatable[name] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let node = Node {
        // A node that is cordoned still runs what it runs, and takes nothing more; it counts as long as it is ready.
        ready: conditions::is_true(object, "Ready").is_some(),
        allocatable: Resources {
            cpu_millicores: quantity::millicores(&text("cpu")).unwrap_or(0),
            memory_bytes: quantity::bytes(&text("memory")).unwrap_or(0),
            pods: quantity::bytes(&text("pods")).unwrap_or(0),
        },
    };
    Some((name, node))
}

fn sum(nodes: &HashMap<String, Node>) -> Nodes {
    let ready = || nodes.values().filter(|node| node.ready);
    Nodes {
        count: u32::try_from(nodes.len()).unwrap_or(u32::MAX),
        ready_count: u32::try_from(ready().count()).unwrap_or(u32::MAX),
        allocatable: ready().fold(Resources::default(), |sum, node| sum.plus(node.allocatable)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_ready_nodes_have_something_to_give() {
        let node = |name: &str, ready: &str| {
            json!({"metadata": {"name": name}, "status": {
                "allocatable": {"cpu": "3920m", "memory": "16Gi", "pods": "110"},
                "conditions": [{"type": "Ready", "status": ready}]}})
        };
        let nodes: HashMap<_, _> =
            [node("a", "True"), node("b", "Unknown"), node("c", "True")].iter().filter_map(read).collect();
        let sum = sum(&nodes);
        assert_eq!((sum.count, sum.ready_count), (3, 2));
        assert_eq!(sum.allocatable, Resources { cpu_millicores: 7840, memory_bytes: 32 << 30, pods: 220 });
    }
}
