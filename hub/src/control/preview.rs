//! Placements for people to look at: why it is as it is, and how it would be. Nothing is changed.

use nave_common::application::Application;
use nave_common::failover::state::{FailoverState, MovePhase};
use nave_common::name::{ApplicationKey, ClusterName};
use nave_common::resources::Resources;
use nave_common::status::PlacementReport;

use crate::plan::assign::running;
use crate::plan::failover::words;
use crate::plan::placement::{Problem, Steer, place};
use crate::world::State;

/// Where `application` as given would run, starting from where it runs now, if each copy requested `requests`.
#[must_use]
pub fn preview(state: &State, application: &Application, requests: Resources) -> PlacementReport {
    let left = left(state, &application.key());
    placed(state, application, requests, &left, &[])
}

/// Why an application is where it is, and what failover has to say of it; `None` where there is none of that name.
#[must_use]
pub fn explain(state: &State, key: &ApplicationKey) -> Option<PlacementReport> {
    let application = &state.applications().get(key)?.value;
    let requests = state.latest_revision(key).map(|revision| revision.requests).unwrap_or_default();
    let left = left(state, key);
    let mut report = placed(state, application, requests, &left, &left);
    if let Some(failover) = state.failovers().get(key) {
        words::explain(&mut report, &failover.value);
    }
    Some(report)
}

fn placed(
    state: &State,
    application: &Application,
    requests: Resources,
    left: &[ClusterName],
    avoid: &[ClusterName],
) -> PlacementReport {
    let key = application.key();
    let told = state.assignments_of(&key).into_iter().flat_map(|told| running(told));
    let current: Vec<ClusterName> =
        told.map(|(cluster, _)| cluster.clone()).filter(|cluster| !left.contains(cluster)).collect();
    place(&Problem {
        application: &key,
        placement: &application.spec.placement,
        requests,
        current: &current,
        fleet: state.fleet(),
        steer: Steer { prefer: &application.spec.failover.prefer, avoid, ..Steer::default() },
    })
}

/// The clusters that hold no place: where it stands parked, and what it leaves as soon as others have it.
fn left(state: &State, key: &ApplicationKey) -> Vec<ClusterName> {
    let Some(failover) = state.failovers().get(key) else { return Vec::new() };
    let FailoverState { parked, moves, grant, .. } = &*failover.value;
    let is_moving = |phase| matches!(phase, MovePhase::Applying | MovePhase::Settling);
    let leaving = moves.iter().filter(|it| is_moving(it.phase)).map(|it| &it.from);
    // Who holds, or held last, the exclusive lease has the one place there is.
    let holder = grant.as_ref().map(|grant| &grant.cluster);
    parked.keys().chain(leaving).filter(|cluster| Some(*cluster) != holder).cloned().collect()
}
