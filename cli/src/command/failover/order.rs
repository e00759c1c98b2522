//! `nave failover run`: a move that a person orders, and the wait for it.

use std::time::Duration;

use nave_common::failover::FailoverView;
use nave_common::failover::state::{Cause, Move, MovePhase, OrderKind};
use nave_common::name::ApplicationKey;
use serde_json::json;
use tokio::time::Instant;

use super::super::changes::Changes;
use super::super::target;
use crate::args::{FailoverRun, Global};
use crate::client::Hub;
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{Printer, Progress, application_name, way};

/// How often the hub is asked how it stands.
const ASK_AGAIN: Duration = Duration::from_millis(500);

pub(super) async fn run(global: &Global, verb: &FailoverRun, printer: &mut Printer) -> Outcome {
    let key = target::one_application(&verb.what, &verb.project.project)?;
    let hub = Hub::connect(global).await?;
    let before = hub.failover(&key).await?.state.move_count;
    let order = OrderKind::Move { from: verb.from.clone(), to: verb.to.clone() };
    let (_, change_id) = hub.order_failover(&key, order, verb.dry_run).await?;
    let name = format!("application/{}", application_name(&key));
    let mut changes = Changes::new(verb.output, verb.dry_run);
    let to = verb.to.as_ref().map(|to| format!(" to {to}")).unwrap_or_default();
    let more = json!({"changeId": change_id, "from": verb.from, "to": verb.to});
    changes.tell(printer, &name, &format!("move{to} ordered"), more)?;
    if !verb.wait {
        changes.finish(printer)?;
        if !verb.dry_run {
            printer.hint(&format!("see `nave failover status {}`", application_name(&key)));
        }
        return Ok(Exit::Done);
    }
    printer.flush()?;
    let wait = Wait { hub: &hub, key: &key, before, change_id, timeout: verb.timeout.0 };
    let ended = wait.run(printer.is_quiet()).await;
    let (met, text) = match &ended {
        Ok(text) => (true, text.clone()),
        Err(failure) => (false, failure.message().unwrap_or_default().to_owned()),
    };
    let line = met.then_some(text.as_str());
    changes.tell_waited(printer, &name, line, json!({"condition": "moved", "met": met, "state": text}))?;
    changes.finish(printer)?;
    ended.map(|_| Exit::Done)
}

/// The wait for one ordered move.
struct Wait<'a> {
    hub: &'a Hub,
    key: &'a ApplicationKey,
    /// How many moves there were before it was ordered.
    before: u64,
    change_id: String,
    timeout: Duration,
}

/// How an ordered move stands.
#[derive(Debug, PartialEq)]
enum Standing {
    Moved(String),
    Failed(String),
    NotYet(String),
}

impl Wait<'_> {
    /// What there is to say of it, once it is done.
    async fn run(&self, quiet: bool) -> Outcome<String> {
        let deadline = Instant::now() + self.timeout;
        let mut progress = Progress::start(quiet);
        let name = application_name(self.key);
        loop {
            let state = match self.hub.failover(self.key).await {
                Ok(view) => match standing(&view, self.before, &self.change_id) {
                    Standing::Moved(text) => return Ok(text),
                    Standing::Failed(text) => {
                        return Err(Failure::failed(format!("application/{name} did not move: {text}")));
                    }
                    Standing::NotYet(text) => text,
                },
                Err(failure) if failure.is_not_found() => return Err(failure),
                // A hub that restarts goes on with what was ordered.
                Err(failure) => format!("{failure}; trying again"),
            };
            progress.say(&format!("application/{name}: {state}"));
            if Instant::now() + ASK_AGAIN > deadline {
                let problem = format!("application/{name} has not moved in time: {state}");
                return Err(Failure::new(Exit::TimedOut, problem)
                    .hint(format!("it goes on; see `nave failover status {name}`")));
            }
            tokio::time::sleep(ASK_AGAIN).await;
        }
    }
}

fn standing(view: &FailoverView, before: u64, change_id: &str) -> Standing {
    let state = &view.state;
    let is_this = |it: &&Move| it.number > before && it.cause == Cause::Ordered;
    let told = |it: &Move| {
        let why = if it.reason.is_empty() { String::new() } else { format!(": {}", it.reason) };
        format!("{} {}{why}", way(it), it.phase)
    };
    if let Some(it) = state.moves.iter().find(is_this) {
        return Standing::NotYet(told(it));
    }
    if let Some(it) = state.history.iter().find(is_this) {
        return match it.phase {
            MovePhase::Done => {
                Standing::Moved(it.to.as_ref().map_or("moved".to_owned(), |to| format!("moved to {to}")))
            }
            _ => Standing::Failed(told(it)),
        };
    }
    if state.orders.iter().any(|order| order.change_id == change_id) {
        return Standing::NotYet("the hub has not taken the order yet".to_owned());
    }
    Standing::Failed("the hub took the order and moves nothing; see `nave get events`".to_owned())
}

#[cfg(test)]
mod tests {
    use nave_common::failover::Failover;
    use nave_common::failover::state::{FailoverState, MoveTimes, Order};
    use nave_common::time::Timestamp;

    use super::*;

    fn a_move(number: u64, phase: MovePhase) -> Move {
        Move {
            number,
            from: "eu-1".parse().unwrap(),
            to: "us-1".parse().ok(),
            cause: Cause::Ordered,
            phase,
            reason: String::new(),
            epoch: None,
            times: MoveTimes::default(),
        }
    }

    #[test]
    fn an_ordered_move_is_followed_from_the_order_to_its_end() {
        let state = FailoverState::new("shop".parse().unwrap());
        let mut view =
            FailoverView { failover: Failover::default(), state, active: Vec::new(), lease_ends_at: None };
        view.state.history.push(a_move(1, MovePhase::Done));
        assert!(matches!(standing(&view, 1, "c1"), Standing::Failed(_)), "an older one is another one");
        view.state.orders.push(Order {
            what: OrderKind::Move { from: None, to: None },
            by: "ana".into(),
            at: Timestamp::EPOCH,
            change_id: "c1".into(),
        });
        assert!(matches!(standing(&view, 1, "c1"), Standing::NotYet(_)));
        view.state.orders.clear();
        view.state.moves.push(a_move(2, MovePhase::Applying));
        assert_eq!(standing(&view, 1, "c1"), Standing::NotYet("eu-1->us-1 Applying".into()));
        view.state.moves.clear();
        view.state.history.insert(0, a_move(2, MovePhase::Done));
        assert_eq!(standing(&view, 1, "c1"), Standing::Moved("moved to us-1".into()));
        view.state.history[0].phase = MovePhase::Aborted;
        assert!(matches!(standing(&view, 1, "c1"), Standing::Failed(_)));
    }
}
