//! `nave describe`: everything about one application or cluster, on one page.

mod application;
mod cluster;
mod failover;

use std::io;

use super::target::{self, Kind};
use crate::args::{Describe, Global};
use crate::client::Hub;
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{Cell, Printer, Table, Tone};

/// What can be described.
const EXPECTED: &str = "application NAME or cluster NAME";
/// How many of the newest events are shown.
const EVENT_COUNT: u32 = 10;

pub(super) async fn run(global: &Global, describe: &Describe, printer: &mut Printer) -> Outcome {
    let (kind, names) = target::parse_some(&describe.what, EXPECTED)?;
    let [name] = names.as_slice() else {
        return Err(Failure::usage(format!("expected one name: {EXPECTED}")));
    };
    match kind {
        Kind::Application => {
            let key = target::application(name, &describe.project.project)?;
            application::describe(&Hub::connect(global).await?, &key, printer).await?;
        }
        Kind::Cluster => {
            let name = name.parse().map_err(Failure::usage)?;
            cluster::describe(&Hub::connect(global).await?, &name, printer).await?;
        }
        _ => return Err(Failure::usage(format!("expected {EXPECTED}"))),
    }
    Ok(Exit::Done)
}

/// The lines at the top: a name and what stands beside it. What is empty is left out.
struct Facts {
    table: Table,
}

impl Facts {
    fn new() -> Self {
        Self { table: Table::without_header(2) }
    }

    fn add(&mut self, name: &str, value: impl Into<String>) {
        self.toned(name, value, Tone::Plain);
    }

    fn toned(&mut self, name: &str, value: impl Into<String>, tone: Tone) {
        let value = value.into();
        if !value.is_empty() {
            self.table.push(vec![Cell::new(format!("{name}:")), Cell::toned(value, tone)]);
        }
    }

    fn print(&mut self, printer: &mut Printer) -> io::Result<()> {
        self.table.print(printer)
    }
}

/// The heading of a section.
fn heading(printer: &mut Printer, text: &str) -> io::Result<()> {
    printer.line("")?;
    printer.toned(Tone::Heading, text)
}

/// `region=eu, zone=a`
fn pairs<'a>(map: impl IntoIterator<Item = (&'a String, &'a String)>) -> String {
    map.into_iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(", ")
}
