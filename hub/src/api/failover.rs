//! How applications stand in failover, for people to look at.

use std::ops::Bound;

use nave_common::application::Application;
use nave_common::assignment::Desired;
use nave_common::failover::state::{FailoverState, Grant};
use nave_common::failover::{Failover, FailoverView};
use nave_common::name::{ApplicationKey, ClusterName};
use nave_common::time::{BootTime, Timestamp};
use nave_proto::v1;

use super::page::{self, Page};
use super::{read, view};
use crate::error::Error;
use crate::parts::Parts;
use crate::world::State;

/// How one application stands.
///
/// # Errors
/// Where there is no such application.
pub(super) fn get(parts: &Parts, request: v1::GetFailoverRequest) -> Result<v1::GetFailoverResponse, Error> {
    let key = read::key(request.application)?;
    let found = of(parts, &key).ok_or_else(|| view::no_application(&key))?;
    Ok(v1::GetFailoverResponse { failover: Some(found.into()) })
}

/// A page of the applications that failover has anything to do with, ordered by project and name.
///
/// # Errors
/// Where the request is not valid.
pub(super) fn list(
    parts: &Parts,
    request: &v1::ListFailoversRequest,
) -> Result<v1::ListFailoversResponse, Error> {
    let project = read::project_or_none(&request.project)?;
    let after: Option<ApplicationKey> = page::read_token(&request.page_token)?;
    let start = after.map_or(Bound::Unbounded, Bound::Excluded);
    let mut page = Page::new(request.page_size);
    let keys: Vec<ApplicationKey> = parts.world.read(|state| {
        let all = state.applications().range((start, Bound::Unbounded));
        let wanted = all.filter(|(key, stored)| {
            project.as_ref().is_none_or(|project| *project == key.project)
                && (may_move(&stored.value) || state.failovers().contains_key(*key))
        });
        wanted.map(|(key, _)| key.clone()).take(page.limit() + 1).collect()
    });
    // One at a time, so that nobody waits for a whole page of them.
    let next = page.fill(&keys, |key| of(parts, key).map(Into::into));
    Ok(v1::ListFailoversResponse {
        failovers: page.into_items(),
        next_page_token: next.map(|key| page::token(&key.to_string())).unwrap_or_default(),
    })
}

/// Whether an application can ever move, or says how: one that runs in every cluster that matches has nowhere to go.
fn may_move(application: &Application) -> bool {
    let spec = &application.spec;
    spec.placement.count.is_some() || spec.failover != Failover::default()
}

/// How an application stands; `None` where there is none of that name.
#[must_use]
pub(super) fn of(parts: &Parts, key: &ApplicationKey) -> Option<FailoverView> {
    let mut view = parts.world.read(|state| stored(state, key))?;
    // After the world, as everywhere that needs both.
    view.lease_ends_at = view.state.grant.as_ref().map(|grant| lease_end(parts, key, grant));
    Some(view)
}

/// When the lease of a grant is over if nothing renews it, on the wall clock.
fn lease_end(parts: &Parts, key: &ApplicationKey, grant: &Grant) -> Timestamp {
    let over_at = parts.grants.over_at(key, grant);
    let (boot, wall) = (BootTime::from_duration(parts.clock.boot()), parts.now());
    let behind = i64::try_from(boot.since(over_at).as_millis()).unwrap_or(i64::MAX);
    let earlier = Timestamp::from_millis(wall.as_millis().saturating_sub(behind)).unwrap_or(wall);
    earlier.plus(over_at.since(boot))
}

fn stored(state: &State, key: &ApplicationKey) -> Option<FailoverView> {
    let application = &state.applications().get(key)?.value;
    let standing = state.failovers().get(key);
    Some(FailoverView {
        failover: application.spec.failover.clone(),
        state: standing
            .map_or_else(|| FailoverState::new(key.clone()), |stored| FailoverState::clone(&stored.value)),
        active: active(state, key),
        lease_ends_at: None,
    })
}

/// The clusters that are told to run an application.
#[must_use]
pub(super) fn active(state: &State, key: &ApplicationKey) -> Vec<ClusterName> {
    let told = state.assignments_of(key).into_iter().flat_map(|told| told.iter());
    let active = told.filter(|(_, assignment)| match &assignment.desired {
        Desired::Run(run) => run.activity.is_active(),
        Desired::Remove => false,
    });
    active.map(|(cluster, _)| cluster.clone()).collect()
}
