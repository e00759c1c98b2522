//! The listener: from TCP to an authenticated TLS connection, with bounds.
//!
//! Handshakes run beside each other up to a bound; past it new connections wait in the kernel's queue, so a fleet that
//! reconnects at once cannot take more memory than the bound allows, and established streams go on being served. Who
//! speaks is read from the certificate once for a connection, not once for a request.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::Sleep;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::transport::server::Connected;

use crate::auth::peer::Peer;
use crate::config::Limits;
use crate::metrics::Metrics;

/// How many connections the kernel holds for the hub: room for a fleet that reconnects at once.
const BACKLOG: u32 = 8192;
/// Connections on their way from their handshake to the server.
const ACCEPTED_CONNECTIONS: usize = 64;
/// Connections at the same time of those who show no certificate, or one that ran out: they may only enrol, or renew.
const STRANGERS: usize = 512;
/// How long such a connection may last.
const STRANGER_TIMEOUT: Duration = Duration::from_secs(60);
/// How long to wait after the system refused to accept, as it does without free file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A socket that listens at `address`.
///
/// # Errors
/// Where the address is taken or not this machine's.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A hub that restarts gets its address back at once.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Accepts connections and brings up TLS.
pub struct Listener {
    /// Where it listens.
    pub socket: TcpListener,
    /// Keys and certificates, which are renewed while the hub runs.
    pub tls: watch::Receiver<TlsAcceptor>,
    /// Bounds.
    pub limits: Limits,
    /// Ends the accepting.
    pub shutdown: CancellationToken,
    /// Breaks every connection off.
    pub break_off: CancellationToken,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

impl Listener {
    /// Starts accepting. The connections come out of the returned channel, which ends at shutdown.
    #[must_use]
    pub fn start(self) -> mpsc::Receiver<Connection> {
        let (sender, receiver) = mpsc::channel(ACCEPTED_CONNECTIONS);
        tokio::spawn(self.run(sender));
        receiver
    }

    async fn run(self, accepted: mpsc::Sender<Connection>) {
        let strangers = Arc::new(Semaphore::new(STRANGERS));
        let handshakes = Arc::new(Semaphore::new(self.limits.handshakes));
        let connections = Arc::new(Semaphore::new(self.limits.connections));
        loop {
            let next = async {
                let handshake = handshakes.clone().acquire_owned().await.map_err(io::Error::other)?;
                let (stream, address) = self.socket.accept().await?;
                Ok::<_, io::Error>((handshake, stream, address))
            };
            let next = tokio::select! {
                () = self.shutdown.cancelled() => return,
                next = next => next,
            };
            match next {
                Ok((handshake, stream, address)) => match connections.clone().try_acquire_owned() {
                    Ok(place) => {
                        let work = self.bring_up(stream, address, place, &strangers, &accepted);
                        tokio::spawn(async move {
                            work.await;
                            drop(handshake);
                        });
                    }
                    // Closing at once tells the client to come back later.
                    Err(_) => {
                        self.metrics.refused_connections.inc();
                        tracing::debug!(%address, "connection refused: there are too many");
                    }
                },
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn bring_up(
        &self,
        stream: TcpStream,
        address: SocketAddr,
        place: OwnedSemaphorePermit,
        strangers: &Arc<Semaphore>,
        accepted: &mpsc::Sender<Connection>,
    ) -> impl Future<Output = ()> + Send + 'static {
        let (tls, timeout) = (self.tls.borrow().clone(), self.limits.handshake_timeout);
        let (metrics, break_off) = (self.metrics.clone(), self.break_off.clone());
        let (strangers, accepted) = (strangers.clone(), accepted.clone());
        async move {
            // Small messages that must not wait for one another.
            let _ = stream.set_nodelay(true);
            let failed = match tokio::time::timeout(timeout, tls.accept(stream)).await {
                Ok(Ok(stream)) => {
                    let peer = Peer::of(address, &stream);
                    let stranger = if peer.is_known() {
                        None
                    } else if let Ok(place) = strangers.try_acquire_owned() {
                        Some(Stranger {
                            deadline: Box::pin(tokio::time::sleep(STRANGER_TIMEOUT)),
                            _place: place,
                        })
                    } else {
                        metrics.refused_connections.inc();
                        return;
                    };
                    let connection = Connection {
                        stream: Box::new(stream),
                        peer,
                        break_off: Some(Box::pin(break_off.cancelled_owned())),
                        stranger,
                        _counted: Some(Counted::new(metrics, place)),
                    };
                    // Where nobody takes it, the hub stops.
                    let _ = accepted.send(connection).await;
                    return;
                }
                Ok(Err(error)) => error.to_string(),
                Err(_) => "it took too long".to_owned(),
            };
            metrics.failed_handshakes.inc();
            tracing::debug!(%address, reason = failed, "TLS handshake failed");
        }
    }
}

/// What a connection runs on once its peer is known.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// One connection whose peer is known. One that the listener made counts as long as it lives, and can be broken off from
/// this side.
pub struct Connection {
    stream: Box<dyn Stream>,
    peer: Peer,
    break_off: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
    stranger: Option<Stranger>,
    _counted: Option<Counted>,
}

impl Connection {
    /// A connection that did not come through the listener: whoever makes it vouches for `peer`, and bounds how many
    /// there are.
    #[must_use]
    pub fn vouched(stream: impl Stream + 'static, peer: Peer) -> Self {
        Self { stream: Box::new(stream), peer, break_off: None, stranger: None, _counted: None }
    }
}

/// What bounds a connection whose peer showed no certificate that counts.
struct Stranger {
    deadline: Pin<Box<Sleep>>,
    _place: OwnedSemaphorePermit,
}

/// A place among the connections, and its count in the metrics.
struct Counted {
    metrics: Arc<Metrics>,
    _place: OwnedSemaphorePermit,
}

impl Counted {
    fn new(metrics: Arc<Metrics>, place: OwnedSemaphorePermit) -> Self {
        metrics.connections.inc();
        Self { metrics, _place: place }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.metrics.connections.dec();
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let is_over = self.stranger.as_mut().is_some_and(|it| it.deadline.as_mut().poll(cx).is_ready());
        let is_cut = self.break_off.as_mut().is_some_and(|it| it.as_mut().poll(cx).is_ready());
        if is_over || is_cut {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
