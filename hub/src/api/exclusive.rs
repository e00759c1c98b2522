//! What an apply asks of an application that fails over: that Exclusive work can be stopped, and that a change of the
//! rules does not run it twice.

use nave_common::application::Application;
use nave_common::assignment::{Activity, Desired, ExclusiveTerms, Run};
use nave_common::bundle::Bundle;
use nave_common::failover::{Epoch, Exclusive, Failover, FailoverMode, Fence};
use nave_common::health::Health;
use nave_common::manifest::Manifest;
use nave_common::name::ClusterName;
use nave_common::render::{self, activity};
use nave_common::status::Liveness;
use nave_common::time::HumanDuration;
use serde_json::Value;

use crate::error::Error;
use crate::store::Sequence;
use crate::world::State;

/// How long a pod may take to end where its template does not say, in seconds; as Kubernetes has it.
const DEFAULT_GRACE_SECONDS: u64 = 30;

/// Checks that what one cluster would run of Exclusive work can be marked, stopped, and given the time to end.
///
/// # Errors
/// What cannot, with what to do about it.
pub(super) fn check_rendering(
    application: &Application,
    bundle: &Bundle,
    run: &Run,
    manifests: &[Manifest],
) -> Result<(), Error> {
    let failover = &application.spec.failover;
    let Some(rules) = failover.exclusive_rules() else { return Ok(()) };
    check_bundle(application, manifests)?;
    let (grace, named) =
        manifests.iter().filter_map(grace).max_by_key(|(seconds, _)| *seconds).unwrap_or_default();
    if rules.fence_timeout.0.as_secs() < grace {
        return Err(Error::field(
            "spec.failover.exclusive.fenceTimeout",
            format!(
                "is {}, and pods of {named} may take {grace}s to end (terminationGracePeriodSeconds): expected at least {grace}s",
                rules.fence_timeout
            ),
        ));
    }
    let mut run = run.clone();
    run.exclusive = Some(terms(&rules));
    for stand in [Activity::Active, Activity::Parked] {
        run.activity = stand;
        let rendered = render::render(bundle, render::Inputs::of(&application.key(), &run));
        rendered.map_err(|error| Error::field("spec.failover.mode", format!("is Exclusive: {error}")))?;
    }
    Ok(())
}

/// Checks that everything that Exclusive work runs can be stopped.
///
/// # Errors
/// The first that cannot, with what to do about it.
pub(super) fn check_bundle(application: &Application, manifests: &[Manifest]) -> Result<(), Error> {
    let failover = &application.spec.failover;
    if failover.mode != FailoverMode::Exclusive {
        return Ok(());
    }
    match activity::unstoppable(manifests, &failover.park) {
        Some(problem) => Err(Error::field("spec.failover.mode", format!("is Exclusive, and {problem}"))),
        None => Ok(()),
    }
}

fn terms(rules: &Exclusive) -> ExclusiveTerms {
    let timeout = u64::try_from(rules.fence_timeout.0.as_millis()).unwrap_or(u64::MAX);
    ExclusiveTerms { epoch: Epoch::default(), fence: rules.fence, fence_timeout_ms: timeout }
}

/// How long the pods of an object may take to end, in seconds; `None` where it has no pods.
fn grace(manifest: &Manifest) -> Option<(u64, String)> {
    let seconds = manifest.pod_spec()?.get("terminationGracePeriodSeconds").and_then(Value::as_u64);
    Some((seconds.unwrap_or(DEFAULT_GRACE_SECONDS), manifest.key().to_string()))
}

/// What is legal but probably not meant. `matching_count` clusters match the placement.
#[must_use]
pub(super) fn warnings(application: &Application, matching_count: usize) -> Vec<String> {
    let spec = &application.spec;
    let mut warnings = Vec::new();
    let Some(count) = spec.placement.count else {
        if spec.failover != Failover::default() {
            warnings.push(
                "spec.failover can do nothing: without placement.count it runs in every cluster that matches, and there \
                 is nowhere to go"
                    .into(),
            );
        }
        return warnings;
    };
    if let Some(rules) = spec.failover.exclusive_rules()
        && rules.fence == Fence::Agent
    {
        warnings.push(format!(
            "with fence: Agent its agent stops it {} after it last heard the hub, and there is one hub: that hub's death \
             would stop it; use nave hub maintenance before you stop the hub, or fence: Storage or Manual",
            HumanDuration(rules.lease_duration.0)
        ));
    }
    let places = usize::try_from(count).unwrap_or(usize::MAX);
    if spec.failover != Failover::default() && matching_count > 0 && matching_count <= places {
        warnings.push(format!(
            "only {matching_count} clusters match its placement: if one is lost there is nowhere to go"
        ));
    }
    warnings
}

/// A change of the mode that may be made.
#[derive(Debug, Default)]
pub(super) struct Checked {
    /// What to know about it.
    pub warnings: Vec<String>,
    /// The commit of the newest generation, where the check depends on what clusters are told.
    pub planned: Option<Sequence>,
}

/// Checks a change of the mode against what runs now, and says what to know about it.
///
/// # Errors
/// Where an application becomes Exclusive and more than one cluster may run it.
pub(super) fn check_change(
    state: &State,
    before: &Application,
    after: &Application,
) -> Result<Checked, Error> {
    let (before, mode) = (before.spec.failover.mode, after.spec.failover.mode);
    match (before == FailoverMode::Exclusive, mode == FailoverMode::Exclusive) {
        (false, true) => Ok(Checked {
            warnings: becomes_exclusive(state, after)?,
            planned: Some(state.generation_sequence()),
        }),
        (true, false) => Ok(Checked { warnings: is_exclusive_no_more(state, after, mode), planned: None }),
        _ => Ok(Checked::default()),
    }
}

fn becomes_exclusive(state: &State, after: &Application) -> Result<Vec<String>, Error> {
    let key = after.key();
    let told = || state.assignments_of(&key).into_iter().flat_map(|told| told.iter());
    let may_run: Vec<&ClusterName> =
        told().filter(|(cluster, _)| may_run(state, cluster, after)).map(|(cluster, _)| cluster).collect();
    let refused = |why: String| Err(Error::field("spec.failover.mode", why));
    match may_run.as_slice() {
        [] => Ok(Vec::new()),
        [only] if is_heard(state, only) => Ok(vec![format!(
            "it becomes Exclusive where it runs, in {only}: its pods start anew there with an epoch"
        )]),
        [only] => refused(format!(
            "cannot become Exclusive now: it runs in {only}, which is not heard, so nobody could say that it ends there; \
             wait until {only} is back, or delete that cluster"
        )),
        several => {
            let names: Vec<&str> = several.iter().take(5).map(|name| name.as_str()).collect();
            refused(format!(
                "cannot become Exclusive now: it may run in {} clusters ({}{}); apply it with placement.count: 1 and its \
                 present mode, wait until it is gone from the others, then change the mode",
                several.len(),
                names.join(", "),
                if several.len() > names.len() { ", …" } else { "" }
            ))
        }
    }
}

/// Whether anything of an application may still run in a cluster that is told about it.
fn may_run(state: &State, cluster: &ClusterName, application: &Application) -> bool {
    let Some(entry) = state.assignment(cluster, &application.key()) else { return false };
    let status = entry.status.as_ref().filter(|it| it.generation == entry.assignment.generation);
    match &entry.assignment.desired {
        Desired::Run(run) if !run.activity.is_active() => {
            let is_parked =
                status.is_some_and(|it| it.applied == Some(run.rendering) && it.health == Health::Healthy);
            !(is_parked && is_heard(state, cluster))
        }
        Desired::Run(_) => true,
        Desired::Remove => !entry.is_removed(),
    }
}

fn is_heard(state: &State, cluster: &ClusterName) -> bool {
    state.clusters().get(cluster).is_some_and(|entry| entry.observed.liveness == Liveness::Alive)
}

fn is_exclusive_no_more(state: &State, after: &Application, mode: FailoverMode) -> Vec<String> {
    let mut warnings = vec![format!(
        "with mode {mode} it is no longer Exclusive: from now on two clusters may run it for a while"
    )];
    let grant = state.failovers().get(&after.key()).and_then(|standing| standing.value.grant.clone());
    if let Some(grant) = grant
        && grant.release.as_ref().is_some_and(|release| release.fenced.is_none())
    {
        warnings.push(format!(
            "what ran in {} is not known to be dead, and will no longer be waited for: it may run twice at once",
            grant.cluster
        ));
    }
    warnings
}
