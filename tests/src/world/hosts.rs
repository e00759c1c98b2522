//! What runs on the hosts of a world: the real hub, real agents, simulated clusters, and a person who calls the hub.
//!
//! What survives a crash is owned outside of the hosts: the hub's store and bundles, an agent's disk, a cluster.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use nave_agent::agent::{Agent, Options};
use nave_agent::identity::Identity;
use nave_common::digest::Digest;
use nave_common::failover::Frozen;
use nave_common::failover::state::Order;
use nave_common::identity::PeerCertificate;
use nave_common::name::{ApplicationKey, ClusterName};
use nave_common::runtime::tls::Authority;
use nave_common::time::Timestamp;
use nave_hub::Config;
use nave_hub::auth::peer::Peer;
use nave_hub::config::StoreConfig;
use nave_hub::hub::{Core, Ground};
use nave_hub::listen::Connection;
use nave_hub::store::blob::folder::FolderBlobs;
use nave_hub::store::disk::FreeSpace;
use nave_proto::v1;
use nave_proto::v1::fleet_service_client::FleetServiceClient;
use nave_sim::{Clock, Cluster};
use tokio::sync::mpsc;
use turmoil::net::TcpListener;

use super::clock::{TrueTime, Wall};
use super::full_store::FullStore;
use super::net::{self, HUB_PORT, KUBE_PORT, PlainDial, ToCluster};

/// The host of the hub.
pub const HUB: &str = "hub";
/// The host of the person.
pub const PERSON: &str = "person";
/// Connections that wait to be served.
const CONNECTIONS: usize = 64;

/// What of a hub survives its crash, and who may call it.
pub struct HubDisk {
    /// Every key.
    pub store: Arc<FullStore>,
    /// The folder of bundles.
    pub bundles: PathBuf,
    /// Who is at which address.
    pub peers: Mutex<BTreeMap<IpAddr, nave_common::identity::Identity>>,
    /// How it is set up.
    pub config: Config,
    /// The true time.
    pub time: TrueTime,
    /// The hub's time of day.
    pub wall: Wall,
    /// By how much its clock runs fast, in parts per million.
    pub drift_ppm: i32,
    /// The hub's own picture of everything, since it last started.
    pub view: Mutex<Option<nave_hub::world::World>>,
}

impl HubDisk {
    /// Why the hub moves nothing by itself, where it says so.
    #[must_use]
    pub fn frozen(&self) -> Option<Frozen> {
        let view = self.view.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        view.as_ref()?.hub_failover_view().frozen.clone()
    }

    /// What the hub was last told of an application in a cluster, in words.
    #[must_use]
    pub fn heard(&self, cluster: &ClusterName, application: &ApplicationKey) -> Option<String> {
        let view = self.view.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        view.as_ref()?.read(|state| {
            let entry = state.assignment(cluster, application)?;
            let told = entry.assignment.generation;
            Some(match &entry.status {
                None => format!("told {told}, and nothing was heard of it"),
                Some(status) => format!(
                    "told {told}, heard of {}: {}, {}, fence {:?}; {}",
                    status.generation, status.sync, status.health, status.fence, status.reason
                ),
            })
        })
    }
}

/// The usual set-up of a hub, with the intervals that it has in the field.
#[must_use]
pub fn hub_config(folder: PathBuf) -> Config {
    Config { store: StoreConfig::Memory, ..Config::local(folder) }
}

/// Runs the hub until it fails.
///
/// # Errors
/// Where it cannot start, or fails for good.
pub async fn hub(disk: Arc<HubDisk>) -> turmoil::Result {
    let clock = Arc::new(disk.time.machine(disk.drift_ppm, disk.wall.clone()));
    let ground = Ground {
        store: disk.store.clone(),
        blobs: Arc::new(FolderBlobs::open(disk.bundles.clone(), FreeSpace::reserve(0)).await?),
        authority: Authority::create("nave", Timestamp::now())?,
        clock,
        addresses: vec![format!("{HUB}:{HUB_PORT}")],
    };
    let mut core = Core::start(ground, &disk.config).await?;
    *disk.view.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(core.world().clone());
    let (accepted, connections) = mpsc::channel(CONNECTIONS);
    core.serve(connections);
    let listener = TcpListener::bind(("0.0.0.0", HUB_PORT)).await?;
    loop {
        tokio::select! {
            why = core.failed() => return Err(why.into()),
            next = listener.accept() => {
                let (stream, address) = next?;
                let who = disk.peers.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get(&address.ip()).cloned();
                let Some(identity) = who else { continue };
                let peer = Peer::known(address, certificate(identity));
                if accepted.send(Connection::vouched(stream, peer)).await.is_err() {
                    return Err("the hub takes no more connections".into());
                }
            }
        }
    }
}

fn certificate(identity: nave_common::identity::Identity) -> PeerCertificate {
    PeerCertificate {
        fingerprint: Digest::of(identity.to_string().as_bytes()),
        enrolment: Digest::of(identity.to_string().as_bytes()),
        identity,
        not_before: Timestamp::EPOCH,
        not_after: Timestamp::now().plus(Duration::from_secs(30 * 365 * 86_400)),
    }
}

/// What of a spoke survives the crash of its agent.
pub struct SpokeDisk {
    /// The cluster's name in the fleet.
    pub name: String,
    /// The host of its API server.
    pub kube_host: String,
    /// The UID of its namespace kube-system.
    pub uid: String,
    /// The agent's disk.
    pub data_dir: PathBuf,
    /// The cluster, once its host has started.
    pub cluster: Arc<OnceLock<Cluster>>,
    /// How it is set up.
    pub config: nave_sim::Config,
    /// By how much the agent's clock runs fast, in parts per million.
    pub drift_ppm: i32,
    /// The true time.
    pub time: TrueTime,
}

/// Runs a cluster.
///
/// # Errors
/// Where its port is taken.
pub async fn cluster(disk: Arc<SpokeDisk>) -> turmoil::Result {
    let clock = disk.time.machine(0, Wall::default());
    let clock = Clock::new(move || {
        jiff::Timestamp::from_millisecond(clock.wall_millis()).unwrap_or(jiff::Timestamp::UNIX_EPOCH)
    });
    disk.cluster.get_or_init(|| Cluster::start_unbound(disk.config.clone(), clock));
    let listener = TcpListener::bind(("0.0.0.0", KUBE_PORT)).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        let disk = disk.clone();
        tokio::spawn(async move {
            if let Some(cluster) = disk.cluster.get() {
                cluster.serve(stream).await;
            }
        });
    }
}

/// Runs an agent until it fails.
///
/// # Errors
/// Where it cannot start, or ends by itself.
pub async fn agent(disk: Arc<SpokeDisk>) -> turmoil::Result {
    let mut config = kube::Config::new(format!("http://{}", disk.kube_host).parse()?);
    config.default_retry = false;
    let client = nave_agent::api::connect::client_over(config, ToCluster)?;
    let options = Options {
        identity: identity(&disk)?,
        dial: Arc::new(PlainDial),
        data_dir: disk.data_dir.clone(),
        reconcile: nave_agent::reconcile::Config::default(),
        clock: Arc::new(disk.time.machine(disk.drift_ppm, Wall::default())),
    };
    let mut agent = Agent::start(client, options)?;
    Err(agent.ended().await.into())
}

fn identity(disk: &SpokeDisk) -> Result<Identity, serde_json::Error> {
    serde_json::from_value(serde_json::json!({
        "cluster": disk.name, "clusterUid": disk.uid, "addresses": [format!("{HUB}:{HUB_PORT}")],
        "authority": "", "certificate": "", "key": "",
    }))
}

/// Something that a person does at the hub.
pub enum Errand {
    /// Applies an application.
    Apply(Box<v1::Application>),
    /// Orders something of an application's failover.
    Order(ApplicationKey, Box<Order>),
    /// Drains a cluster, or says that this is over.
    Drain(&'static str, bool),
}

impl SpokeDisk {
    /// The agent's disk is lost. Only while it does not run.
    pub fn forget(&self) {
        // What is not there is lost already.
        let _ = std::fs::remove_dir_all(&self.data_dir);
    }
}

/// How often an errand is tried.
const MAX_TRIES: usize = 200;

/// Does errands, each until it is done or the hub has refused it often. Each that is over is one less in `open`.
///
/// # Errors
/// Never.
pub async fn person(mut errands: mpsc::UnboundedReceiver<Errand>, open: Arc<AtomicUsize>) -> turmoil::Result {
    while let Some(errand) = errands.recv().await {
        for _ in 0..MAX_TRIES {
            match tokio::time::timeout(Duration::from_secs(10), run(&errand)).await {
                Ok(Ok(())) => break,
                Ok(Err(why)) => tracing::warn!(why, "an errand is not done"),
                Err(_) => tracing::warn!("an errand takes too long"),
            }
            // Looked at long enough, an order is out of date.
            if matches!(errand, Errand::Order(..)) {
                break;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        open.fetch_sub(1, Ordering::Relaxed);
    }
    Ok(())
}

async fn run(errand: &Errand) -> Result<(), String> {
    let channel = net::channel(&format!("{HUB}:{HUB_PORT}")).await.map_err(|error| format!("{error:?}"))?;
    let mut fleet = FleetServiceClient::new(channel);
    match errand {
        Errand::Apply(application) => {
            let request = v1::ApplyApplicationRequest {
                application: Some(application.as_ref().clone()),
                dry_run: false,
            };
            fleet.apply_application(request).await.map_err(|status| status.to_string())?;
        }
        Errand::Order(application, order) => {
            let request = v1::OrderFailoverRequest {
                application: Some(application.into()),
                order: Some(order.as_ref().into()),
                dry_run: false,
            };
            fleet.order_failover(request).await.map_err(|status| status.to_string())?;
        }
        Errand::Drain(name, is_drained) => {
            let request = v1::GetClusterRequest { name: (*name).to_owned() };
            let known = fleet.get_cluster(request).await.map_err(|status| status.to_string())?.into_inner();
            let mut cluster = known.cluster.ok_or("the hub names no cluster")?;
            let spec = cluster.spec.get_or_insert_default();
            (spec.cordoned, spec.drained) = (*is_drained, *is_drained);
            let request = v1::ApplyClusterRequest { cluster: Some(cluster), dry_run: false };
            fleet.apply_cluster(request).await.map_err(|status| status.to_string())?;
        }
    }
    Ok(())
}
