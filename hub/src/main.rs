//! The `nave-hub` binary.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use nave_common::runtime::{shutdown, telemetry};
use nave_hub::backup::restore;
use nave_hub::config::arguments::{Arguments, Command, InitArguments, RestoreArguments, RunArguments};
use nave_hub::{Config, Hub, config, init};

/// The exit code for flags and settings that cannot work; the one that clap uses.
const WRONG_USE: u8 = 2;

fn main() -> ExitCode {
    let typed = Arguments::parse();
    let ended = match typed.command {
        Some(Command::Init(arguments)) => make_ready(&arguments),
        Some(Command::Run(arguments)) => run(*arguments),
        Some(Command::Restore(arguments)) => put_back(&arguments),
        None => run(typed.run),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        // In one line, causes and all, and never a backtrace: the person who reads it runs the hub and did not write it.
        Err(error) => {
            eprintln!("error: {error:#}");
            if is_about_settings(&error) { ExitCode::from(WRONG_USE) } else { ExitCode::FAILURE }
        }
    }
}

/// Whether it is for whoever set the hub up to mend, not for whoever runs its machine.
fn is_about_settings(error: &anyhow::Error) -> bool {
    error.is::<config::Error>() || error.is::<telemetry::Error>()
}

fn make_ready(arguments: &InitArguments) -> anyhow::Result<()> {
    let mut config = Config::new(&arguments.data_dir);
    config.advertise.clone_from(&arguments.addresses);
    config.check()?;
    if config.advertise.is_empty() {
        config.advertise.push(format!("127.0.0.1:{}", config.listen.port()));
    }
    let made = init::init(&config.data_dir, &config.advertise)?;
    let (folder, context) = (config.data_dir.display(), made.context.display());
    if made.is_new {
        println!("The hub in {folder} is ready.");
        println!("The administrator's context is in {context}: keep it safe.");
    } else {
        println!("The hub in {folder} was ready already.");
        println!("A new context for the administrator is in {context}: keep it safe.");
    }
    Ok(())
}

#[tokio::main]
async fn put_back(arguments: &RestoreArguments) -> anyhow::Result<()> {
    if !arguments.old_hub_is_dead {
        return Err(config::Error {
            setting: "--old-hub-is-dead".into(),
            why: "is missing; stop the old hub so that it cannot start again, then say so: two hubs of one fleet \
                  would each tell its agents something else"
                .into(),
        }
        .into());
    }
    let (archive, folder) = (arguments.archive.display(), arguments.data_dir.display());
    let restored = restore::restore(&arguments.archive, &arguments.data_dir, arguments.term).await;
    let restored = restored.with_context(|| format!("cannot restore {archive} into {folder}"))?;
    println!(
        "The hub in {folder} is as it was at {}, with {} applications, {} clusters and {} bundles.",
        restored.taken_at, restored.application_count, restored.cluster_count, restored.bundle_count
    );
    println!("Its term is {}; the backup's was {}.", restored.term, restored.from_term);
    println!("Start it at an address that the agents know: nave-hub run --data-dir {folder}");
    println!(
        "Its applications are held until their agents have said what they have; nave hub status shows which."
    );
    println!("A new context for the administrator, if you need one: nave-hub init --data-dir {folder}");
    Ok(())
}

#[tokio::main]
async fn run(arguments: RunArguments) -> anyhow::Result<()> {
    let (config, log) = arguments.resolve()?;
    telemetry::init(log.format.name(), &log.level)?;
    let stop = shutdown::on_signal();
    let mut hub = Hub::start(config).await.context("the hub does not start")?;
    let failed = tokio::select! {
        () = stop.cancelled() => None,
        failed = hub.failed() => Some(failed),
    };
    hub.shutdown().await;
    failed.map_or(Ok(()), |failed| Err(anyhow::anyhow!(failed)))
}
