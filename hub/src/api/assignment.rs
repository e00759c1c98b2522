//! Assignments: what each cluster is told about each application, beside what was seen.

use std::ops::Bound;

use nave_common::name::{ApplicationKey, ClusterName};
use nave_proto::v1;

use super::page::{self, Page, Pair};
use super::{read, view};
use crate::error::Error;
use crate::parts::Parts;
use crate::world::State;

/// A page of assignments, ordered by cluster, project and name.
///
/// # Errors
/// Where the request is not valid, or there is no cluster of the name that it gives.
pub(super) fn list(
    parts: &Parts,
    request: v1::ListAssignmentsRequest,
) -> Result<v1::ListAssignmentsResponse, Error> {
    let application = read::key_or_none(request.application)?;
    let cluster = read::cluster_or_none("cluster", &request.cluster)?;
    if let Some(name) = cluster.as_ref() {
        parts.world.read(|state| view::known_cluster(state, name))?;
    }
    let after: Option<Pair> = page::read_token(&request.page_token)?;
    let mut page = Page::new(request.page_size);
    let limit = page.limit() + 1;
    let pairs = parts.world.read(|state| pairs(state, application.as_ref(), cluster.as_ref(), after, limit));
    let next = page.fill(&pairs, |Pair(cluster, key)| {
        parts.world.read(|state| state.assignment_view(cluster, key)).map(Into::into)
    });
    Ok(v1::ListAssignmentsResponse {
        assignments: page.into_items(),
        next_page_token: next.map(|pair| page::token(&pair.to_string())).unwrap_or_default(),
    })
}

/// The names of what a list or a watch asks for, at most `limit`.
#[must_use]
pub(super) fn pairs(
    state: &State,
    application: Option<&ApplicationKey>,
    cluster: Option<&ClusterName>,
    after: Option<Pair>,
    limit: usize,
) -> Vec<Pair> {
    if let (Some(key), None) = (application, cluster) {
        let start = after.map_or(Bound::Unbounded, |Pair(name, _)| Bound::Excluded(name));
        let told = state
            .assignments_of(key)
            .into_iter()
            .flat_map(|told| told.range((start.clone(), Bound::Unbounded)));
        return told.map(|(name, _)| Pair(name.clone(), key.clone())).take(limit).collect();
    }
    let first = after.as_ref().map(|Pair(name, _)| name.clone()).or_else(|| cluster.cloned());
    let start = first.map_or(Bound::Unbounded, Bound::Included);
    let clusters = state.assignments().range((start, Bound::Unbounded));
    let clusters = clusters.take_while(|(name, _)| cluster.is_none_or(|wanted| wanted == *name));
    let all =
        clusters.flat_map(|(name, entries)| entries.keys().map(move |key| Pair(name.clone(), key.clone())));
    let new = all.filter(|pair| after.as_ref().is_none_or(|after| (&pair.0, &pair.1) > (&after.0, &after.1)));
    new.filter(|pair| application.is_none_or(|wanted| *wanted == pair.1)).take(limit).collect()
}
