//! Adoption: what is there already becomes Nave's only as the application's rule has it, and is released, not deleted.

use nave_common::application::Adopt;
use nave_common::status::SyncState;
use serde_json::{Value, json};

use super::agent::Wish;
use super::applying::{config_map, settle};
use super::{TestAgent, TestCluster};

/// With `adopt: Never` an object that is there already is not touched, and the status says whose it is.
pub async fn foreign_object_is_refused_by_never(cluster: &TestCluster) {
    let mut agent = TestAgent::start(cluster);
    let namespace = cluster.namespace("never").await;
    let object = config_map(&namespace, "a", "a");
    cluster.create(&object, "someone").await;
    let version = cluster.get(&object).await.expect("it is there")["metadata"]["resourceVersion"].clone();
    let other = config_map(&namespace, "b", "b");
    let wish = Wish::new(vec![object.clone(), other.clone()]).adopting(Adopt::Never);
    let key = agent.tell(&cluster.name("never"), &wish);
    let status = agent.wait(&key, "refused", |status| status.sync == SyncState::OutOfSync).await;
    assert!(status.reason.contains("someone") && status.reason.contains("sync.adopt"), "{status:#?}");
    settle(&agent).await;
    assert_eq!(cluster.get(&object).await.expect("it is there")["metadata"]["resourceVersion"], version);
    assert!(cluster.get(&other).await.is_some());
    agent.stop().await;
}

/// An equal object is adopted; when it is no longer wanted it stays, without Nave's marks.
pub async fn equal_object_is_adopted_and_released(cluster: &TestCluster) {
    let mut agent = TestAgent::start(cluster);
    let namespace = cluster.namespace("equal").await;
    let object = config_map(&namespace, "a", "a");
    cluster.create(&object, "someone").await;
    let kept = config_map(&namespace, "kept", "a");
    let name = cluster.name("equal");
    let key = agent.tell(&name, &Wish::new(vec![object.clone(), kept.clone()]));
    agent.wait_synced(&key).await;
    let live = cluster.get(&object).await.expect("it is there");
    assert_eq!(live["metadata"]["annotations"]["nave.dev/adopted"], "true");
    // It is kept as wanted like any other.
    cluster.edit(&object, "kubectl-edit", json!({"data": {"key": "else"}})).await;
    cluster.wait(&object, "put back", |object| object["data"]["key"] == "a").await;
    let key = agent.tell(&name, &Wish::new(vec![kept]));
    agent.wait_synced(&key).await;
    let is_released = |object: &Value| object["metadata"]["labels"]["nave.dev/application"].is_null();
    let live = cluster.wait(&object, "released", is_released).await;
    assert_eq!(live["data"]["key"], "a");
    assert_eq!(live["metadata"]["uid"], cluster.get(&object).await.expect("it is there")["metadata"]["uid"]);
    assert_eq!(live["metadata"]["annotations"]["nave.dev/adopted"], Value::Null);
    let managers = live["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    assert!(managers.iter().all(|entry| entry["manager"] != "nave"), "{managers:#?}");
    agent.stop().await;
}

/// A different object is refused with what differs, and taken over and changed by `adopt: Always`.
pub async fn different_object_is_refused_unless_always(cluster: &TestCluster) {
    let mut agent = TestAgent::start(cluster);
    let namespace = cluster.namespace("different").await;
    let object = config_map(&namespace, "a", "theirs");
    cluster.create(&object, "someone").await;
    let wanted = config_map(&namespace, "a", "ours");
    let name = cluster.name("different");
    let key = agent.tell(&name, &Wish::new(vec![wanted.clone()]));
    let status = agent.wait(&key, "refused", |status| status.sync == SyncState::OutOfSync).await;
    assert!(status.reason.contains(".data.key"), "{status:#?}");
    assert_eq!(cluster.get(&object).await.expect("it is there")["data"]["key"], "theirs");
    let key = agent.tell(&name, &Wish::new(vec![wanted]).adopting(Adopt::Always));
    agent.wait_synced(&key).await;
    assert_eq!(cluster.get(&object).await.expect("it is there")["data"]["key"], "ours");
    agent.tell_removal(&key);
    agent.wait(&key, "removed", |status| status.removed).await;
    assert!(cluster.get(&object).await.is_some(), "it was there before");
    agent.stop().await;
}

/// `pruneAdopted` deletes what was taken over, too.
pub async fn adopted_object_is_pruned_where_that_is_asked(cluster: &TestCluster) {
    let mut agent = TestAgent::start(cluster);
    let namespace = cluster.namespace("prune-adopted").await;
    let (object, kept) = (config_map(&namespace, "a", "a"), config_map(&namespace, "kept", "a"));
    cluster.create(&object, "someone").await;
    let name = cluster.name("prune-adopted");
    let wish = |objects: Vec<Value>| Wish::new(objects).with(|wish| wish.sync.prune_adopted = true);
    let key = agent.tell(&name, &wish(vec![object.clone(), kept.clone()]));
    agent.wait_synced(&key).await;
    let key = agent.tell(&name, &wish(vec![kept]));
    agent.wait_synced(&key).await;
    cluster.wait_gone(&object).await;
    agent.stop().await;
}

/// What a tool made and Nave took over is Nave's alone: a field that is no longer wanted goes.
pub async fn fields_of_tools_are_taken_over(cluster: &TestCluster) {
    let mut agent = TestAgent::start(cluster);
    let namespace = cluster.namespace("tools").await;
    let mut object = config_map(&namespace, "a", "theirs");
    object["data"]["old"] = "to go".into();
    cluster.create(&object, "helm").await;
    object["data"]["key"] = "ours".into();
    let name = cluster.name("tools");
    let key = agent.tell(&name, &Wish::new(vec![object.clone()]).adopting(Adopt::Always));
    agent.wait_synced(&key).await;
    let live = cluster.get(&object).await.expect("it is there");
    assert_eq!(live["data"]["key"], "ours");
    let managers = live["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    assert!(managers.iter().all(|entry| entry["manager"] != "helm"), "{managers:#?}");
    object["data"].as_object_mut().expect("data").remove("old");
    let key = agent.tell(&name, &Wish::new(vec![object.clone()]).adopting(Adopt::Always));
    agent.wait_synced(&key).await;
    assert_eq!(cluster.get(&object).await.expect("it is there")["data"]["old"], Value::Null);
    settle(&agent).await;
    agent.stop().await;
}
