//! The Application: metadata, spec, sync rules. Its status is in `status`.

use nave_common::application::{
    Adopt, Application, ApplicationSpec, DEFAULT_REVISION_HISTORY_LIMIT, IgnoreFields, Sync,
};
use nave_common::field::FieldError;
use nave_common::metadata::ApplicationMetadata;
use nave_common::name::ClusterName;

use super::{
    by_value, enumerated_or_none, instant_or_none, list, millis, optional, parsed, parsed_or_none, required,
    same_enum, text_of, wire_list,
};
use crate::v1;

impl TryFrom<v1::Application> for Application {
    type Error = FieldError;

    fn try_from(wire: v1::Application) -> Result<Self, FieldError> {
        Ok(Self {
            metadata: required(wire.metadata, "metadata")?,
            spec: required(wire.spec, "spec")?,
            status: optional(wire.status, "status")?,
        })
    }
}

impl From<&Application> for v1::Application {
    fn from(application: &Application) -> Self {
        Self {
            metadata: Some((&application.metadata).into()),
            spec: Some((&application.spec).into()),
            status: application.status.as_ref().map(Into::into),
        }
    }
}

impl TryFrom<v1::ApplicationMetadata> for ApplicationMetadata {
    type Error = FieldError;

    fn try_from(wire: v1::ApplicationMetadata) -> Result<Self, FieldError> {
        Ok(Self {
            name: parsed(&wire.name, "name")?,
            project: parsed_or_none(&wire.project, "project")?.unwrap_or_default(),
            labels: wire.labels.into_iter().collect(),
            annotations: wire.annotations.into_iter().collect(),
            sequence: wire.sequence,
            created_at: instant_or_none(wire.created_at_ms, "createdAt")?,
            deleted_at: instant_or_none(wire.deleted_at_ms, "deletedAt")?,
        })
    }
}

impl From<&ApplicationMetadata> for v1::ApplicationMetadata {
    fn from(metadata: &ApplicationMetadata) -> Self {
        Self {
            name: metadata.name.to_string(),
            project: metadata.project.to_string(),
            labels: metadata.labels.clone().into_iter().collect(),
            annotations: metadata.annotations.clone().into_iter().collect(),
            sequence: metadata.sequence,
            created_at_ms: millis(metadata.created_at),
            deleted_at_ms: millis(metadata.deleted_at),
        }
    }
}

impl TryFrom<v1::ApplicationSpec> for ApplicationSpec {
    type Error = FieldError;

    fn try_from(wire: v1::ApplicationSpec) -> Result<Self, FieldError> {
        Ok(Self {
            source: required(wire.source, "source")?,
            namespace: parsed_or_none(&wire.namespace, "namespace")?,
            create_namespace: wire.create_namespace,
            placement: optional(wire.placement, "placement")?.unwrap_or_default(),
            overrides: list(wire.overrides, "overrides")?,
            sync: optional(wire.sync, "sync")?.unwrap_or_default(),
            failover: optional(wire.failover, "failover")?.unwrap_or_default(),
            revision_history_limit: match wire.revision_history_limit {
                0 => DEFAULT_REVISION_HISTORY_LIMIT,
                limit => limit,
            },
        })
    }
}

impl From<&ApplicationSpec> for v1::ApplicationSpec {
    fn from(spec: &ApplicationSpec) -> Self {
        Self {
            source: Some((&spec.source).into()),
            namespace: text_of(spec.namespace.as_ref()),
            create_namespace: spec.create_namespace,
            placement: Some((&spec.placement).into()),
            overrides: wire_list(&spec.overrides),
            sync: Some((&spec.sync).into()),
            failover: Some((&spec.failover).into()),
            revision_history_limit: spec.revision_history_limit,
        }
    }
}

impl TryFrom<v1::Sync> for Sync {
    type Error = FieldError;

    fn try_from(wire: v1::Sync) -> Result<Self, FieldError> {
        Ok(Self {
            prune: wire.prune.unwrap_or(true),
            adopt: adopt(wire.adopt)?,
            prune_adopted: wire.prune_adopted,
            ignore_fields: list(wire.ignore_fields, "ignoreFields")?,
            suspended: wire.suspended,
            suspended_clusters: cluster_names(&wire.suspended_clusters, "suspendedClusters")?,
        })
    }
}

impl From<&Sync> for v1::Sync {
    fn from(sync: &Sync) -> Self {
        Self {
            prune: Some(sync.prune),
            adopt: v1::Adopt::from(sync.adopt).into(),
            prune_adopted: sync.prune_adopted,
            ignore_fields: wire_list(&sync.ignore_fields),
            suspended: sync.suspended,
            suspended_clusters: sync.suspended_clusters.iter().map(ToString::to_string).collect(),
        }
    }
}

impl TryFrom<v1::IgnoreFields> for IgnoreFields {
    type Error = FieldError;

    fn try_from(wire: v1::IgnoreFields) -> Result<Self, FieldError> {
        Ok(Self { target: required(wire.target, "target")?, paths: wire.paths })
    }
}

impl From<&IgnoreFields> for v1::IgnoreFields {
    fn from(ignored: &IgnoreFields) -> Self {
        Self { target: Some((&ignored.target).into()), paths: ignored.paths.clone() }
    }
}

same_enum!(v1::Adopt, Adopt, [Never, IfNoDiff, Always]);

/// A field `adopt`; unspecified is the default.
pub(super) fn adopt(number: i32) -> Result<Adopt, FieldError> {
    Ok(enumerated_or_none::<v1::Adopt, _>(number, "adopt")?.unwrap_or_default())
}

fn cluster_names(names: &[String], path: &str) -> Result<Vec<ClusterName>, FieldError> {
    names.iter().enumerate().map(|(index, name)| parsed(name, &format!("{path}[{index}]"))).collect()
}

by_value!(
    Application => v1::Application,
    ApplicationMetadata => v1::ApplicationMetadata,
    ApplicationSpec => v1::ApplicationSpec,
    Sync => v1::Sync,
    IgnoreFields => v1::IgnoreFields,
);
