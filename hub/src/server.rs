//! The gRPC server: which services there are, with which bounds.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use nave_proto::v1;
use nave_proto::v1::agent_service_server::AgentServiceServer;
use nave_proto::v1::fleet_service_server::FleetServiceServer;
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Server;

use crate::api::Fleet;
use crate::auth::peer::OnlyUsers;
use crate::listen::Connection;
use crate::parts::Parts;
use crate::session::service::Agents;

/// Bytes that a client may send ahead on one stream, and on one connection. An agent's messages are small; ten thousand
/// connections must not be able to fill the memory. An upload of a bundle is slower for it over a long line.
const STREAM_WINDOW_BYTES: u32 = 64 << 10;
const CONNECTION_WINDOW_BYTES: u32 = 256 << 10;
/// The largest message that the hub sends: a rendering of a whole bundle.
const MAX_SENT_BYTES: usize = 80 << 20;
/// The largest message of an agent: a status of everything.
const MAX_AGENT_MESSAGE_BYTES: usize = 16 << 20;
/// How often HTTP/2 asks an idle client whether it is there, and how long that may take.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// The largest headers, in bytes.
const MAX_HEADER_BYTES: u32 = 16 << 10;

/// Serves connections until `shutdown`, then waits for those that are open.
///
/// # Errors
/// Where the descriptors for reflection are broken, or the server breaks.
pub async fn serve(
    parts: Arc<Parts>,
    connections: mpsc::Receiver<Connection>,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let message_bytes = parts.limits.message_bytes;
    let fleet = FleetServiceServer::new(Fleet::new(parts.clone()))
        .max_decoding_message_size(message_bytes)
        .max_encoding_message_size(MAX_SENT_BYTES)
        .accept_compressed(tonic::codec::CompressionEncoding::Zstd)
        .send_compressed(tonic::codec::CompressionEncoding::Zstd);
    let agents = AgentServiceServer::new(Agents::new(parts.clone()))
        .max_decoding_message_size(message_bytes.min(MAX_AGENT_MESSAGE_BYTES))
        .max_encoding_message_size(MAX_SENT_BYTES);
    let (health_reporter, health) = tonic_health::server::health_reporter();
    health_reporter.set_serving::<FleetServiceServer<Fleet>>().await;
    health_reporter.set_serving::<AgentServiceServer<Agents>>().await;
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(v1::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    Server::builder()
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_concurrent_streams(parts.limits.streams_per_connection)
        .http2_keepalive_interval(Some(KEEP_ALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEP_ALIVE_TIMEOUT))
        .http2_max_header_list_size(MAX_HEADER_BYTES)
        .add_service(agents)
        .add_service(fleet)
        .add_service(InterceptedService::new(health, OnlyUsers))
        .add_service(InterceptedService::new(reflection().build_v1()?, OnlyUsers))
        .add_service(InterceptedService::new(reflection().build_v1alpha()?, OnlyUsers))
        .serve_with_incoming_shutdown(
            ReceiverStream::new(connections).map(Ok::<_, Infallible>),
            shutdown.cancelled(),
        )
        .await?;
    Ok(())
}

/// Why the server cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The descriptors that reflection serves are broken.
    #[error("the descriptors for gRPC reflection are broken")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// The server broke.
    #[error("the gRPC server broke")]
    Server(#[from] tonic::transport::Error),
}
