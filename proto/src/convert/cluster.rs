//! The Cluster, with what was seen of it.

use nave_common::cluster::{Cluster, ClusterSpec};
use nave_common::field::FieldError;
use nave_common::metadata::ClusterMetadata;
use nave_common::resources::Resources;
use nave_common::status::{ClusterObservation, ClusterStatus, Liveness};

use super::{
    by_value, enumerated, instant_or_none, list, millis, optional, parsed, required, same_enum, text_or_none,
    wire_list,
};
use crate::v1;

impl TryFrom<v1::Cluster> for Cluster {
    type Error = FieldError;

    fn try_from(wire: v1::Cluster) -> Result<Self, FieldError> {
        Ok(Self {
            metadata: required(wire.metadata, "metadata")?,
            spec: optional(wire.spec, "spec")?.unwrap_or_default(),
            status: optional(wire.status, "status")?,
        })
    }
}

impl From<&Cluster> for v1::Cluster {
    fn from(cluster: &Cluster) -> Self {
        Self {
            metadata: Some((&cluster.metadata).into()),
            spec: Some((&cluster.spec).into()),
            status: cluster.status.as_ref().map(Into::into),
        }
    }
}

impl TryFrom<v1::ClusterMetadata> for ClusterMetadata {
    type Error = FieldError;

    fn try_from(wire: v1::ClusterMetadata) -> Result<Self, FieldError> {
        Ok(Self {
            name: parsed(&wire.name, "name")?,
            labels: wire.labels.into_iter().collect(),
            annotations: wire.annotations.into_iter().collect(),
            sequence: wire.sequence,
            created_at: instant_or_none(wire.created_at_ms, "createdAt")?,
        })
    }
}

impl From<&ClusterMetadata> for v1::ClusterMetadata {
    fn from(metadata: &ClusterMetadata) -> Self {
        Self {
            name: metadata.name.to_string(),
            labels: metadata.labels.clone().into_iter().collect(),
            annotations: metadata.annotations.clone().into_iter().collect(),
            sequence: metadata.sequence,
            created_at_ms: millis(metadata.created_at),
        }
    }
}

impl TryFrom<v1::ClusterSpec> for ClusterSpec {
    type Error = FieldError;

    fn try_from(wire: v1::ClusterSpec) -> Result<Self, FieldError> {
        Ok(Self {
            taints: list(wire.taints, "taints")?,
            weight: wire.weight,
            cordoned: wire.cordoned,
            drained: wire.drained,
            uid: text_or_none(wire.uid),
        })
    }
}

impl From<&ClusterSpec> for v1::ClusterSpec {
    fn from(spec: &ClusterSpec) -> Self {
        Self {
            taints: wire_list(&spec.taints),
            weight: spec.weight,
            cordoned: spec.cordoned,
            drained: spec.drained,
            uid: spec.uid.clone().unwrap_or_default(),
        }
    }
}

impl TryFrom<v1::ClusterStatus> for ClusterStatus {
    type Error = FieldError;

    fn try_from(wire: v1::ClusterStatus) -> Result<Self, FieldError> {
        Ok(Self {
            liveness: enumerated::<v1::Liveness, _>(wire.liveness, "liveness")?,
            last_heard_at: instant_or_none(wire.last_heard_at_ms, "lastHeardAt")?,
            observed: optional(wire.observed, "observed")?,
            application_count: wire.application_count,
            requested: wire.requested.unwrap_or_default().into(),
            unknown_applications: list(wire.unknown_applications, "unknownApplications")?,
        })
    }
}

impl From<&ClusterStatus> for v1::ClusterStatus {
    fn from(status: &ClusterStatus) -> Self {
        Self {
            liveness: v1::Liveness::from(status.liveness).into(),
            last_heard_at_ms: millis(status.last_heard_at),
            observed: status.observed.as_ref().map(Into::into),
            application_count: status.application_count,
            requested: Some(status.requested.into()),
            unknown_applications: wire_list(&status.unknown_applications),
        }
    }
}

impl TryFrom<v1::ClusterObservation> for ClusterObservation {
    type Error = FieldError;

    /// Never refused; fallible only so that it can be asked for like every other sub-message.
    fn try_from(wire: v1::ClusterObservation) -> Result<Self, FieldError> {
        Ok(Self {
            agent_version: wire.agent_version,
            kubernetes_version: wire.kubernetes_version,
            node_count: wire.node_count,
            ready_node_count: wire.ready_node_count,
            allocatable: wire.allocatable.unwrap_or_default().into(),
            problem: wire.problem,
        })
    }
}

impl From<&ClusterObservation> for v1::ClusterObservation {
    fn from(observed: &ClusterObservation) -> Self {
        Self {
            agent_version: observed.agent_version.clone(),
            kubernetes_version: observed.kubernetes_version.clone(),
            node_count: observed.node_count,
            ready_node_count: observed.ready_node_count,
            allocatable: Some(observed.allocatable.into()),
            problem: observed.problem.clone(),
        }
    }
}

impl From<v1::Resources> for Resources {
    fn from(wire: v1::Resources) -> Self {
        Self { cpu_millicores: wire.cpu_millicores, memory_bytes: wire.memory_bytes, pods: wire.pods }
    }
}

impl From<Resources> for v1::Resources {
    fn from(resources: Resources) -> Self {
        Self {
            cpu_millicores: resources.cpu_millicores,
            memory_bytes: resources.memory_bytes,
            pods: resources.pods,
        }
    }
}

same_enum!(v1::Liveness, Liveness, [Alive, Suspect, Lost, Unheard]);

by_value!(
    Cluster => v1::Cluster,
    ClusterMetadata => v1::ClusterMetadata,
    ClusterSpec => v1::ClusterSpec,
    ClusterStatus => v1::ClusterStatus,
    ClusterObservation => v1::ClusterObservation,
);
