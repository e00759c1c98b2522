//! Taking a cluster out of the fleet.
//!
//! With its record goes its right to connect, and the planner forgets what it was told. So this is refused while
//! anything runs there that somebody would miss, and always where Exclusive work may still run there: whoever forgot
//! that could start it twice. The objects in the cluster itself stay as they are.

use nave_common::assignment::Desired;
use nave_common::event::{Event, Severity};
use nave_common::failover::FailoverMode;
use nave_common::name::{ApplicationKey, ClusterName};
use nave_common::status::Liveness;
use nave_proto::v1;

use super::call::Call;
use super::change::Attempts;
use super::{read, view};
use crate::error::Error;
use crate::events;
use crate::parts::Parts;
use crate::records::Name;
use crate::store::{Expect, Transaction};
use crate::world::{AssignmentEntry, State};

/// So many liveness leases after its start the hub has heard every cluster that is there.
const LEASES_AFTER_START: u32 = 3;
/// The most applications that a refusal names.
const MAX_NAMES: usize = 5;

/// Takes a cluster out of the fleet.
///
/// # Errors
/// Where there is none of that name, something still runs there, or Exclusive work may.
pub(super) async fn delete(
    parts: &Parts,
    call: &Call,
    request: v1::DeleteClusterRequest,
) -> Result<v1::DeleteClusterResponse, Error> {
    let name = read::cluster("name", &request.name)?;
    let mut attempts = Attempts::of(parts, format!("cluster {name}"));
    loop {
        match try_delete(parts, call, &name, &request).await {
            Err(error) => attempts.after(error).await?,
            deleted => return deleted,
        }
    }
}

/// What a cluster is when it is looked at, and what must not have changed when it goes.
struct Found {
    cluster: v1::Cluster,
    applications: Vec<ApplicationKey>,
    transaction: Transaction,
}

async fn try_delete(
    parts: &Parts,
    call: &Call,
    name: &ClusterName,
    request: &v1::DeleteClusterRequest,
) -> Result<v1::DeleteClusterResponse, Error> {
    let last = parts.store.last_sequence().await?;
    parts.caught_up(last).await?;
    let Found { cluster, applications, mut transaction } =
        parts.world.read(|state| look(parts, state, name, request.force))?;
    if !request.dry_run {
        let event = Event {
            at: parts.now(),
            severity: Severity::Warning,
            reason: "ClusterDeleted".into(),
            message: format!(
                "taken out of the fleet by {}{}; {} applications stood there",
                call.user,
                if request.force { " with force" } else { "" },
                applications.len()
            ),
            application: None,
            cluster: Some(name.clone()),
            change_id: call.change_id.clone(),
        };
        transaction.writes.push(Name::Cluster(name.clone()).delete()?);
        transaction.writes.push(events::record(event).write()?);
        let sequence = parts.commit(transaction).await?;
        tracing::info!(
            cluster = %name,
            change_id = call.change_id,
            user = %call.user,
            force = request.force,
            %sequence,
            "cluster deleted"
        );
    }
    Ok(v1::DeleteClusterResponse {
        cluster: Some(cluster),
        change_id: call.change_id.clone(),
        applications: applications.iter().map(Into::into).collect(),
    })
}

/// Looks whether the cluster may go.
fn look(parts: &Parts, state: &State, name: &ClusterName, force: bool) -> Result<Found, Error> {
    let cluster = view::cluster_of(state, name)?;
    let entry = state.clusters().get(name).ok_or_else(|| view::no_cluster(name))?;
    check_exclusive(state, name)?;
    let told = || state.assignments_in(name).into_iter().flatten();
    let in_the_way: Vec<(&ApplicationKey, &'static str)> =
        told().filter_map(|(key, entry)| Some((key, hindrance(entry)?))).collect();
    let liveness = entry.observed.liveness;
    if !in_the_way.is_empty() {
        if !force {
            return Err(Error::Refused(format!(
                "cluster {name} still has {}; nave drain {name} moves what can move{}",
                listed(&in_the_way),
                if is_away(parts, liveness) {
                    format!("; if {name} is gone for good, delete it with --force")
                } else {
                    String::new()
                }
            )));
        }
        if !is_away(parts, liveness) {
            return Err(Error::Refused(format!(
                "cluster {name} is {liveness} and still has {}: force is only for clusters that are lost; \
                 nave drain {name} moves what can move",
                listed(&in_the_way)
            )));
        }
    }
    // The generation rises with all that is decided: nothing has come to this cluster since it was looked at.
    let transaction = Transaction::new()
        .expect(Name::Cluster(name.clone()).key()?, Expect::Sequence(entry.record.sequence))
        .expect(Name::Generation.key()?, Expect::Sequence(state.generation_sequence()));
    Ok(Found { cluster, applications: told().map(|(key, _)| key.clone()).collect(), transaction })
}

/// Refuses where Exclusive work may still run there.
fn check_exclusive(state: &State, name: &ClusterName) -> Result<(), Error> {
    let is_exclusive = |key: &ApplicationKey| {
        let application = state.applications().get(key);
        application.is_some_and(|stored| stored.value.spec.failover.mode == FailoverMode::Exclusive)
    };
    if let Some(key) = state.holds().keys().find(|key| is_exclusive(key)) {
        return Err(Error::Refused(format!(
            "application {key} is Exclusive and waits after the restore: nobody knows yet whether it runs in \
             cluster {name}; decide about it with nave hub release first"
        )));
    }
    // What is being deleted is started nowhere any more.
    let is_wanted = |key: &ApplicationKey| {
        let application = state.applications().get(key);
        application.is_some_and(|stored| stored.value.metadata.deleted_at.is_none())
    };
    let held = state.failovers().iter().find(|(key, standing)| {
        is_wanted(key)
            && standing.value.grant.as_ref().is_some_and(|grant| {
                grant.cluster == *name
                    && grant.release.as_ref().is_none_or(|release| release.fenced.is_none())
            })
    });
    let Some((key, _)) = held else { return Ok(()) };
    let is_heard = state.clusters().get(name).is_some_and(|entry| entry.observed.liveness == Liveness::Alive);
    let advice = if is_heard {
        format!("move it away with nave drain {name} or nave failover run {key} --from {name}")
    } else {
        format!(
            "make sure that nothing of it runs there any more, then say so with nave failover confirm-fenced {key} \
             --cluster {name}"
        )
    };
    Err(Error::Refused(format!(
        "application {key} is Exclusive and may still run in cluster {name}: whoever forgot that could start it twice; \
         {advice}"
    )))
}

/// Why an assignment is in the way; `None` where nothing of it runs any more.
fn hindrance(entry: &AssignmentEntry) -> Option<&'static str> {
    let status = entry.status.as_ref().filter(|it| it.generation == entry.assignment.generation);
    match &entry.assignment.desired {
        Desired::Run(run) if run.activity.is_active() => Some("runs"),
        Desired::Run(run) => {
            let is_parked = status.is_some_and(|status| status.applied == Some(run.rendering));
            (!is_parked).then_some("is being parked")
        }
        Desired::Remove => (!entry.is_removed()).then_some("is being removed"),
    }
}

/// Whether a cluster is away: lost, or silent though the hub has been up long enough to hear it.
fn is_away(parts: &Parts, liveness: Liveness) -> bool {
    match liveness {
        Liveness::Lost => true,
        Liveness::Unheard => parts.now().since(parts.started_at) > parts.liveness_lease * LEASES_AFTER_START,
        Liveness::Alive | Liveness::Suspect => false,
    }
}

fn listed(in_the_way: &[(&ApplicationKey, &'static str)]) -> String {
    let shown: Vec<String> =
        in_the_way.iter().take(MAX_NAMES).map(|(key, why)| format!("{key} ({why})")).collect();
    let shown = shown.join(", ");
    match in_the_way.len().saturating_sub(MAX_NAMES) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
