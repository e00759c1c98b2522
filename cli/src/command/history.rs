//! `nave history`.

use super::target;
use crate::args::{Global, History};
use crate::client::Hub;
use crate::exit::{Exit, Outcome};
use crate::output::{Printer, Shape, now, show};

pub(super) async fn run(global: &Global, history: &History, printer: &mut Printer) -> Outcome {
    let key = target::one_application(&history.what, &history.project.project)?;
    let hub = Hub::connect(global).await?;
    let revisions = hub.revisions(&key).await?;
    let shape = Shape { now: now()?, ..Shape::default() };
    show(printer, &revisions, history.output, shape, false)?;
    Ok(Exit::Done)
}
