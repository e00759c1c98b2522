//! A hub that stops and starts: it keeps everything, and tells nobody anything twice.

use nave_proto::v1;
use tonic::Code;

use crate::agent::{Agent, Disk};
use crate::harness::{TestHub, application, apply, assert_refused, config_map, eventually, get};

#[tokio::test]
async fn a_restarted_hub_keeps_everything_and_sends_nothing_new() {
    let hub = TestHub::start_with(|_| {}).await;
    let own = hub.enroll("eu-1", &[]).await;
    apply(&mut hub.admin().await, application("shop", &[config_map("a", "1")])).await;
    let mut agent = Agent::connect(&hub, &own, "eu-1", Disk::new()).await;
    agent.assignment().await;
    let before = get(&mut hub.admin().await, "shop").await.unwrap();
    let hub = hub.restart().await;
    assert_refused(agent.try_next().await, Code::Unavailable, "stopping");
    let after = get(&mut hub.admin().await, "shop").await.unwrap();
    assert_eq!((after.metadata, after.spec), (before.metadata, before.spec));
    let mut agent = Agent::connect(&hub, &own, "eu-1", std::mem::take(&mut agent.disk)).await;
    agent.report(true).await;
    agent.silence().await;
    eventually("the application is healthy again", || async {
        get(&mut hub.admin().await, "shop").await.unwrap().status.unwrap().health() == v1::Health::Healthy
    })
    .await;
    let about = hub.admin().await.get_hub(v1::GetHubRequest {}).await.unwrap().into_inner();
    assert_eq!((about.term, about.cluster_count, about.application_count), (1, 1, 1));
    hub.hub.shutdown().await;
}

#[tokio::test]
async fn a_new_folder_is_not_made_ready_unasked() {
    let folder = tempfile::tempdir().unwrap();
    let config = nave_hub::Config { init: false, ..nave_hub::Config::local(folder.path()) };
    let error = nave_hub::Hub::start(config).await.unwrap_err().to_string();
    assert!(error.contains("nave-hub init"), "{error}");
}

#[tokio::test]
async fn a_second_hub_leaves_the_first_one_s_folder_alone() {
    let hub = TestHub::start_with(|_| {}).await;
    let before = hub.hub.admin_context().unwrap();
    let error = nave_hub::Hub::start(hub.config.clone()).await.unwrap_err();
    assert!(format!("{error:?}").contains("Locked"), "{error:?}");
    assert_eq!(hub.hub.admin_context().unwrap(), before);
}

#[tokio::test]
async fn a_hub_stops_although_its_clients_stay() {
    let hub = TestHub::start_with(|config| {
        config.store = nave_hub::config::StoreConfig::Memory;
        config.limits.shutdown_timeout = std::time::Duration::from_millis(500);
    })
    .await;
    let own = hub.enroll("eu-1", &[]).await;
    let _agent = Agent::connect(&hub, &own, "eu-1", Disk::new()).await;
    let _idle = hub.admin_channel().await;
    let _watch = hub
        .admin()
        .await
        .watch(v1::WatchRequest { kind: v1::Kind::Cluster.into(), ..Default::default() })
        .await;
    tokio::time::timeout(std::time::Duration::from_secs(5), hub.hub.shutdown()).await.unwrap();
}
