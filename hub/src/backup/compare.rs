//! What an agent's Hello says of the applications that wait after a restore: pure.

use nave_common::assignment::Desired;
use nave_common::digest::Digest;
use nave_common::name::{ApplicationKey, ClusterName};

use crate::session::machine::{Held, Hello};
use crate::world::{Finding, Report, State};

/// Compares what an agent says it has with what the hub knows; `None` where nothing is held and the agent knows no more
/// than the hub.
#[must_use]
pub fn compare(state: &State, cluster: &ClusterName, hello: &Hello) -> Option<Report> {
    let mut report = Report::default();
    if hello.generation > state.generation() {
        report.ahead = Some(hello.generation);
    }
    for key in state.holds().keys() {
        let had = hello.held.get(key);
        report.found.extend(find(state, cluster, key, had).map(|finding| (key.clone(), finding)));
        // The store's assignments carry the restored term: whoever has something as new and other heard another hub.
        if let (Some(had), Some(entry)) = (had, state.assignment(cluster, key))
            && had.generation >= entry.assignment.generation
            && had.desired != entry.assignment.desired.digest()
        {
            report.ahead = report.ahead.max(Some(had.generation));
        }
    }
    (report.ahead.is_some() || !state.holds().is_empty()).then_some(report)
}

/// How one application differs from what the hub wants of it in the cluster; `None` where it does not.
fn find(state: &State, cluster: &ClusterName, key: &ApplicationKey, had: Option<&Held>) -> Option<Finding> {
    let wanted = state.assignment(cluster, key).map(|entry| &entry.assignment.desired);
    let removed: Digest = Desired::Remove.digest();
    match (wanted, had) {
        (Some(wanted), Some(had)) if had.desired == wanted.digest() => None,
        (Some(Desired::Run(_)), Some(had)) if had.desired == removed => Some(Finding::Removed),
        (Some(_), Some(_)) => Some(Finding::Differs),
        (Some(Desired::Run(_)), None) => Some(Finding::Missing),
        // It is to go, or not to be there, and there is nothing of it.
        (Some(Desired::Remove) | None, None) => None,
        (None, Some(had)) => (had.desired != removed).then_some(Finding::Extra),
    }
}
