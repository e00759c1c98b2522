//! What plans did, in words for people.

use nave_common::assignment::Desired;
use nave_common::event::{Event, Severity};
use nave_common::failover::FailoverMode;
use nave_common::name::{ApplicationKey, ClusterName};
use nave_common::time::Timestamp;

use super::moves::Step;
use super::news::News;
use super::snapshot::Job;
use crate::plan::assign::{Change, Plan, Told};
use crate::records::{self, EventId, Record};
use crate::store::Write;
use crate::world::State;

/// The most clusters that one sentence names.
const MAX_NAMES: usize = 8;

/// The events of one plan, as writes. What a person or an agent waits for is always told; what came about by changes
/// of clusters only as far as `news` allows.
pub(super) fn writes(
    job: &Job,
    plan: &Plan,
    state: &State,
    news: &mut News,
    now: Timestamp,
) -> Result<Vec<Write>, records::Error> {
    of(job, plan, state)
        .into_iter()
        .filter(|_| job.is_own || news.allows())
        .map(|(severity, reason, message)| {
            let event = Event {
                at: now,
                severity,
                reason: reason.to_owned(),
                message,
                application: Some(job.key.clone()),
                cluster: None,
                change_id: job.change_id.to_string(),
            };
            write(event)
        })
        .collect()
}

/// The events of an application's moves, as writes. Those of Exclusive work are always told.
pub(super) fn of_moves(
    job: &Job,
    steps: Vec<Step>,
    news: &mut News,
    now: Timestamp,
) -> Result<Vec<Write>, records::Error> {
    let is_exclusive = job.application.value.spec.failover.mode == FailoverMode::Exclusive;
    let mut writes = Vec::new();
    // Steps of one moment stay in their order.
    let nonce = rand::random::<u64>() & !0xff;
    for (place, Step { severity, reason, message }) in steps.into_iter().enumerate() {
        tracing::info!(application = %job.key, reason, message, change_id = %job.change_id, "failover");
        if job.is_own || is_exclusive || news.allows() {
            let id = EventId { at: now, nonce: nonce | place.min(0xff) as u64 };
            let event = Event {
                at: now,
                severity,
                reason: reason.to_owned(),
                message,
                application: Some(job.key.clone()),
                cluster: None,
                change_id: job.change_id.to_string(),
            };
            writes.push(Record::Event(id, Box::new(event)).write()?);
        }
    }
    Ok(writes)
}

/// The write of an event, under a random nonce.
pub(super) fn write(event: Event) -> Result<Write, records::Error> {
    let id = EventId { at: event.at, nonce: rand::random() };
    Record::Event(id, Box::new(event)).write()
}

fn of(job: &Job, plan: &Plan, state: &State) -> Vec<(Severity, &'static str, String)> {
    let mut events = Vec::new();
    if plan.is_gone {
        events.push((Severity::Normal, "Removed", "removed from every cluster".to_owned()));
    }
    if let Some(moves) = moves(job, plan) {
        events.push((Severity::Normal, "PlacementChanged", moves));
    }
    let problems = [("Unplaced", &plan.placement_problems), ("RenderingRefused", &plan.rendering_problems)];
    for (reason, problems) in problems {
        let message = problems.join("; ");
        if !message.is_empty() && !was_told(state, &job.key, reason, problems, &message) {
            events.push((Severity::Warning, reason, message));
        }
    }
    events
}

/// Whether a change takes the application away from a cluster where it ran.
pub(super) fn leaves(change: &Change, told: &Told) -> bool {
    let ran = || told.get(change.cluster()).is_some_and(|before| matches!(before.desired, Desired::Run(_)));
    !matches!(change, Change::Tell(_, Desired::Run(_))) && ran()
}

fn moves(job: &Job, plan: &Plan) -> Option<String> {
    let runs =
        |cluster: &ClusterName| job.told.get(cluster).is_some_and(|a| matches!(a.desired, Desired::Run(_)));
    let (mut comes, mut goes) = (Vec::new(), Vec::new());
    for change in &plan.changes {
        match change {
            Change::Tell(cluster, Desired::Run(_)) if !runs(cluster) => comes.push(cluster),
            _ if leaves(change, &job.told) => goes.push(change.cluster()),
            _ => {}
        }
    }
    let parts = [("comes to", comes), ("leaves", goes)].into_iter().filter(|(_, names)| !names.is_empty());
    let text = parts.map(|(verb, names)| format!("{verb} {}", list(&names))).collect::<Vec<_>>().join("; ");
    (!text.is_empty()).then_some(text)
}

/// `a, b and 3 more`.
pub(super) fn list(names: &[&ClusterName]) -> String {
    let shown = names.iter().take(MAX_NAMES).map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(MAX_NAMES) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// Whether people were told already: by the plan before, or, for the first since the hub started, by an event that is
/// still kept.
fn was_told(state: &State, key: &ApplicationKey, reason: &str, problems: &[String], message: &str) -> bool {
    match state.placement(key) {
        Some(before) => problems.iter().all(|problem| before.problems.contains(problem)),
        None => state
            .events()
            .values()
            .rev()
            .find(|event| event.reason == reason && event.application.as_ref() == Some(key))
            .is_some_and(|event| event.message == message),
    }
}
