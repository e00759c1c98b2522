//! The inventory: what an agent knows after a restart, and what it does when it knows less.

use nave_common::name::ApplicationKey;
use nave_common::status::SyncState;
use serde_json::{Value, json};

use super::agent::Wish;
use super::applying::{config_map, deployment, settle};
use super::{TestAgent, TestCluster};

/// The first part of an application's inventory.
#[must_use]
pub fn config_map_of(key: &ApplicationKey) -> Value {
    let name = format!("inventory.{}.{}.0", key.project, key.name);
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "nave-system"}})
}

/// An agent that starts anew finds everything as it left it, with lists and watches only.
pub async fn restart_writes_nothing_and_reads_no_single_object(cluster: &TestCluster) {
    let mut agent = TestAgent::start(cluster);
    let namespace = cluster.namespace("restart").await;
    let mut objects: Vec<_> =
        (0..20).map(|number| config_map(&namespace, &format!("c{number}"), "a")).collect();
    objects.push(deployment(&namespace, "cart", 1, "cart:1"));
    let key = agent.tell(&cluster.name("restart"), &Wish::new(objects));
    agent.wait_synced(&key).await;
    settle(&agent).await;
    let agent = agent.restart(cluster).await;
    agent.wait_synced(&key).await;
    settle(&agent).await;
    assert_eq!(
        (agent.requests.count("write"), agent.requests.count("get")),
        (0, 0),
        "{:#?}",
        agent.requests.take()
    );
    agent.stop().await;
}

/// What happened while the agent was down is repaired when it is back; after a crash nothing is worse.
pub async fn restart_repairs_what_happened_meanwhile(cluster: &TestCluster) {
    let mut agent = TestAgent::start(cluster);
    let namespace = cluster.namespace("meanwhile").await;
    let objects = vec![config_map(&namespace, "edited", "a"), config_map(&namespace, "deleted", "a")];
    let key = agent.tell(&cluster.name("meanwhile"), &Wish::new(objects.clone()));
    agent.wait_synced(&key).await;
    settle(&agent).await;
    let (told, counter) = agent.stop().await;
    cluster.edit(&objects[0], "kubectl-edit", json!({"data": {"key": "else"}})).await;
    cluster.delete(&objects[1]).await;
    let agent = TestAgent::start_again(cluster, told, counter);
    cluster.wait(&objects[0], "put back", |object| object["data"]["key"] == "a").await;
    cluster.wait(&objects[1], "made again", |object| !object.is_null()).await;
    agent.wait_synced(&key).await;
    let agent = agent.crash(cluster).await;
    agent.wait_synced(&key).await;
    agent.stop().await;
}

/// An inventory that someone deleted is found again by labels: nothing is deleted, nothing refused, and what is no
/// longer wanted is still known to be Nave's.
pub async fn lost_inventory_is_found_again(cluster: &TestCluster) {
    let mut agent = TestAgent::start(cluster);
    let namespace = cluster.namespace("lost").await;
    let objects = vec![config_map(&namespace, "kept", "a"), config_map(&namespace, "dropped", "a")];
    let name = cluster.name("lost");
    let key = agent.tell(&name, &Wish::new(objects.clone()));
    agent.wait_synced(&key).await;
    let uid = cluster.get(&objects[0]).await.expect("it is there")["metadata"]["uid"].clone();
    settle(&agent).await;
    let (told, counter) = agent.stop().await;
    cluster.delete(&config_map_of(&key)).await;
    let mut agent = TestAgent::start_again(cluster, told, counter);
    agent.wait_synced(&key).await;
    assert_eq!(cluster.get(&objects[0]).await.expect("it is there")["metadata"]["uid"], uid);
    cluster.wait(&config_map_of(&key), "written again", |object| !object.is_null()).await;
    let key = agent.tell(&name, &Wish::new(objects[..1].to_vec()));
    agent.wait_synced(&key).await;
    cluster.wait_gone(&objects[1]).await;
    agent.stop().await;
}

/// A removal works without an inventory and without anything in memory.
pub async fn lost_inventory_can_still_be_removed(cluster: &TestCluster) {
    let mut agent = TestAgent::start(cluster);
    let namespace = cluster.namespace("lost-removal").await;
    let object = config_map(&namespace, "a", "a");
    let key = agent.tell(&cluster.name("lost-removal"), &Wish::new(vec![object.clone()]));
    agent.wait_synced(&key).await;
    agent.tell_nothing(&key);
    settle(&agent).await;
    let (_, counter) = agent.stop().await;
    cluster.delete(&config_map_of(&key)).await;
    let mut agent = TestAgent::start_again(cluster, std::collections::BTreeMap::new(), counter);
    agent.tell_removal(&key);
    agent.wait(&key, "removed", |status| status.removed).await;
    cluster.wait_gone(&object).await;
    agent.stop().await;
}

/// The inventory in the cluster holds every object with its UID.
pub async fn inventory_names_every_object(cluster: &TestCluster) {
    let mut agent = TestAgent::start(cluster);
    let namespace = cluster.namespace("named").await;
    let objects: Vec<_> = (0..5).map(|number| config_map(&namespace, &format!("c{number}"), "a")).collect();
    let key = agent.tell(&cluster.name("named"), &Wish::new(objects.clone()));
    let status = agent.wait_synced(&key).await;
    assert_eq!(status.sync, SyncState::Synced);
    let has_uids = |object: &Value| {
        let text = object["data"]["inventory.json"].as_str().unwrap_or_default();
        let inventory = serde_json::from_str::<nave_common::inventory::Inventory>(text);
        inventory
            .is_ok_and(|it| it.objects.len() == 5 && it.objects.values().all(|entry| entry.uid.is_some()))
    };
    cluster.wait(&config_map_of(&key), "complete", has_uids).await;
    agent.stop().await;
}
