//! Faults: what goes wrong between agent and API server, and what must not leak when it does.

use nave_common::status::SyncState;
use serde_json::json;

use super::agent::Wish;
use super::{TestAgent, TestCluster};

/// A Secret that the API server refuses: its values are neither in the status nor in what is told of single objects.
pub async fn secret_values_stay_out_of_status(cluster: &TestCluster) {
    let mut agent = TestAgent::start(cluster);
    let namespace = cluster.namespace("secret").await;
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a", "namespace": namespace},
        "type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": "aHVudGVyMmh1bnRlcjI="}});
    let key = agent.tell(&cluster.name("secret"), &Wish::new(vec![secret]));
    let status = agent.wait(&key, "failed", |status| status.sync == SyncState::Failed).await;
    let text = serde_json::to_string(&status).expect("a status has a JSON form");
    assert!(!text.contains("hunter2") && !text.contains("aHVudGVy"), "{text}");
    agent.stop().await;
}
