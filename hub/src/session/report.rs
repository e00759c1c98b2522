//! What a session finds out and people should know: as events, and where there is a place for it, in the status.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use nave_common::event::{Event, Severity};
use nave_common::failover::Epoch;
use nave_common::health::Health;
use nave_common::name::{ApplicationKey, ClusterName};
use nave_common::status::{AssignmentStatus, SyncState};
use nave_proto::v1;

use super::intake;
use super::machine::Ahead;
use crate::parts::Parts;

/// Applications that a message names one by one.
const NAMED_APPLICATIONS: usize = 5;

/// The agent runs what the hub has never heard of.
pub(super) fn unknown(parts: &Parts, cluster: &ClusterName, unknown: &BTreeSet<ApplicationKey>) {
    if unknown.is_empty() {
        return;
    }
    let message = format!(
        "{cluster} runs {}, of which this hub has never heard; nothing is done about it; apply it here, or remove it there",
        named(unknown)
    );
    tell(parts, cluster, None, "UnknownApplications", message, String::new());
}

/// Two agents take each other's place in turns.
pub(super) fn rivalry(parts: &Parts, cluster: &ClusterName) {
    let message = format!("two agents run as cluster {cluster}; stop one of them");
    tracing::warn!(%cluster, "{message}");
    tell(parts, cluster, None, "TwoAgents", message, String::new());
}

/// The agent has seen more than the hub knows.
pub(super) fn ahead(parts: &Parts, cluster: &ClusterName, ahead: &Ahead) {
    let mut message = if ahead.agent > ahead.hub {
        format!("{cluster} has seen generation {} and this hub is at {}", ahead.agent, ahead.hub)
    } else {
        format!("{cluster} has something newer than this hub")
    };
    if !ahead.applications.is_empty() {
        let _ = write!(message, ", of {}", named(&ahead.applications));
    }
    message.push_str("; nothing older is sent; was an older state of the hub put back?");
    tell(parts, cluster, None, "AgentAhead", message, String::new());
}

/// The agent has seen a newer token of Exclusive work than this hub ever granted.
pub(super) fn epoch_ahead(parts: &Parts, cluster: &ClusterName, epoch: Epoch) {
    let message = format!(
        "{cluster} has seen epoch {epoch} of Exclusive work, which this hub never granted; nothing Exclusive that it \
         holds is granted or renewed anywhere, until somebody has looked and thaws failover; was an older state of the \
         hub put back?"
    );
    tracing::warn!(%cluster, %epoch, "an agent has seen a newer epoch than this hub granted");
    tell(parts, cluster, None, "AgentAhead", message, String::new());
}

/// The agent refuses an assignment.
pub(super) fn refused(parts: &Parts, cluster: &ClusterName, wire: v1::Refused) {
    let Some(Ok(key)) = wire.application.map(ApplicationKey::try_from) else { return };
    let generation = intake::generation(wire.generation);
    let mut reason = wire.reason;
    intake::shorten(&mut reason);
    let told = parts.world.read(|state| {
        let entry = state.assignment(cluster, &key)?;
        Some((entry.assignment.clone(), entry.status.clone()))
    });
    // What is no longer wanted need not be taken.
    let Some((assignment, before)) = told.filter(|(assignment, _)| assignment.generation == generation)
    else {
        return;
    };
    let reason = format!("the agent refuses generation {generation}: {reason}");
    if before.as_ref().is_some_and(|said| said.reason == reason) {
        return; // It was said before.
    }
    let mut status = before.map_or_else(
        || AssignmentStatus {
            application: key.clone(),
            generation,
            applied: None,
            removed: false,
            sync: SyncState::Failed,
            health: Health::Unknown,
            reason: String::new(),
            object_count: 0,
            healthy_count: 0,
            drift_count: 0,
            objects: Vec::new(),
            fence: None,
            observed_at: parts.now(),
        },
        |status| AssignmentStatus::clone(&status),
    );
    status.generation = generation;
    status.sync = SyncState::Failed;
    status.reason.clone_from(&reason);
    parts.world.observe(cluster, vec![status], false, None);
    tell(parts, cluster, Some(key), "Refused", reason, assignment.change_id.clone());
}

fn named(keys: &BTreeSet<ApplicationKey>) -> String {
    let names: Vec<String> = keys.iter().take(NAMED_APPLICATIONS).map(ToString::to_string).collect();
    match keys.len().saturating_sub(NAMED_APPLICATIONS) {
        0 => names.join(", "),
        more => format!("{} and {more} more", names.join(", ")),
    }
}

fn tell(
    parts: &Parts,
    cluster: &ClusterName,
    application: Option<ApplicationKey>,
    reason: &str,
    message: String,
    change_id: String,
) {
    parts.events.tell(Event {
        at: parts.now(),
        severity: Severity::Warning,
        reason: reason.into(),
        message,
        application,
        cluster: Some(cluster.clone()),
        change_id,
    });
}
