//! Clusters that leave the fleet.

use std::time::Duration;

use nave_hub::config::StoreConfig;
use nave_proto::v1;
use nave_proto::v1::agent_service_client::AgentServiceClient;
use tonic::Code;

use crate::agent::{Agent, Disk, hello};
use crate::failover::{counted, standing};
use crate::harness::{Fleet, TestHub, apply, assert_refused, config_map, eventually};

fn delete(name: &str, force: bool) -> v1::DeleteClusterRequest {
    v1::DeleteClusterRequest { name: name.into(), force, dry_run: false }
}

async fn is_there(fleet: &mut Fleet, name: &str) -> bool {
    fleet.get_cluster(v1::GetClusterRequest { name: name.into() }).await.is_ok()
}

#[tokio::test]
async fn an_empty_cluster_goes_and_its_agent_is_told() {
    let hub = TestHub::start().await;
    let own = hub.enroll("eu-1", &[]).await;
    let mut agent = Agent::connect(&hub, &own, "eu-1", Disk::new()).await;
    let mut admin = hub.admin().await;
    assert_refused(
        admin.delete_cluster(delete("eu-9", false)).await,
        Code::NotFound,
        "there is no cluster eu-9",
    );
    let dry = v1::DeleteClusterRequest { dry_run: true, ..delete("eu-1", false) };
    admin.delete_cluster(dry).await.unwrap();
    assert!(is_there(&mut admin, "eu-1").await);
    let gone = admin.delete_cluster(delete("eu-1", false)).await.unwrap().into_inner();
    assert_eq!(gone.cluster.unwrap().metadata.unwrap().name, "eu-1");
    assert!(!is_there(&mut admin, "eu-1").await);
    let part = "is not in this hub's fleet: it never joined, or it was deleted";
    assert_refused(agent.try_next().await, Code::PermissionDenied, part);
    let mut again = Agent::open(&hub, &own, hello("eu-1", &Disk::new())).await.unwrap();
    assert_refused(again.try_next().await, Code::PermissionDenied, part);
    let mut fetcher = AgentServiceClient::new(hub.channel(Some(&own)).await);
    let digest = nave_common::digest::Digest::of(b"x").to_string();
    let fetched = fetcher.fetch_bundle(v1::FetchBundleRequest { digest, offset: 0 }).await;
    assert_refused(fetched.map(|_| ()), Code::PermissionDenied, part);
    let events = admin.list_events(v1::ListEventsRequest { cluster: "eu-1".into(), ..Default::default() });
    let events = events.await.unwrap().into_inner().events;
    assert!(events.iter().any(|event| event.reason == "ClusterDeleted"), "{events:?}");
}

#[tokio::test]
async fn a_cluster_that_runs_something_goes_only_by_force_and_only_when_it_is_lost() {
    let hub = TestHub::start_with(|config| {
        config.store = StoreConfig::Memory;
        config.heartbeat_interval = Duration::from_millis(100);
        config.liveness_lease = Duration::from_millis(400);
    })
    .await;
    let own = hub.enroll("eu-1", &[]).await;
    let mut agent = Agent::connect(&hub, &own, "eu-1", Disk::new()).await;
    let mut admin = hub.admin().await;
    apply(&mut admin, counted("shop", 1, &[config_map("a", "1")])).await;
    agent.assignment().await;
    agent.report(false).await;
    let refused = admin.delete_cluster(delete("eu-1", false)).await;
    assert_refused(refused, Code::FailedPrecondition, "eu-1 still has default/shop (runs); nave drain eu-1");
    let refused = admin.delete_cluster(delete("eu-1", true)).await;
    assert_refused(refused, Code::FailedPrecondition, "force is only for clusters that are lost");
    drop(agent);
    eventually("it goes once it is lost", || {
        let mut admin = admin.clone();
        async move { admin.delete_cluster(delete("eu-1", true)).await.is_ok() }
    })
    .await;
    assert!(!is_there(&mut admin, "eu-1").await);
    eventually("its assignments are forgotten", || {
        let mut admin = admin.clone();
        async move { standing(&mut admin, "shop").await.active.is_empty() }
    })
    .await;
}
