//! `nave undo`.

use serde_json::json;

use super::changes::Changes;
use super::target;
use super::waiting::{self, Awaited};
use crate::args::{Global, Undo, WaitFor};
use crate::client::Hub;
use crate::exit::{Exit, Outcome};
use crate::output::{Printer, application_name};

pub(super) async fn run(global: &Global, undo: &Undo, printer: &mut Printer) -> Outcome {
    let key = target::one_application(&undo.what, &undo.project.project)?;
    let hub = Hub::connect(global).await?;
    let (application, revision, change_id) =
        hub.undo_application(&key, undo.to_revision, undo.dry_run).await?;
    let mut changes = Changes::new(undo.output, undo.dry_run);
    let more = json!({"changeId": change_id, "revision": revision.number, "origin": revision.origin});
    let name = format!("application/{}", application_name(&key));
    let verb = format!("revision {} ({})", revision.number, revision.origin);
    changes.tell(printer, &name, &verb, more)?;
    let done = if undo.wait {
        let awaited = [Awaited { key, sequence: application.metadata.sequence }];
        waiting::all(&hub, &awaited, WaitFor::Healthy, &undo.waiting, printer, &mut changes).await
    } else {
        Ok(Exit::Done)
    };
    changes.finish(printer)?;
    done
}
