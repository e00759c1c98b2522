//! Real Kubernetes control planes for tests: API server, controllers, scheduler and etcd of the released version,
//! with nodes and pods played by kwok. `tests/kube` holds the programs; this module builds them once per process,
//! runs one child per cluster, and speaks the line protocol of that child.
//!
//! A cluster lives exactly as long as its [`ControlPlane`]. Should the test process die without dropping it, the end
//! of the child's standard input stops the cluster all the same.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use serde::Deserialize;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::mpsc;

/// What `tests/kube/build` exits with where there is no Go.
const EXIT_WITHOUT_GO: i32 = 3;

/// Longer than the child allows itself, so that its own, better explanation comes first.
const START_TIMEOUT: Duration = Duration::from_secs(200);

/// For one command; the slowest is a start of the API server on a busy machine.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(120);

/// Every component may take five seconds, in three steps, before the child kills it.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);

/// The folder with the built programs.
#[derive(Clone, Debug)]
pub struct Tools {
    folder: PathBuf,
}

/// Why there can be no real control plane here.
#[derive(Clone, Debug)]
pub enum Unavailable {
    /// Go is missing, or was asked to be: the tests that need a cluster may be passed over, saying so.
    NoGo(String),
    /// Go is there and the build failed: that is a failure, not a reason to pass over anything.
    BuildFailed(String),
}

impl fmt::Display for Unavailable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoGo(reason) | Self::BuildFailed(reason) => formatter.write_str(reason),
        }
    }
}

impl std::error::Error for Unavailable {}

/// The line that the child writes when the cluster can be used.
#[derive(Debug, Deserialize)]
struct Ready {
    kubeconfig: PathBuf,
    server: String,
    pids: BTreeMap<String, u32>,
}

/// The line that the child writes for each command.
#[derive(Debug, Deserialize)]
struct Answer {
    ok: bool,
    #[serde(default)]
    pid: Option<u32>,
    #[serde(default)]
    error: String,
}

/// One running cluster with its own authority, data and ports; dropping it stops it.
#[derive(Debug)]
pub struct ControlPlane {
    child: Child,
    /// `None` only while dropping.
    stdin: Option<ChildStdin>,
    lines: mpsc::UnboundedReceiver<String>,
    /// Disconnects when the child is gone.
    ended: std::sync::mpsc::Receiver<()>,
    nave_kube: PathBuf,
    ready: Ready,
    folder: tempfile::TempDir,
}

impl ControlPlane {
    /// Builds the programs, or finds them built. Blocks: for minutes on a machine that never did it, else not at all.
    pub fn build() -> Result<Tools, Unavailable> {
        static TOOLS: OnceLock<Result<Tools, Unavailable>> = OnceLock::new();
        TOOLS.get_or_init(build).clone()
    }

    /// Starts a cluster with this many nodes and returns when it can be used.
    pub async fn start(tools: &Tools, nodes: usize) -> anyhow::Result<Self> {
        Self::start_in(tools, nodes, "region-1").await
    }

    /// Like [`Self::start`], with the region that the nodes' topology labels name.
    pub async fn start_in(tools: &Tools, nodes: usize, region: &str) -> anyhow::Result<Self> {
        let nave_kube = tools.folder.join("nave-kube");
        let folder = tempfile::Builder::new().prefix("nave-kube-").tempdir()?;
        let complaints = folder.path().join("run.log");
        let mut child = Command::new(&nave_kube)
            .arg("run")
            .arg("--dir")
            .arg(folder.path())
            .args(["--nodes", &nodes.to_string(), "--region", region])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(&complaints)?)
            .spawn()
            .with_context(|| format!("start {}", nave_kube.display()))?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().context("the child has no standard output")?;
        let (lines, ended) = read_lines(stdout);
        let ready = Ready { kubeconfig: PathBuf::new(), server: String::new(), pids: BTreeMap::new() };
        // From here on an early return drops it, which stops the child.
        let mut started = Self { child, stdin, lines, ended, nave_kube, ready, folder };
        let line = match started.next_line(START_TIMEOUT).await {
            Ok(line) => line,
            Err(error) => {
                let said = std::fs::read_to_string(&complaints).unwrap_or_default();
                return Err(error.context(format!("the control plane did not start: {}", said.trim())));
            }
        };
        started.ready = serde_json::from_str(&line).with_context(|| format!("first line {line:?}"))?;
        Ok(started)
    }

    /// The administrator's kubeconfig; it holds its certificates itself.
    pub fn kubeconfig(&self) -> &Path {
        &self.ready.kubeconfig
    }

    /// Where the API server listens; a restart does not change it.
    pub fn server(&self) -> &str {
        &self.ready.server
    }

    /// The process of a component, as far as this handle started it: `etcd`, `kube-apiserver`,
    /// `kube-controller-manager`, `kube-scheduler` or `kwok`.
    pub fn pid(&self, component: &str) -> Option<u32> {
        self.ready.pids.get(component).copied()
    }

    /// Stops a component as an operator would.
    pub async fn stop_component(&mut self, component: &str) -> anyhow::Result<()> {
        self.command("stop", component).await
    }

    /// Kills a component with no warning; one that is dead already is no error.
    pub async fn kill_component(&mut self, component: &str) -> anyhow::Result<()> {
        self.command("kill", component).await
    }

    /// Starts a component that was stopped or killed, by whomever, on its old port and data. The API server is ready
    /// when this returns.
    pub async fn start_component(&mut self, component: &str) -> anyhow::Result<()> {
        self.command("start", component).await
    }

    /// Runs kubectl against this cluster.
    pub async fn kubectl<I, S>(&self, args: I) -> anyhow::Result<Output>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        self.kubectl_with_input(args, "").await
    }

    /// Runs kubectl with this on its standard input, as in `apply -f -`.
    pub async fn kubectl_with_input<I, S>(&self, args: I, input: &str) -> anyhow::Result<Output>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        let mut child = tokio::process::Command::new(&self.nave_kube)
            .arg("kubectl")
            .arg("--kubeconfig")
            .arg(self.kubeconfig())
            .args(args)
            // Its discovery cache would otherwise go to the home folder.
            .env("KUBECACHEDIR", self.folder.path().join("kubectl-cache"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let mut stdin = child.stdin.take().context("kubectl has no standard input")?;
        let feed = async move {
            // A kubectl that reads nothing may be gone by now; its exit code tells more than the broken pipe.
            let _ = stdin.write_all(input.as_bytes()).await;
        };
        let ((), output) = tokio::join!(feed, child.wait_with_output());
        Ok(output?)
    }

    async fn command(&mut self, verb: &str, component: &str) -> anyhow::Result<()> {
        let stdin = self.stdin.as_mut().context("the control plane is being stopped")?;
        writeln!(stdin, "{verb} {component}")?;
        let line = self.next_line(COMMAND_TIMEOUT).await.with_context(|| format!("{verb} {component}"))?;
        let answer: Answer = serde_json::from_str(&line).with_context(|| format!("answer {line:?}"))?;
        ensure!(answer.ok, "{verb} {component}: {}", answer.error);
        match answer.pid.filter(|pid| *pid != 0) {
            Some(pid) => self.ready.pids.insert(component.to_owned(), pid),
            None => self.ready.pids.remove(component),
        };
        Ok(())
    }

    async fn next_line(&mut self, timeout: Duration) -> anyhow::Result<String> {
        match tokio::time::timeout(timeout, self.lines.recv()).await {
            Ok(Some(line)) => Ok(line),
            Ok(None) => bail!("nave-kube has ended"),
            Err(_) => bail!("nave-kube did not answer within {} s", timeout.as_secs()),
        }
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        drop(self.stdin.take()); // the sign to stop
        if self.ended.recv_timeout(STOP_TIMEOUT) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            let _ = self.child.kill(); // the components die with it
        }
        let _ = self.child.wait();
        if std::thread::panicking() {
            // The logs explain many a failed test; the data would only fill the disk.
            self.folder.disable_cleanup(true);
            let _ = std::fs::remove_dir_all(self.folder.path().join("etcd"));
            eprintln!("the control plane's logs are kept in {}", self.folder.path().display());
        }
    }
}

/// Reads on a thread of its own, so that lines can be awaited and the end can be waited for without a runtime, which
/// a drop may no longer have.
fn read_lines(
    stdout: std::process::ChildStdout,
) -> (mpsc::UnboundedReceiver<String>, std::sync::mpsc::Receiver<()>) {
    let (line_sender, lines) = mpsc::unbounded_channel();
    let (end_sender, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let _ends_with_this_thread = end_sender;
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            // Nobody listens any more when the control plane is being dropped; the end still matters.
            let _ = line_sender.send(line);
        }
    });
    (lines, ended)
}

fn build() -> Result<Tools, Unavailable> {
    if std::env::var_os("NAVE_TEST_KUBE").is_some_and(|wish| wish == "skip") {
        return Err(Unavailable::NoGo("real control planes are left out (NAVE_TEST_KUBE=skip)".into()));
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("kube").join("build");
    let output = Command::new(&script)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| Unavailable::BuildFailed(format!("{}: {error}", script.display())))?;
    let complaints = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if output.status.code() == Some(EXIT_WITHOUT_GO) {
        return Err(Unavailable::NoGo(complaints));
    }
    let stdout = String::from_utf8_lossy(&output.stdout);
    match stdout.lines().last() {
        Some(folder) if output.status.success() => Ok(Tools { folder: PathBuf::from(folder) }),
        _ => Err(Unavailable::BuildFailed(format!("{} failed: {complaints}", script.display()))),
    }
}
