//! `nave demo --json` ends well: on simulated clusters, with manifests of others, and on real control planes.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use nave_tests::kube::{ControlPlane, Unavailable};
use nave_tests::processes::{binary, text};
use serde_json::Value;

/// What the README promises.
const RUN_TIME: Duration = Duration::from_secs(60);

const STEPS: [&str; 13] = [
    "hub",
    "clusters",
    "join",
    "deploy",
    "healthy",
    "change",
    "drift",
    "hub-stopped",
    "hub-back",
    "movers",
    "region-lost",
    "region-back",
    "removed",
];

/// Who moved, how, and in which direction.
const MOVES: [(&str, &str, &str); 4] = [
    ("default/prices", "Overlap", "failover"),
    ("default/ledger", "Exclusive", "failover"),
    ("default/prices", "Overlap", "failback"),
    ("default/ledger", "Exclusive", "failback"),
];

async fn ends_well(arguments: &[OsString]) -> anyhow::Result<()> {
    let mut command = tokio::process::Command::new(binary("nave")?);
    command.args(["demo", "--json"]).args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    let output =
        tokio::time::timeout(2 * RUN_TIME, command.output()).await.context("the demo does not end")??;
    let stdout = text(&output.stdout);
    let report: Value = serde_json::from_str(&stdout).with_context(|| format!("no JSON: {stdout}"))?;
    ensure!(output.status.success() && report["ok"] == true, "{report:#}");
    let names: Vec<&str> =
        report["steps"].as_array().into_iter().flatten().filter_map(|step| step["name"].as_str()).collect();
    ensure!(names == STEPS, "{names:?}");
    let moves = report["moves"].as_array().context("the report has no moves")?;
    for (it, (application, mode, direction)) in moves.iter().zip(MOVES) {
        ensure!(
            it["application"] == application && it["mode"] == mode && it["direction"] == direction,
            "{moves:#?}"
        );
        // Each step of a failover has its time, in order.
        let times = ["detect", "decide", "apply", "healthy"].map(|step| it[step].as_f64());
        ensure!(times.iter().all(Option::is_some) && times.is_sorted(), "{it:#}");
        ensure!(it["fence"].is_number() == (mode == "Exclusive"), "{it:#}");
    }
    ensure!(moves.len() == MOVES.len(), "{moves:#?}");
    ensure!(
        report["ms"].as_f64().is_some_and(|ms| ms < RUN_TIME.as_secs_f64() * 1e3),
        "it took {} ms",
        report["ms"]
    );
    Ok(())
}

#[tokio::test]
async fn the_demo_ends_well_on_simulated_clusters() -> anyhow::Result<()> {
    ends_well(&[]).await
}

#[tokio::test]
async fn the_demo_takes_the_manifests_of_others() -> anyhow::Result<()> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/fixtures/online-boutique");
    if !folder.is_dir() {
        eprintln!("skipped: {} is missing", folder.display());
        return Ok(());
    }
    ends_well(&["-f".into(), folder.into()]).await
}

#[tokio::test]
async fn the_demo_ends_well_on_three_real_control_planes() -> anyhow::Result<()> {
    let tools = match ControlPlane::build() {
        Ok(tools) => tools,
        Err(Unavailable::NoGo(why)) => {
            eprintln!("skipped: {why}");
            return Ok(());
        }
        Err(failed) => return Err(failed.into()),
    };
    let start = || ControlPlane::start(&tools, 3);
    let (one, two, three) = tokio::join!(start(), start(), start());
    let planes = [one?, two?, three?];
    let arguments: Vec<OsString> =
        planes.iter().flat_map(|plane| ["--kubeconfig".into(), plane.kubeconfig().into()]).collect();
    ends_well(&arguments).await
}

#[tokio::test]
async fn a_demo_of_what_cannot_be_read_says_so_and_fails() -> anyhow::Result<()> {
    let mut command = tokio::process::Command::new(binary("nave")?);
    let output = command.args(["demo", "-f", "/nowhere/at/all.yaml"]).stdin(Stdio::null()).output().await?;
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("/nowhere/at/all.yaml"), "{}", text(&output.stderr));
    Ok(())
}
