//! A network line that can be cut as a region is: nothing comes through any more, and nobody is told. An agent that dials a
//! hub through one can be lost and found again.

use std::net::SocketAddr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// A line that can be cut. It ends when it is dropped.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    is_cut: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Relay {
    /// A line to `far` that listens on an address of its own.
    ///
    /// # Errors
    /// Where the system has no address left.
    pub async fn start(far: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (is_cut, watched) = watch::channel(false);
        let task = tokio::spawn(serve(listener, far, watched));
        Ok(Self { address, is_cut, task })
    }

    /// Where to dial.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Cuts the line: what is connected falls silent, and what dials anew gets no answer.
    pub fn cut(&self) {
        self.is_cut.send_replace(true);
    }

    /// Lets everything through again.
    pub fn mend(&self) {
        self.is_cut.send_replace(false);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, far: SocketAddr, is_cut: watch::Receiver<bool>) {
    // Dropped, and so ended, with the line.
    let mut lines = JoinSet::new();
    loop {
        tokio::select! {
            Ok((near, _)) = listener.accept() => {
                lines.spawn(carry(near, far, is_cut.clone()));
            }
            Some(_) = lines.join_next() => {}
        }
    }
}

/// Carries bytes both ways until the line is cut; then holds the sockets, in silence, until it is mended.
async fn carry(mut near: TcpStream, far: SocketAddr, mut is_cut: watch::Receiver<bool>) {
    let through = async {
        let mut onward = TcpStream::connect(far).await?;
        near.set_nodelay(true)?;
        onward.set_nodelay(true)?;
        copy_bidirectional(&mut near, &mut onward).await
    };
    let cut = async { is_cut.wait_for(|cut| *cut).await.map(|_| ()) };
    tokio::select! {
        biased;
        _ = cut => {}
        _ = through => return,
    }
    // Both ends find out by themselves, as they would.
    let _ = is_cut.wait_for(|cut| !*cut).await;
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn a_cut_line_is_silent_and_a_mended_one_carries_new_connections() {
        let hub = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let relay = Relay::start(hub.local_addr().unwrap()).await.unwrap();
        let echo = tokio::spawn(async move {
            loop {
                let (mut socket, _) = hub.accept().await.unwrap();
                tokio::spawn(async move {
                    let (mut from, mut to) = socket.split();
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                });
            }
        });
        let mut byte = [0];
        let mut agent = TcpStream::connect(relay.address()).await.unwrap();
        agent.write_all(b"a").await.unwrap();
        agent.read_exact(&mut byte).await.unwrap();
        relay.cut();
        // The byte may be under way while the line is being cut; a second one is not answered.
        let mut late = TcpStream::connect(relay.address()).await.unwrap();
        late.write_all(b"b").await.unwrap();
        let silent = tokio::time::timeout(std::time::Duration::from_millis(100), late.read_exact(&mut byte));
        assert!(silent.await.is_err(), "nothing comes through");
        relay.mend();
        let mut again = TcpStream::connect(relay.address()).await.unwrap();
        again.write_all(b"c").await.unwrap();
        again.read_exact(&mut byte).await.unwrap();
        assert_eq!(&byte, b"c");
        echo.abort();
    }
}
