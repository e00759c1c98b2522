//! Follows the pods of Exclusive work in the whole cluster, and looks at their nodes when they go.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use nave_common::render::activity::EXCLUSIVE_LABEL;
use nave_common::runtime::backoff::Reconnect;
use serde_json::Value;
use tokio::time::Instant;

use super::Shared;
use super::pods::{self, Pod, Way};
use crate::api::list::Query;
use crate::api::watch::Event;
use crate::api::{Api, Error, Resource, Target};
use crate::health::conditions;

/// How often nodes in doubt are looked at.
const DOUBT_INTERVAL: Duration = Duration::from_secs(2);
/// A node with its list of images is large.
const PAGE_NODES: u32 = 50;

/// Follows without end.
pub(crate) async fn follow(api: Api, shared: Arc<Shared>) {
    tokio::join!(follow_pods(&api, &shared), clear_doubts(&api, &shared));
}

async fn follow_pods(api: &Api, shared: &Shared) {
    let resource = Resource::core("Pod", "pods", true);
    let mut version = String::new();
    let mut pauses = Reconnect::new();
    loop {
        let outcome = if version.is_empty() {
            list(api, &resource, shared).await.map(|listed| version = listed)
        } else {
            watch(api, &resource, shared, &mut version).await
        };
        match outcome {
            Ok(()) => pauses.reset(),
            Err(error) => {
                if error.code() == 410 {
                    version.clear();
                }
                tracing::debug!(error = error.describe(), "cannot follow Exclusive pods for now");
                tokio::time::sleep(error.retry_after().unwrap_or_default().max(pauses.next())).await;
            }
        }
    }
}

async fn list(api: &Api, resource: &Resource, shared: &Shared) -> Result<String, Error> {
    let query = Query::all(resource).labelled(EXCLUSIVE_LABEL);
    let mut sights = Vec::new();
    let mut next = String::new();
    let version = loop {
        let page = api.list_page(query, &next).await?;
        sights.extend(page.items.iter().filter_map(pods::read));
        if page.next.is_empty() {
            break page.resource_version;
        }
        next = page.next;
    };
    let (missing, is_first) = {
        let state = shared.lock();
        (state.tracker.missing(&sights), !state.tracker.is_following)
    };
    // What went while nobody looked is judged by its node as that is now.
    let mut gone = Vec::new();
    for (label, uid, pod) in missing {
        let way = way_of(api, &pod).await?;
        gone.push((label, uid, way));
    }
    let unready = if is_first { unready_nodes(api).await? } else { BTreeSet::new() };
    shared.change_pods(|tracker| {
        for sight in sights {
            let _ = tracker.see(sight);
        }
        for (label, uid, way) in gone {
            tracker.gone(&label, &uid, way);
        }
        tracker.following(unready);
        true
    });
    Ok(version)
}

async fn watch(api: &Api, resource: &Resource, shared: &Shared, version: &mut String) -> Result<(), Error> {
    let opened_at = Instant::now();
    let mut watch = api.watch(resource, EXCLUSIVE_LABEL, version).await?;
    while let Some(event) = watch.next().await? {
        match event {
            Event::Bookmark(newer) => *version = newer,
            Event::Present(object) => {
                if let Some(sight) = pods::read(&object) {
                    shared.change_pods(|tracker| tracker.see(sight));
                }
                *version = version_of(&object);
            }
            Event::Gone(object) => {
                went(api, shared, &object).await?;
                *version = version_of(&object);
            }
        }
    }
    if opened_at.elapsed() < Duration::from_secs(1) {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    Ok(())
}

fn version_of(object: &Value) -> String {
    object["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned()
}

/// A pod is gone. Where its node cannot be asked the watch goes on from before it, so that it is told again.
async fn went(api: &Api, shared: &Shared, object: &Value) -> Result<(), Error> {
    let Some(sight) = pods::read(object) else { return Ok(()) };
    let was_ending = shared.lock().tracker.is_ending(&sight.label, &sight.uid);
    let way = match &sight.pod {
        None => Way::Ended,
        // One of which no container has begun, as its node last said, is judged by its node.
        Some(pod) if pod.node.is_some() && !pod.ending && !was_ending && pods::is_said_to_run(object) => {
            Way::Vanished
        }
        Some(pod) => way_of(api, pod).await?,
    };
    shared.change_pods(|tracker| {
        tracker.gone(&sight.label, &sight.uid, way);
        true
    });
    Ok(())
}

/// How a pod went that is not in the API any more, by its node.
async fn way_of(api: &Api, pod: &Pod) -> Result<Way, Error> {
    let Some(node) = &pod.node else { return Ok(Way::Ended) };
    Ok(if is_ready(api, node).await? { Way::Ended } else { Way::Vanished })
}

/// Whether a node is there and Ready.
async fn is_ready(api: &Api, name: &str) -> Result<bool, Error> {
    let resource = Resource::core("Node", "nodes", false);
    match api.get(Target { resource: &resource, namespace: None, name }).await {
        Ok(node) => Ok(conditions::is_true(&node, "Ready").is_some()),
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) => Err(error),
    }
}

async fn unready_nodes(api: &Api) -> Result<BTreeSet<String>, Error> {
    let resource = Resource::core("Node", "nodes", false);
    let query = Query { page: Some(PAGE_NODES), ..Query::all(&resource) };
    let nodes = api.list(query).await?;
    let unready = nodes.iter().filter(|node| conditions::is_true(node, "Ready").is_none());
    Ok(unready.filter_map(|node| Some(node["metadata"]["name"].as_str()?.to_owned())).collect())
}

/// Looks at nodes in doubt until they are Ready.
async fn clear_doubts(api: &Api, shared: &Shared) {
    loop {
        tokio::time::sleep(DOUBT_INTERVAL).await;
        let nodes = shared.lock().tracker.all_doubtful_nodes();
        for node in nodes {
            if matches!(is_ready(api, &node).await, Ok(true)) {
                shared.change_pods(|tracker| tracker.node_is_ready(&node));
            }
        }
    }
}
