//! `nave demo`: the main job on one machine, from an empty folder to an application that reaches several clusters, is
//! kept so, is seen, and goes again.
//!
//! The one place that links hub, agent and simulated clusters together. It uses them as anybody would: the hub through
//! its gRPC API over TLS, the clusters through their API servers.

mod display;
mod fleet;
mod region;
mod report;
mod shop;
mod steps;
mod storage;
mod target;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context as _;
use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared};
use nave_common::application::Application;
use nave_common::bundle::Bundle;
use nave_common::name::NamespaceName;
use nave_common::runtime::shutdown;

use display::{Display, Shows};
use fleet::Fleet;
use report::{Report, millis, shown};
use steps::Demo;
use target::Target;

/// Is ready once a signal came.
type Stop = Shared<BoxFuture<'static, ()>>;

/// What a demo is asked to do.
#[derive(Debug, Default)]
pub(crate) struct Options {
    /// The user's own manifests in place of the shop.
    pub(crate) files: Vec<PathBuf>,
    /// Real clusters in place of simulated ones.
    pub(crate) kubeconfigs: Vec<PathBuf>,
    /// Whether everything is kept up at the end.
    pub(crate) hold: bool,
    /// Whether the report goes to stdout as JSON.
    pub(crate) json: bool,
    /// Whether nothing is said but errors.
    pub(crate) quiet: bool,
}

/// Runs the demo and says whether every step went well.
///
/// # Errors
/// Where it cannot begin: the manifests cannot be read, or there is no folder to work in.
pub(crate) async fn run(options: &Options) -> anyhow::Result<bool> {
    // A signal from here on ends the step that is under way, and everything is put back as it was.
    let signal = shutdown::on_signal();
    let stop: Stop = async move { signal.cancelled().await }.boxed().shared();
    let folder =
        tempfile::Builder::new().prefix("nave-demo-").tempdir().context("cannot make a temporary folder")?;
    let (application, bundle) = application(&options.files)?;
    let namespace = application.spec.namespace.as_ref().map_or("default", NamespaceName::as_str).to_owned();
    let mut demo = Demo {
        fleet: Fleet::new(folder.path()),
        target: Target::choose(&bundle, &namespace)?,
        deletable: Target::deletable(&bundle, &namespace),
        application,
        bundle,
        movers: region::Movers::default(),
        display: Display::new(Shows::of(options.quiet, options.json)),
    };
    let started = Instant::now();
    let mut report = steps(&mut demo, options, &stop).await;
    report.ms = millis(started.elapsed());
    finish(&demo, &report, options)?;
    if options.hold && report.ok {
        hold(&demo, options, &stop).await?;
        remove(&mut demo, &mut report).await;
    }
    demo.fleet.stop().await;
    Ok(report.ok)
}

/// Takes the steps in order, up to the first that fails, and removes what was deployed.
async fn steps(demo: &mut Demo, options: &Options, stop: &Stop) -> Report {
    let mut report = Report::new(Vec::new());
    macro_rules! step {
        ($name:literal, $step:expr) => {
            if report.ok {
                let started = Instant::now();
                let outcome = unless(stop, $step).await;
                let step = report.add($name, started.elapsed(), &outcome);
                demo.display.step(step);
            }
        };
    }
    step!("hub", demo.hub());
    step!("clusters", demo.clusters(&options.kubeconfigs));
    step!("join", demo.join());
    step!("deploy", demo.deploy());
    step!("healthy", demo.healthy());
    step!("change", demo.change());
    step!("drift", demo.drift());
    step!("hub-stopped", demo.hub_stopped());
    step!("hub-back", demo.hub_back());
    if demo.fleet.spokes.len() > 2 {
        step!("movers", demo.movers());
        step!("region-lost", demo.region_lost());
        step!("region-back", demo.region_back());
    }
    let deployed = report.steps.iter().any(|step| step.name == "deploy");
    if deployed && (!options.hold || !report.ok) {
        // After a failure too: nothing of a demo stays in real clusters.
        remove(demo, &mut report).await;
    }
    report.liveness_lease_ms = millis(demo.fleet.liveness_lease());
    report.moves = std::mem::take(&mut demo.movers.moves);
    report.clusters = demo.fleet.spokes.iter().map(|spoke| spoke.name.clone()).collect();
    report
}

/// The outcome of a step, up to a signal.
async fn unless(stop: &Stop, step: impl Future<Output = anyhow::Result<String>>) -> anyhow::Result<String> {
    tokio::select! {
        biased;
        () = stop.clone() => Err(anyhow::anyhow!("interrupted")),
        outcome = step => outcome,
    }
}

/// Removes what was deployed. No signal ends this step: it has an end of its own.
async fn remove(demo: &mut Demo, report: &mut Report) {
    let started = Instant::now();
    let outcome = demo.removed().await;
    demo.display.step(report.add("removed", started.elapsed(), &outcome));
}

fn finish(demo: &Demo, report: &Report, options: &Options) -> anyhow::Result<()> {
    if options.json {
        println!("{}", serde_json::to_string_pretty(report)?);
        return Ok(());
    }
    let how = if report.ok { "everything went well" } else { "a step failed" };
    demo.display.say(&format!("\n{how}: {} steps in {}", report.steps.len(), shown(report.ms)));
    Ok(())
}

/// Keeps everything up until a signal, saying how to use it.
async fn hold(demo: &Demo, options: &Options, stop: &Stop) -> anyhow::Result<()> {
    let context = demo.fleet.admin_context()?;
    let key = demo.application.key();
    if !options.quiet {
        eprintln!("\nThe fleet is up until Ctrl-C. In another terminal:\n");
        eprintln!("  export NAVE_CONFIG={}", context.display());
        for line in ["get clusters", "get applications", "get events"] {
            eprintln!("  nave {line}");
        }
        eprintln!("  nave describe application {key}");
    }
    stop.clone().await;
    Ok(())
}

/// The application to deploy and its bundle: the shop, or the user's manifests.
fn application(files: &[PathBuf]) -> anyhow::Result<(Application, Bundle)> {
    if files.is_empty() {
        return shop::application();
    }
    let (mut application, bundle) = crate::load::around_manifests("demo".parse()?, files)?;
    // Manifests that name no namespace need one; one of the demo's own keeps them apart from everything else.
    application.spec.namespace = Some(NamespaceName::new("nave-demo")?);
    application.spec.create_namespace = true;
    Ok((application, bundle))
}
