//! Backup and restore with the real binaries: a hub dies, an older state of it is put back under a new term, and nothing
//! in any cluster is deleted, restarted or brought back that nobody asked for.

use std::collections::BTreeMap;
use std::path::PathBuf;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};
use nave_tests::processes::{Agent, Hub, restore, text, until};

/// Clusters, their agents and a hub.
struct World {
    hub: Hub,
    clusters: Vec<(nave_sim::Cluster, Agent)>,
    folder: tempfile::TempDir,
}

/// Every pod and Deployment by namespace and name, with its UID and resourceVersion.
type Seen = BTreeMap<String, (String, String)>;

impl World {
    async fn start() -> anyhow::Result<Self> {
        let hub = Hub::start().await?;
        let mut clusters = Vec::new();
        for (seed, name) in [(1, "eu-1"), (2, "us-1")] {
            let cluster = nave_sim::Cluster::start(nave_sim::Config { seed, ..Default::default() }).await?;
            let agent = Agent::join(&hub, name, &cluster.kubeconfig(), &[]).await?;
            clusters.push((cluster, agent));
        }
        Ok(Self { hub, clusters, folder: tempfile::tempdir()? })
    }

    async fn apply(&self, name: &str, version: u32) -> anyhow::Result<()> {
        let file = self.folder.path().join(format!("{name}.yaml"));
        std::fs::write(
            &file,
            format!(
                "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}}}\nspec:\n  replicas: 2\n  \
                 selector: {{matchLabels: {{app: {name}}}}}\n  template:\n    metadata: {{labels: {{app: {name}}}}}\n    \
                 spec: {{containers: [{{name: main, image: 'registry.example.com/{name}:{version}'}}]}}\n"
            ),
        )?;
        let file = file.display().to_string();
        let arguments = ["apply", "--app", name, "-n", name, "--create-namespace", "-f", &file];
        self.hub.nave_ok(&arguments).await?;
        Ok(())
    }

    async fn backup(&self) -> anyhow::Result<PathBuf> {
        let archive = self.folder.path().join("hub.nave");
        self.hub.nave_ok(&["hub", "backup", "-o", &archive.display().to_string()]).await?;
        Ok(archive)
    }

    /// Kills the hub, and puts it back from the archive under a new term.
    async fn restore(&mut self, archive: &std::path::Path) -> anyhow::Result<Hub> {
        self.hub.kill();
        let new = Hub::restored(&self.hub, archive).await?;
        let old = std::mem::replace(&mut self.hub, new);
        for (_, agent) in &mut self.clusters {
            agent.wait_alive(&self.hub).await?;
        }
        Ok(old)
    }

    async fn seen(&self) -> anyhow::Result<Vec<Seen>> {
        let mut all = Vec::new();
        for (cluster, _) in &self.clusters {
            let client = kube::Client::try_from(kube::Config::new(cluster.url().parse()?))?;
            let mut seen = Seen::new();
            let pods: Api<Pod> = Api::all(client.clone());
            let deployments: Api<Deployment> = Api::all(client);
            let pods = pods.list(&ListParams::default()).await?.items.into_iter().map(|it| it.metadata);
            let deployments = deployments.list(&ListParams::default()).await?.items.into_iter();
            for metadata in pods.chain(deployments.map(|it| it.metadata)) {
                let name = format!(
                    "{}/{}",
                    metadata.namespace.unwrap_or_default(),
                    metadata.name.unwrap_or_default()
                );
                let version = metadata.resource_version.unwrap_or_default();
                seen.insert(name, (metadata.uid.unwrap_or_default(), version));
            }
            all.push(seen);
        }
        Ok(all)
    }

    /// As [`World::seen`], once nothing is being rolled out any more: Healthy is said before the last old pod has gone.
    async fn at_rest(&self) -> anyhow::Result<Vec<Seen>> {
        until("every rollout is over", async || {
            for (cluster, _) in &self.clusters {
                let client = kube::Client::try_from(kube::Config::new(cluster.url().parse()?))?;
                let deployments: Api<Deployment> = Api::all(client.clone());
                let pods: Api<Pod> = Api::all(client);
                let mut wanted = 0;
                for deployment in deployments.list(&ListParams::default()).await?.items {
                    let replicas = deployment.spec.replicas.unwrap_or(1);
                    let status = deployment.status.unwrap_or_default();
                    let is_seen = status.observed_generation == deployment.metadata.generation;
                    let counts = [status.replicas, status.updated_replicas, status.ready_replicas];
                    if !is_seen || counts != [Some(replicas); 3] {
                        return Ok(false);
                    }
                    wanted += usize::try_from(replicas)?;
                }
                if pods.list(&ListParams::default()).await?.items.len() != wanted {
                    return Ok(false);
                }
            }
            Ok(true)
        })
        .await?;
        self.seen().await
    }

    /// The image that each cluster runs of an application; `None` where it is not there.
    async fn images(&self, name: &str) -> anyhow::Result<Vec<Option<String>>> {
        let mut images = Vec::new();
        for (cluster, _) in &self.clusters {
            let client = kube::Client::try_from(kube::Config::new(cluster.url().parse()?))?;
            let found = Api::<Deployment>::namespaced(client, name).get_opt(name).await?;
            images.push(found.and_then(|it| it.spec.template.spec?.containers.pop()?.image));
        }
        Ok(images)
    }

    async fn wait_image(&self, name: &str, version: u32) -> anyhow::Result<()> {
        let wanted = Some(format!("registry.example.com/{name}:{version}"));
        until(&format!("every cluster runs {name}:{version}"), async || {
            Ok(self.images(name).await?.iter().all(|image| *image == wanted))
        })
        .await
    }

    async fn status(&self, name: &str) -> anyhow::Result<serde_json::Value> {
        Ok(self.hub.nave_json(&["get", "application", name]).await?["status"].clone())
    }

    async fn wait_healthy(&self, name: &str) -> anyhow::Result<()> {
        until(&format!("{name} is healthy"), async || {
            let status = self.status(name).await?;
            Ok(status["health"] == "Healthy" && status["sync"] == "Synced")
        })
        .await
    }

    async fn wait_reason(&self, name: &str, part: &str) -> anyhow::Result<()> {
        until(&format!("the reason of {name} holds {part:?}"), async || {
            Ok(self.status(name).await?["reason"].as_str().is_some_and(|reason| reason.contains(part)))
        })
        .await
    }

    async fn release(&self, name: &str, choice: &str) -> anyhow::Result<()> {
        self.hub.nave_ok(&["hub", "release", name, choice]).await?;
        Ok(())
    }
}

#[tokio::test]
async fn a_hub_that_is_put_back_touches_nothing_until_it_knows_what_runs() -> anyhow::Result<()> {
    let mut world = World::start().await?;
    for name in ["changed", "kept", "deleted", "same"] {
        world.apply(name, 1).await?;
    }
    for name in ["changed", "kept", "deleted", "same"] {
        world.wait_healthy(name).await?;
    }
    let archive = world.backup().await?;
    world.apply("changed", 2).await?;
    world.apply("kept", 2).await?;
    world.apply("late", 1).await?;
    world.hub.nave_ok(&["delete", "application", "deleted", "--wait"]).await?;
    for name in ["changed", "kept", "late"] {
        world.wait_healthy(name).await?;
    }
    let before = world.at_rest().await?;

    let mut old = world.restore(&archive).await?;
    world.wait_healthy("same").await?;
    world.wait_reason("changed", "has something else than the backup says").await?;
    world.wait_reason("kept", "has something else than the backup says").await?;
    world.wait_reason("deleted", "has nothing of it").await?;
    for name in ["eu-1", "us-1"] {
        let cluster = world.hub.nave_json(&["get", "cluster", name]).await?;
        let unknown = cluster["status"]["unknownApplications"].to_string();
        assert!(unknown.contains("late"), "{cluster}");
    }
    assert_eq!(world.seen().await?, before, "nothing was deleted, restarted or written");

    world.release("changed", "--apply-backup").await?;
    world.release("kept", "--keep-running").await?;
    world.release("deleted", "--keep-running").await?;
    world.wait_image("changed", 1).await?;
    world.wait_reason("kept", "kept as it runs").await?;
    world.hub.nave_ok(&["delete", "application", "deleted", "--wait"]).await?;
    assert_eq!(world.images("deleted").await?, [None, None]);
    world.wait_image("kept", 2).await?;
    world.apply("kept", 3).await?;
    world.wait_image("kept", 3).await?;
    world.wait_healthy("kept").await?;
    world.wait_image("late", 1).await?;

    // The old hub was not dead after all: its term is lower, so nothing of it is applied.
    world.hub.kill();
    old.start_again().await?;
    let new = std::mem::replace(&mut world.hub, old);
    for (_, agent) in &mut world.clusters {
        agent.wait_alive(&world.hub).await?;
    }
    let before = world.at_rest().await?;
    world.apply("same", 9).await?;
    until("the old hub says that its agents are ahead of it", async || {
        Ok(world.hub.log().contains("was an older state of the hub put back"))
    })
    .await?;
    world.hub.kill();
    assert_eq!(world.seen().await?, before, "the old hub changed something");
    world.hub = new;
    world.hub.start_again().await?;
    world.wait_healthy("same").await?;
    world.wait_image("same", 1).await
}

#[tokio::test]
async fn a_restore_wants_a_word_that_the_old_hub_is_dead_and_a_whole_backup() -> anyhow::Result<()> {
    let hub = Hub::start().await?;
    let folder = tempfile::tempdir()?;
    let (archive, data_dir) = (folder.path().join("hub.nave"), folder.path().join("data"));
    hub.nave_ok(&["hub", "backup", "-o", &archive.display().to_string()]).await?;
    let refused = restore(&archive, &data_dir, &[]).await?;
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("--old-hub-is-dead is missing"), "{}", text(&refused.stderr));
    let whole = std::fs::read(&archive)?;
    std::fs::write(&archive, &whole[..whole.len() - 1])?;
    let refused = restore(&archive, &data_dir, &["--old-hub-is-dead"]).await?;
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("damaged or cut short"), "{}", text(&refused.stderr));
    assert!(!data_dir.exists());
    std::fs::write(&archive, &whole)?;
    let refused = restore(&archive, &hub.data_dir(), &["--old-hub-is-dead"]).await?;
    assert!(text(&refused.stderr).contains("is not empty"), "{}", text(&refused.stderr));
    let done = restore(&archive, &data_dir, &["--old-hub-is-dead", "--term", "6"]).await?;
    assert!(text(&done.stdout).contains("Its term is 7"), "{}{}", text(&done.stdout), text(&done.stderr));
    Ok(())
}
