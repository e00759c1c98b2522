//! `nave hub`: its state, its maintenance, what waits after a restore.

use std::time::Duration;

use serde_json::json;

use super::changes::Changes;
use super::failover::hub_lines;
use super::{backup, target};
use crate::args::{ChangeFormat, Global, Hub as Verb, HubStatus, HubVerb, Maintenance, Release};
use crate::client::Hub;
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{Printer, Tone, ago, application_name, as_resource, json_text, now, yaml_text};

pub(super) async fn run(global: &Global, hub: &Verb, printer: &mut Printer) -> Outcome {
    match &hub.verb {
        HubVerb::Status(verb) => status(global, verb, printer).await,
        HubVerb::Maintenance(verb) => maintenance(global, verb, printer).await,
        HubVerb::Backup(verb) => backup::run(global, verb, printer).await,
        HubVerb::Release(verb) => release(global, verb, printer).await,
    }
}

async fn status(global: &Global, verb: &HubStatus, printer: &mut Printer) -> Outcome {
    let hub = Hub::connect(global).await?.info().await?;
    match verb.output {
        ChangeFormat::Json => printer.raw(&json_text(&as_resource("Hub", &hub)?))?,
        ChangeFormat::Yaml => printer.raw(&yaml_text(&as_resource("Hub", &hub)?)?)?,
        ChangeFormat::Name => printer.line(&format!("hub/{}", hub.address))?,
        ChangeFormat::Text => {
            let now = now()?;
            printer.line(&format!(
                "hub {} at {}: term {}, started {}",
                hub.version,
                hub.address,
                hub.generation.term,
                ago(hub.started_at, now)
            ))?;
            printer
                .line(&format!("{} clusters, {} applications", hub.cluster_count, hub.application_count))?;
            let lines = hub_lines(&hub.failover, now);
            for line in &lines {
                printer.toned(Tone::Busy, line)?;
            }
            if lines.is_empty() {
                printer.line("failover is ready: what is lost moves by itself")?;
            }
            if hub.held_count > 0 {
                let text = format!(
                    "{} applications wait after a restore, for their agents or for `nave hub release`",
                    hub.held_count
                );
                printer.toned(Tone::Busy, &text)?;
            }
        }
    }
    Ok(Exit::Done)
}

async fn maintenance(global: &Global, verb: &Maintenance, printer: &mut Printer) -> Outcome {
    let seconds = match verb.duration {
        Some(duration) if duration.0 < Duration::from_secs(1) => {
            return Err(Failure::usage("--for needs at least 1s; --end ends a maintenance"));
        }
        Some(duration) => duration.0.as_secs(),
        None => 0,
    };
    let failover = Hub::connect(global).await?.set_maintenance(seconds).await?;
    let mut changes = Changes::new(verb.output, false);
    let done = match failover.maintenance_until {
        Some(until) => format!("in maintenance until {until}"),
        None => "not in maintenance".to_owned(),
    };
    changes.tell(printer, "hub", &done, json!({"hub": failover}))?;
    changes.finish(printer)?;
    if failover.maintenance_until.is_some() {
        printer.hint(
            "agents hear of it with their next heartbeats: give them a few seconds before you stop the hub",
        );
    }
    Ok(Exit::Done)
}

async fn release(global: &Global, verb: &Release, printer: &mut Printer) -> Outcome {
    let key = if verb.what.is_empty() {
        None
    } else {
        Some(target::one_application(&verb.what, &verb.project.project)?)
    };
    let hub = Hub::connect(global).await?;
    let released = hub.release_held(key.as_ref(), verb.keep_running).await?;
    let mut changes = Changes::new(verb.output, false);
    let done = if verb.keep_running {
        "released: what runs stays"
    } else {
        "released: what the backup says is applied"
    };
    for key in &released {
        changes.tell(printer, &format!("application/{}", application_name(key)), done, json!({}))?;
    }
    changes.finish(printer)?;
    let held_count = hub.info().await?.held_count;
    if held_count > 0 {
        printer.hint(&format!(
            "{held_count} applications wait still (see `nave get applications`); Exclusive work can only go on with \
             --apply-backup"
        ));
    } else if released.is_empty() {
        printer.hint("nothing waits after a restore");
    }
    Ok(Exit::Done)
}
