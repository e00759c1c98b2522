//! Join tokens: what a person hands to a new agent so that it may enrol.
//!
//! A token carries the hub's addresses, its CA certificate, and a secret. The hub keeps only the secret's hash.

mod text;

use serde::{Deserialize, Serialize};

use subtle::ConstantTimeEq as _;

use crate::digest::Digest;
use crate::metadata::Labels;
use crate::name::ClusterName;
use crate::time::Timestamp;

pub use text::{InvalidToken, TokenText};

/// What the hub keeps of a join token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct JoinToken {
    /// Names the token in lists and logs; not secret.
    pub id: String,
    /// SHA-256 of the secret.
    pub secret_hash: Digest,
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

/// Why a cluster may not join with a token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is none of that id. Ids are not secret, so whoever asks may know.
    #[error(
        "this hub knows no such token: it was deleted or expired long ago, or is another hub's; make a new one with \
         `nave token create`"
    )]
    Unknown,
    /// The secret is another.
    #[error("the join token is wrong")]
    Wrong,
    /// Its time is over.
    #[error("the join token expired at {0}; make a new one with `nave token create`")]
    Expired(Timestamp),
    /// Every use is taken.
    #[error("the join token is used up; make a new one with `nave token create`")]
    UsedUp,
    /// It is for one cluster, and this is another.
    #[error(
        "the join token is for cluster {0}; join under that name, or make one for this cluster with `nave token create`"
    )]
    OtherCluster(ClusterName),
    /// It sets a label that the cluster wants to be something else.
    #[error("the join token sets the label {key}={expected}; the agent asks for {key}={asked}")]
    OtherLabel {
        /// The label's key.
        key: String,
        /// The value that the token sets.
        expected: String,
        /// The value that the agent asked for.
        asked: String,
    },
}

impl JoinToken {
    /// Whether the cluster may join with this token now. The secret is looked at first and in constant time, so that
    /// whoever does not have it learns nothing else of the token.
    ///
    /// # Errors
    /// Why not.
    pub fn check(
        &self,
        secret: &str,
        now: Timestamp,
        cluster: &ClusterName,
        labels: &Labels,
    ) -> Result<(), Refused> {
        let hash = Digest::of(secret.as_bytes());
        if !bool::from(hash.as_bytes().ct_eq(self.secret_hash.as_bytes())) {
            return Err(Refused::Wrong);
        }
        if now >= self.expires_at {
            return Err(Refused::Expired(self.expires_at));
        }
        if self.uses_left == 0 {
            return Err(Refused::UsedUp);
        }
        if let Some(only) = self.cluster.as_ref().filter(|only| *only != cluster) {
            return Err(Refused::OtherCluster(only.clone()));
        }
        for (key, expected) in &self.labels {
            if let Some(asked) = labels.get(key).filter(|asked| *asked != expected) {
                let (key, expected, asked) = (key.clone(), expected.clone(), asked.clone());
                return Err(Refused::OtherLabel { key, expected, asked });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
