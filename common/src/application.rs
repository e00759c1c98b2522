//! The Application: desired state as a user writes it, and the check of everything that types alone cannot hold.

use serde::{Deserialize, Serialize};

use crate::failover::Failover;
use crate::field::FieldError;
use crate::metadata::ApplicationMetadata;
use crate::name::{ApplicationKey, ClusterName, NamespaceName};
use crate::overrides::{OverrideRule, Target};
use crate::placement::{Placement, TolerationOperator};
use crate::selector::{check_label_key, check_label_value, check_labels};
use crate::source::Source;
use crate::status::ApplicationStatus;

/// How many Revisions an application keeps where it does not say.
pub const DEFAULT_REVISION_HISTORY_LIMIT: u32 = 10;
/// The most Revisions an application may keep.
pub const MAX_REVISION_HISTORY_LIMIT: u32 = 1000;
/// The most override rules, patches a rule, preferences, tolerations and other lists of a spec.
pub const MAX_LIST_ITEMS: usize = 1000;

/// Desired state: what runs, where, with which changes, kept how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Application {
    /// Name, project, labels.
    pub metadata: ApplicationMetadata,
    /// What is wanted.
    pub spec: ApplicationSpec,
    /// What was seen; filled in by the hub and ignored in an apply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<ApplicationStatus>,
}

/// What is wanted of an application.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApplicationSpec {
    /// Where the manifests come from.
    pub source: Source,
    /// The namespace of namespaced manifests that name none; `default` where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<NamespaceName>,
    /// Whether `namespace` is made where it is missing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub create_namespace: bool,
    /// Which clusters it runs on; every cluster where it is left out.
    #[serde(default)]
    pub placement: Placement,
    /// Changes by cluster.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overrides: Vec<OverrideRule>,
    /// How clusters are kept at what is wanted.
    #[serde(default)]
    pub sync: Sync,
    /// How it leaves clusters that are lost, sick or drained, and comes home.
    #[serde(default, skip_serializing_if = "is_default")]
    pub failover: Failover,
    /// How many Revisions are kept for `nave undo`, 1 to 1000.
    #[serde(default = "default_history")]
    pub revision_history_limit: u32,
}

fn is_default(failover: &Failover) -> bool {
    *failover == Failover::default()
}

fn default_history() -> u32 {
    DEFAULT_REVISION_HISTORY_LIMIT
}

/// How a cluster is kept at what is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Sync {
    /// Whether objects that Nave made and that are no longer wanted are deleted.
    pub prune: bool,
    /// What happens to a wanted object that is there already and that Nave did not make.
    pub adopt: Adopt,
    /// Whether adopted objects are deleted, and not just released, when they are no longer wanted.
    pub prune_adopted: bool,
    /// Fields that Nave leaves to others.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ignore_fields: Vec<IgnoreFields>,
    /// No writes anywhere while set (`nave suspend`), but one: Exclusive work that may not run is stopped all the same.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub suspended: bool,
    /// No writes in these clusters (`nave suspend --cluster`), with the same exception.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub suspended_clusters: Vec<ClusterName>,
}

impl Default for Sync {
    fn default() -> Self {
        Self {
            prune: true,
            adopt: Adopt::default(),
            prune_adopted: false,
            ignore_fields: Vec::new(),
            suspended: false,
            suspended_clusters: Vec::new(),
        }
    }
}

/// What happens to a wanted object that is there already and that Nave did not make.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Adopt {
    /// It is refused and reported.
    Never,
    /// It is taken over where the wanted fields already have the wanted values; else refused and reported.
    #[default]
    IfNoDiff,
    /// It is taken over and changed to what is wanted.
    Always,
}

/// Fields of some objects that Nave leaves to others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IgnoreFields {
    /// The objects that are meant.
    pub target: Target,
    /// JSON pointers (RFC 6901) such as `/spec/replicas`; what they point at is not applied.
    pub paths: Vec<String>,
}

impl Application {
    /// How the application is known.
    #[must_use]
    pub fn key(&self) -> ApplicationKey {
        self.metadata.key()
    }

    /// The application as it may be shown: without the values of Secrets in inline manifests and patches.
    #[must_use]
    pub fn masked(&self) -> Self {
        let mut shown = self.clone();
        shown.spec.source = shown.spec.source.masked();
        for patch in shown.spec.overrides.iter_mut().flat_map(|rule| &mut rule.patches) {
            *patch = patch.masked();
        }
        shown
    }

    /// Checks what types alone cannot hold.
    ///
    /// # Errors
    /// The first problem, with its path from the document's root.
    pub fn check(&self) -> Result<(), FieldError> {
        check_labels(&self.metadata.labels).map_err(|error| error.under("metadata.labels"))?;
        self.spec.check().map_err(|error| error.under("spec"))
    }
}

impl ApplicationSpec {
    fn check(&self) -> Result<(), FieldError> {
        if let Source::Inline(inline) = &self.source
            && inline.manifests.is_empty()
        {
            return Err(FieldError::new("source.inline.manifests", "is empty; expected at least one object"));
        }
        if self.create_namespace && self.namespace.is_none() {
            return Err(FieldError::new("createNamespace", "needs spec.namespace, the namespace to make"));
        }
        if !(1..=MAX_REVISION_HISTORY_LIMIT).contains(&self.revision_history_limit) {
            return Err(FieldError::new(
                "revisionHistoryLimit",
                format!("is {}; expected 1 to {MAX_REVISION_HISTORY_LIMIT}", self.revision_history_limit),
            ));
        }
        self.placement.check().map_err(|error| error.under("placement"))?;
        self.failover.check(&self.placement)?;
        bounded("overrides", self.overrides.len())?;
        for (index, rule) in self.overrides.iter().enumerate() {
            rule.check().map_err(|error| error.under(&format!("overrides[{index}]")))?;
        }
        self.sync.check().map_err(|error| error.under("sync"))
    }
}

fn bounded(path: &str, length: usize) -> Result<(), FieldError> {
    if length > MAX_LIST_ITEMS {
        return Err(FieldError::new(
            path,
            format!("has {length} items; at most {MAX_LIST_ITEMS} are allowed"),
        ));
    }
    Ok(())
}

impl Placement {
    fn check(&self) -> Result<(), FieldError> {
        self.clusters.check().map_err(|error| error.under("clusters"))?;
        for (path, length) in [
            ("regions", self.regions.len()),
            ("spread", self.spread.len()),
            ("prefer", self.prefer.len()),
            ("tolerations", self.tolerations.len()),
        ] {
            bounded(path, length)?;
        }
        if self.count == Some(0) {
            return Err(FieldError::new(
                "count",
                "is 0; expected at least 1 (to stop an application everywhere, delete it)",
            ));
        }
        for (index, region) in self.regions.iter().enumerate() {
            check_region(region).map_err(|problem| FieldError::new(format!("regions[{index}]"), problem))?;
        }
        self.check_spread()?;
        for (index, preference) in self.prefer.iter().enumerate() {
            let at = format!("prefer[{index}]");
            preference.clusters.check().map_err(|error| error.under(&format!("{at}.clusters")))?;
            if !(1..=100).contains(&preference.weight) {
                return Err(FieldError::new(
                    format!("{at}.weight"),
                    format!("is {}; expected 1 to 100", preference.weight),
                ));
            }
        }
        for (index, toleration) in self.tolerations.iter().enumerate() {
            if toleration.key.is_none() && toleration.operator == TolerationOperator::Equal {
                return Err(FieldError::new(
                    format!("tolerations[{index}].key"),
                    "is missing; a toleration of every key needs operator: Exists",
                ));
            }
            if toleration.operator == TolerationOperator::Exists && !toleration.value.is_empty() {
                return Err(FieldError::new(
                    format!("tolerations[{index}].value"),
                    "means nothing with operator: Exists, which takes any value; expected it to be left out",
                ));
            }
        }
        Ok(())
    }

    fn check_spread(&self) -> Result<(), FieldError> {
        for (index, spread) in self.spread.iter().enumerate() {
            if spread.by.is_empty() {
                return Err(FieldError::new(format!("spread[{index}].by"), "is empty; expected a label key"));
            }
            check_label_key(&spread.by)
                .map_err(|problem| FieldError::new(format!("spread[{index}].by"), problem))?;
            if let Some(first) = self.spread[..index].iter().position(|other| other.by == spread.by) {
                return Err(FieldError::new(
                    format!("spread[{index}].by"),
                    format!("is {:?} again, like spread[{first}]; expected it once", spread.by),
                ));
            }
            if spread.min_domains == Some(0) {
                return Err(FieldError::new(
                    format!("spread[{index}].minDomains"),
                    "is 0; expected at least 1, or that it is left out",
                ));
            }
            if let (Some(domains), Some(count)) = (spread.min_domains, self.count)
                && domains > count
            {
                return Err(FieldError::new(
                    format!("spread[{index}].minDomains"),
                    format!("is {domains}, more than count, which is {count}"),
                ));
            }
        }
        Ok(())
    }
}

/// Checks the name of a region: what stands in a cluster's label, and is not empty.
pub(crate) fn check_region(region: &str) -> Result<(), String> {
    if region.is_empty() {
        return Err("is empty; expected the value of a cluster's label region".into());
    }
    check_label_value(region)
}

/// Checks a target that means objects by their kind.
fn check_target(target: &Target) -> Result<(), FieldError> {
    if target.kind.is_empty() {
        return Err(FieldError::new("target.kind", "is empty; expected a kind, such as Deployment"));
    }
    Ok(())
}

impl OverrideRule {
    fn check(&self) -> Result<(), FieldError> {
        self.clusters.check().map_err(|error| error.under("clusters"))?;
        bounded("patches", self.patches.len())?;
        for name in self.variables.keys() {
            let legal = |c: char| c.is_ascii_alphanumeric() || c == '_';
            if name.is_empty() || !name.chars().all(legal) || name.starts_with(|c: char| c.is_ascii_digit()) {
                return Err(FieldError::new(
                    format!("variables[{name:?}]"),
                    "is no variable name; expected letters, digits and '_', not a digit first",
                ));
            }
        }
        for (name, image) in &self.images {
            if image.is_empty() || image.contains(char::is_whitespace) {
                return Err(FieldError::new(
                    format!("images[{name:?}]"),
                    format!("{image:?} is no image; expected one such as registry.example.com/shop/cart:1.9"),
                ));
            }
        }
        for target in self.replicas.keys() {
            if !target
                .split_once('/')
                .is_some_and(|(kind, name)| !kind.is_empty() && !name.is_empty() && !name.contains('/'))
            {
                return Err(FieldError::new(
                    format!("replicas[{target:?}]"),
                    "is no Kind/name; expected one such as Deployment/frontend",
                ));
            }
        }
        for (index, patch) in self.patches.iter().enumerate() {
            check_target(&patch.target).map_err(|error| error.under(&format!("patches[{index}]")))?;
            if let Some(merge) = &patch.merge
                && !merge.is_object()
            {
                // A merge patch that is no map replaces the whole object.
                return Err(FieldError::new(
                    format!("patches[{index}].merge"),
                    format!("is {}; expected a map with the fields to change", crate::manifest::shape(merge)),
                ));
            }
            if patch.json.is_some() == patch.merge.is_some() {
                return Err(FieldError::new(
                    format!("patches[{index}]"),
                    "needs exactly one of json and merge",
                ));
            }
            if let Some(json) = &patch.json {
                crate::yaml::from_value::<json_patch::Patch>(json.clone())
                    .map_err(|error| error.under("json").under(&format!("patches[{index}]")))?;
            }
        }
        Ok(())
    }
}

impl Sync {
    fn check(&self) -> Result<(), FieldError> {
        bounded("ignoreFields", self.ignore_fields.len())?;
        bounded("suspendedClusters", self.suspended_clusters.len())?;
        for (index, ignored) in self.ignore_fields.iter().enumerate() {
            let at = format!("ignoreFields[{index}].paths");
            bounded(&at, ignored.paths.len())?;
            if ignored.paths.is_empty() {
                return Err(FieldError::new(at, "is empty; expected JSON pointers such as /spec/replicas"));
            }
            check_target(&ignored.target).map_err(|error| error.under(&format!("ignoreFields[{index}]")))?;
            for (number, path) in ignored.paths.iter().enumerate() {
                let protected = ["/apiVersion", "/kind", "/metadata/name", "/metadata/namespace"];
                let escaped = path.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
                if !path.starts_with('/') || path.len() < 2 || !escaped || protected.contains(&path.as_str())
                {
                    return Err(FieldError::new(
                        format!("{at}[{number}]"),
                        format!("{path:?} cannot be ignored; expected a JSON pointer such as /spec/replicas"),
                    ));
                }
            }
        }
        Ok(())
    }

    /// Whether nothing may be written in `cluster`.
    #[must_use]
    pub fn is_suspended_on(&self, cluster: &ClusterName) -> bool {
        self.suspended || self.suspended_clusters.contains(cluster)
    }
}
