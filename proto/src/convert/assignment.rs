//! What one cluster is told about one application, and the view of it beside what was seen.

use nave_common::assignment::{Activity, Assignment, Desired, ExclusiveTerms, Run, SyncPolicy};
use nave_common::failover::Epoch;
use nave_common::field::FieldError;
use nave_common::status::AssignmentView;

use super::application::adopt;
use super::{
    by_value, enumerated, enumerated_or_none, list, optional, parsed, parsed_or_none, required, same_enum,
    text_of, wire_list,
};
use crate::v1;

impl TryFrom<v1::Assignment> for Assignment {
    type Error = FieldError;

    fn try_from(wire: v1::Assignment) -> Result<Self, FieldError> {
        let desired = match wire.desired {
            Some(v1::assignment::Desired::Run(run)) => {
                Desired::Run(Box::new(run.try_into().map_err(|error: FieldError| error.under("run"))?))
            }
            Some(v1::assignment::Desired::Remove(_)) => Desired::Remove,
            None => return Err(FieldError::new("desired", "is missing; expected one of run, remove")),
        };
        Ok(Self {
            application: required(wire.application, "application")?,
            cluster: parsed(&wire.cluster, "cluster")?,
            generation: required(wire.generation, "generation")?,
            change_id: wire.change_id,
            desired,
        })
    }
}

impl From<&Assignment> for v1::Assignment {
    fn from(assignment: &Assignment) -> Self {
        let desired = match &assignment.desired {
            Desired::Run(run) => v1::assignment::Desired::Run(run.as_ref().into()),
            Desired::Remove => v1::assignment::Desired::Remove(v1::Remove {}),
        };
        Self {
            application: Some((&assignment.application).into()),
            cluster: assignment.cluster.to_string(),
            generation: Some(assignment.generation.into()),
            change_id: assignment.change_id.clone(),
            desired: Some(desired),
        }
    }
}

impl TryFrom<v1::Run> for Run {
    type Error = FieldError;

    fn try_from(wire: v1::Run) -> Result<Self, FieldError> {
        Ok(Self {
            revision: wire.revision,
            bundle: parsed(&wire.bundle, "bundle")?,
            override_: optional(wire.changes, "override")?.unwrap_or_default(),
            rendering: parsed(&wire.rendering, "rendering")?,
            namespace: parsed_or_none(&wire.namespace, "namespace")?,
            create_namespace: wire.create_namespace,
            sync: required(wire.sync, "sync")?,
            activity: enumerated_or_none::<v1::Activity, _>(wire.activity, "activity")?.unwrap_or_default(),
            park: list(wire.park, "park")?,
            exclusive: optional(wire.exclusive, "exclusive")?,
        })
    }
}

impl From<&Run> for v1::Run {
    fn from(run: &Run) -> Self {
        Self {
            revision: run.revision,
            bundle: run.bundle.to_string(),
            changes: Some((&run.override_).into()),
            rendering: run.rendering.to_string(),
            namespace: text_of(run.namespace.as_ref()),
            create_namespace: run.create_namespace,
            sync: Some((&run.sync).into()),
            activity: v1::Activity::from(run.activity).into(),
            park: wire_list(&run.park),
            exclusive: run.exclusive.as_ref().map(Into::into),
        }
    }
}

impl TryFrom<v1::ExclusiveTerms> for ExclusiveTerms {
    type Error = FieldError;

    fn try_from(wire: v1::ExclusiveTerms) -> Result<Self, FieldError> {
        Ok(Self {
            epoch: Epoch::from_number(wire.epoch),
            fence: enumerated_or_none::<v1::Fence, _>(wire.fence, "fence")?.unwrap_or_default(),
            fence_timeout_ms: wire.fence_timeout_ms,
        })
    }
}

impl From<&ExclusiveTerms> for v1::ExclusiveTerms {
    fn from(terms: &ExclusiveTerms) -> Self {
        Self {
            epoch: terms.epoch.number(),
            fence: v1::Fence::from(terms.fence).into(),
            fence_timeout_ms: terms.fence_timeout_ms,
        }
    }
}

impl TryFrom<v1::SyncPolicy> for SyncPolicy {
    type Error = FieldError;

    fn try_from(wire: v1::SyncPolicy) -> Result<Self, FieldError> {
        Ok(Self {
            prune: wire.prune,
            adopt: adopt(wire.adopt)?,
            prune_adopted: wire.prune_adopted,
            ignore_fields: list(wire.ignore_fields, "ignoreFields")?,
            suspended: wire.suspended,
        })
    }
}

impl From<&SyncPolicy> for v1::SyncPolicy {
    fn from(policy: &SyncPolicy) -> Self {
        Self {
            prune: policy.prune,
            adopt: v1::Adopt::from(policy.adopt).into(),
            prune_adopted: policy.prune_adopted,
            ignore_fields: wire_list(&policy.ignore_fields),
            suspended: policy.suspended,
        }
    }
}

impl TryFrom<v1::AssignmentView> for AssignmentView {
    type Error = FieldError;

    fn try_from(wire: v1::AssignmentView) -> Result<Self, FieldError> {
        Ok(Self {
            assignment: required(wire.assignment, "assignment")?,
            status: optional(wire.status, "status")?,
            liveness: enumerated::<v1::Liveness, _>(wire.liveness, "liveness")?,
        })
    }
}

impl From<&AssignmentView> for v1::AssignmentView {
    fn from(view: &AssignmentView) -> Self {
        Self {
            assignment: Some((&view.assignment).into()),
            status: view.status.as_ref().map(Into::into),
            liveness: v1::Liveness::from(view.liveness).into(),
        }
    }
}

same_enum!(v1::Activity, Activity, [Active, Parked]);

by_value!(
    Assignment => v1::Assignment,
    Run => v1::Run,
    SyncPolicy => v1::SyncPolicy,
    AssignmentView => v1::AssignmentView,
);
