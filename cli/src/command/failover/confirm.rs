//! `nave failover confirm-fenced`: a person says that an old copy is dead. If he is wrong, two run; so he is asked.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use nave_common::failover::state::{Grant, OrderKind};
use serde_json::json;

use super::super::changes::Changes;
use super::super::target;
use crate::args::{ConfirmFenced, Global};
use crate::client::Hub;
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{Printer, ago, application_name, now};

pub(super) async fn run(global: &Global, verb: &ConfirmFenced, printer: &mut Printer) -> Outcome {
    let key = target::one_application(&verb.what, &verb.project.project)?;
    let name = application_name(&key);
    let hub = Hub::connect(global).await?;
    let state = hub.failover(&key).await?.state;
    let Some(grant) = state.grant else {
        return Err(Failure::failed(format!("application {name} holds no exclusive lease anywhere"))
            .hint("there is nothing to confirm"));
    };
    let order =
        OrderKind::ConfirmFenced { cluster: verb.cluster.clone(), epoch: grant.epoch, by_webhook: false };
    // Whatever the hub refuses, nobody need be asked for.
    hub.order_failover(&key, order.clone(), true).await?;
    if !verb.yes {
        ask(&hub, verb, &name, &grant, printer).await?;
    }
    let (_, change_id) = hub.order_failover(&key, order, false).await?;
    let mut changes = Changes::new(verb.output, false);
    let more = json!({"changeId": change_id, "cluster": verb.cluster, "epoch": grant.epoch});
    let done = format!("confirmed dead in {}", verb.cluster);
    changes.tell(printer, &format!("application/{name}"), &done, more)?;
    changes.finish(printer)?;
    Ok(Exit::Done)
}

async fn ask(
    hub: &Hub,
    verb: &ConfirmFenced,
    name: &str,
    grant: &Grant,
    printer: &mut Printer,
) -> Outcome<()> {
    if !io::stdin().is_terminal() {
        return Err(Failure::usage(format!(
            "this says that nothing of {name} runs in {} any more, and needs a person's word; give --yes where it was \
             looked after",
            verb.cluster
        )));
    }
    // One that was deleted has no status any more.
    let heard = match hub.cluster(&verb.cluster).await {
        Ok(cluster) => {
            let status = cluster.status.unwrap_or_default();
            format!("{}, last heard {}", status.liveness, ago(status.last_heard_at, now()?))
        }
        Err(failure) if failure.is_not_found() => "no longer in the fleet".to_owned(),
        Err(failure) => return Err(failure),
    };
    printer.warning(&format!(
        "application {name} held its exclusive lease in {} ({heard}) under epoch {}",
        verb.cluster, grant.epoch
    ));
    printer.warning(
        "with your word it starts elsewhere; if it runs there all the same, or its nodes come back before the hub hears \
         that cluster, two copies run at once",
    );
    let mut err = io::stderr().lock();
    write!(err, "Type the name of the cluster in which it is dead: ")?;
    err.flush()?;
    drop(err);
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    if answer.trim() == verb.cluster.as_str() {
        Ok(())
    } else {
        Err(Failure::failed("not confirmed: nothing was said to the hub"))
    }
}
