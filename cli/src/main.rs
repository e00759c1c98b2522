//! `nave`, the command line: what people and pipelines use to tell a hub what should run and to see what does.
//!
//! The flow: `args` is what was typed; `command` has one file for each verb, which checks what it means, asks the hub
//! through `client` (the only part that names wire types), and prints through `output`; `exit` says how it ended.

use std::process::ExitCode;

mod args;
mod client;
mod command;
mod context;
mod demo;
mod exit;
mod load;
mod output;

fn main() -> ExitCode {
    let args = <args::Args as clap::Parser>::parse();
    match command::run(args) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            output::complain(&failure);
            failure.exit().into()
        }
    }
}
