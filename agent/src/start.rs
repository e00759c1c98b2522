//! What the binary does: from configuration to a running agent, enrolling on first start.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use k8s_openapi::api::core::v1::Namespace;
use kube::config::{KubeConfigOptions, Kubeconfig};
use nave_common::runtime::{shutdown, telemetry};
use nave_common::token::TokenText;

use crate::agent::{Agent, Options};
use crate::clock::SystemClock;
use crate::config::{Args, Config};
use crate::connection::dial::Credentials;
use crate::identity::{self, Identity};
use crate::{reconcile, web};

/// Runs until the process is told to stop.
///
/// # Errors
/// Where the agent cannot start: configuration, cluster, enrolment or cache; each says what to do.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let config = Config::load(args)?;
    telemetry::init(&config.log_format, &config.log)?;
    let client = kube_client(config.kubeconfig.as_deref()).await?;
    let identity = identity(&config, &client).await?;
    tracing::info!(cluster = %identity.cluster, hubs = ?identity.addresses, "agent starts");
    let options = Options {
        dial: Arc::new(Credentials::of(&identity)),
        identity,
        data_dir: config.data_dir.clone(),
        reconcile: reconcile::Config { max_in_flight: config.max_in_flight, ..reconcile::Config::default() },
        clock: Arc::new(SystemClock),
    };
    let mut agent = Agent::start(client, options)?;
    if let Some(listen) = config.http_listen {
        web::serve(listen, agent.reports().clone()).await?;
    }
    let stop = shutdown::on_signal();
    tokio::select! {
        () = stop.cancelled() => {}
        why = agent.ended() => bail!("{why}"),
    }
    agent.stop().await;
    Ok(())
}

/// A client of the cluster: by a kubeconfig, or by the service account of the pod.
///
/// # Errors
/// Where there is neither or it cannot be used.
pub async fn kube_client(kubeconfig: Option<&Path>) -> anyhow::Result<kube::Client> {
    let mut config = match kubeconfig {
        Some(path) => {
            let file = Kubeconfig::read_from(path)
                .with_context(|| format!("cannot use the kubeconfig {}", path.display()))?;
            kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
                .await
                .with_context(|| format!("cannot use the kubeconfig {}", path.display()))?
        }
        None => kube::Config::infer()
            .await
            .context("there is no service account and no kubeconfig; give --kubeconfig FILE")?,
    };
    // A watch may be quiet for long; every other request has a timeout of its own.
    config.read_timeout = None;
    crate::api::connect::client(config).context("cannot make a client of the cluster")
}

/// The UID of the namespace kube-system: what tells this cluster from every other.
///
/// # Errors
/// Where the API server cannot be reached or refuses.
pub async fn cluster_uid(client: &kube::Client) -> anyhow::Result<String> {
    let namespaces: kube::Api<Namespace> = kube::Api::all(client.clone());
    let namespace = namespaces
        .get("kube-system")
        .await
        .context("cannot read the namespace kube-system, which identifies the cluster")?;
    namespace.metadata.uid.context("the namespace kube-system has no UID")
}

async fn identity(config: &Config, client: &kube::Client) -> anyhow::Result<Identity> {
    if let Some(identity) = Identity::load(&config.data_dir)? {
        if let Some(name) = config.name.as_ref().filter(|name| **name != identity.cluster) {
            bail!(
                "this agent enrolled as cluster {}, and --name says {name}; remove {} to enrol anew",
                identity.cluster,
                config.data_dir.display()
            );
        }
        return Ok(identity);
    }
    let name = config.name.clone().context("--name is missing: the cluster's name in the fleet")?;
    let token = config
        .token
        .as_deref()
        .context("--token is missing: on first start an agent enrols with a token of `nave token create`")?;
    let token = TokenText::parse(token)?;
    let uid = cluster_uid(client).await?;
    let identity = identity::enroll(&token, name, config.labels.clone(), uid).await?;
    identity.save(&config.data_dir)?;
    tracing::info!(cluster = %identity.cluster, "enrolled");
    Ok(identity)
}
