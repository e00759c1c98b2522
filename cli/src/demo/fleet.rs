//! The fleet of a demo: a hub in this process on real TLS sockets, and an agent for each cluster, simulated or real.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use nave_agent::agent::{Agent, Options};
use nave_agent::connection::dial::Credentials;
use nave_common::metadata::Labels;
use nave_common::token::TokenText;
use nave_hub::{Config, Hub};
use nave_proto::v1;
use nave_sim::relay::Relay;

use crate::client::{self, Fleet as Client};

/// The simulated clusters: a name and a region each.
const SIMULATED: [(&str, &str); 6] =
    [("eu-1", "eu"), ("eu-2", "eu"), ("us-1", "us"), ("us-2", "us"), ("ap-1", "ap"), ("ap-2", "ap")];
/// The regions that real clusters are said to be in, in turn.
const REGIONS: [&str; 3] = ["eu", "us", "ap"];

/// One cluster of the demo.
pub(crate) struct Spoke {
    pub(crate) name: String,
    pub(crate) region: String,
    pub(crate) client: kube::Client,
    agent: Option<Agent>,
    /// Its line to the hub.
    line: Option<Relay>,
    /// Keeps the simulated cluster up; real ones run by themselves.
    simulated: Option<nave_sim::Cluster>,
}

/// The hub and its spokes.
pub(crate) struct Fleet {
    folder: PathBuf,
    config: Config,
    hub: Option<Hub>,
    pub(crate) spokes: Vec<Spoke>,
}

impl Fleet {
    /// A fleet whose files lie in `folder`, with nothing running yet.
    pub(crate) fn new(folder: &Path) -> Self {
        let mut config = Config::local(folder.join("hub"));
        // Short times, so that the demo shows in seconds what takes longer with the defaults.
        config.heartbeat_interval = Duration::from_millis(500);
        config.liveness_lease = Duration::from_secs(3);
        config.failover.startup_freeze = Some(Duration::from_secs(1));
        Self { folder: folder.to_owned(), config, hub: None, spokes: Vec::new() }
    }

    /// Starts the hub, at the same address as before where it ran before.
    pub(crate) async fn start_hub(&mut self) -> anyhow::Result<()> {
        let hub = Hub::start(self.config.clone()).await.context("the hub does not start")?;
        self.config.listen = hub.listen_address();
        self.hub = Some(hub);
        Ok(())
    }

    pub(crate) fn has_hub(&self) -> bool {
        self.hub.is_some()
    }

    /// Stops the hub, to the end also where nobody waits for it any more. The agents go on.
    pub(crate) async fn stop_hub(&mut self) {
        if let Some(hub) = self.hub.take() {
            let stopped = tokio::spawn(hub.shutdown()).await;
            debug_assert!(stopped.is_ok(), "a hub stops without a panic");
        }
    }

    /// Where the admin's context was written, for `nave --context` by hand.
    pub(crate) fn admin_context(&self) -> anyhow::Result<PathBuf> {
        Ok(self.hub.as_ref().context("the hub is stopped")?.admin_context_file())
    }

    /// A client of the hub, as its admin.
    pub(crate) async fn client(&self) -> anyhow::Result<Client> {
        let hub = self.hub.as_ref().context("the hub is stopped")?;
        Ok(client::connect(&hub.admin_context()?).await?)
    }

    /// Brings up the clusters: simulated ones, or those of `kubeconfigs`.
    pub(crate) async fn start_clusters(&mut self, kubeconfigs: &[PathBuf]) -> anyhow::Result<()> {
        if kubeconfigs.is_empty() {
            for (index, (name, region)) in (0_u64..).zip(SIMULATED) {
                let config =
                    nave_sim::Config { name: name.into(), nodes: 3, seed: index, ..Default::default() };
                let cluster =
                    nave_sim::Cluster::start(config).await.context("a simulated cluster does not start")?;
                let client = kube::Client::try_from(kube::Config::new(cluster.url().parse()?))?;
                self.add(name, region, client, Some(cluster));
            }
        }
        for (index, path) in kubeconfigs.iter().enumerate() {
            let client = nave_agent::start::kube_client(Some(path)).await?;
            let region = REGIONS[index % REGIONS.len()];
            self.add(&format!("{region}-{}", index / REGIONS.len() + 1), region, client, None);
        }
        Ok(())
    }

    fn add(&mut self, name: &str, region: &str, client: kube::Client, simulated: Option<nave_sim::Cluster>) {
        let (name, region) = (name.to_owned(), region.to_owned());
        self.spokes.push(Spoke { name, region, client, agent: None, line: None, simulated });
    }

    /// Enrols every cluster with a token made for it, and starts its agent.
    pub(crate) async fn join(&mut self) -> anyhow::Result<()> {
        let mut client = self.client().await?;
        for spoke in &mut self.spokes {
            let request = v1::CreateTokenRequest { cluster: spoke.name.clone(), ..Default::default() };
            let text = client.create_token(request).await?.into_inner().text;
            let labels: Labels = [("region", spoke.region.as_str()), ("env", "demo")]
                .map(|(k, v)| (k.into(), v.into()))
                .into();
            let uid = nave_agent::start::cluster_uid(&spoke.client).await?;
            let mut identity =
                nave_agent::identity::enroll(&TokenText::parse(&text)?, spoke.name.parse()?, labels, uid)
                    .await?;
            let data_dir = self.folder.join("agents").join(&spoke.name);
            identity.save(&data_dir)?;
            // A line of its own to the hub, so that the region can be cut off.
            let line = Relay::start(self.config.listen).await.context("no line to the hub")?;
            identity.addresses = vec![line.address().to_string()];
            spoke.line = Some(line);
            let options = Options {
                dial: Arc::new(Credentials::of(&identity)),
                identity,
                data_dir,
                reconcile: nave_agent::reconcile::Config::default(),
                clock: Arc::new(nave_agent::clock::SystemClock),
            };
            spoke.agent = Some(Agent::start(spoke.client.clone(), options)?);
        }
        Ok(())
    }

    /// How long a cluster counts as alive since it was last heard.
    pub(crate) fn liveness_lease(&self) -> Duration {
        self.config.liveness_lease
    }

    /// Cuts the lines between a region and the hub.
    pub(crate) fn cut_off(&self, region: &str) {
        self.lines(|name| name == region).for_each(Relay::cut);
    }

    /// Lets a region reach the hub again.
    pub(crate) fn reconnect(&self, region: &str) {
        self.lines(|name| name == region).for_each(Relay::mend);
    }

    /// Lets every region reach the hub again.
    pub(crate) fn reconnect_all(&self) {
        self.lines(|_| true).for_each(Relay::mend);
    }

    fn lines(&self, is_meant: impl Fn(&str) -> bool) -> impl Iterator<Item = &Relay> {
        self.spokes
            .iter()
            .filter(move |spoke| is_meant(&spoke.region))
            .filter_map(|spoke| spoke.line.as_ref())
    }

    /// Stops everything: agents first, so that none reports a lost hub.
    pub(crate) async fn stop(mut self) {
        for spoke in &mut self.spokes {
            if let Some(agent) = spoke.agent.take() {
                agent.stop().await;
            }
            if let Some(cluster) = spoke.simulated.take() {
                cluster.stop().await;
            }
        }
        self.stop_hub().await;
    }
}
