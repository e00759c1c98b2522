//! The Observation: what one look at a live object tells, after which the object itself is let go.
//!
//! Pure. It is made from watch events, lists and the answers to applies alike.

use nave_common::health::HealthReport;
use nave_common::name::ApplicationKey;
use nave_common::time::Timestamp;
use serde_json::Value;

use crate::health;
use crate::ownership::exclusion::Exclusion;
use crate::ownership::{self, Ownership};

/// The label that names the application of an object.
pub const APPLICATION_LABEL: &str = "nave.dev/application";
/// The label that names the project of an object's application.
pub const PROJECT_LABEL: &str = "nave.dev/project";
/// Set to `true` by a person on a live object: nothing is written to it.
pub const SUSPEND_ANNOTATION: &str = "nave.dev/suspend";
/// Set to `disabled` on an object: it is never deleted.
pub const PRUNE_ANNOTATION: &str = "nave.dev/prune";
/// Set by the agent on what was there before and was taken over: it is released, never deleted.
pub const ADOPTED_ANNOTATION: &str = "nave.dev/adopted";
/// Set by the agent on a parked workload that an autoscaler scales: the replicas with which it begins again.
pub const PARKED_REPLICAS_ANNOTATION: &str = "nave.dev/parked-replicas";

/// An object's place in the order of all writes; 0 where the API server's is no number, which orders nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Version(pub u64);

impl Version {
    /// Reads `metadata.resourceVersion`.
    #[must_use]
    pub fn of(object: &Value) -> Self {
        let text = object["metadata"]["resourceVersion"].as_str();
        Self(text.and_then(|text| text.parse().ok()).unwrap_or(0))
    }

    /// Whether this is known to be no newer than `other`.
    #[must_use]
    pub fn is_covered_by(self, other: Self) -> bool {
        self.0 != 0 && self.0 <= other.0
    }
}

/// Which fields are left to others, by what is seen on the object.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Yields {
    /// An autoscaler sets the replicas.
    pub replicas: bool,
    /// Of the fields that `sync.ignoreFields` names, in order, those that another manager owns now.
    pub ignored: u64,
}

/// The metadata on which decisions about an object rest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// Its UID.
    pub uid: String,
    /// Its version.
    pub version: Version,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// Whether a person asked that nothing be written to it.
    pub suspended: bool,
    /// Whether it is marked as taken over.
    pub adopted: bool,
    /// Whether it is marked as not to be deleted.
    pub keep: bool,
    /// The application that its labels name.
    pub owner: Option<ApplicationKey>,
    /// Whether Nave owns fields of it by server-side apply.
    pub applied_by_nave: bool,
}

impl Identity {
    /// Reads an object's metadata.
    #[must_use]
    pub fn of(object: &Value, field_manager: &str) -> Self {
        let metadata = &object["metadata"];
        let annotation = |name: &str| metadata["annotations"][name].as_str().unwrap_or_default();
        Self {
            uid: metadata["uid"].as_str().unwrap_or_default().to_owned(),
            version: Version::of(object),
            deleting: !metadata["deletionTimestamp"].is_null(),
            suspended: annotation(SUSPEND_ANNOTATION) == "true",
            adopted: annotation(ADOPTED_ANNOTATION) == "true",
            keep: annotation(PRUNE_ANNOTATION) == "disabled",
            owner: owner(object),
            applied_by_nave: ownership::has_apply_entry(object, field_manager),
        }
    }

    /// Whether it belongs to `application`: by its labels, and by Nave's fields in it.
    #[must_use]
    pub fn belongs_to(&self, application: &ApplicationKey) -> bool {
        self.applied_by_nave && self.owner.as_ref() == Some(application)
    }
}

/// The application that an object's labels name.
#[must_use]
pub fn owner(object: &Value) -> Option<ApplicationKey> {
    let labels = &object["metadata"]["labels"];
    let name = labels[APPLICATION_LABEL].as_str()?;
    let project = labels[PROJECT_LABEL].as_str()?;
    Some(ApplicationKey::new(project.parse().ok()?, name.parse().ok()?))
}

/// What one look at a live object tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// What it is.
    pub identity: Identity,
    /// What Nave owns of it.
    pub ownership: Ownership,
    /// What is left to others.
    pub yields: Yields,
    /// The replicas that an autoscaler last set, where parking took them from it or it has them now.
    pub scaled: Option<u32>,
    /// How well it is.
    pub health: HealthReport,
}

/// What an observation needs to know besides the object.
#[derive(Debug, Clone, Copy)]
pub struct Lens<'a> {
    /// Nave's field manager.
    pub field_manager: &'a str,
    /// The object as it is wanted, if it is.
    pub manifest: Option<&'a Value>,
    /// What `sync.ignoreFields` names of it.
    pub ignored: &'a [Exclusion],
    /// Whether the replicas are Nave's whoever scales, because the object is parked.
    pub is_parked: bool,
    /// The time of the look.
    pub now: Timestamp,
}

impl Observation {
    /// Looks at a live object.
    #[must_use]
    pub fn of(object: &Value, lens: Lens<'_>) -> Self {
        let replicas = Exclusion::replicas();
        let yields = yields(object, lens, &replicas);
        let mut excluded = lens.ignored.to_vec();
        if yields.replicas {
            excluded.push(replicas);
        }
        let ownership = ownership::of(object, lens.field_manager, &excluded)
            .unwrap_or_else(|| ownership::by_shape(object, lens.manifest.unwrap_or(&Value::Null), &excluded));
        Self {
            identity: Identity::of(object, lens.field_manager),
            ownership,
            yields,
            scaled: scaled(object, yields),
            health: health::assess(object, lens.now),
        }
    }
}

fn scaled(object: &Value, yields: Yields) -> Option<u32> {
    if yields.replicas {
        return object["spec"]["replicas"].as_u64().and_then(|count| count.try_into().ok());
    }
    object["metadata"]["annotations"][PARKED_REPLICAS_ANNOTATION].as_str()?.parse().ok()
}

fn yields(object: &Value, lens: Lens<'_>, replicas: &Exclusion) -> Yields {
    let mut ignored = 0;
    for (bit, exclusion) in lens.ignored.iter().enumerate().take(64) {
        if ownership::is_owned_by_other(object, lens.field_manager, exclusion) {
            ignored |= 1 << bit;
        }
    }
    let scaled = !lens.is_parked
        && ownership::scaler(object).is_some()
        && ownership::is_owned_by_other(object, lens.field_manager, replicas);
    Yields { replicas: scaled, ignored }
}
