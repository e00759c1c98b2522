//! What was seen of applications and their objects.

use nave_common::failover::Epoch;
use nave_common::field::FieldError;
use nave_common::health::Health;
use nave_common::status::{
    ApplicationStatus, AssignmentStatus, FenceState, FenceStatus, MAX_REPORTED_OBJECTS, ObjectStatus,
    SyncState,
};

use super::{
    by_value, enumerated, instant, instant_or_none, list, millis, optional, parsed_or_none, required,
    same_enum, text_of, wire_list,
};
use crate::v1;

impl TryFrom<v1::ApplicationStatus> for ApplicationStatus {
    type Error = FieldError;

    fn try_from(wire: v1::ApplicationStatus) -> Result<Self, FieldError> {
        Ok(Self {
            revision: wire.revision,
            origin: wire.origin,
            cluster_count: wire.cluster_count,
            synced_count: wire.synced_count,
            healthy_count: wire.healthy_count,
            sync: enumerated::<v1::SyncState, _>(wire.sync, "sync")?,
            health: enumerated::<v1::Health, _>(wire.health, "health")?,
            reason: wire.reason,
            unplaced_count: wire.unplaced_count,
            placement_problems: wire.placement_problems,
            observed_at: instant_or_none(wire.observed_at_ms, "observedAt")?,
            removing_count: wire.removing_count,
            parked_count: wire.parked_count,
            failover: wire.failover,
        })
    }
}

impl From<&ApplicationStatus> for v1::ApplicationStatus {
    fn from(status: &ApplicationStatus) -> Self {
        Self {
            revision: status.revision,
            origin: status.origin.clone(),
            cluster_count: status.cluster_count,
            synced_count: status.synced_count,
            healthy_count: status.healthy_count,
            sync: v1::SyncState::from(status.sync).into(),
            health: v1::Health::from(status.health).into(),
            reason: status.reason.clone(),
            unplaced_count: status.unplaced_count,
            placement_problems: status.placement_problems.clone(),
            observed_at_ms: millis(status.observed_at),
            removing_count: status.removing_count,
            parked_count: status.parked_count,
            failover: status.failover.clone(),
        }
    }
}

impl TryFrom<v1::AssignmentStatus> for AssignmentStatus {
    type Error = FieldError;

    fn try_from(wire: v1::AssignmentStatus) -> Result<Self, FieldError> {
        if wire.objects.len() > MAX_REPORTED_OBJECTS {
            let problem =
                format!("has {} items; at most {MAX_REPORTED_OBJECTS} are allowed", wire.objects.len());
            return Err(FieldError::new("objects", problem));
        }
        Ok(Self {
            application: required(wire.application, "application")?,
            generation: required(wire.generation, "generation")?,
            applied: parsed_or_none(&wire.applied, "applied")?,
            removed: wire.removed,
            sync: enumerated::<v1::SyncState, _>(wire.sync, "sync")?,
            health: enumerated::<v1::Health, _>(wire.health, "health")?,
            reason: wire.reason,
            object_count: wire.object_count,
            healthy_count: wire.healthy_count,
            drift_count: wire.drift_count,
            objects: list(wire.objects, "objects")?,
            fence: optional(wire.fence, "fence")?,
            observed_at: instant(wire.observed_at_ms, "observedAt")?,
        })
    }
}

impl From<&AssignmentStatus> for v1::AssignmentStatus {
    fn from(status: &AssignmentStatus) -> Self {
        Self {
            application: Some((&status.application).into()),
            generation: Some(status.generation.into()),
            applied: text_of(status.applied.as_ref()),
            removed: status.removed,
            sync: v1::SyncState::from(status.sync).into(),
            health: v1::Health::from(status.health).into(),
            reason: status.reason.clone(),
            object_count: status.object_count,
            healthy_count: status.healthy_count,
            drift_count: status.drift_count,
            objects: wire_list(&status.objects),
            fence: status.fence.as_ref().map(Into::into),
            observed_at_ms: status.observed_at.as_millis(),
        }
    }
}

impl TryFrom<v1::FenceStatus> for FenceStatus {
    type Error = FieldError;

    fn try_from(wire: v1::FenceStatus) -> Result<Self, FieldError> {
        Ok(Self {
            epoch: Epoch::from_number(wire.epoch),
            state: enumerated::<v1::FenceState, _>(wire.state, "state")?,
            reason: wire.reason,
            since: instant(wire.since_ms, "since")?,
        })
    }
}

impl From<&FenceStatus> for v1::FenceStatus {
    fn from(fence: &FenceStatus) -> Self {
        Self {
            epoch: fence.epoch.number(),
            state: v1::FenceState::from(fence.state).into(),
            reason: fence.reason.clone(),
            since_ms: fence.since.as_millis(),
        }
    }
}

impl TryFrom<v1::ObjectStatus> for ObjectStatus {
    type Error = FieldError;

    fn try_from(wire: v1::ObjectStatus) -> Result<Self, FieldError> {
        Ok(Self {
            object: required(wire.object, "object")?,
            sync: enumerated::<v1::SyncState, _>(wire.sync, "sync")?,
            health: enumerated::<v1::Health, _>(wire.health, "health")?,
            reason: wire.reason,
            since: instant_or_none(wire.since_ms, "since")?,
        })
    }
}

impl From<&ObjectStatus> for v1::ObjectStatus {
    fn from(status: &ObjectStatus) -> Self {
        Self {
            object: Some((&status.object).into()),
            sync: v1::SyncState::from(status.sync).into(),
            health: v1::Health::from(status.health).into(),
            reason: status.reason.clone(),
            since_ms: millis(status.since),
        }
    }
}

same_enum!(v1::Health, Health, [Healthy, Suspended, Progressing, Missing, Degraded, Unknown]);
same_enum!(v1::FenceState, FenceState, [Stopping, Confirmed, Unconfirmed]);
same_enum!(v1::SyncState, SyncState, [Synced, Suspended, Syncing, OutOfSync, Failed, Unknown]);

by_value!(
    ApplicationStatus => v1::ApplicationStatus,
    AssignmentStatus => v1::AssignmentStatus,
    ObjectStatus => v1::ObjectStatus,
);
