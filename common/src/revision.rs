//! The Revision: one immutable rendering of an application's source.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::name::ApplicationKey;
use crate::resources::Resources;
use crate::time::Timestamp;

/// One entry of an application's history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Revision {
    /// Whose revision it is.
    pub application: ApplicationKey,
    /// Counts up from 1 within the application.
    pub number: u64,
    /// The manifests.
    pub bundle: Digest,
    /// Where they came from, for people: `inline`, `bundle deploy/prod`, `undo of 3`.
    pub origin: String,
    /// How many objects the bundle holds.
    pub object_count: u32,
    /// What one copy of the bundle requests of a cluster, before overrides.
    #[serde(default)]
    pub requests: Resources,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: String,
}
