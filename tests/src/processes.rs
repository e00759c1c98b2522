//! The real binaries under test: a hub, agents and the command line as processes of their own, on free ports and in
//! temporary folders. Dropping one kills it.

use std::ffi::OsStr;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// How long a condition may take to come true. Long, since it costs nothing where it does.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The built binary of that name, which lies beside the tests.
///
/// # Errors
/// Where it was not built.
pub fn binary(name: &str) -> anyhow::Result<PathBuf> {
    let test = std::env::current_exe()?;
    let folder = test.parent().and_then(Path::parent).context("the test lies in no target folder")?;
    let path = folder.join(name);
    ensure!(path.exists(), "{} is missing: run tests/run, or cargo build --workspace --bins", path.display());
    Ok(path)
}

/// An address on this machine that nobody listens on now.
///
/// # Errors
/// Where the system has none.
pub fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?)
}

/// Waits until `done` says true; errors count as not yet.
///
/// # Errors
/// After [`PATIENCE`], with what was waited for and the last error.
pub async fn until(what: &str, mut done: impl AsyncFnMut() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let mut last = String::from("it was never so");
    while Instant::now() < deadline {
        match done().await {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(error) => last = format!("{error:#}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    bail!("waited {} s until {what}: {last}", PATIENCE.as_secs())
}

/// A process whose output goes to a file, killed when it is dropped.
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    fn spawn(command: &mut Command, log: PathBuf) -> anyhow::Result<Self> {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&log)?;
        let child = command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).spawn();
        Ok(Self { child: child.with_context(|| format!("start {command:?}"))?, log })
    }

    /// The process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Stops it where it stands (SIGSTOP), as a suspended machine does.
    ///
    /// # Errors
    /// Where it has ended.
    pub fn pause(&self) -> anyhow::Result<()> {
        let pid = rustix::process::Pid::from_child(&self.child);
        Ok(rustix::process::kill_process(pid, rustix::process::Signal::STOP)?)
    }

    /// Lets it go on after [`Process::pause`].
    ///
    /// # Errors
    /// Where it has ended.
    pub fn resume(&self) -> anyhow::Result<()> {
        let pid = rustix::process::Pid::from_child(&self.child);
        Ok(rustix::process::kill_process(pid, rustix::process::Signal::CONT)?)
    }

    /// Kills it as a power cut would: SIGKILL.
    pub fn kill(mut self) {
        self.end();
    }

    /// Asks it to stop (SIGTERM) and waits for its end.
    ///
    /// # Errors
    /// Where it does not end in time.
    pub async fn stop(mut self) -> anyhow::Result<ExitStatus> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        let mut status = None;
        until("the process ended", async || {
            status = self.child.try_wait()?;
            Ok(status.is_some())
        })
        .await?;
        status.context("the process has no exit status")
    }

    /// Fails if it is no longer running, with the end of its log.
    ///
    /// # Errors
    /// Where it has ended.
    pub fn check(&mut self) -> anyhow::Result<()> {
        if let Some(status) = self.child.try_wait()? {
            let log = std::fs::read_to_string(&self.log).unwrap_or_default();
            let tail: Vec<&str> = log.lines().rev().take(20).collect();
            bail!("it ended with {status}: {}", tail.into_iter().rev().collect::<Vec<_>>().join("\n"));
        }
        Ok(())
    }

    /// Everything it wrote.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

/// A hub's folder and addresses, and its process while it runs.
pub struct Hub {
    folder: tempfile::TempDir,
    listen: SocketAddr,
    http: SocketAddr,
    /// Arguments of `run` besides those that every test needs.
    arguments: Vec<String>,
    process: Option<Process>,
}

impl Hub {
    /// Makes a new hub and starts it.
    ///
    /// # Errors
    /// Where it does not come up.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_with(&[]).await
    }

    /// Makes a new hub and starts it with these arguments as well.
    ///
    /// # Errors
    /// Where it does not come up.
    pub async fn start_with(arguments: &[&str]) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("nave-hub-").tempdir()?;
        let arguments = arguments.iter().map(ToString::to_string).collect();
        let mut hub =
            Self { folder, listen: free_address()?, http: free_address()?, arguments, process: None };
        hub.start_again().await?;
        Ok(hub)
    }

    /// Starts it after [`Hub::kill`] or [`Hub::stop`], in the same folder at the same addresses.
    ///
    /// # Errors
    /// Where it does not come up.
    pub async fn start_again(&mut self) -> anyhow::Result<()> {
        let mut command = Command::new(binary("nave-hub")?);
        command
            .args(["run", "--init", "--heartbeat-interval", "200ms", "--liveness-lease", "2s"])
            .args([OsStr::new("--data-dir"), self.data_dir().as_os_str()])
            .args(["--listen", &self.listen.to_string(), "--http-listen", &self.http.to_string()])
            .args(["--address", &self.listen.to_string()])
            .args(&self.arguments);
        let mut process = Process::spawn(&mut command, self.folder.path().join("hub.log"))?;
        let http = self.http;
        let ready = until("the hub is ready", async || {
            if process.check().is_err() {
                return Ok(true);
            }
            Ok(http_get(http, "/readyz").await?.starts_with("HTTP/1.1 200"))
        })
        .await;
        process.check()?;
        ready.with_context(|| process.log())?;
        self.process = Some(process);
        Ok(())
    }

    /// Puts a hub back from an archive into a new folder, and starts it at the addresses of `old`, which must not run.
    ///
    /// # Errors
    /// Where it is not restored, or does not come up.
    pub async fn restored(old: &Self, archive: &Path) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("nave-hub-").tempdir()?;
        let mut hub = Self {
            folder,
            listen: old.listen,
            http: old.http,
            arguments: old.arguments.clone(),
            process: None,
        };
        let output = restore(archive, &hub.data_dir(), &["--old-hub-is-dead"]).await?;
        ensure!(output.status.success(), "nave-hub restore: {}", text(&output.stderr));
        hub.start_again().await?;
        Ok(hub)
    }

    /// Kills it with SIGKILL.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Stops it with SIGTERM.
    ///
    /// # Errors
    /// Where it does not end in time.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        if let Some(process) = self.process.take() {
            let status = process.stop().await?;
            ensure!(status.success(), "the hub ended with {status}");
        }
        Ok(())
    }

    /// Where it listens for agents and clients.
    #[must_use]
    pub fn listen_address(&self) -> SocketAddr {
        self.listen
    }

    /// Its data folder.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// What it answers to a plain HTTP GET, head and body.
    ///
    /// # Errors
    /// Where it does not answer.
    pub async fn http_get(&self, path: &str) -> anyhow::Result<String> {
        http_get(self.http, path).await
    }

    /// Everything it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("hub.log")).unwrap_or_default()
    }

    /// Runs `nave` as its admin.
    ///
    /// # Errors
    /// Where the binary is missing.
    pub async fn nave<S: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
    ) -> anyhow::Result<Output> {
        let mut command = tokio::process::Command::new(binary("nave")?);
        command.args(arguments).env("NAVE_CONFIG", self.data_dir().join("admin.yaml")).kill_on_drop(true);
        Ok(command.stdin(Stdio::null()).output().await?)
    }

    /// Runs `nave`, which must succeed, and returns its stdout.
    ///
    /// # Errors
    /// Where it fails, with what it printed.
    pub async fn nave_ok(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = self.nave(arguments).await?;
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        ensure!(output.status.success(), "nave {arguments:?}: {}\n{stdout}\n{stderr}", output.status);
        Ok(stdout)
    }

    /// Runs `nave … -o json` and reads what it prints.
    ///
    /// # Errors
    /// Where it fails or prints no JSON.
    pub async fn nave_json(&self, arguments: &[&str]) -> anyhow::Result<serde_json::Value> {
        let arguments = [arguments, &["-o", "json"]].concat();
        serde_json::from_str(&self.nave_ok(&arguments).await?).context("nave printed no JSON")
    }
}

/// An agent's folder, and its process while it runs.
pub struct Agent {
    folder: tempfile::TempDir,
    name: String,
    process: Option<Process>,
}

impl Agent {
    /// Joins a cluster under `name` with a new token and waits until the hub hears it.
    ///
    /// # Errors
    /// Where it does not come up.
    pub async fn join(hub: &Hub, name: &str, kubeconfig: &str, labels: &[&str]) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("nave-agent-").tempdir()?;
        std::fs::write(folder.path().join("kubeconfig"), kubeconfig)?;
        let token = hub.nave_ok(&["token", "create", "--cluster", name]).await?;
        std::fs::write(folder.path().join("token"), token)?;
        let mut agent = Self { folder, name: name.to_owned(), process: None };
        let token = agent.folder.path().join("token");
        let mut more: Vec<&OsStr> = vec!["--token-file".as_ref(), token.as_os_str()];
        for label in labels {
            more.extend([OsStr::new("--label"), OsStr::new(*label)]);
        }
        agent.spawn(&more)?;
        agent.wait_alive(hub).await?;
        Ok(agent)
    }

    /// Starts it after [`Agent::kill`], without a token: it has its identity.
    ///
    /// # Errors
    /// Where it cannot be started.
    pub fn start_again(&mut self) -> anyhow::Result<()> {
        self.spawn(&[])
    }

    fn spawn(&mut self, more: &[&OsStr]) -> anyhow::Result<()> {
        let mut command = Command::new(binary("nave-agent")?);
        command
            .args(["--name", &self.name])
            .args([OsStr::new("--data-dir"), self.folder.path().join("data").as_os_str()])
            .args([OsStr::new("--kubeconfig"), self.folder.path().join("kubeconfig").as_os_str()])
            .args(more);
        self.process = Some(Process::spawn(&mut command, self.folder.path().join("agent.log"))?);
        Ok(())
    }

    /// Waits until the hub counts the cluster as alive.
    ///
    /// # Errors
    /// Where the agent ends or is not heard.
    pub async fn wait_alive(&mut self, hub: &Hub) -> anyhow::Result<()> {
        let name = self.name.clone();
        let heard = until("the cluster is alive", async || {
            if let Some(process) = &mut self.process {
                process.check()?;
            }
            let cluster = hub.nave_json(&["get", "cluster", &name]).await?;
            Ok(cluster["status"]["liveness"] == "Alive")
        })
        .await;
        heard.with_context(|| self.log())
    }

    /// Starts it anew, dialling `address` in place of the hub's own.
    ///
    /// # Errors
    /// Where its identity cannot be changed, or it cannot be started.
    pub fn redirect(&mut self, address: SocketAddr) -> anyhow::Result<()> {
        self.kill();
        let folder = self.folder.path().join("data");
        let mut identity = nave_agent::identity::Identity::load(&folder)?.context("it has not enrolled")?;
        identity.addresses = vec![address.to_string()];
        identity.save(&folder)?;
        self.start_again()
    }

    /// Its process.
    ///
    /// # Errors
    /// Where it does not run.
    pub fn process(&self) -> anyhow::Result<&Process> {
        self.process.as_ref().context("the agent does not run")
    }

    /// Kills it with SIGKILL.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Everything it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("agent.log")).unwrap_or_default()
    }

    /// Its folder: identity, cache and log.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// Runs `nave-hub restore`.
///
/// # Errors
/// Where the binary is missing.
pub async fn restore(archive: &Path, data_dir: &Path, more: &[&str]) -> anyhow::Result<Output> {
    let mut command = tokio::process::Command::new(binary("nave-hub")?);
    command.arg("restore").arg(archive).arg("--data-dir").arg(data_dir).args(more);
    Ok(command.kill_on_drop(true).stdin(Stdio::null()).output().await?)
}

async fn http_get(address: SocketAddr, path: &str) -> anyhow::Result<String> {
    let mut stream = tokio::net::TcpStream::connect(address).await?;
    stream
        .write_all(format!("GET {path} HTTP/1.1\r\nHost: nave\r\nConnection: close\r\n\r\n").as_bytes())
        .await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

/// Bytes as text, for messages.
#[must_use]
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
