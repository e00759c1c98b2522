//! What the binary does: from configuration to a running agent, enrolling on first start.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

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
use crate::renewal::Renewal;
use crate::{reconcile, web};

/// How long the API server may take to say which cluster it is, at a start after the first.
const UID_TIMEOUT: Duration = Duration::from_secs(2);

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
    let credentials = Credentials::of(&identity);
    let renewal = Renewal {
        identity: identity.clone(),
        folder: config.data_dir.clone(),
        credentials: credentials.clone(),
    };
    let options = Options {
        dial: Arc::new(credentials),
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
    let renewing = tokio::spawn(renewal.run(stop.clone()));
    tokio::select! {
        () = stop.cancelled() => {}
        why = agent.ended() => bail!("{why}"),
    }
    agent.stop().await;
    if let Err(error) = renewing.await {
        tracing::error!(%error, "the renewal of the certificate did not end well");
    }
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

/// Refuses to start on another cluster than the one that enrolled: a copied data folder would apply one cluster's work in
/// another. An API server that does not answer now is no reason: what runs has to be fenced nevertheless.
async fn check_cluster(identity: &Identity, client: &kube::Client, data_dir: &Path) -> anyhow::Result<()> {
    match tokio::time::timeout(UID_TIMEOUT, cluster_uid(client)).await {
        Ok(Ok(uid)) if uid != identity.cluster_uid => bail!(
            "this agent enrolled as {} from another cluster: the UID of kube-system there is {}, and here it is {uid}; \
             where this is another cluster, remove {} and enrol it under a name of its own; where {} was made anew, \
             delete it from the fleet first (nave delete cluster {})",
            identity.cluster,
            identity.cluster_uid,
            data_dir.display(),
            identity.cluster,
            identity.cluster
        ),
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tracing::warn!(%error, "cannot check that this is the cluster that enrolled"),
        Err(_) => tracing::warn!("cannot check that this is the cluster that enrolled: no answer in time"),
    }
    Ok(())
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
        check_cluster(&identity, client, &config.data_dir).await?;
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
