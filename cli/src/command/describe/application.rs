//! One application: what is wanted, where it runs and why there, what is not healthy, what happened.

use nave_common::application::Application;
use nave_common::failover::{Failover, FailoverView};
use nave_common::health::Health;
use nave_common::name::ApplicationKey;
use nave_common::placement::{Placement, Verdict};
use nave_common::selector::{Operator, Selector};
use nave_common::source::Source;
use nave_common::status::{AssignmentView, Liveness, PlacementReport, SyncState};
use nave_common::time::Timestamp;

use super::{EVENT_COUNT, Facts, heading, pairs};
use crate::client::Hub;
use crate::exit::Outcome;
use crate::output::{Cell, Printer, Row as _, Shape, Table, Tone, age, ago, now};

pub(super) async fn describe(hub: &Hub, key: &ApplicationKey, printer: &mut Printer) -> Outcome<()> {
    let application = hub.application(key).await?;
    let (failover, report, assignments, events) = tokio::try_join!(
        hub.failover(key),
        hub.explain_placement(key),
        hub.assignments(Some(key), None),
        hub.events(Some(key), None, EVENT_COUNT),
    )?;
    let now = now()?;
    facts(&application, now).print(printer)?;
    clusters(&assignments, now, printer)?;
    why(&report, printer)?;
    unhealthy(&assignments, now, printer)?;
    if application.spec.placement.count.is_some() || !is_idle(&failover) {
        super::failover::describe(&failover, now, printer)?;
    }
    if !events.is_empty() {
        heading(printer, "Events")?;
        let shape = Shape { now, ..Shape::default() };
        let mut table = Table::without_header(5).indented(2);
        for event in &events {
            table.push(event.cells(&shape));
        }
        table.print(printer)?;
    }
    Ok(())
}

/// Whether failover has nothing to do with it.
fn is_idle(view: &FailoverView) -> bool {
    view.failover == Failover::default() && view.state.is_empty()
}

fn facts(application: &Application, now: Timestamp) -> Facts {
    let status = application.status.clone().unwrap_or_default();
    let (metadata, spec) = (&application.metadata, &application.spec);
    let mut facts = Facts::new();
    facts.add("Name", metadata.name.as_str());
    facts.add("Project", metadata.project.as_str());
    facts.add("Labels", pairs(&metadata.labels));
    facts.add("Annotations", pairs(&metadata.annotations));
    facts.add("Created", ago(metadata.created_at, now));
    if metadata.deleted_at.is_some() {
        facts.toned("Deleted", format!("{}, being removed", ago(metadata.deleted_at, now)), Tone::Busy);
    }
    facts.add("Revision", format!("{} ({})", status.revision, status.origin));
    facts.add("Source", source_text(&spec.source));
    if let Some(namespace) = &spec.namespace {
        let made = if spec.create_namespace { " (made where it is missing)" } else { "" };
        facts.add("Namespace", format!("{namespace}{made}"));
    }
    facts.add("Placement", placement_text(&spec.placement));
    if !spec.overrides.is_empty() {
        facts.add("Overrides", format!("{} rules", spec.overrides.len()));
    }
    let suspended_clusters: Vec<&str> =
        spec.sync.suspended_clusters.iter().map(|name| name.as_str()).collect();
    if spec.sync.suspended {
        facts.toned("Suspended", "everywhere: nothing is written (nave resume)", Tone::Busy);
    } else if !suspended_clusters.is_empty() {
        facts.toned("Suspended", format!("in {}", suspended_clusters.join(", ")), Tone::Busy);
    }
    let counted = |count: u32| format!("in {count} of {} clusters", status.cluster_count);
    facts.toned("Sync", format!("{}, {}", status.sync, counted(status.synced_count)), status.sync.into());
    facts.toned(
        "Health",
        format!("{}, {}", status.health, counted(status.healthy_count)),
        status.health.into(),
    );
    facts.add("Reason", status.reason.as_str());
    facts.add("Heard", format!("{} (the cluster that was silent longest)", ago(status.observed_at, now)));
    facts
}

fn source_text(source: &Source) -> String {
    match source {
        Source::Inline(inline) => format!("inline, {} manifests", inline.manifests.len()),
        Source::Bundle(bundle) => {
            let digest =
                bundle.digest.map(|digest| format!(" (sha256:{})", digest.short())).unwrap_or_default();
            format!("bundle {}{digest}", bundle.path.as_deref().unwrap_or_default())
        }
    }
}

fn placement_text(placement: &Placement) -> String {
    let mut parts = vec![match selector_text(&placement.clusters) {
        text if text.is_empty() => "every cluster".to_owned(),
        text => format!("clusters with {text}"),
    }];
    if !placement.regions.is_empty() {
        parts.push(format!("in regions {}", placement.regions.join(", ")));
    }
    if let Some(count) = placement.count {
        parts.push(format!("{count} of them"));
    }
    for spread in &placement.spread {
        let least = spread.min_domains.map(|least| format!(" (at least {least})")).unwrap_or_default();
        parts.push(format!("spread by {}{least}", spread.by));
    }
    if !placement.prefer.is_empty() {
        parts.push(format!("{} preferences", placement.prefer.len()));
    }
    if !placement.tolerations.is_empty() {
        parts.push(format!("{} tolerations", placement.tolerations.len()));
    }
    parts.join("; ")
}

/// The selector as it would be typed.
fn selector_text(selector: &Selector) -> String {
    let labels = selector.match_labels.iter().map(|(key, value)| format!("{key}={value}"));
    let requirements = selector.match_expressions.iter().map(|requirement| {
        let key = &requirement.key;
        let values = requirement.values.iter().map(String::as_str).collect::<Vec<_>>().join(",");
        match (requirement.operator, requirement.values.len()) {
            (Operator::In, 1) => format!("{key}={values}"),
            (Operator::NotIn, 1) => format!("{key}!={values}"),
            (Operator::In, _) => format!("{key} in ({values})"),
            (Operator::NotIn, _) => format!("{key} notin ({values})"),
            (Operator::Exists, _) => key.clone(),
            (Operator::DoesNotExist, _) => format!("!{key}"),
        }
    });
    labels.chain(requirements).collect::<Vec<_>>().join(",")
}

fn clusters(assignments: &[AssignmentView], now: Timestamp, printer: &mut Printer) -> Outcome<()> {
    heading(printer, "Clusters")?;
    if assignments.is_empty() {
        printer.line("  none")?;
        return Ok(());
    }
    let shape = Shape { now, ..Shape::default() };
    // The first column names the application, which is known here.
    let mut table = Table::new(AssignmentView::columns(&shape)[1..].to_vec()).indented(2);
    for view in assignments {
        table.push(view.cells(&shape).split_off(1));
    }
    table.print(printer)?;
    Ok(())
}

fn why(report: &PlacementReport, printer: &mut Printer) -> Outcome<()> {
    heading(printer, "Why these clusters")?;
    let mut table = Table::without_header(3).indented(2);
    for decision in &report.decisions {
        let (word, tone) = match decision.verdict {
            Verdict::Chosen => ("chosen", Tone::Good),
            Verdict::NotNow => ("not now", Tone::Busy),
            Verdict::Excluded => ("excluded", Tone::Dim),
        };
        table.push(vec![
            Cell::new(decision.cluster.as_str()),
            Cell::toned(word, tone),
            Cell::new(decision.reason.as_str()),
        ]);
    }
    table.print(printer)?;
    if report.unplaced_count > 0 {
        printer.toned(
            Tone::Bad,
            &format!("  {} more clusters are wanted than could be found", report.unplaced_count),
        )?;
    }
    for problem in &report.problems {
        printer.toned(Tone::Busy, &format!("  {problem}"))?;
    }
    Ok(())
}

fn unhealthy(assignments: &[AssignmentView], now: Timestamp, printer: &mut Printer) -> Outcome<()> {
    heading(printer, "What is not healthy")?;
    let mut table = Table::without_header(4).indented(2);
    let mut is_empty = true;
    for row in assignments.iter().flat_map(|view| unhealthy_rows(view, now)) {
        is_empty = false;
        table.push(row);
    }
    if is_empty {
        printer.line("  nothing")?;
    }
    table.print(printer)?;
    Ok(())
}

/// How many objects of one cluster are named before the rest is counted.
const NAMED_OBJECTS: usize = 10;

/// What is wrong in one cluster: the cluster itself, or the objects that its agent names.
fn unhealthy_rows(view: &AssignmentView, now: Timestamp) -> Vec<Vec<Cell>> {
    let cluster = view.assignment.cluster.as_str();
    let row = |what: String, tone: Tone, state: String, reason: String| {
        vec![Cell::new(cluster), Cell::new(what), Cell::toned(state, tone), Cell::new(reason)]
    };
    let status = match (&view.status, view.liveness) {
        (status, liveness @ (Liveness::Lost | Liveness::Unheard)) => {
            let reported = ago(status.as_ref().map(|status| status.observed_at), now);
            let reason = format!("what it said of the application is from {reported}");
            return vec![row("the cluster".into(), liveness.into(), liveness.to_string(), reason)];
        }
        (None, _) => {
            let reason = "its agent has said nothing of it yet".to_owned();
            return vec![row("-".into(), Tone::Dim, Health::Unknown.to_string(), reason)];
        }
        (Some(status), _) => status,
    };
    let mut rows: Vec<_> = status
        .objects
        .iter()
        .take(NAMED_OBJECTS)
        .map(|object| {
            let since =
                object.since.map(|since| format!(" for {}", age(Some(since), now))).unwrap_or_default();
            let (state, tone) = worse(object.sync, object.health);
            row(object.object.to_string(), tone, format!("{state}{since}"), object.reason.clone())
        })
        .collect();
    if let Some(rest) = status.objects.len().checked_sub(NAMED_OBJECTS).filter(|rest| *rest > 0) {
        let all = format!("and {rest} more (nave get assignments {} -o yaml)", view.assignment.application);
        rows.push(row(all, Tone::Dim, "-".into(), String::new()));
    }
    let is_well = status.sync <= SyncState::Suspended && status.health <= Health::Suspended;
    if rows.is_empty() && !is_well {
        let (state, tone) = worse(status.sync, status.health);
        rows.push(row("-".into(), tone, state, status.reason.clone()));
    }
    rows
}

/// The one of both states that says more.
fn worse(sync: SyncState, health: Health) -> (String, Tone) {
    if matches!(sync, SyncState::Failed | SyncState::OutOfSync) || health <= Health::Suspended {
        (sync.to_string(), sync.into())
    } else {
        (health.to_string(), health.into())
    }
}
