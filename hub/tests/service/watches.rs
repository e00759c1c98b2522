//! Watches: what is there, a mark, then what changes.

use nave_proto::v1;
use nave_proto::v1::watch_response::Change;
use tonic::{Code, Streaming};

use crate::agent::{Agent, Disk};
use crate::harness::{PATIENCE, TestHub, application, apply, assert_refused, config_map, key};

async fn next(stream: &mut Streaming<v1::WatchResponse>) -> Change {
    let message = tokio::time::timeout(PATIENCE, stream.message()).await.expect("a message in time");
    message.unwrap().expect("the watch goes on").change.unwrap()
}

fn name(change: &Change) -> String {
    match change {
        Change::Application(application) => application.metadata.as_ref().unwrap().name.clone(),
        Change::Deleted(deleted) => format!("-{}", deleted.application.as_ref().unwrap().name),
        Change::Synced(_) => "synced".into(),
        other => format!("{other:?}"),
    }
}

/// Names until `last` was told; doubled ones once.
async fn until(stream: &mut Streaming<v1::WatchResponse>, last: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    while names.last().is_none_or(|name| name != last) {
        let name = name(&next(stream).await);
        if names.last() != Some(&name) {
            names.push(name);
        }
    }
    names
}

#[tokio::test]
async fn a_watch_tells_what_is_there_then_what_changes_then_what_goes() {
    let hub = TestHub::start().await;
    let mut admin = hub.admin().await;
    for name in ["a", "b"] {
        apply(&mut admin, application(name, &[config_map("x", "1")])).await;
    }
    let request = v1::WatchRequest { kind: v1::Kind::Application.into(), ..Default::default() };
    let mut watch = admin.watch(request).await.unwrap().into_inner();
    assert_eq!(until(&mut watch, "synced").await, ["a", "b", "synced"]);
    apply(&mut admin, application("c", &[config_map("x", "1")])).await;
    // What was planned meanwhile is told too.
    let told = until(&mut watch, "c").await;
    assert!(told.iter().all(|name| ["a", "b", "c"].contains(&name.as_str())), "{told:?}");
    let request = v1::DeleteApplicationRequest { application: key("a"), ..Default::default() };
    admin.delete_application(request).await.unwrap();
    let told = until(&mut watch, "-a").await;
    assert!(told.iter().all(|name| ["a", "-a", "b", "c"].contains(&name.as_str())), "{told:?}");
}

#[tokio::test]
async fn what_no_longer_matches_is_gone_for_a_watch_with_a_selector() {
    let hub = TestHub::start().await;
    let mut admin = hub.admin().await;
    let labelled = |team: &str| {
        let mut shop = application("shop", &[config_map("x", "1")]);
        shop.metadata.as_mut().unwrap().labels.insert("team".into(), team.into());
        shop
    };
    apply(&mut admin, labelled("retail")).await;
    let selector = v1::Selector {
        match_labels: [("team".to_owned(), "retail".to_owned())].into(),
        ..Default::default()
    };
    let request = v1::WatchRequest {
        kind: v1::Kind::Application.into(),
        selector: Some(selector),
        ..Default::default()
    };
    let mut watch = admin.watch(request).await.unwrap().into_inner();
    assert_eq!(until(&mut watch, "synced").await, ["shop", "synced"]);
    apply(&mut admin, labelled("payments")).await;
    assert_eq!(until(&mut watch, "-shop").await.last().unwrap(), "-shop");
    apply(&mut admin, labelled("retail")).await;
    assert_eq!(until(&mut watch, "shop").await.last().unwrap(), "shop");
}

#[tokio::test]
async fn a_watch_of_an_application_is_told_when_its_cluster_falls_silent() {
    let hub = TestHub::start().await;
    let own = hub.enroll("eu-1", &[]).await;
    let mut admin = hub.admin().await;
    apply(&mut admin, application("shop", &[config_map("x", "1")])).await;
    let mut agent = Agent::connect(&hub, &own, "eu-1", Disk::new()).await;
    agent.assignment().await;
    agent.report(true).await;
    for application in [key("shop"), None] {
        let request =
            v1::WatchRequest { kind: v1::Kind::Application.into(), application, ..Default::default() };
        let mut watch = admin.watch(request).await.unwrap().into_inner();
        while !has_health(&next(&mut watch).await, v1::Health::Healthy) {}
        drop(agent);
        while !has_health(&next(&mut watch).await, v1::Health::Unknown) {}
        agent = Agent::connect(&hub, &own, "eu-1", Disk::new()).await;
        agent.assignment().await;
        agent.report(true).await;
    }
}

fn has_health(change: &Change, health: v1::Health) -> bool {
    matches!(change, Change::Application(it) if it.status.as_ref().is_some_and(|it| it.health() == health))
}

#[tokio::test]
async fn events_and_clusters_can_be_watched() {
    let hub = TestHub::start().await;
    let mut admin = hub.admin().await;
    let request = |kind: v1::Kind| v1::WatchRequest { kind: kind.into(), ..Default::default() };
    let mut events = admin.watch(request(v1::Kind::Event)).await.unwrap().into_inner();
    let mut clusters = admin.watch(request(v1::Kind::Cluster)).await.unwrap().into_inner();
    assert!(matches!(next(&mut events).await, Change::Synced(_)));
    assert!(matches!(next(&mut clusters).await, Change::Synced(_)));
    hub.enroll("eu-1", &[]).await;
    let Change::Event(event) = next(&mut events).await else { panic!("an event") };
    assert_eq!(event.reason, "ClusterJoined");
    let Change::Cluster(cluster) = next(&mut clusters).await else { panic!("a cluster") };
    assert_eq!(cluster.metadata.unwrap().name, "eu-1");
    let refused = admin.watch(request(v1::Kind::Unspecified)).await;
    assert_refused(refused.map(|_| ()), Code::InvalidArgument, "kind");
}

#[tokio::test]
async fn the_number_of_watches_is_bounded() {
    let hub = TestHub::start_with(|config| config.limits.watches = 1).await;
    let mut admin = hub.admin().await;
    let request = v1::WatchRequest { kind: v1::Kind::Cluster.into(), ..Default::default() };
    let first = admin.watch(request.clone()).await.unwrap();
    let second = admin.watch(request.clone()).await;
    assert_refused(second.map(|_| ()), Code::ResourceExhausted, "watching already");
    drop(first);
    crate::harness::eventually("the place is free again", || async {
        hub.admin().await.watch(request.clone()).await.is_ok()
    })
    .await;
}
