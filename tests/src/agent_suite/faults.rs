//! Faults: what goes wrong between agent and API server, and what must not leak when it does.

use nave_common::status::SyncState;
use serde_json::json;

use super::agent::Wish;
use super::{TestAgent, TestCluster};

/// A Secret that the API server refuses: its values are neither in the status nor in what is told of single objects.
pub async fn secret_values_stay_out_of_status(cluster: &TestCluster) {
    let mut agent = TestAgent::start(cluster);
    let namespace = cluster.namespace("secret").await;
    // A text where a truth value is expected: the API server refuses the whole object.
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a", "namespace": namespace},
        "data": {"password": "aHVudGVyMmh1bnRlcjI="}, "immutable": "hunter2"});
    let key = agent.tell(&cluster.name("secret"), &Wish::new(vec![secret]));
    let status = agent.wait(&key, "failed", |status| status.sync == SyncState::Failed).await;
    let text = serde_json::to_string(&status).expect("a status has a JSON form");
    let leaked = ["hunter2", "aHVudGVy"].iter().any(|value| text.contains(value));
    assert!(!leaked, "{text}");
    agent.stop().await;
}
