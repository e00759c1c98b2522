//! Placements for people to look at: why it is as it is, and how it would be. Nothing is changed.

use nave_common::application::Application;
use nave_common::name::{ApplicationKey, ClusterName};
use nave_common::resources::Resources;
use nave_common::status::PlacementReport;

use crate::plan::assign::running;
use crate::plan::placement::{Problem, Steer, place};
use crate::world::State;

/// Where `application` as given would run, starting from where it runs now, if each copy requested `requests`.
#[must_use]
pub fn preview(state: &State, application: &Application, requests: Resources) -> PlacementReport {
    let key = application.key();
    let told = state.assignments_of(&key);
    let current: Vec<ClusterName> =
        told.into_iter().flat_map(|told| running(told)).map(|(cluster, _)| cluster.clone()).collect();
    place(&Problem {
        application: &key,
        placement: &application.spec.placement,
        requests,
        current: &current,
        fleet: state.fleet(),
        steer: Steer { prefer: &application.spec.failover.prefer, ..Steer::default() },
    })
}

/// Why an application is where it is; `None` where there is none of that name.
#[must_use]
pub fn explain(state: &State, key: &ApplicationKey) -> Option<PlacementReport> {
    let application = &state.applications().get(key)?.value;
    let requests = state.latest_revision(key).map(|revision| revision.requests).unwrap_or_default();
    Some(preview(state, application, requests))
}
