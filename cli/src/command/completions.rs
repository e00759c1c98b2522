//! `nave completions`.

use clap::CommandFactory as _;

use crate::args::{Args, Completions};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::Printer;

pub(super) fn run(completions: &Completions, printer: &mut Printer) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(completions.shell, &mut Args::command(), "nave", &mut script);
    let script = String::from_utf8(script).map_err(Failure::failed)?;
    printer.raw(&script)?;
    Ok(Exit::Done)
}
