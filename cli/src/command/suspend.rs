//! `nave suspend` and `nave resume`.

use nave_common::application::Application;
use nave_common::name::ClusterName;
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
    // Only for what is said of it: the hub decides by itself.
    let was_suspended = suspended || is_suspended(&hub.application(&key).await?, &verb.cluster);
    let change_id = hub.suspend_application(&key, suspended, &verb.cluster).await?;
    let clusters: Vec<String> = verb.cluster.iter().map(ToString::to_string).collect();
    let place = if clusters.is_empty() { String::new() } else { format!(" in {}", clusters.join(", ")) };
    let result = match (suspended, was_suspended) {
        (true, _) => format!("suspended{place}"),
        (false, true) => format!("resumed{place}"),
        (false, false) => "not suspended".to_owned(),
    };
    let mut changes = Changes::new(verb.output, false);
    let more = json!({"changeId": change_id, "clusters": clusters});
    changes.tell(printer, &format!("application/{}", application_name(&key)), &result, more)?;
    changes.finish(printer)?;
    if suspended {
        printer.hint(
            "nothing is written until `nave resume application`; the drift of what runs is not put back",
        );
    }
    Ok(Exit::Done)
}

/// Whether writes are stopped in any of these clusters; where none is named, anywhere.
fn is_suspended(application: &Application, clusters: &[ClusterName]) -> bool {
    let sync = &application.spec.sync;
    sync.suspended
        || sync.suspended_clusters.iter().any(|name| clusters.is_empty() || clusters.contains(name))
}
