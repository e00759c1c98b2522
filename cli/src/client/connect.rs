//! Dialling a hub: every address of its context, the first that answers wins.

use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use nave_common::HUB_TLS_NAME;
use nave_common::context::Context;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use crate::exit::{Failure, Outcome};

/// How long one address may take, TLS and all.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// After this the next address is tried beside the one before, so that a dead address costs little.
const HEAD_START: Duration = Duration::from_millis(250);
/// How often a silent connection is asked whether it is still there, and how long it may take to say so.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// A channel to the first address that answers, and that address.
pub(super) async fn dial(context: &Context) -> Outcome<(Channel, String)> {
    let tls = tls(context);
    let mut attempts: FuturesUnordered<_> = (0_u32..)
        .zip(&context.addresses)
        .map(|(place, address)| {
            let tls = tls.clone();
            async move {
                tokio::time::sleep(HEAD_START * place).await;
                (address, dial_one(address, tls).await)
            }
        })
        .collect();
    let mut problems = Vec::new();
    while let Some((address, result)) = attempts.next().await {
        match result {
            Ok(channel) => return Ok((channel, address.clone())),
            Err(problem) => problems.push(format!("{address} ({problem})")),
        }
    }
    let problem = format!("cannot reach the hub of context {:?} at {}", context.name, problems.join(", "));
    Err(Failure::failed(problem).hint(advice(&problems)))
}

fn tls(context: &Context) -> ClientTlsConfig {
    ClientTlsConfig::new()
        .domain_name(HUB_TLS_NAME)
        .ca_certificate(Certificate::from_pem(&context.authority))
        .identity(Identity::from_pem(&context.certificate, context.key.pem()))
}

async fn dial_one(address: &str, tls: ClientTlsConfig) -> Result<Channel, String> {
    let endpoint = Endpoint::from_shared(format!("https://{address}"))
        .map_err(|_| "this is no HOST:PORT".to_owned())?
        .user_agent(concat!("nave/", env!("CARGO_PKG_VERSION")))
        .map_err(|error| error.to_string())?
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .keep_alive_while_idle(true)
        .tls_config(tls)
        .map_err(|error| format!("the context's certificates cannot be used: {}", root(&error)))?;
    match tokio::time::timeout(CONNECT_TIMEOUT, endpoint.connect()).await {
        Ok(Ok(channel)) => Ok(channel),
        Ok(Err(error)) => Err(root(&error)),
        Err(_) => Err(format!("no answer within {} s", CONNECT_TIMEOUT.as_secs())),
    }
}

/// The innermost cause, which is the one that says something.
pub(super) fn root(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

fn advice(problems: &[String]) -> &'static str {
    let any = |words: &[&str]| problems.iter().any(|problem| words.iter().any(|word| problem.contains(word)));
    if any(&["UnknownIssuer", "BadSignature"]) {
        "what answers there is not the hub that this context trusts: take a new context from the hub (nave context import)"
    } else if any(&["NotValidForName", "certificate not valid for name"]) {
        "what answers there is no Nave hub: check the address"
    } else if any(&["Expired", "expired"]) {
        "a certificate is out of date: check the clock, or take a new context from the hub (nave context import)"
    } else if any(&["alert", "CertificateRequired"]) {
        "the hub refuses this certificate: take a new context from it (nave context import)"
    } else if any(&["no HOST:PORT"]) {
        "addresses are written HOST:PORT, such as hub.example.com:7443"
    } else {
        "check that the hub runs and that the address is right (--hub HOST:PORT, nave context show)"
    }
}
