//! `nave suspend` and `nave resume`.

use serde_json::json;

use super::changes::Changes;
use super::target;
use crate::args::{Global, Suspend};
use crate::client::Hub;
use crate::exit::{Exit, Outcome};
use crate::output::{Printer, application_name};

pub(super) async fn run(global: &Global, verb: &Suspend, suspended: bool, printer: &mut Printer) -> Outcome {
    let key = target::one_application(&verb.what, &verb.project.project)?;
    let hub = Hub::connect(global).await?;
    let change_id = hub.suspend_application(&key, suspended, &verb.cluster).await?;
    let clusters: Vec<String> = verb.cluster.iter().map(ToString::to_string).collect();
    let place = if clusters.is_empty() { String::new() } else { format!(" in {}", clusters.join(", ")) };
    let word = if suspended { "suspended" } else { "resumed" };
    let mut changes = Changes::new(verb.output, false);
    let more = json!({"changeId": change_id, "clusters": clusters});
    changes.tell(
        printer,
        &format!("application/{}", application_name(&key)),
        &format!("{word}{place}"),
        more,
    )?;
    changes.finish(printer)?;
    if suspended {
        printer.hint(
            "nothing is written until `nave resume application`; the drift of what runs is not put back",
        );
    }
    Ok(Exit::Done)
}
