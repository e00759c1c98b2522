//! The main job with the real binaries over real sockets: join, apply, status, drift, prune, and restarts of hub and
//! agent, on simulated clusters.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Service};
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use nave_tests::processes::{Agent, Hub, text, until};
use serde_json::json;

const MANIFESTS: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: "registry.example.com/web:1"}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80}]}
"#;

const CONFIG: &str = r#"
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {mode: fast}
"#;

/// A hub, one simulated cluster, and its agent.
struct World {
    hub: Hub,
    cluster: nave_sim::Cluster,
    agent: Agent,
    folder: tempfile::TempDir,
}

impl World {
    async fn start() -> anyhow::Result<Self> {
        let hub = Hub::start().await?;
        let cluster = nave_sim::Cluster::start(nave_sim::Config::default()).await?;
        let agent = Agent::join(&hub, "eu-1", &cluster.kubeconfig(), &["region=eu"]).await?;
        Ok(Self { hub, cluster, agent, folder: tempfile::tempdir()? })
    }

    fn write(&self, name: &str, content: &str) -> anyhow::Result<()> {
        Ok(std::fs::write(self.folder.path().join(name), content)?)
    }

    async fn apply(&self) -> anyhow::Result<()> {
        let folder = self.folder.path().display().to_string();
        let arguments =
            ["apply", "--app", "shop", "-n", "shop", "--create-namespace", "-f", &folder, "--wait"];
        self.hub.nave_ok(&arguments).await?;
        Ok(())
    }

    fn client(&self) -> anyhow::Result<kube::Client> {
        Ok(kube::Client::try_from(kube::Config::new(self.cluster.url().parse()?))?)
    }

    fn deployments(&self) -> anyhow::Result<Api<Deployment>> {
        Ok(Api::namespaced(self.client()?, "shop"))
    }

    async fn scale_by_hand(&self, replicas: i32) -> anyhow::Result<()> {
        let by = PatchParams { field_manager: Some("a-person".into()), ..PatchParams::default() };
        let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
        self.deployments()?.patch("web", &by, &patch).await?;
        Ok(())
    }

    async fn wait_replicas(&self, wanted: i32) -> anyhow::Result<()> {
        let api = self.deployments()?;
        until("the Deployment has the wanted replicas", async || {
            Ok(api.get("web").await?.spec.replicas == Some(wanted))
        })
        .await
    }
}

#[tokio::test]
async fn an_application_arrives_is_seen_and_goes_again() -> anyhow::Result<()> {
    let world = World::start().await?;
    world.write("web.yaml", MANIFESTS)?;
    world.apply().await?;

    world.wait_replicas(2).await?;
    let seen = world.hub.nave_json(&["get", "application", "shop"]).await?;
    assert_eq!(seen["status"]["sync"], "Synced");
    assert_eq!(seen["status"]["clusterCount"], 1);
    until("the application is healthy", async || {
        Ok(world.hub.nave_json(&["get", "application", "shop"]).await?["status"]["health"] == "Healthy")
    })
    .await?;
    let described = world.hub.nave_ok(&["describe", "application", "shop"]).await?;
    assert!(described.contains("eu-1"), "{described}");

    world.hub.nave_ok(&["delete", "application", "shop", "--wait"]).await?;
    assert!(world.deployments()?.get_opt("web").await?.is_none());
    let gone = world.hub.nave(["get", "application", "shop"]).await?;
    assert_eq!(gone.status.code(), Some(1), "{}", text(&gone.stderr));
    Ok(())
}

#[tokio::test]
async fn drift_is_put_back_and_what_is_no_longer_wanted_is_pruned() -> anyhow::Result<()> {
    let world = World::start().await?;
    world.write("web.yaml", MANIFESTS)?;
    world.write("config.yaml", CONFIG)?;
    world.apply().await?;

    world.scale_by_hand(7).await?;
    world.wait_replicas(2).await?;
    let services: Api<Service> = Api::namespaced(world.client()?, "shop");
    let before = services.get("web").await?.metadata.uid;
    services.delete("web", &DeleteParams::default()).await?;
    until("the deleted Service is back", async || {
        Ok(services.get_opt("web").await?.is_some_and(|service| service.metadata.uid != before))
    })
    .await?;

    let configs: Api<ConfigMap> = Api::namespaced(world.client()?, "shop");
    assert!(configs.get_opt("settings").await?.is_some());
    std::fs::remove_file(world.folder.path().join("config.yaml"))?;
    world.apply().await?;
    until("the ConfigMap is pruned", async || Ok(configs.get_opt("settings").await?.is_none())).await?;
    assert!(world.deployments()?.get_opt("web").await?.is_some());
    Ok(())
}

#[tokio::test]
async fn a_killed_hub_comes_back_with_everything_and_rewrites_nothing() -> anyhow::Result<()> {
    let mut world = World::start().await?;
    world.write("web.yaml", MANIFESTS)?;
    world.apply().await?;
    // Health settles by writes of the cluster's own controllers; the agent's are counted by their manager below.
    let deployment = world.deployments()?;
    let before = deployment.get("web").await?.metadata.generation;

    world.hub.kill();
    world.scale_by_hand(5).await?;
    world.wait_replicas(2).await?;
    let healed = deployment.get("web").await?.metadata.generation;

    world.hub.start_again().await?;
    world.agent.wait_alive(&world.hub).await?;
    until("the hub knows the application again", async || {
        Ok(world.hub.nave_json(&["get", "application", "shop"]).await?["status"]["sync"] == "Synced")
    })
    .await?;
    assert!(before < healed, "the drift was made and put back");
    assert_eq!(deployment.get("web").await?.metadata.generation, healed, "a restart writes nothing");
    Ok(())
}

#[tokio::test]
async fn a_killed_agent_resumes_from_its_disk_and_heals_what_it_missed() -> anyhow::Result<()> {
    let mut world = World::start().await?;
    world.write("web.yaml", MANIFESTS)?;
    world.apply().await?;

    world.agent.kill();
    world.scale_by_hand(9).await?;
    until("the hub counts the cluster as lost", async || {
        let cluster = world.hub.nave_json(&["get", "cluster", "eu-1"]).await?;
        Ok(cluster["status"]["liveness"] == "Lost")
    })
    .await?;
    let stale = world.hub.nave_json(&["get", "application", "shop"]).await?;
    assert_eq!(stale["status"]["health"], "Unknown", "what is not heard is never healthy");

    world.agent.start_again()?;
    world.wait_replicas(2).await?;
    world.agent.wait_alive(&world.hub).await
}

#[tokio::test]
async fn an_agent_that_restarts_with_the_hub_gone_works_on_and_both_find_each_other_again()
-> anyhow::Result<()> {
    let mut world = World::start().await?;
    world.write("web.yaml", MANIFESTS)?;
    world.apply().await?;

    world.hub.kill();
    world.agent.kill();
    world.scale_by_hand(4).await?;
    world.agent.start_again()?;
    world.wait_replicas(2).await?;

    world.hub.start_again().await?;
    world.agent.wait_alive(&world.hub).await?;
    world.write("config.yaml", CONFIG)?;
    world.apply().await?;
    let configs: Api<ConfigMap> = Api::namespaced(world.client()?, "shop");
    assert!(configs.get_opt("settings").await?.is_some());
    Ok(())
}

#[tokio::test]
async fn one_identifier_follows_a_change_from_hub_to_agent() -> anyhow::Result<()> {
    let world = World::start().await?;
    world.write("web.yaml", MANIFESTS)?;
    let folder = world.folder.path().display().to_string();
    let arguments =
        ["apply", "--app", "shop", "-n", "shop", "--create-namespace", "-f", &folder, "--wait", "-o", "json"];
    let applied: serde_json::Value = serde_json::from_str(&world.hub.nave_ok(&arguments).await?)?;
    let change = applied["changeId"].as_str().unwrap_or_default().to_owned();
    assert!(!change.is_empty(), "{applied}");
    assert!(world.hub.log().contains(&change), "the hub's log has no {change}");
    until("the agent's log has it too", async || Ok(world.agent.log().contains(&change))).await
}

#[tokio::test]
async fn the_hub_stops_when_it_is_told_to_and_says_how_it_is() -> anyhow::Result<()> {
    let mut hub = Hub::start().await?;
    for path in ["/healthz", "/readyz", "/metrics"] {
        let answer = hub.http_get(path).await?;
        assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
    }
    assert!(hub.http_get("/metrics").await?.contains("nave_"));
    hub.stop().await
}
