//! Dials hubs: outbound TLS to one of several addresses, behind a trait, so that the connection does not know how.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use nave_common::HUB_TLS_NAME;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity as TlsIdentity};

/// How long one address may take to answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How often HTTP/2 asks an idle hub whether it is there.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// A window for a stream of small messages; bundles travel on a connection of their own.
const WINDOW_BYTES: u32 = 256 << 10;

/// Reaches hubs.
#[async_trait]
pub trait Dial: Send + Sync {
    /// Connects to the first of `addresses` (host:port) that answers, in the order given.
    ///
    /// # Errors
    /// Where none does; the message says for each address why.
    async fn dial(&self, addresses: &[String]) -> Result<Channel, Error>;
}

#[async_trait]
impl Dial for Credentials {
    async fn dial(&self, addresses: &[String]) -> Result<Channel, Error> {
        let mut reasons = Vec::new();
        let tls = self.tls.read().unwrap_or_else(PoisonError::into_inner).clone();
        for address in addresses {
            match connect(address, &tls).await {
                Ok(channel) => return Ok(channel),
                Err(error) => reasons.push(format!("{address}: {}", explained(&with_sources(&error)))),
            }
        }
        Err(Error::new(reasons))
    }
}

/// Whom to trust and how to show who one is. Clones share it, so that all show what a renewal brought.
#[derive(Clone)]
pub struct Credentials {
    tls: Arc<RwLock<ClientTlsConfig>>,
}

/// No hub could be reached.
#[derive(Debug, thiserror::Error)]
#[error("no hub could be reached: {}", .0.join("; "))]
pub struct Error(Vec<String>);

impl Error {
    /// Nobody answered, for these reasons, each with its address.
    #[must_use]
    pub fn new(mut reasons: Vec<String>) -> Self {
        if reasons.is_empty() {
            reasons.push("no address is known".into());
        }
        Self(reasons)
    }
}

impl Credentials {
    /// Trusts the authority (PEM) and shows no certificate: for enrolment alone.
    #[must_use]
    pub fn anonymous(authority: &str) -> Self {
        Self { tls: Arc::new(RwLock::new(trusting(authority))) }
    }

    /// Trusts the authority and shows the agent's certificate.
    #[must_use]
    pub fn of(identity: &crate::identity::Identity) -> Self {
        Self { tls: Arc::new(RwLock::new(showing(identity))) }
    }

    /// Shows another certificate from now on. Connections that are open go on with what they showed.
    pub fn replace(&self, identity: &crate::identity::Identity) {
        *self.tls.write().unwrap_or_else(PoisonError::into_inner) = showing(identity);
    }
}

fn trusting(authority: &str) -> ClientTlsConfig {
    ClientTlsConfig::new().domain_name(HUB_TLS_NAME).ca_certificate(Certificate::from_pem(authority))
}

fn showing(identity: &crate::identity::Identity) -> ClientTlsConfig {
    trusting(&identity.authority).identity(TlsIdentity::from_pem(&identity.certificate, identity.key()))
}

/// How every connection to a hub is set up, whatever it runs on.
#[must_use]
pub fn tuned(endpoint: Endpoint) -> Endpoint {
    endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(CONNECT_TIMEOUT)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
}

async fn connect(address: &str, tls: &ClientTlsConfig) -> Result<Channel, tonic::transport::Error> {
    let endpoint = Endpoint::from_shared(format!("https://{address}"))?.tls_config(tls.clone())?;
    tuned(endpoint).connect().await
}

/// A refused certificate, in words on which a person can act.
fn explained(reason: &str) -> String {
    if ["UnknownIssuer", "BadSignature"].iter().any(|word| reason.contains(word)) {
        return format!(
            "{reason}: this is not the hub with which this agent enrolled; to enrol with it, stop the agent and remove \
             its data folder"
        );
    }
    reason.to_owned()
}

/// An error with its causes: tonic says only "transport error" at the top.
fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !text.ends_with(&more) {
            text = format!("{text}: {more}");
        }
        source = error.source();
    }
    text
}
