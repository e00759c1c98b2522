//! What became of an application's moves, told to people and counted: one event for each step.

use nave_common::event::Severity;
use nave_common::failover::state::{FailoverState, Fenced, Grant, Move, MovePhase, OrderKind};
use nave_common::time::{HumanDuration, Timestamp};

use crate::metrics::FailoverMetrics;

/// One thing to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) severity: Severity,
    pub(super) reason: &'static str,
    pub(super) message: String,
}

/// What happened between two states, in order.
pub(super) fn steps(before: &FailoverState, after: &FailoverState) -> Vec<Step> {
    let mut steps = Vec::new();
    for (old, new) in changed(before, after) {
        steps.extend(of(old, new));
    }
    steps.extend(granted(before, after));
    steps
}

/// Counts what happened between two states.
pub(super) fn count(metrics: &FailoverMetrics, before: &FailoverState, after: &FailoverState) {
    for (old, new) in changed(before, after) {
        if old.is_none_or(|old| old.phase != new.phase) {
            metrics.reached(new.phase, new.cause);
        }
        let was_applied = old.is_some_and(|old| old.times.applied_at.is_some());
        if let (false, Some(applied_at), Some(detected_at)) =
            (was_applied, new.times.applied_at, new.times.detected_at)
        {
            metrics.applied_after(applied_at.since(detected_at));
        }
    }
    let held = |state: &FailoverState| i64::from(holds(state));
    metrics.leases.inc_by(held(after) - held(before));
    metrics.fencing.inc_by(fencing_count(after) - fencing_count(before));
}

/// Counts what is there when the hub starts.
pub(super) fn count_first<'a>(metrics: &FailoverMetrics, states: impl Iterator<Item = &'a FailoverState>) {
    let (mut leases, mut fencing) = (0, 0);
    for state in states {
        leases += i64::from(holds(state));
        fencing += fencing_count(state);
    }
    metrics.leases.set(leases);
    metrics.fencing.set(fencing);
}

fn holds(state: &FailoverState) -> bool {
    state.grant.as_ref().is_some_and(|grant| grant.release.is_none())
}

fn fencing_count(state: &FailoverState) -> i64 {
    let count = state.moves.iter().filter(|it| it.phase == MovePhase::Fencing).count();
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// The moves that are not as they were, each beside what it was.
fn changed<'a>(before: &'a FailoverState, after: &'a FailoverState) -> Vec<(Option<&'a Move>, &'a Move)> {
    let find = |number: u64| before.moves.iter().chain(&before.history).find(|it| it.number == number);
    let all = after.history.iter().rev().chain(&after.moves);
    // What was forgotten and what is older than all that is remembered is no news.
    let pairs = all.map(|new| (find(new.number), new));
    pairs
        .filter(|(old, new)| *old != Some(*new) && (old.is_some() || new.number > before.move_count))
        .collect()
}

fn of(old: Option<&Move>, new: &Move) -> Vec<Step> {
    let mut steps = Vec::new();
    let to = new.to.as_ref().map_or_else(|| "nowhere yet".to_owned(), ToString::to_string);
    let route = format!("from {} to {to} ({})", new.from, new.cause);
    let mut tell = |severity, reason, message: String| steps.push(Step { severity, reason, message });
    let is_new = |was: fn(&Move) -> Option<Timestamp>| was(new).is_some() && old.and_then(was).is_none();
    let came_to = |phase: MovePhase| new.phase == phase && old.is_none_or(|old| old.phase != phase);
    let why = if new.reason.is_empty() { String::new() } else { format!(": {}", new.reason) };
    if came_to(MovePhase::Proposed) {
        let message = format!("could move {route}; waits for nave failover approve {}{why}", new.number);
        tell(Severity::Warning, "FailoverProposed", message);
    }
    if is_new(|it| it.times.decided_at) {
        tell(Severity::Normal, "FailoverDecided", format!("moves {route}"));
    }
    let waits = new.phase == MovePhase::Fencing && !new.reason.is_empty();
    if waits && old.is_none_or(|old| old.phase != new.phase || old.reason != new.reason) {
        tell(Severity::Warning, "FailoverFencing", format!("{route}{why}"));
    }
    if came_to(MovePhase::Unplaced) {
        tell(Severity::Warning, "FailoverUnplaced", format!("cannot move {route}{why}"));
    }
    if is_new(|it| it.times.fenced_at) {
        let message = format!("what ran in {} is known to be dead", new.from);
        tell(Severity::Normal, "FailoverFenced", message);
    }
    if is_new(|it| it.times.applied_at) {
        tell(
            Severity::Normal,
            "FailoverApplied",
            format!("applied in {to}{}", after(new, new.times.applied_at)),
        );
    }
    if is_new(|it| it.times.healthy_at) {
        tell(
            Severity::Normal,
            "FailoverHealthy",
            format!("Healthy in {to}{}", after(new, new.times.healthy_at)),
        );
    }
    if came_to(MovePhase::Done) {
        tell(Severity::Normal, "FailoverDone", format!("moved {route}{}", after(new, new.times.ended_at)));
    }
    if came_to(MovePhase::Aborted) {
        tell(Severity::Warning, "FailoverAborted", format!("does not move {route}{why}"));
    }
    steps
}

/// How long after its cause was noticed a step was done.
fn after(it: &Move, at: Option<Timestamp>) -> String {
    match (it.times.detected_at, at) {
        (Some(detected_at), Some(at)) => format!(" after {}", HumanDuration(at.since(detected_at))),
        _ => String::new(),
    }
}

fn granted(before: &FailoverState, after: &FailoverState) -> Vec<Step> {
    let Some(grant) = &after.grant else { return Vec::new() };
    let old = before.grant.as_ref();
    let is_new = old.is_none_or(|old| old.epoch != grant.epoch);
    let mut steps = Vec::new();
    let mut tell = |reason, message| steps.push(Step { severity: Severity::Normal, reason, message });
    let fenced = |grant: &Grant| grant.release.as_ref().and_then(|release| release.fenced.clone());
    // What is known to be dead and granted anew in one step is told of whoever said so.
    let said = before.orders.iter().find(|it| matches!(it.what, OrderKind::ConfirmFenced { .. }));
    let by_order = said.filter(|_| is_new && old.is_some_and(|old| fenced(old).is_none()));
    let how = match fenced(grant).filter(|_| !is_new && old.and_then(fenced).is_none()) {
        Some(Fenced::Confirmed) => Some("its agent saw everything end".to_owned()),
        Some(Fenced::Storage) => Some("its storage refuses the old epoch from now on".to_owned()),
        Some(Fenced::Person(who)) => Some(format!("{who} said so")),
        Some(Fenced::Webhook) => Some("the fencing webhook said so".to_owned()),
        Some(Fenced::Assumed) => Some("assumeFencedAfter is over".to_owned()),
        None => by_order.map(|order| format!("{} said so", order.by)),
    };
    if let (Some(how), Some(old)) = (how, old) {
        tell("LeaseReleased", format!("epoch {} in {} counts as dead: {how}", old.epoch, old.cluster));
    }
    if is_new {
        tell("LeaseGranted", format!("{} may run it, with epoch {}", grant.cluster, grant.epoch));
    }
    steps
}

#[cfg(test)]
mod tests {
    use nave_common::failover::state::{Cause, MoveTimes};

    use super::*;

    fn state(moves: Vec<Move>) -> FailoverState {
        FailoverState { moves, move_count: 1, ..FailoverState::new("shop".parse().unwrap()) }
    }

    fn reasons(before: &FailoverState, after: &FailoverState) -> Vec<&'static str> {
        steps(before, after).into_iter().map(|step| step.reason).collect()
    }

    #[test]
    fn each_step_of_a_move_is_told_once() {
        let at = |seconds| Some(Timestamp::EPOCH.plus(std::time::Duration::from_secs(seconds)));
        let mut it = Move {
            number: 1,
            from: "eu-1".parse().unwrap(),
            to: "us-1".parse().ok(),
            cause: Cause::Lost,
            phase: MovePhase::Applying,
            reason: String::new(),
            epoch: None,
            times: MoveTimes { detected_at: at(1), decided_at: at(1), ..MoveTimes::default() },
        };
        let none = FailoverState::new("shop".parse().unwrap());
        let begun = state(vec![it.clone()]);
        assert_eq!(reasons(&none, &begun), ["FailoverDecided"]);
        assert_eq!(reasons(&begun, &begun), [] as [&str; 0]);
        (it.phase, it.times.applied_at) = (MovePhase::Settling, at(2));
        let applied = state(vec![it.clone()]);
        assert_eq!(steps(&begun, &applied)[0].message, "applied in us-1 after 1s");
        (it.phase, it.times.healthy_at, it.times.ended_at) = (MovePhase::Done, at(3), at(3));
        let done = FailoverState { history: vec![it], ..state(Vec::new()) };
        assert_eq!(reasons(&applied, &done), ["FailoverHealthy", "FailoverDone"]);
        let metrics = crate::metrics::Metrics::new();
        count(&metrics.failover, &begun, &done);
        let text = metrics.text(&crate::metrics::Scrape::default());
        assert!(text.contains("moves_total{phase=\"Done\",cause=\"Lost\"} 1"), "{text}");
    }
}
