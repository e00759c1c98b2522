//! The agent's cluster side on the sim: the whole suite, and faults that only the sim can make.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use nave_common::application::Adopt;
use nave_common::name::ApplicationKey;
use nave_common::status::SyncState;
use nave_sim::{Failing, Matcher};
use nave_tests::agent_suite::agent::Wish;
use nave_tests::agent_suite::applying::{config_map, settle};
use nave_tests::agent_suite::cluster::PATIENCE;
use nave_tests::agent_suite::{self, TestAgent, TestCluster};
use serde_json::{Value, json};

async fn sim() -> (nave_sim::Cluster, TestCluster) {
    let cluster = nave_sim::Cluster::start(nave_sim::Config::default()).await.expect("the sim starts");
    let config = kube::Config::new(cluster.url().parse().expect("a URL"));
    let test_cluster = TestCluster::new(config);
    (cluster, test_cluster)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agent_suite_holds_on_the_sim() {
    let (_sim, cluster) = sim().await;
    agent_suite::run_all(&cluster).await;
}

fn config_maps(namespace: &str, count: usize) -> Vec<Value> {
    (0..count).map(|number| config_map(namespace, &format!("c{number}"), "a")).collect()
}

/// An agent with an application of some objects that are all there.
async fn running(cluster: &TestCluster, count: usize) -> (TestAgent, ApplicationKey, Vec<Value>) {
    let namespace = cluster.namespace("faults").await;
    let objects = config_maps(&namespace, count);
    let mut agent = TestAgent::start(cluster);
    let key = agent.tell("faults", &Wish::new(objects.clone()));
    agent.wait_synced(&key).await;
    settle(&agent).await;
    (agent, key, objects)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_that_pass_by_themselves_are_tried_again() {
    let (sim, cluster) = sim().await;
    let namespace = cluster.namespace("errors").await;
    let mut agent = TestAgent::start(&cluster);
    sim.faults().set_error_rate(0.3, Failing::code(500));
    let objects = config_maps(&namespace, 60);
    let key = agent.tell("errors", &Wish::new(objects.clone()));
    agent.wait_synced(&key).await;
    sim.faults().clear();
    for object in &objects {
        assert!(cluster.get(object).await.is_some());
    }
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_asks_for_patience_is_heeded() {
    let (sim, cluster) = sim().await;
    let namespace = cluster.namespace("patience").await;
    let mut agent = TestAgent::start(&cluster);
    settle(&agent).await;
    let patience = Failing { code: 429, retry_after_seconds: Some(1) };
    sim.faults().fail_once(Matcher::of("apply", "/configmaps/c0"), patience);
    let started_at = Instant::now();
    let key = agent.tell("patience", &Wish::new(config_maps(&namespace, 3)));
    agent.wait_synced(&key).await;
    assert!(started_at.elapsed() >= Duration::from_secs(1), "{:?}", started_at.elapsed());
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_server_that_is_down_is_reported_and_everything_goes_on_when_it_is_back() {
    let (sim, cluster) = sim().await;
    let (mut agent, key, objects) = running(&cluster, 10).await;
    sim.faults().take_down();
    let is_in_trouble = |agent: &TestAgent| agent.reports.all().1.is_some_and(|it| it.problem.is_some());
    wait_for("the trouble is told", || is_in_trouble(&agent)).await;
    // What is told meanwhile is done afterwards.
    let mut changed = objects.clone();
    changed[3]["data"]["key"] = "b".into();
    agent.tell("faults", &Wish::new(changed.clone()));
    tokio::time::sleep(Duration::from_millis(300)).await;
    sim.faults().bring_up();
    agent.wait_synced(&key).await;
    wait_for("the trouble is over", || !is_in_trouble(&agent)).await;
    assert_eq!(cluster.get(&changed[3]).await.expect("it is there")["data"]["key"], "b");
    for object in &objects {
        assert!(cluster.get(object).await.is_some());
    }
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drift_is_seen_after_cut_connections_and_forgotten_history() {
    let (sim, cluster) = sim().await;
    let (agent, key, objects) = running(&cluster, 10).await;
    for (round, object) in objects.iter().take(3).enumerate() {
        sim.faults().cut_connections();
        if round == 1 {
            sim.forget_history();
        }
        // On connections that were not cut.
        let cluster = TestCluster::new(kube::Config::new(sim.url().parse().expect("a URL")));
        cluster.edit(object, "kubectl-edit", json!({"data": {"key": "else"}})).await;
        cluster.wait(object, "put back", |object| object["data"]["key"] == "a").await;
    }
    let status = agent.wait(&key, "counted", |status| status.drift_count == 3).await;
    assert_eq!(status.sync, SyncState::Synced);
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_starts_while_the_api_server_is_down_waits_and_deletes_nothing() {
    let (sim, cluster) = sim().await;
    let (agent, key, objects) = running(&cluster, 10).await;
    let (told, counter) = agent.stop().await;
    sim.faults().take_down();
    let agent = TestAgent::start_again(&cluster, told, counter);
    tokio::time::sleep(Duration::from_millis(500)).await;
    sim.faults().bring_up();
    agent.wait_synced(&key).await;
    settle(&agent).await;
    assert_eq!(agent.requests.count("write"), 0, "{:#?}", agent.requests.take());
    for object in &objects {
        assert!(cluster.get(object).await.is_some());
    }
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_inventory_that_cannot_be_written_makes_nothing_and_says_so() {
    let (sim, cluster) = sim().await;
    let namespace = cluster.namespace("inventory").await;
    let mut agent = TestAgent::start(&cluster);
    settle(&agent).await;
    sim.faults().fail_always(Matcher::of("apply", "/namespaces/nave-system/configmaps/"), Failing::code(403));
    let objects = config_maps(&namespace, 2);
    let key = agent.tell("inventory", &Wish::new(objects.clone()));
    let status = agent.wait(&key, "failed", |status| status.sync == SyncState::Failed).await;
    assert!(status.reason.contains("inventory"), "{status:#?}");
    assert_eq!(cluster.get(&objects[0]).await, None);
    sim.faults().clear();
    agent.wait_synced(&key).await;
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_lost_is_no_foreign_object() {
    let (sim, cluster) = sim().await;
    let namespace = cluster.namespace("lost").await;
    let objects = config_maps(&namespace, 30);
    let mut agent = TestAgent::start(&cluster);
    settle(&agent).await;
    let key = agent.tell("lost", &Wish::new(objects.clone()).adopting(Adopt::Never));
    // In the middle of it, requests whose answers never arrive.
    for _ in 0..5 {
        sim.faults().cut_connections();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    agent.wait_synced(&key).await;
    // And an agent that is killed in the middle of it.
    let more = config_maps(&namespace, 200);
    agent.tell("lost", &Wish::new(more.clone()).adopting(Adopt::Never));
    wait_for("some are there", || agent.requests.count("write") > 60).await;
    let mut agent = agent.crash(&cluster).await;
    agent.wait_synced(&key).await;
    agent.tell_removal(&key);
    agent.wait(&key, "removed", |status| status.removed).await;
    for object in &more {
        assert_eq!(cluster.get(object).await, None);
    }
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kind_that_may_not_be_followed_is_applied_and_reported() {
    let (sim, cluster) = sim().await;
    let namespace = cluster.namespace("blind").await;
    let mut agent = TestAgent::start(&cluster);
    settle(&agent).await;
    sim.faults().fail_always(Matcher::of("list", "/v1/configmaps"), Failing::code(403));
    let objects = config_maps(&namespace, 2);
    let key = agent.tell("blind", &Wish::new(objects.clone()));
    let is_told = |status: &nave_common::status::AssignmentStatus| status.reason.contains("cannot be seen");
    agent.wait(&key, "told", is_told).await;
    let agent = agent.restart(&cluster).await;
    agent.wait(&key, "told after a restart", |status| status.applied.is_some() && is_told(status)).await;
    for object in &objects {
        assert!(cluster.get(object).await.is_some());
    }
    agent.stop().await;
}

async fn wait_for(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// An agent that was stopped while it wrote its record broke that off, and applied everything again when it came back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_is_stopped_while_it_writes_its_record_keeps_it() {
    let (sim, cluster) = sim().await;
    let namespace = cluster.namespace("stopped").await;
    // So that the record is under way when the stop comes.
    sim.faults().set_latency(Duration::from_millis(400), Duration::ZERO);
    let mut agent = TestAgent::start(&cluster);
    let objects = (0..20).map(|number| config_map(&namespace, &format!("c{number}"), "a")).collect();
    let key = agent.tell(&cluster.name("stopped"), &Wish::new(objects));
    agent.wait_synced(&key).await;
    let agent = agent.restart(&cluster).await;
    sim.faults().set_latency(Duration::ZERO, Duration::ZERO);
    agent.wait_synced(&key).await;
    settle(&agent).await;
    assert_eq!(agent.requests.count("write"), 0, "{:#?}", agent.requests.take());
    agent.stop().await;
}
