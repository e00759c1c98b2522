//! `nave drain`: what runs in clusters moves elsewhere; and the wait until nothing does any more.

use std::time::Duration;

use nave_common::assignment::Desired;
use nave_common::failover::FailoverView;
use nave_common::name::ClusterName;
use nave_common::status::{AssignmentView, Liveness};
use serde_json::json;
use tokio::time::Instant;

use super::changes::Changes;
use super::cordon::{self, Mark};
use crate::args::{Drain, Global};
use crate::client::Hub;
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{Printer, Progress, application_name};

/// How often the hub is asked how it stands.
const ASK_AGAIN: Duration = Duration::from_millis(500);
/// How many applications are named in one line.
const MAX_NAMED: usize = 10;

pub(super) async fn run(global: &Global, drain: &Drain, printer: &mut Printer) -> Outcome {
    let hub = Hub::connect(global).await?;
    let names = cordon::named(&hub, &drain.clusters).await?;
    let mut changes = Changes::new(drain.clusters.output, false);
    let done = drain_all(&hub, &names, drain, printer, &mut changes).await;
    changes.finish(printer)?;
    done
}

async fn drain_all(
    hub: &Hub,
    names: &[ClusterName],
    drain: &Drain,
    printer: &mut Printer,
    changes: &mut Changes,
) -> Outcome {
    cordon::set_all(hub, names, Mark::Drain, printer, changes).await?;
    if !drain.wait {
        printer.hint("what can move is moving; --wait waits for it, `nave failover status` shows it");
        return Ok(Exit::Done);
    }
    printer.flush()?;
    let left = wait(hub, names, drain, printer.is_quiet()).await?;
    let mut problems = Vec::new();
    for name in names {
        let of_it: Vec<&Left> = left.iter().filter(|left| left.cluster == *name).collect();
        let met = of_it.is_empty();
        let state: Vec<String> = of_it.iter().map(|left| left.text()).collect();
        let wait = json!({"condition": "drained", "met": met, "left": state});
        let line = met.then_some("drained: nothing runs there");
        changes.tell_waited(printer, &format!("cluster/{name}"), line, wait)?;
        if !met {
            problems.push(format!("cluster/{name} still has {}", listed(&of_it)));
        }
    }
    if problems.is_empty() {
        return Ok(Exit::Done);
    }
    let problem = format!("not drained after {}: {}", drain.timeout, problems.join("; "));
    Err(Failure::new(Exit::TimedOut, problem).hint("the drain goes on; `nave uncordon` ends it"))
}

/// One application that still runs in a cluster that is being drained.
#[derive(Debug, Clone, PartialEq)]
struct Left {
    cluster: ClusterName,
    application: String,
    why: String,
}

impl Left {
    fn text(&self) -> String {
        format!("{} ({})", self.application, self.why)
    }
}

fn listed(left: &[&Left]) -> String {
    let mut shown: Vec<String> = left.iter().take(MAX_NAMED).map(|left| left.text()).collect();
    if left.len() > MAX_NAMED {
        shown.push(format!("and {} more", left.len() - MAX_NAMED));
    }
    shown.join(", ")
}

/// Waits until nothing runs there; returns what is left when the time is over.
async fn wait(hub: &Hub, names: &[ClusterName], drain: &Drain, quiet: bool) -> Outcome<Vec<Left>> {
    let deadline = Instant::now() + drain.timeout.0;
    let mut progress = Progress::start(quiet);
    let mut last: Outcome<Vec<Left>> = Ok(Vec::new());
    loop {
        match look(hub, names).await {
            Ok(left) if left.is_empty() => return Ok(left),
            Ok(left) => {
                let shown: Vec<&Left> = left.iter().collect();
                progress.say(&format!("{} left: {}", left.len(), listed(&shown)));
                last = Ok(left);
            }
            Err(failure) if failure.is_not_found() => return Err(failure),
            // A hub that restarts goes on with the drain.
            Err(failure) => {
                progress.say(&format!("{failure}; trying again"));
                last = last.and(Err(failure));
            }
        }
        if Instant::now() + ASK_AGAIN > deadline {
            return last;
        }
        tokio::time::sleep(ASK_AGAIN).await;
    }
}

/// What still runs in these clusters.
async fn look(hub: &Hub, names: &[ClusterName]) -> Outcome<Vec<Left>> {
    let mut left = Vec::new();
    for name in names {
        for view in hub.assignments(None, Some(name)).await? {
            let Some(why) = still_there(&view) else { continue };
            let key = &view.assignment.application;
            let why = if why.is_empty() { why_not(&hub.failover(key).await?, name) } else { why };
            left.push(Left { cluster: name.clone(), application: application_name(key), why });
        }
    }
    Ok(left)
}

/// `None` where nothing of it runs there any more; empty where it is for failover to say why it is still there.
fn still_there(view: &AssignmentView) -> Option<String> {
    let status = view.status.as_ref().filter(|status| status.generation == view.assignment.generation);
    match &view.assignment.desired {
        Desired::Run(run) if run.activity.is_active() => Some(String::new()),
        // What a silent cluster does about it, nobody can say; what it was told counts.
        _ if matches!(view.liveness, Liveness::Lost | Liveness::Unheard) => None,
        Desired::Run(run) => {
            let is_parked = status.is_some_and(|status| status.applied == Some(run.rendering));
            (!is_parked).then(|| "being parked".to_owned())
        }
        Desired::Remove => {
            let is_removed = status.is_some_and(|status| status.removed);
            (!is_removed).then(|| "being removed".to_owned())
        }
    }
}

/// Why an application has not left a cluster yet.
fn why_not(view: &FailoverView, cluster: &ClusterName) -> String {
    let state = &view.state;
    if let Some(it) = state.moves.iter().find(|it| it.from == *cluster) {
        let to = it.to.as_ref().map(|to| format!(" to {to}")).unwrap_or_default();
        let why = if it.reason.is_empty() { String::new() } else { format!(": {}", it.reason) };
        return format!("moving{to}, {}{why}", it.phase);
    }
    if state.grant.as_ref().is_some_and(|grant| grant.cluster == *cluster) {
        return "holds its exclusive lease; the move has not begun".to_owned();
    }
    "the move has not begun; without spec.placement.count it has nowhere to go".to_owned()
}
