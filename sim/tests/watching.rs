//! Watches: what they send, when they end, and the faults around them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::needless_pass_by_value)]

mod common;

use std::time::Duration;

use common::{failure, start, start_with};
use futures::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use nave_sim::{Config, Failing, Matcher};
use serde_json::json;

fn map(name: &str, app: &str) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": name, "labels": {"app": app}}})).unwrap()
}

/// The next event in short: its type and the name, or the code of an error.
async fn next<S>(stream: &mut S) -> String
where
    S: futures::Stream<Item = kube::Result<WatchEvent<ConfigMap>>> + Unpin,
{
    let event = tokio::time::timeout(Duration::from_secs(5), stream.next()).await.expect("an event in time");
    let name = |map: ConfigMap| map.metadata.name.unwrap_or_default();
    match event {
        None => "end".to_owned(),
        Some(Ok(WatchEvent::Added(map))) => format!("added {}", name(map)),
        Some(Ok(WatchEvent::Modified(map))) => format!("modified {}", name(map)),
        Some(Ok(WatchEvent::Deleted(map))) => format!("deleted {}", name(map)),
        Some(Ok(WatchEvent::Bookmark(mark))) => format!("bookmark {}", mark.metadata.resource_version),
        Some(Ok(WatchEvent::Error(status))) => format!("error {} {}", status.code, status.reason),
        Some(Err(error)) => panic!("{error}"),
    }
}

#[tokio::test]
async fn a_selection_sees_objects_come_and_go() {
    let (_cluster, client) = start().await;
    let maps: Api<ConfigMap> = Api::namespaced(client, "default");
    maps.create(&PostParams::default(), &map("old", "web")).await.unwrap();
    let list = maps.list(&ListParams::default()).await.unwrap();
    let from = list.metadata.resource_version.unwrap();
    let mut stream = maps.watch(&WatchParams::default().labels("app=web"), &from).await.unwrap().boxed();
    maps.create(&PostParams::default(), &map("a", "web")).await.unwrap();
    maps.create(&PostParams::default(), &map("b", "api")).await.unwrap();
    let relabel = |app: &str| Patch::Merge(json!({"metadata": {"labels": {"app": app}}}));
    let by = PatchParams::default();
    maps.patch("b", &by, &relabel("web")).await.unwrap();
    maps.patch("a", &by, &Patch::Merge(json!({"data": {"k": "v"}}))).await.unwrap();
    maps.patch("a", &by, &relabel("api")).await.unwrap();
    maps.delete("old", &DeleteParams::default()).await.unwrap();
    for expected in ["added a", "added b", "modified a", "deleted a", "deleted old"] {
        assert_eq!(next(&mut stream).await, expected);
    }
    let mut from_zero = maps.watch(&WatchParams::default().labels("app=web"), "0").await.unwrap().boxed();
    assert_eq!(next(&mut from_zero).await, "added b");
}

#[tokio::test]
async fn a_watch_ends_at_its_timeout_and_gets_bookmarks_before() {
    let config = Config { bookmark_interval: Duration::from_millis(200), ..Config::default() };
    let (_cluster, client) = start_with(config).await;
    let maps: Api<ConfigMap> = Api::namespaced(client, "kube-public");
    let list = maps.list(&ListParams::default()).await.unwrap();
    let parameters = WatchParams::default().timeout(1);
    let mut stream = maps.watch(&parameters, &list.metadata.resource_version.unwrap()).await.unwrap().boxed();
    let mut seen = Vec::new();
    loop {
        let event = next(&mut stream).await;
        if event == "end" {
            break;
        }
        seen.push(event);
    }
    assert!(seen.iter().any(|event| event.starts_with("bookmark ")), "{seen:?}");
}

#[tokio::test]
async fn a_forgotten_history_is_answered_with_gone() {
    let (cluster, client) = start_with(Config { history: 4, ..Config::default() }).await;
    let maps: Api<ConfigMap> = Api::namespaced(client, "default");
    let list = maps.list(&ListParams::default()).await.unwrap();
    let old = list.metadata.resource_version.unwrap();
    for number in 0..6 {
        maps.create(&PostParams::default(), &map(&format!("m{number}"), "web")).await.unwrap();
    }
    let mut stream = maps.watch(&WatchParams::default(), &old).await.unwrap().boxed();
    assert_eq!(next(&mut stream).await, "error 410 Expired");
    assert_eq!(next(&mut stream).await, "end");

    let fresh = maps.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
    let mut running = maps.watch(&WatchParams::default(), &fresh).await.unwrap().boxed();
    cluster.forget_history();
    let mut late = maps.watch(&WatchParams::default(), &old).await.unwrap().boxed();
    assert_eq!(next(&mut late).await, "error 410 Expired");
    maps.delete("m0", &DeleteParams::default()).await.unwrap();
    assert_eq!(next(&mut running).await, "deleted m0");
}

#[tokio::test]
async fn streaming_lists_end_with_a_marked_bookmark() {
    let (_cluster, client) = start().await;
    let maps: Api<ConfigMap> = Api::namespaced(client, "default");
    maps.create(&PostParams::default(), &map("a", "web")).await.unwrap();
    let parameters = WatchParams::default().labels("app=web").initial_events();
    let mut stream = maps.watch(&parameters, "0").await.unwrap().boxed();
    assert_eq!(next(&mut stream).await, "added a");
    assert!(next(&mut stream).await.starts_with("bookmark "));
}

#[tokio::test]
async fn metadata_alone_can_be_listed_and_watched() {
    let (_cluster, client) = start().await;
    let maps: Api<ConfigMap> = Api::namespaced(client, "default");
    maps.create(&PostParams::default(), &map("a", "web")).await.unwrap();
    let list = maps.list_metadata(&ListParams::default().labels("app=web")).await.unwrap();
    assert_eq!(list.items[0].metadata.name.as_deref(), Some("a"));
    let mut stream =
        maps.watch_metadata(&WatchParams::default().labels("app=web"), "0").await.unwrap().boxed();
    let Some(Ok(WatchEvent::Added(found))) = stream.next().await else { panic!("an object") };
    assert_eq!(found.metadata.name.as_deref(), Some("a"));
}

#[tokio::test]
async fn faults_are_met_once_or_at_a_rate_and_counted() {
    let (cluster, client) = start().await;
    let maps: Api<ConfigMap> = Api::namespaced(client, "default");
    let failing = Failing { code: 429, retry_after_seconds: Some(1) };
    cluster.faults().fail_once(Matcher::of("create", "/configmaps"), failing);
    maps.list(&ListParams::default()).await.unwrap();
    let (code, _) = failure(maps.create(&PostParams::default(), &map("a", "x")).await.unwrap_err());
    assert_eq!(code, 429);
    assert_eq!(cluster.faults().pending(), 0);
    maps.create(&PostParams::default(), &map("a", "x")).await.unwrap();

    cluster.faults().set_error_rate(1.0, Failing::code(500));
    assert_eq!(failure(maps.get("a").await.unwrap_err()).0, 500);
    cluster.faults().clear();
    cluster.faults().set_latency(Duration::from_millis(80), Duration::ZERO);
    let start = std::time::Instant::now();
    maps.get("a").await.unwrap();
    assert!(start.elapsed() >= Duration::from_millis(80));

    let counts = cluster.request_counts();
    assert_eq!((counts.get("create"), counts.get("list"), counts.get("get")), (Some(&1), Some(&1), Some(&1)));
    assert_eq!(cluster.write_count(), 1);
}

#[tokio::test]
async fn a_server_that_is_down_refuses_and_comes_back_with_its_data() {
    let (cluster, client) = start().await;
    let maps: Api<ConfigMap> = Api::namespaced(client, "default");
    maps.create(&PostParams::default(), &map("a", "x")).await.unwrap();
    let mut stream = maps.watch(&WatchParams::default(), "0").await.unwrap().boxed();
    assert!(next(&mut stream).await.starts_with("added "));
    cluster.faults().take_down();
    common::eventually("connections are refused", || async {
        tokio::net::TcpStream::connect(cluster.url().trim_start_matches("http://")).await.is_err()
    })
    .await;
    assert!(maps.get("a").await.is_err());
    cluster.faults().bring_up();
    common::eventually("it is back", || async { maps.get("a").await.is_ok() }).await;
}

#[tokio::test]
async fn connections_can_be_cut_without_an_outage() {
    let (cluster, client) = start().await;
    let maps: Api<ConfigMap> = Api::namespaced(client, "default");
    maps.create(&PostParams::default(), &map("a", "x")).await.unwrap();
    let list = maps.list(&ListParams::default()).await.unwrap();
    let mut stream =
        maps.watch(&WatchParams::default(), &list.metadata.resource_version.unwrap()).await.unwrap().boxed();
    cluster.faults().cut_connections();
    let event = tokio::time::timeout(Duration::from_secs(5), stream.next()).await.unwrap();
    assert!(!matches!(event, Some(Ok(_))), "{event:?}");
    common::eventually("requests are served", || async { maps.get("a").await.is_ok() }).await;
}
