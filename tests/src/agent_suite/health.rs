//! Health: what is wrong is told in words on which a person can act, and told again when it changes.

use nave_common::health::Health;

use super::agent::Wish;
use super::applying::deployment;
use super::cluster::PATIENCE;
use super::{TestAgent, TestCluster};

/// A workload whose image cannot be pulled: the reason names pod and image.
pub async fn reason_names_what_is_wrong(cluster: &TestCluster) {
    let mut agent = TestAgent::start(cluster);
    let namespace = cluster.namespace("broken").await;
    let object = deployment(&namespace, "cart", 2, "registry.example.com/cart:broken");
    let key = agent.tell(&cluster.name("broken"), &Wish::new(vec![object]));
    let names_it = |status: &nave_common::status::AssignmentStatus| {
        status.health == Health::Progressing
            && status.reason.contains("0 of 2 ready")
            && status.reason.contains("cart:broken")
            && status.reason.contains("pod cart-")
    };
    let status = agent.wait(&key, "explained", names_it).await;
    assert_eq!(status.objects.len(), 1, "{status:#?}");
    agent.stop().await;
}

/// Health is told anew as the cluster changes.
pub async fn health_follows_the_cluster(cluster: &TestCluster) {
    let mut agent = TestAgent::start(cluster);
    let namespace = cluster.namespace("follows").await;
    let mut object = deployment(&namespace, "cart", 1, "cart:1");
    let name = cluster.name("follows");
    let key = agent.tell(&name, &Wish::new(vec![object.clone()]));
    agent.wait(&key, "healthy", |status| status.health == Health::Healthy && status.healthy_count == 1).await;
    object["spec"]["template"]["spec"]["containers"][0]["image"] = "cart:broken".into();
    let key = agent.tell(&name, &Wish::new(vec![object.clone()]));
    agent.wait(&key, "on its way", |status| status.health == Health::Progressing).await;
    object["spec"]["template"]["spec"]["containers"][0]["image"] = "cart:2".into();
    let key = agent.tell(&name, &Wish::new(vec![object.clone()]));
    agent.wait(&key, "healthy", |status| status.health == Health::Healthy && status.healthy_count == 1).await;
    agent.stop().await;
}

/// The cluster's version, nodes and capacity are told.
pub async fn cluster_is_observed(cluster: &TestCluster) {
    let agent = TestAgent::start(cluster);
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let observation = agent.reports.all().1.unwrap_or_default();
        if observation.ready_node_count > 0 && observation.kubernetes_version.starts_with("v1.") {
            assert_eq!(observation.problem, None);
            assert_eq!(observation.node_count, observation.ready_node_count);
            assert!(observation.allocatable.cpu_millicores > 0 && observation.allocatable.pods > 0);
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "{observation:#?}");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    agent.stop().await;
}
