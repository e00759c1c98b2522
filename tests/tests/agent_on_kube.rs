//! The agent's cluster side on real control planes: the suite on two at the same time, and one whose API server dies.
//! Passed over, saying so, where there is no Go to build them with.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use nave_tests::agent_suite::agent::Wish;
use nave_tests::agent_suite::applying::{config_map, settle};
use nave_tests::agent_suite::{self, TestAgent, TestCluster};
use nave_tests::kube::{ControlPlane, Tools, Unavailable};
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agent_suite_holds_on_two_real_control_planes() {
    let Some(tools) = tools() else { return };
    let start = || ControlPlane::start(&tools, 2);
    let (one, two) = tokio::join!(start(), start());
    let planes = [one.expect("a control plane"), two.expect("another control plane")];
    let clusters = [cluster(&planes[0]).await, cluster(&planes[1]).await];
    tokio::join!(Box::pin(agent_suite::run_all(&clusters[0])), Box::pin(agent_suite::run_all(&clusters[1])));
}

/// The API server dies without warning and comes back: meanwhile the trouble is told, nothing is deleted, and afterwards
/// everything goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn api_server_that_dies_is_reported_and_everything_goes_on_when_it_is_back() {
    let Some(tools) = tools() else { return };
    let mut plane = ControlPlane::start(&tools, 1).await.expect("a control plane");
    let cluster = cluster(&plane).await;
    let namespace = cluster.namespace("outage").await;
    let mut objects: Vec<_> =
        (0..30).map(|number| config_map(&namespace, &format!("c{number}"), "a")).collect();
    let mut agent = TestAgent::start(&cluster);
    let key = agent.tell("outage", &Wish::new(objects.clone()));
    agent.wait_synced(&key).await;
    settle(&agent).await;

    plane.kill_component("kube-apiserver").await.expect("it is killed");
    let has_problem = |agent: &TestAgent| agent.reports.all().1.is_some_and(|it| it.problem.is_some());
    wait_for("the trouble is told", || has_problem(&agent)).await;
    objects[3]["data"]["key"] = "b".into();
    objects.push(config_map(&namespace, "new", "a"));
    agent.tell("outage", &Wish::new(objects.clone()));
    plane.start_component("kube-apiserver").await.expect("it starts again");

    agent.wait_synced(&key).await;
    wait_for("the trouble is over", || !has_problem(&agent)).await;
    for object in &objects {
        let live = cluster.get(object).await.expect("it is there");
        assert_eq!(live["data"], object["data"]);
    }
    // Drift is seen as before.
    cluster.edit(&objects[0], "kubectl-edit", json!({"data": {"key": "else"}})).await;
    cluster.wait(&objects[0], "put back", |object| object["data"]["key"] == "a").await;
    agent.stop().await;
}

async fn wait_for(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}: not in time");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What control planes are made of; `None` where there is no Go to build it with.
fn tools() -> Option<Tools> {
    match ControlPlane::build() {
        Ok(tools) => Some(tools),
        Err(Unavailable::NoGo(why)) => {
            eprintln!("passed over: {why}");
            None
        }
        Err(Unavailable::BuildFailed(why)) => panic!("{why}"),
    }
}

async fn cluster(plane: &ControlPlane) -> TestCluster {
    let file = kube::config::Kubeconfig::read_from(plane.kubeconfig()).expect("its kubeconfig");
    let config = kube::Config::from_custom_kubeconfig(file, &kube::config::KubeConfigOptions::default())
        .await
        .expect("its configuration");
    TestCluster::new(config)
}
