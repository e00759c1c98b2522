//! `nave failover approve` and `nave failover abort`.

use nave_common::failover::state::{Move, MovePhase, OrderKind};
use nave_common::name::ApplicationKey;
use serde_json::json;

use super::super::changes::Changes;
use super::super::target;
use crate::args::{FailoverDecide, Global};
use crate::client::Hub;
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{Printer, application_name, way};

/// What is decided of a move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    Approve,
    Abort,
}

pub(super) async fn run(
    global: &Global,
    verb: &FailoverDecide,
    word: Word,
    printer: &mut Printer,
) -> Outcome {
    let key = target::one_application(std::slice::from_ref(&verb.application), &verb.project.project)?;
    let hub = Hub::connect(global).await?;
    let number = match verb.number {
        Some(number) => number,
        None => only(&hub, &key, word).await?,
    };
    let (order, done) = match word {
        Word::Approve => (OrderKind::Approve { number }, format!("move {number} approved")),
        Word::Abort => (OrderKind::Abort { number }, format!("move {number} given up")),
    };
    let (_, change_id) = hub.order_failover(&key, order, false).await?;
    let mut changes = Changes::new(verb.output, false);
    let more = json!({"changeId": change_id, "move": number});
    changes.tell(printer, &format!("application/{}", application_name(&key)), &done, more)?;
    changes.finish(printer)?;
    Ok(Exit::Done)
}

/// The number of the only move that can be meant.
async fn only(hub: &Hub, key: &ApplicationKey, word: Word) -> Outcome<u64> {
    let state = hub.failover(key).await?.state;
    let is_meant = |it: &&Move| word == Word::Abort || it.phase == MovePhase::Proposed;
    let meant: Vec<&Move> = state.moves.iter().filter(is_meant).collect();
    let name = application_name(key);
    match (meant.as_slice(), word) {
        ([only], _) => Ok(only.number),
        ([], Word::Approve) => {
            Err(Failure::failed(format!("no move of application {name} waits for approval"))
                .hint(format!("see `nave failover status {name}`")))
        }
        ([], Word::Abort) => Err(Failure::failed(format!("nothing of application {name} moves"))),
        (several, _) => {
            let named: Vec<String> =
                several.iter().map(|it| format!("{} ({}, {})", it.number, way(it), it.phase)).collect();
            Err(Failure::usage(format!("several moves can be meant: {}; give its number", named.join(", "))))
        }
    }
}
