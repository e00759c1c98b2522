//! The wires of a world: how an agent reaches its hub and its cluster, and a person the hub.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use async_trait::async_trait;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use nave_agent::connection::dial::{self, Dial};
use tonic::transport::{Channel, Endpoint};
use turmoil::net::TcpStream;

/// The port at which a hub listens.
pub const HUB_PORT: u16 = 7443;
/// The port at which the API server of a cluster listens.
pub const KUBE_PORT: u16 = 80;

/// Reaches hubs without TLS: who calls is known by the host that it calls from.
#[derive(Debug, Clone, Copy)]
pub struct PlainDial;

#[async_trait]
impl Dial for PlainDial {
    async fn dial(&self, addresses: &[String]) -> Result<Channel, dial::Error> {
        let mut reasons = Vec::new();
        for address in addresses {
            match channel(address).await {
                Ok(channel) => return Ok(channel),
                Err(error) => reasons.push(format!("{address}: {error}")),
            }
        }
        Err(dial::Error::new(reasons))
    }
}

/// A channel to `address` (host:port), set up as an agent sets up its own.
///
/// # Errors
/// Where nobody listens there.
pub async fn channel(address: &str) -> Result<Channel, tonic::transport::Error> {
    let endpoint = dial::tuned(Endpoint::from_shared(format!("http://{address}"))?);
    let connector = tower::service_fn(|uri: http::Uri| async move {
        let stream = connect(&uri).await?;
        Ok::<_, io::Error>(TokioIo::new(stream))
    });
    endpoint.connect_with_connector(connector).await
}

/// Opens connections to the API server that an address names.
#[derive(Debug, Clone, Copy)]
pub struct ToCluster;

impl tower::Service<http::Uri> for ToCluster {
    type Response = Wire;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Wire>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: http::Uri) -> Self::Future {
        Box::pin(async move { Ok(Wire(TokioIo::new(connect(&uri).await?))) })
    }
}

/// How long opening a connection may take.
const CONNECT_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(5);

async fn connect(uri: &http::Uri) -> io::Result<TcpStream> {
    let host = uri.host().unwrap_or_default().to_owned();
    let port = uri.port_u16().unwrap_or(KUBE_PORT);
    match tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect((host, port))).await {
        Ok(opened) => opened,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// A connection, as the Kubernetes client's transport wants it.
#[derive(Debug)]
pub struct Wire(TokioIo<TcpStream>);

impl Connection for Wire {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, into)
    }
}

impl Write for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
