//! `nave apply`: everything is checked here, then by the hub, and only then anything is changed.

use nave_common::application::Application;
use nave_common::assignment::Desired;
use nave_common::cluster::Cluster;
use nave_common::name::ClusterName;
use serde_json::json;

use super::changes::Changes;
use super::waiting::{self, Awaited};
use crate::args::{Apply, Global, WaitFor};
use crate::client::{Applied, Hub};
use crate::exit::{Exit, Outcome};
use crate::load::{self, Loaded};
use crate::output::{Printer, application_name};

pub(super) async fn run(global: &Global, apply: &Apply, printer: &mut Printer) -> Outcome {
    let loaded = load::load(&apply.files.files, &apply.raw, &apply.project.project)?;
    let hub = Hub::connect(global).await?;
    for one in &loaded {
        if let Loaded::Application { bundle: Some(bundle), .. } = one {
            hub.upload(bundle).await?;
        }
    }
    // Of several, the last may be refused: nothing is changed before the hub has looked at all of them.
    if loaded.len() > 1 && !apply.dry_run {
        for one in &loaded {
            send(&hub, one, true).await?;
        }
    }
    let mut changes = Changes::new(apply.output, apply.dry_run);
    let done = apply_all(&hub, &loaded, apply, printer, &mut changes).await;
    changes.finish(printer)?;
    done
}

async fn apply_all(
    hub: &Hub,
    loaded: &[Loaded],
    apply: &Apply,
    printer: &mut Printer,
    changes: &mut Changes,
) -> Outcome {
    let mut awaited = Vec::new();
    for one in loaded {
        let before = running(hub, one).await?;
        match send(hub, one, apply.dry_run).await? {
            Sent::Application(applied) => {
                tell_application(&applied, &before, apply.dry_run, printer, changes)?;
                let metadata = &applied.resource.metadata;
                awaited.push(Awaited { key: metadata.key(), sequence: metadata.sequence });
            }
            Sent::Cluster(applied) => tell_cluster(&applied, printer, changes)?,
        }
    }
    if apply.wait && !awaited.is_empty() {
        return waiting::all(hub, &awaited, WaitFor::Healthy, &apply.waiting, printer, changes).await;
    }
    Ok(Exit::Done)
}

/// The clusters in which it runs already.
async fn running(hub: &Hub, loaded: &Loaded) -> Outcome<Vec<ClusterName>> {
    let Loaded::Application { application, .. } = loaded else { return Ok(Vec::new()) };
    let views = hub.assignments(Some(&application.key()), None).await?;
    let assignments = views.into_iter().map(|view| view.assignment);
    Ok(assignments.filter(|one| one.desired != Desired::Remove).map(|one| one.cluster).collect())
}

enum Sent {
    Application(Box<Applied<Application>>),
    Cluster(Box<Applied<Cluster>>),
}

async fn send(hub: &Hub, loaded: &Loaded, dry_run: bool) -> Outcome<Sent> {
    match loaded {
        Loaded::Application { application, .. } => {
            let name = application_name(&application.key());
            let applied = hub.apply_application(application, dry_run).await;
            let applied = applied.map_err(|failure| failure.about(format!("application/{name}")))?;
            Ok(Sent::Application(Box::new(applied)))
        }
        Loaded::Cluster(cluster) => {
            let name = &cluster.metadata.name;
            let applied = hub.apply_cluster(cluster, dry_run).await;
            let applied = applied.map_err(|failure| failure.about(format!("cluster/{name}")))?;
            Ok(Sent::Cluster(Box::new(applied)))
        }
    }
}

fn tell_application(
    applied: &Applied<Application>,
    before: &[ClusterName],
    dry_run: bool,
    printer: &mut Printer,
    changes: &mut Changes,
) -> Outcome<()> {
    let name = format!("application/{}", application_name(&applied.resource.key()));
    for warning in &applied.warnings {
        printer.warning(&format!("{name}: {warning}"));
    }
    let chosen: Vec<String> =
        applied.placement.iter().flat_map(|placement| placement.chosen()).map(ToString::to_string).collect();
    let left: Vec<String> = match &applied.placement {
        Some(_) => before.iter().map(ToString::to_string).filter(|name| !chosen.contains(name)).collect(),
        None => Vec::new(),
    };
    let unplaced =
        applied.placement.as_ref().map(|placement| placement.unplaced_count).filter(|count| *count > 0);
    let more = json!({
        "changeId": applied.change_id,
        "sequence": applied.resource.metadata.sequence,
        "warnings": applied.warnings,
        "clusters": chosen,
        "removedFrom": left,
        "unplacedCount": unplaced,
        "problems": applied.placement.as_ref().map(|placement| placement.problems.clone()),
    });
    changes.tell(printer, &name, applied.verb.as_str(), more)?;
    if let Some(placement) = &applied.placement {
        if dry_run {
            let place =
                if chosen.is_empty() { "nowhere".to_owned() } else { format!("in {}", chosen.join(", ")) };
            changes.note(printer, &format!("  would run {place}"))?;
        }
        if !left.is_empty() && dry_run {
            changes.note(printer, &format!("  would be removed from {}", left.join(", ")))?;
        } else if !left.is_empty() {
            printer.warning(&format!("{name} is being removed from {}", left.join(", ")));
        }
        // What the hub has warned of already is not said twice.
        for problem in placement.problems.iter().filter(|problem| !applied.warnings.contains(problem)) {
            printer.warning(&format!("{name}: {problem}"));
        }
    }
    Ok(())
}

fn tell_cluster(applied: &Applied<Cluster>, printer: &mut Printer, changes: &mut Changes) -> Outcome<()> {
    let name = format!("cluster/{}", applied.resource.metadata.name);
    let more = json!({"changeId": applied.change_id, "sequence": applied.resource.metadata.sequence});
    changes.tell(printer, &name, applied.verb.as_str(), more)
}
