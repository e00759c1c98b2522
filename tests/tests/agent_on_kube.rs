//! The agent's cluster side on a real control plane. Passed over, saying so, where there is no Go to build one with.

use nave_tests::agent_suite::{self, TestCluster};
use nave_tests::kube::{ControlPlane, Unavailable};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agent_suite_holds_on_a_real_api_server() {
    let tools = match ControlPlane::build() {
        Ok(tools) => tools,
        Err(Unavailable::NoGo(why)) => {
            eprintln!("passed over: {why}");
            return;
        }
        Err(Unavailable::BuildFailed(why)) => panic!("{why}"),
    };
    let plane = ControlPlane::start(&tools, 2).await.expect("a control plane");
    let file = kube::config::Kubeconfig::read_from(plane.kubeconfig()).expect("its kubeconfig");
    let config = kube::Config::from_custom_kubeconfig(file, &kube::config::KubeConfigOptions::default())
        .await
        .expect("its configuration");
    let cluster = TestCluster::new(config);
    agent_suite::run_all(&cluster).await;
}
