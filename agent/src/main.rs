//! The `nave-agent` binary.

use clap::Parser as _;

#[tokio::main]
async fn main() -> std::process::ExitCode {
    match nave_agent::start::run(nave_agent::config::Args::parse()).await {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}
