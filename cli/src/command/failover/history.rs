//! `nave failover history`: the report of each move.

use nave_common::failover::FailoverView;

use super::super::target;
use crate::args::{FailoverHistory, Format, Global};
use crate::client::Hub;
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{Movement, Printer, Shape, now, show};

pub(super) async fn run(global: &Global, verb: &FailoverHistory, printer: &mut Printer) -> Outcome {
    if verb.all_projects && !verb.what.is_empty() {
        return Err(Failure::usage("a name and --all-projects exclude each other"));
    }
    let project = &verb.project.project;
    let key = if verb.what.is_empty() { None } else { Some(target::one_application(&verb.what, project)?) };
    let hub = Hub::connect(global).await?;
    let views = match &key {
        Some(key) => vec![hub.failover(key).await?],
        None => hub.failovers((!verb.all_projects).then_some(project)).await?,
    };
    let movements = movements(views);
    let shape = Shape { with_project: verb.all_projects, now: now()?, ..Shape::default() };
    show(printer, &movements, verb.output, shape, false)?;
    if movements.is_empty() && matches!(verb.output, Format::Table | Format::Wide) {
        printer.hint("nothing has moved yet");
    }
    Ok(Exit::Done)
}

/// What moves and what moved, newest first.
fn movements(views: Vec<FailoverView>) -> Vec<Movement> {
    let mut all: Vec<Movement> = Vec::new();
    for view in views {
        let state = view.state;
        let moves = state.moves.into_iter().rev().chain(state.history);
        all.extend(moves.map(|it| Movement { application: state.application.clone(), it }));
    }
    // Of those that began together, the order within an application stays.
    all.sort_by_key(|movement| std::cmp::Reverse(movement.start()));
    all
}
