//! Changes to a bundle: the rules a user writes, and what of them reaches one cluster.

use nave_common::field::FieldError;
use nave_common::overrides::{Override, OverrideRule, Patch, Target};

use super::selector::{or_everything, unless_everything};
use super::{by_value, filled, json, json_bytes, list, required, wire_list};
use crate::v1;

impl TryFrom<v1::OverrideRule> for OverrideRule {
    type Error = FieldError;

    fn try_from(wire: v1::OverrideRule) -> Result<Self, FieldError> {
        // On the wire a rule holds an override; in YAML its parts stand in the rule, and so do they in error paths.
        let changes = Override::try_from(wire.changes.unwrap_or_default())?;
        Ok(Self {
            clusters: or_everything(wire.clusters, "clusters")?,
            variables: changes.variables,
            images: changes.images,
            replicas: changes.replicas,
            patches: changes.patches,
        })
    }
}

impl From<&OverrideRule> for v1::OverrideRule {
    fn from(rule: &OverrideRule) -> Self {
        Self {
            clusters: unless_everything(&rule.clusters),
            changes: Some(v1::Override {
                variables: rule.variables.clone().into_iter().collect(),
                images: rule.images.clone().into_iter().collect(),
                replicas: rule.replicas.clone().into_iter().collect(),
                patches: wire_list(&rule.patches),
            }),
        }
    }
}

impl TryFrom<v1::Override> for Override {
    type Error = FieldError;

    fn try_from(wire: v1::Override) -> Result<Self, FieldError> {
        Ok(Self {
            variables: wire.variables.into_iter().collect(),
            images: wire.images.into_iter().collect(),
            replicas: wire.replicas.into_iter().collect(),
            patches: list(wire.patches, "patches")?,
        })
    }
}

impl From<&Override> for v1::Override {
    fn from(changes: &Override) -> Self {
        Self {
            variables: changes.variables.clone().into_iter().collect(),
            images: changes.images.clone().into_iter().collect(),
            replicas: changes.replicas.clone().into_iter().collect(),
            patches: wire_list(&changes.patches),
        }
    }
}

impl TryFrom<v1::Patch> for Patch {
    type Error = FieldError;

    fn try_from(wire: v1::Patch) -> Result<Self, FieldError> {
        let target = required(wire.target, "target")?;
        match wire.kind {
            Some(v1::patch::Kind::Json(bytes)) => {
                Ok(Self { target, json: Some(json(&bytes, "json")?), merge: None })
            }
            Some(v1::patch::Kind::Merge(bytes)) => {
                Ok(Self { target, json: None, merge: Some(json(&bytes, "merge")?) })
            }
            None => Err(FieldError::new("", "needs exactly one of json and merge")),
        }
    }
}

impl From<&Patch> for v1::Patch {
    /// Of a patch that never was checked and has both, the JSON patch.
    fn from(patch: &Patch) -> Self {
        let json = patch.json.as_ref().map(|json| v1::patch::Kind::Json(json_bytes(json)));
        let merge = || patch.merge.as_ref().map(|merge| v1::patch::Kind::Merge(json_bytes(merge)));
        Self { target: Some((&patch.target).into()), kind: json.or_else(merge) }
    }
}

impl TryFrom<v1::Target> for Target {
    type Error = FieldError;

    fn try_from(wire: v1::Target) -> Result<Self, FieldError> {
        Ok(Self {
            group: wire.group,
            kind: filled(wire.kind, "kind", "a kind, such as Deployment")?,
            name: wire.name,
            namespace: wire.namespace,
        })
    }
}

impl From<&Target> for v1::Target {
    fn from(target: &Target) -> Self {
        Self {
            group: target.group.clone(),
            kind: target.kind.clone(),
            name: target.name.clone(),
            namespace: target.namespace.clone(),
        }
    }
}

by_value!(
    OverrideRule => v1::OverrideRule,
    Override => v1::Override,
    Patch => v1::Patch,
    Target => v1::Target,
);
