//! One file for each verb, and what several of them need.

mod apply;
mod backup;
mod changes;
mod completions;
mod context;
mod cordon;
mod delete;
mod demo;
mod describe;
mod diff;
mod doctor;
mod drain;
mod failover;
mod get;
mod history;
mod hub;
mod join;
mod labels;
mod render;
mod suspend;
mod target;
mod token;
mod undo;
mod version;
mod wait;
mod waiting;

use cordon::Mark;

use crate::args::{Args, Command};
use crate::exit::{Failure, Outcome};
use crate::output::Printer;

/// Does what was typed.
pub(crate) fn run(args: Args) -> Outcome {
    let mut printer = Printer::new(&args.global);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("cannot start: {error}")))?;
    let done = runtime.block_on(dispatch(args, &mut printer));
    // Requests that nobody waits for any more end with the process.
    runtime.shutdown_background();
    // What was printed before a failure is printed all the same.
    let flushed = printer.flush();
    let exit = done?;
    flushed?;
    Ok(exit)
}

async fn dispatch(args: Args, printer: &mut Printer) -> Outcome {
    let global = &args.global;
    match args.command {
        Command::Apply(verb) => Box::pin(apply::run(global, &verb, printer)).await,
        Command::Get(verb) => Box::pin(get::run(global, &verb, printer)).await,
        Command::Describe(verb) => Box::pin(describe::run(global, &verb, printer)).await,
        Command::Diff(verb) => Box::pin(diff::run(global, &verb, printer)).await,
        Command::Render(verb) => Box::pin(render::run(global, &verb, printer)).await,
        Command::Delete(verb) => Box::pin(delete::run(global, &verb, printer)).await,
        Command::Suspend(verb) => Box::pin(suspend::run(global, &verb, true, printer)).await,
        Command::Resume(verb) => Box::pin(suspend::run(global, &verb.same, false, printer)).await,
        Command::History(verb) => Box::pin(history::run(global, &verb, printer)).await,
        Command::Undo(verb) => Box::pin(undo::run(global, &verb, printer)).await,
        Command::Wait(verb) => Box::pin(wait::run(global, &verb, printer)).await,
        Command::Failover(verb) => Box::pin(failover::run(global, &verb, printer)).await,
        Command::Cordon(verb) => Box::pin(cordon::run(global, &verb.clusters, Mark::Cordon, printer)).await,
        Command::Uncordon(verb) => {
            Box::pin(cordon::run(global, &verb.clusters, Mark::Uncordon, printer)).await
        }
        Command::Drain(verb) => Box::pin(drain::run(global, &verb, printer)).await,
        Command::Hub(verb) => Box::pin(hub::run(global, &verb, printer)).await,
        Command::Token(verb) => Box::pin(token::run(global, &verb, printer)).await,
        Command::Join(verb) => Box::pin(join::run(&verb, printer)).await,
        Command::Context(verb) => context::run(&verb, printer),
        Command::Version(verb) => Box::pin(version::run(global, &verb, printer)).await,
        Command::Doctor(verb) => Box::pin(doctor::run(global, &verb, printer)).await,
        Command::Completions(verb) => completions::run(&verb, printer),
        Command::Demo(verb) => Box::pin(demo::run(global, &verb)).await,
    }
}
