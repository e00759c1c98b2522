//! Per-cluster changes to a bundle: what a user writes ([`OverrideRule`]) and what reaches one cluster ([`Override`]).
//!
//! The change itself is made by [`crate::render`], the same on hub, agent and command line.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::manifest::{self, ObjectKey};
use crate::metadata::Labels;
use crate::selector::Selector;

/// Changes for the clusters that a selector matches.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OverrideRule {
    /// The clusters that get these changes; all where it is left out.
    #[serde(default, skip_serializing_if = "Selector::is_empty")]
    pub clusters: Selector,
    /// Values for `${nave:NAME}` in the manifests' string values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variables: BTreeMap<String, String>,
    /// New images by container name, or by the image's present name without tag.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub images: BTreeMap<String, String>,
    /// Replica counts by `Kind/name`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub replicas: BTreeMap<String, u32>,
    /// Patches, in order, after everything above.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub patches: Vec<Patch>,
}

/// One patch of the objects that its target names.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Patch {
    /// Which objects are patched; a patch that finds none is an error.
    pub target: Target,
    /// A JSON patch (RFC 6902). Exactly one of `json` and `merge` is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub json: Option<serde_json::Value>,
    /// A JSON merge patch (RFC 7386).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merge: Option<serde_json::Value>,
}

impl Patch {
    /// The patch as it may be shown: one of Secrets without its values.
    #[must_use]
    pub fn masked(&self) -> Self {
        if self.target.kind != "Secret" {
            return self.clone();
        }
        Self {
            target: self.target.clone(),
            json: self.json.as_ref().map(manifest::masked_json_patch),
            merge: self.merge.as_ref().map(manifest::masked_secret),
        }
    }
}

impl fmt::Debug for Patch {
    /// As [`Patch::masked`], since it ends up in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { target, json, merge } = self.masked();
        f.debug_struct("Patch").field("target", &target).field("json", &json).field("merge", &merge).finish()
    }
}

/// Which objects of a bundle are meant: every field that is there must match.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// The API group, such as `apps`; empty for the core group; any where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The kind, such as `Deployment`.
    pub kind: String,
    /// The object's name; any where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The namespace that the manifest names; any where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

impl Target {
    /// Whether the object is one of those that are meant.
    #[must_use]
    pub fn matches(&self, key: &ObjectKey) -> bool {
        self.kind == key.kind
            && self.group.as_ref().is_none_or(|group| *group == key.group)
            && self.name.as_ref().is_none_or(|name| *name == key.name)
            && self.namespace.as_ref().is_none_or(|namespace| Some(namespace) == key.namespace.as_ref())
    }
}

/// The changes for one cluster: the rules that match it, merged in order. Later rules win; patches add up.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Override {
    /// As in [`OverrideRule::variables`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variables: BTreeMap<String, String>,
    /// As in [`OverrideRule::images`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub images: BTreeMap<String, String>,
    /// As in [`OverrideRule::replicas`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub replicas: BTreeMap<String, u32>,
    /// As in [`OverrideRule::patches`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub patches: Vec<Patch>,
}

impl Override {
    /// The changes that `rules` make for a cluster with these labels.
    #[must_use]
    pub fn for_cluster(rules: &[OverrideRule], labels: &Labels) -> Self {
        let mut merged = Self::default();
        for rule in rules.iter().filter(|rule| rule.clusters.matches(labels)) {
            merged.variables.extend(rule.variables.clone());
            merged.images.extend(rule.images.clone());
            merged.replicas.extend(rule.replicas.clone());
            merged.patches.extend(rule.patches.iter().cloned());
        }
        merged
    }

    /// The content address of these changes: equal changes render equal, so that a rendering can be shared.
    #[must_use]
    pub fn digest(&self) -> Digest {
        // Maps with text keys and plain values always have a JSON form.
        Digest::of(&serde_json::to_vec(self).unwrap_or_default())
    }
}
