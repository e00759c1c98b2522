//! A running cluster: the core behind a lock, a listener, and the task that lets controllers act.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::Config;
use crate::faults::Faults;
use crate::http;
use crate::request::Request;
use crate::state::{Reply, State};

/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;

/// What the tasks of a cluster share.
#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    /// The newest resource version; every write moves it.
    pub(crate) changed: watch::Sender<u64>,
    pub(crate) faults: Faults,
    clock: Clock,
}

/// Tells the time of day that a cluster lives by.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// A clock that shows what `now` returns. What it shows must go on as tokio's time does, on which timers run.
    pub fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Clock").field(&(self.0)()).finish()
    }
}

impl Shared {
    pub(crate) fn now(&self) -> Timestamp {
        (self.clock.0)()
    }

    /// Answers one request, and tells everybody whom it concerns.
    pub(crate) fn handle(&self, request: &Request) -> Reply {
        let (reply, revision) = {
            let mut state = self.state();
            (state.handle(request, self.now()), state.revision())
        };
        self.notify(revision);
        reply
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells watches and controllers that there is something new, if there is.
    pub(crate) fn notify(&self, revision: u64) {
        self.changed.send_if_modified(|seen| {
            let newer = revision > *seen;
            *seen = revision.max(*seen);
            newer
        });
    }
}

/// A simulated cluster. It ends with [`Cluster::stop`], or when it is dropped.
#[derive(Debug)]
pub struct Cluster {
    name: String,
    address: Option<SocketAddr>,
    shared: Arc<Shared>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Cluster {
    /// Starts a cluster that serves plain HTTP on a loopback port of its own.
    ///
    /// # Errors
    /// If no port can be bound.
    pub async fn start(config: Config) -> io::Result<Cluster> {
        let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, config.port)).await?;
        let mut cluster = Self::start_unbound(config, Clock::new(Timestamp::now));
        cluster.address = Some(listener.local_addr()?);
        let (shared, stop, tasks) = (cluster.shared.clone(), cluster.stop.clone(), cluster.tasks.clone());
        cluster.tasks.spawn(listen(shared, listener, stop, tasks));
        Ok(cluster)
    }

    /// Starts a cluster that listens nowhere and lives by `clock`: its clients are brought to it with
    /// [`Cluster::serve`].
    #[must_use]
    pub fn start_unbound(config: Config, clock: Clock) -> Cluster {
        let (name, seed) = (config.name.clone(), config.seed);
        let state = State::new(config, (clock.0)());
        let shared = Arc::new(Shared {
            changed: watch::channel(0).0,
            state: Mutex::new(state),
            faults: Faults::new(seed),
            clock,
        });
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        tasks.spawn(control(shared.clone(), stop.clone()));
        Cluster { name, address: None, shared, stop, tasks }
    }

    /// Serves one connection until it ends, the cluster stops, or the API server is said to be down or cut off.
    pub async fn serve(&self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let (mut up, mut cuts) = (self.shared.faults.watch_up(), self.shared.faults.watch_cuts());
        if !*up.borrow_and_update() {
            return;
        }
        let stop = self.stop.clone();
        tokio::select! {
            () = stop.cancelled() => {}
            _ = up.changed() => {}
            _ = cuts.changed() => {}
            () = connection(self.shared.clone(), stream) => {}
        }
    }

    /// Answers one request as if it had come over a connection, faults aside: for a test's own look, or its hand.
    #[must_use]
    pub fn handle(&self, request: &Request) -> Reply {
        self.shared.handle(request)
    }

    /// The name it was given.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it serves. A cluster that listens nowhere goes by its name.
    #[must_use]
    pub fn url(&self) -> String {
        match self.address {
            Some(address) => format!("http://{address}"),
            None => format!("http://{}", self.name),
        }
    }

    /// A kubeconfig that points at it.
    #[must_use]
    pub fn kubeconfig(&self) -> String {
        let (name, url) = (&self.name, self.url());
        format!(
            "apiVersion: v1\nkind: Config\nclusters:\n- name: {name}\n  cluster:\n    server: {url}\nusers:\n\
             - name: admin\n  user: {{}}\ncontexts:\n- name: {name}\n  context:\n    cluster: {name}\n    \
             user: admin\ncurrent-context: {name}\n"
        )
    }

    /// The faults that can be asked for.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    /// How many requests asked to write so far, those that changed nothing included.
    #[must_use]
    pub fn write_count(&self) -> u64 {
        self.shared.state().write_count()
    }

    /// How many requests there were so far, by verb: `get`, `list`, `watch`, `create`, `update`, `patch`,
    /// `apply`, `delete`, `deletecollection` and `discover`.
    #[must_use]
    pub fn request_counts(&self) -> BTreeMap<String, u64> {
        self.shared.state().request_counts()
    }

    /// How many writes reached the store, those of the cluster's own controllers included.
    #[must_use]
    pub fn stored_writes(&self) -> u64 {
        self.shared.state().stored_writes()
    }

    /// The newest resource version: whoever looks twice can tell whether anything changed.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.shared.state().revision()
    }

    /// Forgets the history of changes: running watches go on, older resource versions are answered with 410.
    pub fn forget_history(&self) {
        let revision = {
            let mut state = self.shared.state();
            state.forget_history();
            state.revision()
        };
        self.shared.notify(revision);
    }

    /// Stops serving and waits for its tasks.
    pub async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Lets the controllers act after each change, and when their time has come.
async fn control(shared: Arc<Shared>, stop: CancellationToken) {
    let mut changed = shared.changed.subscribe();
    loop {
        changed.borrow_and_update();
        let now = shared.now();
        let (wake_at, revision) = {
            let mut state = shared.state();
            let wake_at = state.run(now);
            (wake_at, state.revision())
        };
        shared.notify(revision);
        // What was written since the run is not seen yet, though it was told of.
        if *changed.borrow_and_update() > revision {
            continue;
        }
        let pause = async {
            match wake_at {
                Some(at) => {
                    let wait = at.duration_since(shared.now()).try_into().unwrap_or_default();
                    tokio::time::sleep(wait).await;
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            changed = changed.changed() => if changed.is_err() { return },
            () = pause => {}
        }
    }
}

/// Accepts connections while the API server is meant to be up.
async fn listen(shared: Arc<Shared>, listener: TcpListener, stop: CancellationToken, tasks: TaskTracker) {
    let Ok(address) = listener.local_addr() else { return };
    let mut up = shared.faults.watch_up();
    let mut cuts = shared.faults.watch_cuts();
    let mut listener = Some(listener);
    while let Some(open) = listener.take() {
        while *up.borrow_and_update() {
            let serving = stop.child_token();
            tokio::select! {
                () = stop.cancelled() => return,
                () = accept(&shared, &open, &serving, &tasks) => {}
                _ = up.changed() => {}
                _ = cuts.changed() => {}
            }
            serving.cancel();
        }
        // A bound socket that does not listen keeps the port and refuses connections.
        drop(open);
        let Ok(reserved) = reserve(address) else { return };
        tokio::select! {
            () = stop.cancelled() => return,
            _ = up.wait_for(|up| *up) => {}
        }
        listener = reserved.listen(BACKLOG).ok();
    }
}

fn reserve(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

async fn accept(
    shared: &Arc<Shared>,
    listener: &TcpListener,
    serving: &CancellationToken,
    tasks: &TaskTracker,
) {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "accepting a connection failed");
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        let (shared, serving) = (shared.clone(), serving.clone());
        tasks.spawn(async move {
            tokio::select! {
                () = serving.cancelled() => {}
                () = connection(shared, stream) => {}
            }
        });
    }
}

async fn connection(shared: Arc<Shared>, stream: impl AsyncRead + AsyncWrite + Unpin + 'static) {
    let service = service_fn(move |request| http::serve(shared.clone(), request));
    // However it ends, the client sees it.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}
