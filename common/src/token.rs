//! Join tokens: what a person hands to a new agent so that it may enrol.
//!
//! A token carries the hub's addresses, its CA certificate, and a secret. The hub keeps only the secret's hash.

use serde::{Deserialize, Serialize};

use crate::metadata::Labels;
use crate::name::ClusterName;
use crate::time::Timestamp;

/// What the hub keeps of a join token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct JoinToken {
    /// Names the token in lists and logs; not secret.
    pub id: String,
    /// SHA-256 of the secret.
    pub secret_hash: crate::digest::Digest,
    /// After this it is worth nothing.
    pub expires_at: Timestamp,
    /// How many more clusters may join with it.
    pub uses_left: u32,
    /// Only this cluster may join with it, where it is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<ClusterName>,
    /// Labels that every cluster gets that joins with it; an agent that asks for others under these keys is refused.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: String,
}
