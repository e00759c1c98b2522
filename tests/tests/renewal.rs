//! Certificates that renew by themselves, and return after they ran out, with the real binaries over real sockets.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use nave_agent::identity::Identity;
use nave_common::identity::{PeerCertificate, read_certificate};
use nave_common::runtime::tls;
use nave_common::time::Timestamp;
use nave_tests::processes::{Agent, Hub, until};

/// How long a certificate is valid here.
const LIFETIME: &str = "6s";

fn identity(agent: &Agent) -> anyhow::Result<Identity> {
    Identity::load(&agent.folder().join("data"))?.context("it has enrolled")
}

fn certificate(agent: &Agent) -> anyhow::Result<PeerCertificate> {
    Ok(read_certificate(&tls::certificates(&identity(agent)?.certificate)?[0])?)
}

async fn joined() -> anyhow::Result<(Hub, nave_sim::Cluster, Agent)> {
    let hub = Hub::start_with(&["--agent-certificate-lifetime", LIFETIME]).await?;
    let cluster = nave_sim::Cluster::start(nave_sim::Config::default()).await?;
    let agent = Agent::join(&hub, "eu-1", &cluster.kubeconfig(), &["region=eu"]).await?;
    Ok((hub, cluster, agent))
}

#[tokio::test]
async fn a_certificate_renews_by_itself_and_the_stream_goes_on() -> anyhow::Result<()> {
    let (hub, _cluster, mut agent) = joined().await?;
    let (first, first_key) = (certificate(&agent)?, identity(&agent)?.key().to_owned());
    until("the first certificate ran out, and another is in use", async || {
        let held = certificate(&agent)?;
        Ok(Timestamp::now() > first.not_after.plus(Duration::from_secs(1))
            && held.not_after > first.not_after)
    })
    .await?;
    let renewed = certificate(&agent)?;
    assert_eq!(renewed.enrolment, first.enrolment);
    assert_ne!(identity(&agent)?.key(), first_key, "the key is a new one");
    let mode = std::fs::metadata(agent.folder().join("data").join("identity.json"))?.permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    agent.wait_alive(&hub).await?;
    ensure!(!hub.log().contains("agent's stream ended"), "the stream was cut:\n{}", hub.log());
    // What it shows now is what it was given.
    agent.kill();
    agent.start_again()?;
    agent.wait_alive(&hub).await
}

#[tokio::test]
async fn an_agent_whose_certificate_ran_out_comes_back_by_proof_of_its_key() -> anyhow::Result<()> {
    let (hub, _cluster, mut agent) = joined().await?;
    agent.kill();
    let expired = certificate(&agent)?;
    until("its certificate ran out", async || {
        Ok(Timestamp::now() > expired.not_after.plus(Duration::from_secs(1)))
    })
    .await?;
    until("the hub has lost it", async || {
        Ok(hub.nave_json(&["get", "cluster", "eu-1"]).await?["status"]["liveness"] != "Alive")
    })
    .await?;
    agent.start_again()?;
    agent.wait_alive(&hub).await?;
    let renewed = certificate(&agent)?;
    assert!(renewed.not_after > expired.not_after);
    assert_eq!(renewed.enrolment, expired.enrolment);
    Ok(())
}
