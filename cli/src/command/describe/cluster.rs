//! One cluster: whether it is heard, what it has to give, what runs in it.

use nave_common::cluster::Cluster;
use nave_common::name::ClusterName;
use nave_common::resources::Resources;
use nave_common::status::AssignmentView;
use nave_common::time::Timestamp;

use super::{EVENT_COUNT, Facts, heading, pairs};
use crate::client::Hub;
use crate::exit::Outcome;
use crate::output::{Cell, Printer, Row as _, Shape, Table, Tone, ago, cluster_state, now};

pub(super) async fn describe(hub: &Hub, name: &ClusterName, printer: &mut Printer) -> Outcome<()> {
    let cluster = hub.cluster(name).await?;
    let (assignments, failovers, events) = tokio::try_join!(
        hub.assignments(None, Some(name)),
        hub.failovers(None),
        hub.events(None, Some(name), EVENT_COUNT)
    )?;
    let now = now()?;
    facts(&cluster, now).print(printer)?;
    resources(&cluster, printer)?;
    let shape = Shape { with_project: true, now, ..Shape::default() };
    heading(printer, "Applications")?;
    let mut table = Table::new(columns_but_cluster(AssignmentView::columns(&shape))).indented(2);
    for view in &assignments {
        table.push(columns_but_cluster(view.cells(&shape)));
    }
    if assignments.is_empty() {
        printer.line("  none")?;
    }
    table.print(printer)?;
    for key in cluster.status.iter().flat_map(|status| &status.unknown_applications) {
        printer.toned(
            Tone::Busy,
            &format!("  {key} runs here, and this hub has never heard of it: left alone"),
        )?;
    }
    super::failover::of_cluster(name, &failovers, now, printer)?;
    if !events.is_empty() {
        heading(printer, "Events")?;
        let mut table = Table::without_header(5).indented(2);
        for event in &events {
            table.push(event.cells(&shape));
        }
        table.print(printer)?;
    }
    Ok(())
}

/// After project and application, the third column names the cluster, which is known here.
fn columns_but_cluster<T>(mut columns: Vec<T>) -> Vec<T> {
    drop(columns.remove(2));
    columns
}

fn facts(cluster: &Cluster, now: Timestamp) -> Facts {
    let status = cluster.status.clone().unwrap_or_default();
    let seen = status.observed.clone().unwrap_or_default();
    let mut facts = Facts::new();
    facts.add("Name", cluster.metadata.name.as_str());
    facts.add("Labels", pairs(&cluster.metadata.labels));
    facts.add("Annotations", pairs(&cluster.metadata.annotations));
    for taint in &cluster.spec.taints {
        let value = if taint.value.is_empty() { String::new() } else { format!("={}", taint.value) };
        facts.toned("Taint", format!("{}{value}:{:?}", taint.key, taint.effect), Tone::Busy);
    }
    match (cluster.spec.cordoned, cluster.spec.drained) {
        (_, true) => {
            facts.toned("Drained", "what is here leaves, nothing new comes (nave uncordon)", Tone::Busy);
        }
        (true, false) => facts.toned("Cordoned", "nothing new comes (nave uncordon)", Tone::Busy),
        (false, false) => {}
    }
    facts.add("Weight", cluster.spec.weight.map(|weight| weight.to_string()).unwrap_or_default());
    facts.add("Joined", ago(cluster.metadata.created_at, now));
    facts.add("UID", cluster.spec.uid.clone().unwrap_or_default());
    let heard = ago(status.last_heard_at, now);
    let state = cluster_state(&status);
    facts.toned("Status", format!("{}, last heard {heard}", state.text), state.tone);
    facts.toned("Problem", seen.problem.unwrap_or_default(), Tone::Bad);
    facts.add("Kubernetes", seen.kubernetes_version);
    facts.add("Agent", seen.agent_version);
    if status.observed.is_some() {
        facts.add("Nodes", format!("{} of {} are ready", seen.ready_node_count, seen.node_count));
    }
    facts
}

fn resources(cluster: &Cluster, printer: &mut Printer) -> Outcome<()> {
    let Some(status) = &cluster.status else { return Ok(()) };
    let has = status.observed.as_ref().map(|seen| seen.allocatable).unwrap_or_default();
    heading(printer, "Resources")?;
    let mut table = Table::new(vec!["RESOURCE", "REQUESTED", "ALLOCATABLE", "FREE"]).indented(2);
    let mut row = |name: &str, part: fn(Resources) -> u64, show: fn(u64) -> String| {
        let (requested, all) = (part(status.requested), part(has));
        let free = match all {
            0 => "-".to_owned(),
            _ => format!("{}%", u128::from(all.saturating_sub(requested)) * 100 / u128::from(all)),
        };
        table.push(vec![Cell::new(name), Cell::new(show(requested)), Cell::new(show(all)), Cell::new(free)]);
    };
    row("CPU", |resources| resources.cpu_millicores, |millicores| format!("{millicores}m"));
    row("Memory", |resources| resources.memory_bytes, |bytes| format!("{}Mi", bytes >> 20));
    row("Pods", |resources| resources.pods, |pods| pods.to_string());
    table.print(printer)?;
    Ok(())
}
