//! `nave failover status`: how applications stand.

use nave_common::failover::state::{Fenced, OrderKind};
use nave_common::failover::{FailoverView, HubFailover};
use nave_common::time::Timestamp;
use serde_json::{Value, json};

use super::super::target;
use super::hub_lines;
use crate::args::{FailoverStatus, Format, Global};
use crate::client::Hub;
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{
    Cell, Printer, Row as _, Shape, Table, Tone, ago, as_resource, json_text, lease_text, now, show, way,
    yaml_text,
};

pub(super) async fn run(global: &Global, verb: &FailoverStatus, printer: &mut Printer) -> Outcome {
    if verb.all_projects && !verb.what.is_empty() {
        return Err(Failure::usage("a name and --all-projects exclude each other"));
    }
    let project = &verb.project.project;
    let key = if verb.what.is_empty() { None } else { Some(target::one_application(&verb.what, project)?) };
    let hub = Hub::connect(global).await?;
    let failover = hub.info().await?.failover;
    let views = match &key {
        Some(key) => vec![hub.failover(key).await?],
        None => hub.failovers((!verb.all_projects).then_some(project)).await?,
    };
    let now = now()?;
    if matches!(verb.output, Format::Json | Format::Yaml) {
        let document = document(&failover, &views)?;
        let text = if verb.output == Format::Json { json_text(&document) } else { yaml_text(&document)? };
        printer.raw(&text)?;
        return Ok(Exit::Done);
    }
    if verb.output != Format::Name {
        for line in hub_lines(&failover, now) {
            printer.toned(Tone::Busy, &line)?;
        }
    }
    match views.as_slice() {
        [view] if key.is_some() && verb.output == Format::Table => page(view, now, printer)?,
        views => {
            let shape = Shape { with_project: verb.all_projects, now, ..Shape::default() };
            show(printer, views, verb.output, shape, false)?;
            if views.is_empty() && verb.output != Format::Name {
                printer.hint("no application can fail over: none has placement.count");
            }
        }
    }
    Ok(Exit::Done)
}

/// The hub and the applications in one document.
fn document(failover: &HubFailover, views: &[FailoverView]) -> Outcome<Value> {
    let items = views.iter().map(FailoverView::document).collect::<Outcome<Vec<_>>>()?;
    as_resource("FailoverStatus", &json!({"hub": failover, "items": items}))
}

/// One application in full.
fn page(view: &FailoverView, now: Timestamp, printer: &mut Printer) -> Outcome<()> {
    let mut facts = Table::without_header(2);
    for (name, value, tone) in facts_of(view, now) {
        facts.push(vec![Cell::new(format!("{name}:")), Cell::toned(value, tone)]);
    }
    facts.print(printer)?;
    details(view, now, 0, printer)
}

/// A name, what stands beside it, and how that is meant.
type Fact = (&'static str, String, Tone);

/// What there is to know of an application's failover, line by line; for other pages too.
pub(in crate::command) fn facts_of(view: &FailoverView, now: Timestamp) -> Vec<Fact> {
    let (rules, state) = (view.failover.exclusive_rules(), &view.state);
    let mut facts = vec![("Application", state.application.to_string(), Tone::Plain)];
    let mode = match &rules {
        Some(rules) => format!(
            "{} (fence {}, lease {}, stops within {})",
            view.failover.mode, rules.fence, rules.lease_duration, rules.fence_timeout
        ),
        None => view.failover.mode.to_string(),
    };
    facts.push(("Mode", mode, Tone::Plain));
    let active: Vec<&str> = view.active.iter().map(|name| name.as_str()).collect();
    let tone = if active.is_empty() { Tone::Bad } else { Tone::Plain };
    let active = if active.is_empty() { "nowhere".to_owned() } else { active.join(", ") };
    facts.push(("Active in", active, tone));
    for (cluster, parked) in &state.parked {
        let home = if parked.is_home { ", its home" } else { "" };
        let instead = parked.replaced_by.as_ref().map(|by| format!(", replaced by {by}")).unwrap_or_default();
        let text = format!("{cluster}{home}{instead}, since {}", ago(Some(parked.since), now));
        facts.push(("Parked in", text, Tone::Plain));
    }
    if let Some(grant) = &state.grant {
        let (lease, tone) = lease_text(view.lease_ends_at, now);
        let text = match &grant.release {
            None => format!(
                "{}, epoch {}, granted {}; its lease ends in {lease} if the hub does not renew it",
                grant.cluster,
                grant.epoch,
                ago(Some(grant.granted_at), now)
            ),
            Some(release) => format!(
                "being taken back from {} (epoch {}) since {}; {}",
                grant.cluster,
                grant.epoch,
                ago(Some(release.since), now),
                fenced_text(release.fenced.as_ref(), &lease)
            ),
        };
        facts.push(("Lease", text, tone));
    }
    facts
}

fn fenced_text(fenced: Option<&Fenced>, lease: &str) -> String {
    match fenced {
        None if lease == "over" => "its lease is over; the old copy is not known to be dead yet".to_owned(),
        None => format!("its lease ends in {lease}"),
        Some(Fenced::Confirmed) => "its agent saw the old copy end".to_owned(),
        Some(Fenced::Storage) => "its storage refuses the old epoch".to_owned(),
        Some(Fenced::Person(by)) => format!("{by} said that the old copy is dead"),
        Some(Fenced::Webhook) => "the fencing webhook said that the old copy is dead".to_owned(),
        Some(Fenced::Assumed) => "the old copy is taken for dead (assumeFencedAfter)".to_owned(),
    }
}

/// What moves, what was ordered, what moved last; so many spaces to the right.
pub(in crate::command) fn details(
    view: &FailoverView,
    now: Timestamp,
    indent: usize,
    printer: &mut Printer,
) -> Outcome<()> {
    let state = &view.state;
    let columns = vec!["MOVE", "WAY", "CAUSE", "PHASE", "SINCE", "REASON"];
    let mut table = Table::new(columns).indented(indent);
    let (moves, last) = (state.moves.iter(), state.history.first());
    for it in moves.chain(last) {
        let since = it.times.ended_at.or(it.times.decided_at).or(it.times.detected_at);
        table.push(vec![
            Cell::new(it.number.to_string()),
            Cell::new(way(it)),
            Cell::new(it.cause.to_string()),
            Cell::state(it.phase),
            Cell::new(crate::output::age(since, now)),
            Cell::new(it.reason.as_str()),
        ]);
    }
    if !state.moves.is_empty() || last.is_some() {
        printer.line("")?;
        table.print(printer)?;
    }
    for order in &state.orders {
        let text = match &order.what {
            OrderKind::Move { from, to } => format!(
                "a move{}{}",
                from.as_ref().map(|from| format!(" from {from}")).unwrap_or_default(),
                to.as_ref().map(|to| format!(" to {to}")).unwrap_or_default()
            ),
            OrderKind::Approve { number } => format!("move {number}"),
            OrderKind::Abort { number } => format!("to give up move {number}"),
            OrderKind::ConfirmFenced { cluster, .. } => format!("that what ran in {cluster} is dead"),
        };
        let at = ago(Some(order.at), now);
        printer.line(&format!("{:indent$}waits: {} ordered {text}, {at}", "", order.by))?;
    }
    Ok(())
}
