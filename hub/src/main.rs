//! The `nave-hub` binary.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use nave_common::runtime::{shutdown, telemetry};
use nave_hub::config::arguments::{Arguments, Command, InitArguments, RunArguments};
use nave_hub::{Config, Hub, init};

fn main() -> ExitCode {
    let typed = Arguments::parse();
    let ended = match typed.command {
        Some(Command::Init(arguments)) => make_ready(&arguments),
        Some(Command::Run(arguments)) => run(arguments),
        None => run(typed.run),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        // In one line, causes and all, and never a backtrace: the person who reads it runs the hub and did not write it.
        Err(error) => {
            eprintln!("nave-hub: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn make_ready(arguments: &InitArguments) -> anyhow::Result<()> {
    let mut config = Config::new(&arguments.data_dir);
    config.advertise.clone_from(&arguments.addresses);
    config.check()?;
    if config.advertise.is_empty() {
        config.advertise.push(format!("127.0.0.1:{}", config.listen.port()));
    }
    let context = init::init(&config.data_dir, &config.advertise)?;
    println!("The hub in {} is ready.", config.data_dir.display());
    println!("The administrator's context is in {}: keep it safe.", context.display());
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
