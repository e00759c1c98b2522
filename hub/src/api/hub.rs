//! The hub itself: which it is.

use nave_proto::v1;

use crate::parts::Parts;

/// Which hub this is.
#[must_use]
pub(super) fn get(parts: &Parts) -> v1::GetHubResponse {
    let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    parts.world.read(|state| v1::GetHubResponse {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        term: state.generation().term,
        generation: Some(state.generation().into()),
        sequence: state.sequence().0,
        started_at_ms: parts.started_at.as_millis(),
        cluster_count: count(state.clusters().len()),
        application_count: count(state.applications().len()),
        failover: None,
        held_count: count(state.waiting_count()),
    })
}
