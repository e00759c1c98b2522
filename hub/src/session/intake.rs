//! What agents say, bounded and turned into domain values before anything else sees it.
//!
//! A part that cannot be read is left out and counted, never the whole: an agent of another version must not lose its
//! status for one new word.

use nave_common::assignment::Generation;
use nave_common::digest::Digest;
use nave_common::failover::Epoch;
use nave_common::name::{ApplicationKey, ClusterName};
use nave_common::status::{AssignmentStatus, ClusterObservation, MAX_REPORTED_OBJECTS};
use nave_proto::v1;

use super::machine::{Held, Hello};
use crate::error::Error;
use crate::parts::Parts;

/// The most applications that one cluster may have, and one message may name.
pub const MAX_APPLICATIONS: usize = 10_000;
/// The longest reason that is kept, in bytes.
pub const MAX_REASON_BYTES: usize = 1024;

/// Reads a Hello. Fails where it is no Hello: nothing safe can be sent on a wrong idea of what the agent has.
pub(super) fn hello(wire: v1::Hello) -> Result<Hello, Error> {
    if wire.applications.len() > MAX_APPLICATIONS {
        let count = wire.applications.len();
        return Err(Error::field(
            "hello.applications",
            format!("has {count} items; at most {MAX_APPLICATIONS} are allowed"),
        ));
    }
    let mut hello = Hello { generation: generation(wire.generation), ..Hello::default() };
    for (index, held) in wire.applications.into_iter().enumerate() {
        let at = |field: &str| format!("hello.applications[{index}].{field}");
        let key = held.application.ok_or_else(|| Error::field(at("application"), "is missing"))?;
        let key = ApplicationKey::try_from(key).map_err(|error| error.under(&at("application")))?;
        let desired = Digest::try_from(held.desired_digest.as_ref())
            .map_err(|error| Error::field(at("desiredDigest"), error))?;
        hello.held.insert(key, Held { generation: generation(held.generation), desired });
    }
    Ok(hello)
}

pub(super) fn generation(wire: Option<v1::Generation>) -> Generation {
    wire.map_or_else(Generation::default, |it| Generation { term: it.term, counter: it.counter })
}

/// The exclusive leases that a heartbeat asks for. What cannot be read is not renewed, which its agent sees.
pub(super) fn epochs(wire: Vec<v1::HeldEpoch>) -> Vec<(ApplicationKey, Epoch)> {
    let one = |held: v1::HeldEpoch| {
        let application = ApplicationKey::try_from(held.application?).ok()?;
        Some((application, Epoch::from_number(held.epoch)))
    };
    wire.into_iter().take(MAX_APPLICATIONS).filter_map(one).collect()
}

/// Takes a status report into the world.
pub(super) fn status(parts: &Parts, cluster: &ClusterName, wire: v1::Status) {
    let mut dropped_count = wire.assignments.len().saturating_sub(MAX_APPLICATIONS);
    let mut statuses = Vec::with_capacity(wire.assignments.len().min(MAX_APPLICATIONS));
    for status in wire.assignments.into_iter().take(MAX_APPLICATIONS) {
        match AssignmentStatus::try_from(status) {
            Ok(status) => statuses.push(bounded(status)),
            Err(error) => {
                dropped_count += 1;
                tracing::debug!(%cluster, %error, "a part of a status report cannot be read");
            }
        }
    }
    let observation = wire.cluster.and_then(|observed| match ClusterObservation::try_from(observed) {
        Ok(observed) => Some(observed),
        Err(error) => {
            dropped_count += 1;
            tracing::debug!(%cluster, %error, "what an agent says of its cluster cannot be read");
            None
        }
    });
    if dropped_count > 0 {
        parts.metrics.dropped_statuses.inc_by(dropped_count as u64);
        tracing::warn!(%cluster, dropped_count, "parts of a status report were left out");
    }
    parts.world.observe(cluster, statuses, wire.full, observation.map(bounded_observation));
}

fn bounded(mut status: AssignmentStatus) -> AssignmentStatus {
    shorten(&mut status.reason);
    status.objects.truncate(MAX_REPORTED_OBJECTS);
    for object in &mut status.objects {
        shorten(&mut object.reason);
    }
    status
}

fn bounded_observation(mut observed: ClusterObservation) -> ClusterObservation {
    shorten(&mut observed.agent_version);
    shorten(&mut observed.kubernetes_version);
    if let Some(problem) = &mut observed.problem {
        shorten(problem);
    }
    observed
}

/// Cuts a text at [`MAX_REASON_BYTES`], at a character's edge.
pub(super) fn shorten(text: &mut String) {
    if text.len() > MAX_REASON_BYTES {
        text.truncate(text.floor_char_boundary(MAX_REASON_BYTES));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hello_that_cannot_be_read_is_refused_by_place() {
        let mut wire = v1::Hello { applications: vec![v1::Held::default()], ..v1::Hello::default() };
        assert_eq!(
            hello(wire.clone()).unwrap_err().to_string(),
            "hello.applications[0].application: is missing"
        );
        wire.applications[0].application =
            Some(v1::ApplicationKey { name: "shop".into(), ..Default::default() });
        assert!(hello(wire.clone()).is_err());
        wire.applications[0].desired_digest = vec![0; 32].into();
        assert_eq!(hello(wire).unwrap().held.len(), 1);
    }

    #[test]
    fn long_texts_are_cut_at_a_character() {
        let mut text = "é".repeat(MAX_REASON_BYTES);
        text.insert(0, 'x');
        shorten(&mut text);
        assert!(text.len() <= MAX_REASON_BYTES && text.ends_with('é'));
    }
}
