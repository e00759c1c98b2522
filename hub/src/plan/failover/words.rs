//! The sentences in which failover tells people what it waits for and how it ended.

use std::fmt::Write as _;

use nave_common::failover::state::{Cause, FailoverState, MovePhase};
use nave_common::name::{ApplicationKey, ClusterName};
use nave_common::placement::Verdict;
use nave_common::status::PlacementReport;
use nave_common::time::Timestamp;

use crate::plan::placement::Obstacle;

/// How the reason of a move begins that a person gave up.
pub(super) const ABORTED_BY: &str = "given up by ";

/// What stands against a cluster, after its name.
pub(super) fn stands(cause: Cause) -> &'static str {
    match cause {
        Cause::Lost => "is lost",
        Cause::Sick => "is sick",
        Cause::Degraded => "has it Degraded",
        Cause::Drained => "is being drained",
        Cause::Placement => "is no longer let in by the placement",
        Cause::Ordered => "is to be left",
        Cause::Failback => "gives it back",
    }
}

/// Why it left a cluster, in the past.
pub(super) fn left(cause: Cause) -> &'static str {
    match cause {
        Cause::Lost => "was lost",
        Cause::Sick => "was sick",
        Cause::Degraded => "had it Degraded",
        Cause::Drained => "was drained",
        Cause::Placement => "was no longer let in",
        Cause::Ordered => "was left on an order",
        Cause::Failback => "gave it back",
    }
}

/// What keeps new work out of a cluster, after its name.
pub(super) fn obstacle(obstacle: Obstacle) -> &'static str {
    match obstacle {
        Obstacle::Tainted => "has a taint that is not tolerated",
        Obstacle::Cordoned => "is cordoned or being drained",
        Obstacle::Silent => "is not heard",
        Obstacle::Sick => "is sick",
        Obstacle::Full => "has no room",
    }
}

/// How a move ended whose new cluster turned out bad before it took over.
pub(super) fn turned_back(to: &ClusterName, cause: Cause, from: &ClusterName) -> String {
    format!("{to} {}; it stays in {from}", stands(cause))
}

/// How a person says that an old copy is dead.
pub(super) fn confirm(application: &ApplicationKey, cluster: &ClusterName) -> String {
    format!("`nave failover confirm-fenced {application} --cluster {cluster}`")
}

/// `10:02`, as people read it.
fn clock(at: Timestamp) -> String {
    at.to_string().chars().skip(11).take(5).collect()
}

/// Adds to a report of the placement what failover has to say of clusters that it left, or in which it stands parked.
pub fn explain(report: &mut PlacementReport, state: &FailoverState) {
    for decision in &mut report.decisions {
        let cluster = &decision.cluster;
        if let Some(text) = parked(state, cluster) {
            decision.reason = text;
            if decision.verdict == Verdict::Chosen {
                decision.verdict = Verdict::NotNow;
            }
            continue;
        }
        let from = state.moves.iter().find(|it| it.from == *cluster);
        let to =
            state.moves.iter().find(|it| it.to.as_ref() == Some(cluster) && it.phase != MovePhase::Fencing);
        if let Some(it) = from {
            let _ = write!(decision.reason, "; {}: {}", it.cause, it.reason);
        } else if let Some(it) = to {
            let _ = write!(decision.reason, "; took it over from {} ({})", it.from, it.cause);
        }
        if let Some(grant) = state.grant.as_ref().filter(|grant| grant.cluster == *cluster) {
            let _ = write!(decision.reason, "; holds the exclusive lease, epoch {}", grant.epoch);
        }
    }
    report.decisions.sort_by(|a, b| (a.verdict, &a.cluster).cmp(&(b.verdict, &b.cluster)));
}

/// `parked since 10:02: eu-1 was lost; runs in us-1`.
fn parked(state: &FailoverState, cluster: &ClusterName) -> Option<String> {
    let parked = state.parked.get(cluster)?;
    let mut text = format!("parked since {}", clock(parked.since));
    let moves = state.moves.iter().rev().chain(&state.history);
    let left_by = moves
        .filter(|it| it.phase != MovePhase::Aborted)
        .find(|it| it.from == *cluster && (it.to.is_some() && it.to == parked.replaced_by));
    match left_by {
        Some(it) => {
            let _ = write!(text, ": {cluster} {}", left(it.cause));
        }
        None if parked.replaced_by.is_none() => text.push_str(": stands by"),
        None => {}
    }
    if let Some(instead) = &parked.replaced_by {
        let _ = write!(text, "; runs in {instead}");
    }
    if parked.is_home {
        text.push_str("; is its home");
    }
    Some(text)
}
