//! Whether an agent's certificate still counts.
//!
//! A cluster's record names the enrolment whose certificates are valid. A cluster that was deleted takes its
//! certificates with it for good: one that joins anew under the same name has an enrolment of its own, as has one that
//! enrols again. Each call looks here, and a running stream looks again whenever its cluster's record changes.

use nave_common::event::{Event, Severity};
use nave_common::name::ClusterName;

use super::peer::AgentPeer;
use crate::error::{Error, with_causes};
use crate::parts::Parts;
use crate::records::{Name, Record};
use crate::store::{self, Expect, Transaction};
use crate::world::State;

/// Refuses an agent whose cluster is not there, and one whose certificate is from an enrolment that is over.
///
/// # Errors
/// [`Error::Denied`], with what to do.
pub fn check(state: &State, agent: &AgentPeer) -> Result<(), Error> {
    let entry = state.clusters().get(&agent.cluster).ok_or_else(|| not_joined(&agent.cluster))?;
    match entry.enrolment {
        Some(valid) if valid != agent.enrolment => Err(Error::Denied(format!(
            "this certificate of cluster {0} was revoked: {0} was deleted or enrolled again since; enrol this agent \
             with a token of nave token create",
            agent.cluster
        ))),
        _ => Ok(()),
    }
}

/// Refuses the agent of a cluster that is not there, or no longer.
#[must_use]
pub fn not_joined(cluster: &ClusterName) -> Error {
    Error::Denied(format!(
        "cluster {cluster} is not in this hub's fleet: it never joined, or it was deleted; \
         enrol it with a token of nave token create"
    ))
}

/// A name belongs to the cluster that joined under it.
///
/// # Errors
/// [`Error::Denied`] where another cluster, by its UID, speaks under the name; people are told.
pub fn check_uid(parts: &Parts, cluster: &ClusterName, uid: &str) -> Result<(), Error> {
    let bound = parts
        .world
        .read(|state| state.clusters().get(cluster).and_then(|entry| entry.record.value.spec.uid.clone()));
    match bound {
        Some(bound) if bound != uid => {
            tell_other_uid(parts, cluster);
            Err(Error::Denied(format!(
                "the name {cluster} is bound to another cluster: its kube-system namespace has another UID; stop this \
                 agent, remove its data folder, and enrol it under another name"
            )))
        }
        _ => Ok(()),
    }
}

/// Tells people that two clusters want one name, now and then.
pub(super) fn tell_other_uid(parts: &Parts, cluster: &ClusterName) {
    if !parts.sessions.is_impostor_news(cluster) {
        return;
    }
    let message = format!(
        "a second cluster tried to come as {cluster} and was refused: its kube-system namespace has another UID; give \
         it a name of its own, or, where {cluster} was made anew, delete {cluster} first"
    );
    tracing::warn!(%cluster, "{message}");
    parts.events.tell(Event {
        at: parts.now(),
        severity: Severity::Warning,
        reason: "OtherCluster".into(),
        message,
        application: None,
        cluster: Some(cluster.clone()),
        change_id: String::new(),
    });
}

/// Lets an agent's stream in, or says why not. A record of an older hub is bound to the enrolment that comes first.
///
/// # Errors
/// As [`check`] and [`check_uid`].
pub async fn admit(parts: &Parts, agent: &AgentPeer, uid: &str) -> Result<(), Error> {
    let bound = parts.world.read(|state| {
        check(state, agent)?;
        Ok::<_, Error>(state.clusters().get(&agent.cluster).is_some_and(|entry| entry.enrolment.is_some()))
    });
    if bound.is_err() && parts.world.read(|state| !state.clusters().contains_key(&agent.cluster)) {
        parts.world.set_stranger(&agent.cluster);
    }
    let is_bound = bound?;
    check_uid(parts, &agent.cluster, uid)?;
    if is_bound {
        return Ok(());
    }
    match bind(parts, agent).await {
        // Somebody wrote the record meanwhile: what it says now counts, and the next connection binds what is not bound.
        Ok(()) | Err(Error::Store(store::Error::Conflict { .. })) => {
            parts.world.read(|state| check(state, agent))
        }
        Err(error) => {
            // A store that takes no writes must not cost the cluster its connection.
            tracing::warn!(cluster = %agent.cluster, error = %with_causes(&error), "the certificate is not bound yet");
            Ok(())
        }
    }
}

async fn bind(parts: &Parts, agent: &AgentPeer) -> Result<(), Error> {
    let key = Name::Cluster(agent.cluster.clone()).key()?;
    let entry = parts.store.get(&key).await?.ok_or_else(|| not_joined(&agent.cluster))?;
    let Some(Record::Cluster(mut record)) = Record::parse(&entry.key, &entry.value)? else {
        return Err(Error::Internal(format!("the record {key} is no cluster")));
    };
    if record.enrolment.is_some() {
        return parts.caught_up(entry.sequence).await;
    }
    record.enrolment = Some(agent.enrolment);
    let mut transaction = Transaction::new().expect(key, Expect::Sequence(entry.sequence));
    transaction.writes.push(Record::Cluster(record).write()?);
    parts.commit(transaction).await?;
    Ok(())
}
