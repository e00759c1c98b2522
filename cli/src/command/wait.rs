//! `nave wait`.

use super::changes::Changes;
use super::target;
use super::waiting::{self, Awaited};
use crate::args::{Global, Wait};
use crate::client::Hub;
use crate::exit::Outcome;
use crate::output::Printer;

pub(super) async fn run(global: &Global, wait: &Wait, printer: &mut Printer) -> Outcome {
    let keys = target::applications(&wait.what, &wait.project.project)?;
    let awaited: Vec<Awaited> = keys.into_iter().map(|key| Awaited { key, sequence: 0 }).collect();
    let hub = Hub::connect(global).await?;
    let mut changes = Changes::new(wait.output, false);
    let done = waiting::all(&hub, &awaited, wait.condition, &wait.waiting, printer, &mut changes).await;
    changes.finish(printer)?;
    done
}
