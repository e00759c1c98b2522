//! Manifests of public projects go through `nave apply` to clusters, and back out by `nave delete`.
//!
//! They lie beside the repo, in `../shared/fixtures`; where that folder is missing the tests skip, saying so.

use std::path::PathBuf;

use nave_tests::kube::{ControlPlane, Unavailable};
use nave_tests::processes::{Agent, Hub};

const SETS: [&str; 4] =
    ["online-boutique", "guestbook/guestbook", "kube-prometheus-setup", "gateway-api-crds"];

fn fixtures() -> Option<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/fixtures");
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("skipped: {} is missing", folder.display());
    None
}

/// Applies each set, waits until it is synced everywhere, deletes it, and waits until it is gone.
async fn there_and_back(hub: &Hub, folder: &std::path::Path) -> anyhow::Result<()> {
    for set in SETS {
        let app = set.split('/').next().unwrap_or(set);
        let path = folder.join(set).display().to_string();
        hub.nave_ok(&["apply", "--app", app, "-n", app, "--create-namespace", "-f", &path]).await?;
        // Not healthy: a Service of type LoadBalancer waits for a cloud that is not there.
        hub.nave_ok(&["wait", "application", app, "--for", "synced", "--timeout", "2m"]).await?;
        let seen = hub.nave_json(&["get", "application", app]).await?;
        assert_eq!(seen["status"]["sync"], "Synced", "{app}: {seen}");
        hub.nave_ok(&["delete", "application", app, "--wait", "--timeout", "2m"]).await?;
    }
    Ok(())
}

#[tokio::test]
async fn public_manifests_go_to_simulated_clusters_and_back() -> anyhow::Result<()> {
    let Some(folder) = fixtures() else { return Ok(()) };
    let hub = Hub::start().await?;
    let mut agents = Vec::new();
    let mut clusters = Vec::new();
    for (seed, name) in (1..).zip(["eu-1", "us-1"]) {
        // Each its own seed, and so its own UID: the hub takes one cluster under one name.
        let cluster = nave_sim::Cluster::start(nave_sim::Config { seed, ..Default::default() }).await?;
        agents.push(Agent::join(&hub, name, &cluster.kubeconfig(), &[]).await?);
        clusters.push(cluster);
    }
    there_and_back(&hub, &folder).await
}

#[tokio::test]
async fn public_manifests_go_to_real_control_planes_and_back() -> anyhow::Result<()> {
    let Some(folder) = fixtures() else { return Ok(()) };
    let tools = match ControlPlane::build() {
        Ok(tools) => tools,
        Err(Unavailable::NoGo(why)) => {
            eprintln!("skipped: {why}");
            return Ok(());
        }
        Err(failed) => return Err(failed.into()),
    };
    let hub = Hub::start().await?;
    let (one, two) = tokio::join!(ControlPlane::start(&tools, 2), ControlPlane::start(&tools, 2));
    let mut agents = Vec::new();
    let clusters = [one?, two?];
    for (name, cluster) in ["eu-1", "us-1"].into_iter().zip(&clusters) {
        let kubeconfig = std::fs::read_to_string(cluster.kubeconfig())?;
        agents.push(Agent::join(&hub, name, &kubeconfig, &[]).await?);
    }
    there_and_back(&hub, &folder).await
}
