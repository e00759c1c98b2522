//! Clusters: looking at them, and changing what people set of them. They come by enrolment, not by an apply.

use std::ops::Bound;

use nave_common::cluster::{Cluster, ClusterSpec};
use nave_common::event::{Event, Severity};
use nave_common::name::ClusterName;
use nave_proto::v1;

use super::apply::check_annotations;
use super::call::Call;
use super::change::Attempts;
use super::page::{self, Page};
use super::{read, view};
use crate::error::Error;
use crate::events;
use crate::parts::Parts;
use crate::records::{ClusterRecord, Name, Record};
use crate::store::{Expect, Transaction};

/// One cluster.
///
/// # Errors
/// Where there is none of that name.
pub(super) fn get(parts: &Parts, request: &v1::GetClusterRequest) -> Result<v1::GetClusterResponse, Error> {
    let name = read::cluster("name", &request.name)?;
    let cluster = parts.world.read(|state| view::cluster_of(state, &name))?;
    Ok(v1::GetClusterResponse { cluster: Some(cluster) })
}

/// A page of clusters, ordered by name.
///
/// # Errors
/// Where the request is not valid.
pub(super) fn list(
    parts: &Parts,
    request: v1::ListClustersRequest,
) -> Result<v1::ListClustersResponse, Error> {
    let selector = read::selector(request.selector)?;
    let after: Option<ClusterName> = page::read_token(&request.page_token)?;
    let start = after.map_or(Bound::Unbounded, Bound::Excluded);
    let mut page = Page::new(request.page_size);
    let names: Vec<ClusterName> = parts.world.read(|state| {
        let all = state.clusters().range((start, Bound::Unbounded));
        let wanted = all.filter(|(_, entry)| selector.matches(&entry.record.value.metadata.labels));
        wanted.map(|(name, _)| name.clone()).take(page.limit() + 1).collect()
    });
    let next = page.fill(&names, |name| parts.world.read(|state| state.cluster_view(name)).map(Into::into));
    Ok(v1::ListClustersResponse {
        clusters: page.into_items(),
        next_page_token: next.map(|name| page::token(name.as_str())).unwrap_or_default(),
    })
}

/// Changes what people set of a cluster that has joined.
///
/// # Errors
/// Where anything of it is refused; then nothing is changed.
pub(super) async fn apply(
    parts: &Parts,
    call: &Call,
    request: v1::ApplyClusterRequest,
) -> Result<v1::ApplyClusterResponse, Error> {
    let wire = request.cluster.ok_or_else(|| Error::field("cluster", "is missing"))?;
    let wanted = Cluster::try_from(wire)?;
    wanted.check()?;
    check_annotations(&wanted.metadata.annotations)?;
    let mut attempts = Attempts::of(parts, format!("cluster {}", wanted.metadata.name));
    loop {
        match try_apply(parts, call, &wanted, request.dry_run).await {
            Err(error) => attempts.after(error).await?,
            applied => return applied,
        }
    }
}

async fn try_apply(
    parts: &Parts,
    call: &Call,
    wanted: &Cluster,
    dry_run: bool,
) -> Result<v1::ApplyClusterResponse, Error> {
    let name = &wanted.metadata.name;
    let key = Name::Cluster(name.clone()).key()?;
    let entry = parts.store.get(&key).await?.ok_or_else(|| {
        Error::NotFound(format!(
            "there is no cluster {name}; clusters join with a token of nave token create"
        ))
    })?;
    let Some(Record::Cluster(mut record)) = Record::parse(&entry.key, &entry.value)? else {
        return Err(Error::Internal(format!("the record {key} is no cluster")));
    };
    let (based_on, found) = (wanted.metadata.sequence, entry.sequence.0);
    if based_on != 0 && based_on != found {
        return Err(Error::Conflict(format!(
            "cluster {name} is at sequence {found} and this change is based on sequence {based_on}: somebody else \
             changed it; get it again, look at the difference, and apply again"
        )));
    }
    let mut cluster = record.cluster.clone();
    cluster.metadata.labels.clone_from(&wanted.metadata.labels);
    cluster.metadata.annotations.clone_from(&wanted.metadata.annotations);
    cluster.spec.taints.clone_from(&wanted.spec.taints);
    cluster.spec.weight = wanted.spec.weight;
    // What a person drained at night is not filled again by the next pipeline, whose file says nothing of it. Only who
    // has looked at the cluster as it is can end that.
    let has_looked = based_on != 0;
    cluster.spec.cordoned = wanted.spec.cordoned || cluster.spec.cordoned && !has_looked;
    cluster.spec.drained = wanted.spec.drained || cluster.spec.drained && !has_looked;
    if wanted.spec.uid.is_some() && wanted.spec.uid != cluster.spec.uid {
        return Err(Error::field(
            "spec.uid",
            "cannot be changed: the name is bound to the cluster that joined under it",
        ));
    }
    let outcome = if cluster == record.cluster { v1::Outcome::Unchanged } else { v1::Outcome::Configured };
    if outcome == v1::Outcome::Configured && !dry_run {
        let (reason, verb) = told(&record.cluster.spec, &cluster.spec);
        record.cluster = cluster.clone();
        let event = Event {
            at: parts.now(),
            severity: Severity::Normal,
            reason: reason.into(),
            message: format!("{verb} by {}", call.user),
            application: None,
            cluster: Some(name.clone()),
            change_id: call.change_id.clone(),
        };
        write(parts, call, *record, Expect::Sequence(entry.sequence), event).await?;
    } else {
        parts.caught_up(entry.sequence).await?;
    }
    let shown = parts.world.read(|state| state.cluster_view(name)).filter(|_| !dry_run).unwrap_or(cluster);
    Ok(v1::ApplyClusterResponse {
        cluster: Some(shown.into()),
        outcome: outcome.into(),
        change_id: call.change_id.clone(),
    })
}

/// The event's word for machines, and what was done for people.
fn told(before: &ClusterSpec, after: &ClusterSpec) -> (&'static str, &'static str) {
    if after.drained && !before.drained {
        return ("ClusterDrained", "drained");
    }
    match (before.cordoned || before.drained, after.cordoned || after.drained) {
        (false, true) => ("ClusterCordoned", "cordoned"),
        (true, false) => ("ClusterUncordoned", "uncordoned"),
        _ => ("ClusterChanged", "changed"),
    }
}

async fn write(
    parts: &Parts,
    call: &Call,
    mut record: ClusterRecord,
    expect: Expect,
    event: Event,
) -> Result<(), Error> {
    record.change_id.clone_from(&call.change_id);
    let name = record.cluster.metadata.name.clone();
    let mut transaction = Transaction::new().expect(Name::Cluster(name.clone()).key()?, expect);
    transaction.writes.push(Record::Cluster(Box::new(record)).write()?);
    transaction.writes.push(events::record(event).write()?);
    let sequence = parts.commit(transaction).await?;
    tracing::info!(cluster = %name, change_id = call.change_id, user = %call.user, %sequence, "cluster written");
    Ok(())
}
