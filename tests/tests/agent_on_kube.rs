//! The agent's cluster side on two real control planes, each with its own agent, at the same time. Passed over, saying so,
//! where there is no Go to build them with.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use nave_tests::agent_suite::{self, TestCluster};
use nave_tests::kube::{ControlPlane, Unavailable};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agent_suite_holds_on_two_real_control_planes() {
    let tools = match ControlPlane::build() {
        Ok(tools) => tools,
        Err(Unavailable::NoGo(why)) => {
            eprintln!("passed over: {why}");
            return;
        }
        Err(Unavailable::BuildFailed(why)) => panic!("{why}"),
    };
    let start = || ControlPlane::start(&tools, 2);
    let (one, two) = tokio::join!(start(), start());
    let planes = [one.expect("a control plane"), two.expect("another control plane")];
    let clusters = [cluster(&planes[0]).await, cluster(&planes[1]).await];
    tokio::join!(Box::pin(agent_suite::run_all(&clusters[0])), Box::pin(agent_suite::run_all(&clusters[1])));
}

async fn cluster(plane: &ControlPlane) -> TestCluster {
    let file = kube::config::Kubeconfig::read_from(plane.kubeconfig()).expect("its kubeconfig");
    let config = kube::Config::from_custom_kubeconfig(file, &kube::config::KubeConfigOptions::default())
        .await
        .expect("its configuration");
    TestCluster::new(config)
}
