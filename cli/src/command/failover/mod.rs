//! `nave failover`: what would move, what moves, and what a person decides of it.

mod confirm;
mod decide;
mod history;
mod order;
mod plan;
pub(super) mod status;

use nave_common::failover::HubFailover;
use nave_common::time::Timestamp;
use serde_json::json;

use super::changes::Changes;
use crate::args::{ChangeFormat, Failover, FailoverVerb, Global};
use crate::client::Hub;
use crate::exit::{Exit, Outcome};
use crate::output::{Printer, age, ago};

pub(super) async fn run(global: &Global, failover: &Failover, printer: &mut Printer) -> Outcome {
    match &failover.verb {
        FailoverVerb::Plan(loss) => plan::plan(global, loss, printer).await,
        FailoverVerb::Drill(drill) => plan::drill(global, &drill.loss, printer).await,
        FailoverVerb::Run(run) => order::run(global, run, printer).await,
        FailoverVerb::Status(verb) => status::run(global, verb, printer).await,
        FailoverVerb::History(verb) => history::run(global, verb, printer).await,
        FailoverVerb::Approve(verb) => decide::run(global, verb, decide::Word::Approve, printer).await,
        FailoverVerb::Abort(verb) => decide::run(global, &verb.same, decide::Word::Abort, printer).await,
        FailoverVerb::ConfirmFenced(verb) => confirm::run(global, verb, printer).await,
        FailoverVerb::Freeze(verb) => freeze(global, true, verb.output, printer).await,
        FailoverVerb::Thaw(verb) => freeze(global, false, verb.output, printer).await,
    }
}

async fn freeze(global: &Global, frozen: bool, format: ChangeFormat, printer: &mut Printer) -> Outcome {
    let failover = Hub::connect(global).await?.set_freeze(frozen).await?;
    let mut changes = Changes::new(format, false);
    let verb = if frozen { "frozen" } else { "thawed" };
    changes.tell(printer, "failover", verb, json!({"hub": failover}))?;
    changes.finish(printer)?;
    if frozen {
        printer.hint("nothing moves by itself until `nave failover thaw`; drains and ordered moves go on");
    } else if let Some(frozen) = failover.frozen {
        printer.warning(&format!("failover is still frozen: {}", frozen.reason));
    }
    Ok(Exit::Done)
}

/// What people must know of failover on the hub as a whole: nothing, where all is as usual.
pub(super) fn hub_lines(failover: &HubFailover, now: Timestamp) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(frozen) = &failover.frozen {
        let until = frozen.until.map(|until| format!(", for {} yet", age(Some(now), until)));
        lines.push(format!(
            "failover is frozen since {}{}: {}",
            ago(Some(frozen.since), now),
            until.unwrap_or_default(),
            frozen.reason
        ));
    }
    if let Some(until) = failover.maintenance_until.filter(|until| *until > now) {
        lines.push(format!(
            "maintenance for {} yet: no Exclusive work moves by itself until {until}",
            age(Some(now), until)
        ));
    }
    lines
}
