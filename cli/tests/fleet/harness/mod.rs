//! A hub in this process, spokes that are played, and the real binary.

mod spoke;

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use nave_hub::{Config, Hub};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

pub(crate) use spoke::{Says, Spoke};

/// How long one run of `nave` may take before the test has failed.
const RUN_TIMEOUT: Duration = Duration::from_secs(60);

/// A hub, and a folder for what belongs to it.
pub(crate) struct Fleet {
    pub(crate) hub: Hub,
    folder: tempfile::TempDir,
}

/// What a run of `nave` left behind.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Fleet {
    /// A hub with spokes, each a name and a region, that are alive.
    pub(crate) async fn start(spokes: &[(&str, &str)]) -> (Self, Vec<Spoke>) {
        Self::start_with(spokes, |_| {}).await
    }

    /// The same, of a hub whose configuration is changed.
    pub(crate) async fn start_with(
        spokes: &[(&str, &str)],
        change: impl FnOnce(&mut Config),
    ) -> (Self, Vec<Spoke>) {
        let folder = tempfile::tempdir().expect("a folder");
        let mut config = Config::local(folder.path().join("hub"));
        change(&mut config);
        let hub = Hub::start(config).await.expect("the hub starts");
        let fleet = Self { hub, folder };
        let mut played = Vec::new();
        for (name, region) in spokes {
            let token = fleet.nave(&["token", "create", "--label", "env=demo", "-q"]).await;
            assert_eq!(token.code, 0, "{}", token.err);
            played.push(Spoke::join(&token.out, name, region).await);
        }
        for (name, _) in spokes {
            fleet.until(&["get", "cluster", name], "Alive").await;
        }
        (fleet, played)
    }

    /// Stops the hub and starts it again: the same data, the same address.
    pub(crate) async fn restart(self) -> Self {
        let Self { hub, folder } = self;
        let listen = hub.listen_address();
        hub.shutdown().await;
        let config = Config { listen, ..Config::local(folder.path().join("hub")) };
        Self { hub: Hub::start(config).await.expect("the hub starts again"), folder }
    }

    pub(crate) async fn nave(&self, arguments: &[&str]) -> Ran {
        self.nave_reading(arguments, "").await
    }

    /// Runs `nave`, with a text on its standard input.
    pub(crate) async fn nave_reading(&self, arguments: &[&str], input: &str) -> Ran {
        let mut child = self.command(arguments).spawn().expect("nave starts");
        let mut stdin = child.stdin.take().expect("standard input");
        // A command that reads nothing may be gone already.
        let _ = stdin.write_all(input.as_bytes()).await;
        drop(stdin);
        let output = tokio::time::timeout(RUN_TIMEOUT, child.wait_with_output());
        let output = output.await.expect("nave ends in time").expect("nave ends");
        Ran {
            code: output.status.code().expect("an exit code"),
            out: String::from_utf8(output.stdout).expect("text"),
            err: String::from_utf8(output.stderr).expect("text"),
        }
    }

    /// What a run of `nave` that ends well prints, where that is no text.
    pub(crate) async fn nave_bytes(&self, arguments: &[&str]) -> Vec<u8> {
        let output = tokio::time::timeout(RUN_TIMEOUT, self.command(arguments).output());
        let output = output.await.expect("nave ends in time").expect("nave ends");
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        output.stdout
    }

    /// `nave`, as this fleet's administrator runs it.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nave"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env_clear()
            .env("NAVE_CONFIG", self.hub.admin_context_file())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// Runs `nave` until its output holds a text.
    pub(crate) async fn until(&self, arguments: &[&str], expected: &str) -> String {
        let started = tokio::time::Instant::now();
        loop {
            let ran = self.nave(arguments).await;
            if ran.out.contains(expected) {
                return ran.out;
            }
            assert!(started.elapsed() < RUN_TIMEOUT, "{arguments:?} never said {expected:?}: {ran:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Writes a file into the folder in which `nave` runs.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(&path, text).expect("written");
        path
    }
}

/// An application with one ConfigMap that holds `value`.
pub(crate) fn application(name: &str, value: &str) -> String {
    format!(
        "apiVersion: nave.dev/v1alpha1\nkind: Application\nmetadata:\n  name: {name}\n  labels: {{team: retail}}\nspec:\n  \
         namespace: {name}\n  source:\n    inline:\n      manifests:\n      - apiVersion: v1\n        kind: ConfigMap\n        \
         metadata: {{name: settings}}\n        data: {{value: {value}}}\n"
    )
}

/// The JSON that a run printed.
pub(crate) fn json(ran: &Ran) -> serde_json::Value {
    serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {ran:?}"))
}
