//! Clients for tests and benchmarks: of a hub in this process as its admin, and of an API server with its requests
//! counted.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use nave_common::HUB_TLS_NAME;
use nave_common::bundle::Bundle;
use nave_hub::Hub;
use nave_proto::v1::fleet_service_client::FleetServiceClient;
use nave_proto::v1::{UploadBundleOpen, UploadBundleRequest, upload_bundle_request::Part};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

/// A client of the hub's FleetService, as its admin.
///
/// # Errors
/// Where the hub cannot be reached.
pub async fn fleet(hub: &Hub) -> anyhow::Result<FleetServiceClient<Channel>> {
    let context = hub.admin_context()?;
    let tls = ClientTlsConfig::new()
        .domain_name(HUB_TLS_NAME)
        .ca_certificate(Certificate::from_pem(&context.authority))
        .identity(Identity::from_pem(&context.certificate, context.key.pem()));
    let address = context.addresses.first().context("the context has no address")?;
    let channel = Endpoint::from_shared(format!("https://{address}"))?.tls_config(tls)?.connect().await?;
    Ok(FleetServiceClient::new(channel).max_decoding_message_size(64 << 20))
}

/// Uploads a bundle.
///
/// # Errors
/// Where the hub refuses it.
pub async fn upload(client: &mut FleetServiceClient<Channel>, bundle: &Bundle) -> anyhow::Result<()> {
    let bytes = bundle.encode();
    let open = UploadBundleOpen { digest: bundle.digest().to_string(), size_bytes: bytes.len() as u64 };
    let chunks = bytes.chunks(256 << 10).map(|chunk| Part::Chunk(chunk.to_vec().into()));
    let parts: Vec<UploadBundleRequest> = std::iter::once(Part::Open(open))
        .chain(chunks)
        .map(|part| UploadBundleRequest { part: Some(part) })
        .collect();
    client.upload_bundle(futures::stream::iter(parts)).await?;
    Ok(())
}

/// What is told of every request that a client makes.
pub trait Count: Send + Sync + 'static {
    /// A request with this method and this target goes out.
    fn count(&self, method: &http::Method, target: &http::Uri);

    /// The answer to such a request has begun to come.
    fn answered(&self, _method: &http::Method, _target: &http::Uri) {}
}

/// A client of the cluster of a kubeconfig whose requests are counted.
///
/// # Errors
/// Where the kubeconfig cannot be used.
pub async fn counted(kubeconfig: &Path, counter: Arc<dyn Count>) -> anyhow::Result<kube::Client> {
    let client = nave_agent::start::kube_client(Some(kubeconfig)).await?;
    let namespace = client.default_namespace().to_owned();
    let counted = tower::service_fn(move |request: http::Request<kube::client::Body>| {
        counter.count(request.method(), request.uri());
        let (client, counter) = (client.clone(), counter.clone());
        let (method, target) = (request.method().clone(), request.uri().clone());
        async move {
            let answer = client.send(request).await;
            counter.answered(&method, &target);
            answer
        }
    });
    Ok(kube::Client::new(counted, namespace))
}
