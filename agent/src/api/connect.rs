//! Makes a client whose requests leave at once.
//!
//! The client that [`kube`] makes by itself leaves Nagle's algorithm on: on a connection that was just opened, and with
//! bodies of several segments, the last piece of a request then waits up to 40 ms for an acknowledgement that the
//! server's kernel delays. That is four times what a change may take as a whole.

use std::time::Duration;

use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connect, HttpConnector};
use hyper_util::rt::TokioExecutor;
use kube::client::{Body, ConfigExt as _};
use tower::{BoxError, ServiceBuilder};

/// How long opening a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A client of the API server that `config` names, without retries of its own.
///
/// # Errors
/// Where the certificates or credentials of `config` cannot be used.
pub fn client(mut config: kube::Config) -> Result<kube::Client, kube::Error> {
    // Pauses and Retry-After are heeded by the reconciler, where they can be told of.
    config.default_retry = false;
    if config.proxy_url.is_some() {
        return kube::Client::try_from(config);
    }
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
    let connector = config.rustls_https_connector_with_connector(connector)?;
    client_over(config, connector)
}

/// A client whose connections `connector` opens, TLS included.
///
/// # Errors
/// Where the credentials of `config` cannot be used.
pub fn client_over<C>(config: kube::Config, connector: C) -> Result<kube::Client, kube::Error>
where
    C: Connect + Clone + Send + Sync + 'static,
{
    let transport: Client<_, Body> = Client::builder(TokioExecutor::new()).build(connector);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(transport);
    Ok(kube::Client::new(service, config.default_namespace))
}
