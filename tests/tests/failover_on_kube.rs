//! Failover with the real binaries on three real control planes: a region whose API server and agents are killed, one that
//! is cut off, and an agent that is stopped past its lease. Passed over, saying so, where there is no Go to build them with.

use anyhow::{Context as _, ensure};
use nave_sim::relay::Relay;
use nave_tests::kube::{ControlPlane, Unavailable};
use nave_tests::processes::{Agent, Hub, text, until};
use serde_json::Value;

const REGIONS: [&str; 3] = ["eu", "us", "ap"];

/// A region of the fleet: a whole cluster and its agent, which dials the hub through a line that can be cut.
struct Region {
    name: String,
    plane: ControlPlane,
    agent: Agent,
    line: Relay,
}

struct World {
    hub: Hub,
    regions: Vec<Region>,
    folder: tempfile::TempDir,
}

impl World {
    /// `None` where there can be no control planes.
    async fn start() -> anyhow::Result<Option<Self>> {
        let tools = match ControlPlane::build() {
            Ok(tools) => tools,
            Err(Unavailable::NoGo(why)) => {
                eprintln!("passed over: {why}");
                return Ok(None);
            }
            Err(failed) => return Err(failed.into()),
        };
        let start = || ControlPlane::start(&tools, 2);
        let (eu, us, ap) = tokio::join!(start(), start(), start());
        let hub = Hub::start_with(&["--failover-startup-freeze", "1s"]).await?;
        let mut regions = Vec::new();
        for (region, plane) in REGIONS.into_iter().zip([eu?, us?, ap?]) {
            let name = format!("{region}-1");
            let kubeconfig = std::fs::read_to_string(plane.kubeconfig())?;
            let label = format!("region={region}");
            let mut agent = Agent::join(&hub, &name, &kubeconfig, &[&label]).await?;
            let line = Relay::start(hub.listen_address()).await?;
            agent.redirect(line.address())?;
            agent.wait_alive(&hub).await?;
            regions.push(Region { name, plane, agent, line });
        }
        Ok(Some(Self { hub, regions, folder: tempfile::tempdir()? }))
    }

    /// Applies the ledger, which may run only once, and waits until it runs in eu.
    async fn apply(&self, fence: &str) -> anyhow::Result<()> {
        let document = LEDGER.replace("FENCE", fence);
        let path = self.folder.path().join("ledger.yaml");
        std::fs::write(&path, document)?;
        self.hub.nave_ok(&["apply", "-f", &path.display().to_string()]).await?;
        until("the ledger runs in eu", async || Ok(self.regions[0].pods().await?.len() == 1)).await
    }

    /// How the ledger stands.
    async fn status(&self) -> anyhow::Result<Value> {
        Ok(self.hub.nave_json(&["failover", "status", "ledger"]).await?["items"][0]["state"].clone())
    }

    /// Waits until the hub has taken the lease back, and waits for a word that the old copy is dead. Before, it could still
    /// be renewed.
    async fn waits_for_a_word(&self) -> anyhow::Result<()> {
        until("the hub waits for a word that it is dead", async || {
            let status = self.status().await?;
            Ok(status["moves"][0]["phase"] == "Fencing" && !status["grant"]["release"].is_null())
        })
        .await
    }

    /// Where the ledger's pods run, looking at every cluster whose API server answers.
    async fn runs_in(&self) -> anyhow::Result<Vec<&str>> {
        let mut found = Vec::new();
        for region in &self.regions {
            if !region.pods().await.unwrap_or_default().is_empty() {
                found.push(region.name.as_str());
            }
        }
        Ok(found)
    }

    /// Waits until the ledger runs under a newer epoch than `old`, looking at every step that it never runs in two clusters.
    async fn runs_again_alone(&self, old: u64) -> anyhow::Result<()> {
        let mut both = None;
        let moved = until("the ledger runs under a new epoch", async || {
            let runs_in = self.runs_in().await?;
            if runs_in.len() > 1 {
                both = Some(format!("{runs_in:?}"));
                return Ok(true);
            }
            let mut epochs = Vec::new();
            for region in &self.regions {
                epochs.extend(region.epochs().await?);
            }
            Ok(epochs.len() == 1 && epochs[0] > old)
        })
        .await;
        ensure!(both.is_none(), "it ran in two clusters: {both:?}");
        moved.with_context(|| self.regions.iter().map(|it| it.agent.log()).collect::<Vec<_>>().join("\n"))
    }

    /// The epoch under which the ledger may run.
    async fn epoch(&self) -> anyhow::Result<u64> {
        self.status().await?["grant"]["epoch"].as_u64().context("nobody may run it")
    }
}

impl Region {
    /// The names of the ledger's pods that are there.
    async fn pods(&self) -> anyhow::Result<Vec<String>> {
        let arguments = ["get", "pods", "-n", "ledger", "-o", "name", "--request-timeout=2s"];
        let output = self.plane.kubectl(arguments).await?;
        ensure!(output.status.success(), "{}", text(&output.stderr));
        Ok(text(&output.stdout).lines().map(str::to_owned).collect())
    }

    /// The epochs of the ledger's pods.
    async fn epochs(&self) -> anyhow::Result<Vec<u64>> {
        let path = r"jsonpath={.items[*].metadata.annotations.nave\.dev/epoch}";
        let output = self.plane.kubectl(["get", "pods", "-n", "ledger", "-o", path]).await?;
        ensure!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout).split_whitespace().map(|epoch| Ok(epoch.parse()?)).collect()
    }

    async fn replicas(&self) -> anyhow::Result<String> {
        let arguments = ["get", "deployment", "-n", "ledger", "ledger", "-o", "jsonpath={.spec.replicas}"];
        let output = self.plane.kubectl(arguments).await?;
        ensure!(output.status.success(), "{}", text(&output.stderr));
        Ok(text(&output.stdout))
    }
}

/// The agent and the API server of a region are killed: the work, whose storage refuses old epochs, moves; what comes back
/// comes back fenced.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_regions_exclusive_work_moves_and_the_old_copy_comes_back_fenced() -> anyhow::Result<()> {
    let Some(mut world) = World::start().await? else { return Ok(()) };
    world.apply("Storage").await?;
    let old_epoch = world.epoch().await?;

    world.regions[0].agent.kill();
    world.regions[0].plane.kill_component("kube-apiserver").await?;
    until("the ledger runs in us", async || Ok(world.regions[1].pods().await?.len() == 1)).await?;
    let epoch = world.epoch().await?;
    ensure!(epoch > old_epoch, "epoch {epoch} after {old_epoch}");

    world.regions[0].plane.start_component("kube-apiserver").await?;
    world.regions[0].agent.start_again()?;
    until("the old copy is stopped", async || {
        let eu = &world.regions[0];
        Ok(eu.replicas().await? == "0" && eu.pods().await?.is_empty())
    })
    .await?;
    ensure!(world.regions[1].pods().await?.len() == 1, "the new copy goes on");
    Ok(())
}

/// A region is cut off while everything in it lives: its agent stops the work when the lease is over; the hub, which
/// cannot know, waits; once the agent can say so, the work goes on, under a new epoch.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_region_that_is_cut_off_stops_its_exclusive_work_by_itself() -> anyhow::Result<()> {
    let Some(world) = World::start().await? else { return Ok(()) };
    world.apply("Agent").await?;
    let old_epoch = world.epoch().await?;

    world.regions[0].line.cut();
    until("eu has stopped the ledger", async || Ok(world.runs_in().await?.is_empty())).await?;
    world.waits_for_a_word().await?;
    ensure!(world.runs_in().await?.is_empty(), "it must not run while nobody says that the old copy is dead");

    world.regions[0].line.mend();
    world.runs_again_alone(old_epoch).await
}

/// An agent is stopped past its lease and goes on: it stops the work before anything else, and only then the work goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_slept_past_its_lease_stops_the_work_before_it_goes_on() -> anyhow::Result<()> {
    let Some(world) = World::start().await? else { return Ok(()) };
    world.apply("Agent").await?;
    let old_epoch = world.epoch().await?;

    world.regions[0].agent.process()?.pause()?;
    world.waits_for_a_word().await?;
    ensure!(world.runs_in().await? == ["eu-1"], "nobody has stopped it, so nobody else may run it");

    world.regions[0].agent.process()?.resume()?;
    world.runs_again_alone(old_epoch).await
}

const LEDGER: &str = r"
apiVersion: nave.dev/v1alpha1
kind: Application
metadata: {name: ledger}
spec:
  namespace: ledger
  createNamespace: true
  placement: {count: 1}
  failover:
    mode: Exclusive
    prefer: [{region: eu}, {region: us}]
    exclusive: {leaseDuration: 5s, fence: FENCE, fenceTimeout: 60s}
  source:
    inline:
      manifests:
        - apiVersion: apps/v1
          kind: Deployment
          metadata: {name: ledger}
          spec:
            replicas: 1
            strategy: {type: Recreate}
            selector: {matchLabels: {app: ledger}}
            template:
              metadata: {labels: {app: ledger}}
              spec:
                terminationGracePeriodSeconds: 1
                containers: [{name: ledger, image: 'registry.example.com/bank/ledger:7'}]
";
