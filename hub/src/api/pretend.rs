//! What would happen if clusters were lost: asked of the planner, on the world as it is. Nothing is changed.

use std::sync::Arc;

use nave_common::application::Application;
use nave_common::assignment::Generation;
use nave_common::failover::state::FailoverState;
use nave_common::failover::{FailoverPlan, Frozen, PretendedLoss};
use nave_common::name::ClusterName;
use nave_common::resources::Resources;
use nave_common::status::Liveness;
use nave_common::suggest::did_you_mean;
use nave_common::time::BootTime;
use nave_proto::v1;

use super::view;
use crate::error::Error;
use crate::parts::Parts;
use crate::plan::assign::{self, Told};
use crate::plan::failover::Now;
use crate::plan::failover::doubt::{self, Doubts, Heard};
use crate::plan::failover::pretend::{self, FleetProblem, Standing};
use crate::plan::fleet::Fleet;
use crate::world::State;

/// The most clusters and regions that one question names.
const MAX_NAMES: usize = 1000;

/// What would happen.
///
/// # Errors
/// Where nothing is named, or what is not there.
pub(super) async fn plan(
    parts: &Parts,
    request: v1::PlanFailoverRequest,
) -> Result<v1::PlanFailoverResponse, Error> {
    let loss = PretendedLoss::try_from(request)?;
    if loss.clusters.is_empty() && loss.regions.is_empty() {
        return Err(Error::field("clusters", "is empty, and so is regions: say what is lost"));
    }
    if loss.clusters.len() + loss.regions.len() > MAX_NAMES {
        return Err(Error::field(
            "clusters",
            format!("more than {MAX_NAMES} clusters and regions are named"),
        ));
    }
    let _place = parts.heavy_place().await?;
    let now = Now { boot: BootTime::from_duration(parts.clock.boot()), wall: parts.now() };
    let snapshot = parts.world.read(|state| {
        check(state, &loss)?;
        Ok::<_, Error>(Snapshot::take(parts, state, &loss, now))
    })?;
    let planned = tokio::task::spawn_blocking(move || snapshot.plan(&loss, now)).await;
    let plan = planned.map_err(|error| Error::Internal(format!("a plan was broken off: {error}")))?;
    Ok(v1::PlanFailoverResponse { plan: Some((&plan).into()) })
}

/// Refuses clusters and regions that are not there.
fn check(state: &State, loss: &PretendedLoss) -> Result<(), Error> {
    loss.clusters.iter().try_for_each(|name| view::known_cluster(state, name))?;
    let region = |name: &ClusterName| {
        let entry = state.clusters().get(name)?;
        entry.record.value.metadata.labels.get("region").map(String::as_str)
    };
    for wanted in &loss.regions {
        if !state.clusters().keys().any(|name| region(name) == Some(wanted.as_str())) {
            let meant = did_you_mean(wanted, state.clusters().keys().filter_map(region));
            return Err(Error::NotFound(format!(
                "no cluster is in region {wanted:?}{meant}; the label region says in which it is"
            )));
        }
    }
    Ok(())
}

/// What the question is about, taken out of the world.
struct Snapshot {
    fleet: Arc<Fleet>,
    touched: Vec<Touched>,
    frozen: Option<Frozen>,
    generation: Generation,
}

/// One application that runs in what is lost.
struct Touched {
    application: Arc<Application>,
    revision: Option<u64>,
    requests: Resources,
    told: Arc<Told>,
    state: Option<Arc<FailoverState>>,
}

impl Snapshot {
    fn take(parts: &Parts, state: &State, loss: &PretendedLoss, now: Now) -> Self {
        let lost = pretend::lost(state.fleet(), loss);
        let touched = state.applications().iter().filter_map(|(key, stored)| {
            let told = state.assignments_of(key)?;
            let mut active = assign::active(told).map(|(cluster, _)| cluster);
            // What runs in every cluster that matches goes on in those that are left.
            let stays = || assign::active(told).any(|(cluster, _)| !lost.contains(cluster));
            if !active.any(|cluster| lost.contains(cluster))
                || stored.value.spec.placement.count.is_none() && stays()
            {
                return None;
            }
            let revision = state.latest_revision(key);
            Some(Touched {
                application: stored.value.clone(),
                revision: revision.map(|revision| revision.number),
                requests: revision.map(|revision| revision.requests).unwrap_or_default(),
                told: told.clone(),
                state: state.failovers().get(key).map(|stored| stored.value.clone()),
            })
        });
        let touched = touched.collect();
        let frozen = frozen(parts, state, &|name| lost.contains(name), now);
        Self { fleet: state.fleet().clone(), touched, frozen, generation: state.generation() }
    }

    fn plan(&self, loss: &PretendedLoss, now: Now) -> FailoverPlan {
        let applications = self.touched.iter().map(|touched| Standing {
            application: &touched.application,
            revision: touched.revision,
            requests: touched.requests,
            told: &touched.told,
            state: touched.state.as_deref(),
        });
        let problem = FleetProblem {
            fleet: &self.fleet,
            applications: applications.collect(),
            frozen: self.frozen.clone(),
            generation: self.generation,
            now,
        };
        pretend::plan(&problem, loss)
    }
}

/// Why the hub would freeze, if it would: so much at once that it would doubt itself, or a person. That it has started
/// lately is no matter of the loss.
fn frozen(parts: &Parts, state: &State, is_lost: &dyn Fn(&ClusterName) -> bool, now: Now) -> Option<Frozen> {
    let clusters: Vec<Heard<'_>> = state
        .clusters()
        .iter()
        .map(|(cluster, entry)| {
            let observed = &entry.observed;
            let is_silent = matches!(observed.liveness, Liveness::Lost | Liveness::Unheard);
            let lost_since = observed.facts.lost_since.unwrap_or(state.started());
            let silent_since = is_silent.then(|| state.steady(lost_since.boot));
            Heard {
                cluster,
                region: entry.record.value.metadata.labels.get("region").map(String::as_str),
                silent_since: silent_since.or(is_lost(cluster).then(|| state.steady(now.boot))),
            }
        })
        .collect();
    let said = &state.hub_failover().value;
    let doubts = Doubts {
        started_at: now,
        freeze: std::time::Duration::ZERO,
        paused_at: None,
        frozen_by: said.frozen.as_ref().map(|frozen| (frozen.by.as_str(), frozen.since)),
        thawed_at: state.thawed_at().map(|at| state.steady(at)),
        restored_at: None,
        clusters: &clusters,
        freeze_above_percent: parts.world.options().failover.freeze_above_percent,
    };
    doubt::doubt(&doubts, now).frozen
}
