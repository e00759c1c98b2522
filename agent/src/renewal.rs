//! Renewal of the agent's certificate, by itself: at two thirds of its life a new key is made, the hub signs it, it is
//! kept on disk, and every connection from then on shows it. The stream that is open goes on.
//!
//! A certificate that ran out while the agent was away is renewed in the same way: the hub takes it for that alone.

use std::path::PathBuf;
use std::time::Duration;

use nave_common::identity::read_certificate;
use nave_common::runtime::backoff::Reconnect;
use nave_common::runtime::tls;
use nave_common::time::Timestamp;
use nave_proto::v1::RenewRequest;
use nave_proto::v1::agent_service_client::AgentServiceClient;
use tokio_util::sync::CancellationToken;

use crate::connection::dial::{Credentials, Dial as _};
use crate::identity::{Error, Identity};

/// The longest wait before the clock is looked at again: it may be set meanwhile, or the machine sleep.
const LOOK_INTERVAL: Duration = Duration::from_secs(600);
/// The shortest time between two renewals, whatever the clocks say.
const MIN_INTERVAL: Duration = Duration::from_secs(1);
/// How long a hub may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What renews an agent's certificate.
pub struct Renewal {
    /// Who it is.
    pub identity: Identity,
    /// Where its identity is kept.
    pub folder: PathBuf,
    /// What its connections show.
    pub credentials: Credentials,
}

impl Renewal {
    /// Renews whenever it is time, until `shutdown`.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let mut pause = Reconnect::new();
        loop {
            let wait = match due(&self.identity) {
                Ok(due) => due.since(Timestamp::now()),
                Err(error) => {
                    tracing::error!(%error, "the agent's certificate cannot be renewed");
                    return;
                }
            };
            let wait = if wait.is_zero() {
                // A hub that does not answer must not hold up the agent's end.
                let renewed = tokio::select! {
                    () = shutdown.cancelled() => return,
                    renewed = self.renew() => renewed,
                };
                match renewed {
                    Ok(()) => {
                        pause.reset();
                        MIN_INTERVAL
                    }
                    Err(error) => {
                        let wait = pause.next().max(MIN_INTERVAL);
                        tracing::warn!(%error, retry_in_ms = wait.as_millis(), "the certificate is not renewed yet");
                        wait
                    }
                }
            } else {
                wait.min(LOOK_INTERVAL)
            };
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    async fn renew(&mut self) -> Result<(), Error> {
        let refused = |why: String| Error::Renewal { cluster: self.identity.cluster.clone(), why };
        let request = tls::new_key_and_csr().map_err(|error| Error::Certificate(error.to_string()))?;
        let channel = self.credentials.dial(&self.identity.addresses).await?;
        let mut client = AgentServiceClient::new(channel);
        let asked = client.renew(RenewRequest {
            certificate_signing_request: request.csr_der.clone().into(),
            cluster_uid: self.identity.cluster_uid.clone(),
        });
        let answer = tokio::time::timeout(TIMEOUT, asked).await;
        let answer = answer.map_err(|_| refused(format!("no answer within {} s", TIMEOUT.as_secs())))?;
        let answer = answer.map_err(|status| refused(status.message().to_owned()))?.into_inner();
        let renewed = self.identity.renewed(tls::certificate_pem(&answer.certificate), request.key_pem);
        let until = due(&renewed)?;
        // On disk first: what a connection shows must outlive the process.
        let (kept, folder) = (renewed.clone(), self.folder.clone());
        let saved = tokio::task::spawn_blocking(move || kept.save(&folder)).await;
        saved.map_err(|error| refused(format!("keeping it was broken off: {error}")))??;
        self.credentials.replace(&renewed);
        self.identity = renewed;
        tracing::info!(next_renewal = %until, "the agent's certificate is renewed");
        Ok(())
    }
}

/// When a certificate is to be renewed: at two thirds of its life.
fn due(identity: &Identity) -> Result<Timestamp, Error> {
    let failed = |why: String| Error::Certificate(why);
    let der = tls::certificates(&identity.certificate).map_err(|error| failed(error.to_string()))?;
    let first = der.first().ok_or_else(|| failed("there is no certificate".to_owned()))?;
    let read = read_certificate(first).map_err(|error| failed(error.to_string()))?;
    // Its validity begins before it was made, for clocks that are behind.
    let made = read.not_before.plus(tls::CLOCK_LEEWAY);
    Ok(made.plus(read.not_after.since(made) / 3 * 2))
}
