//! What a hub answers and the domain model has no type for.

use nave_common::assignment::Generation;
use nave_common::failover::HubFailover;
use nave_common::manifest::ObjectKey;
use nave_common::metadata::Labels;
use nave_common::status::PlacementReport;
use nave_common::time::Timestamp;
use nave_proto::v1;
use serde::Serialize;
use serde_json::Value;

use super::error::{incomplete, unreadable};
use crate::exit::Outcome;

/// Which hub it is.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HubInfo {
    pub(crate) address: String,
    pub(crate) version: String,
    pub(crate) generation: Generation,
    pub(crate) sequence: u64,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) cluster_count: u32,
    pub(crate) application_count: u32,
    pub(crate) failover: HubFailover,
    /// After a restore: applications that wait.
    pub(crate) held_count: u32,
    /// The hub's clock, where it says it.
    pub(crate) now: Option<Timestamp>,
}

impl HubInfo {
    pub(super) fn read(answer: v1::GetHubResponse, failover: HubFailover, address: &str) -> Outcome<Self> {
        let generation = answer.generation.unwrap_or_default();
        Ok(Self {
            address: address.to_owned(),
            version: answer.version,
            generation: Generation { term: generation.term, counter: generation.counter },
            sequence: answer.sequence,
            started_at: time(answer.started_at_ms),
            cluster_count: answer.cluster_count,
            application_count: answer.application_count,
            failover,
            held_count: answer.held_count,
            now: time(answer.now_ms),
        })
    }
}

/// What an apply did to a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Verb {
    Created,
    Configured,
    Unchanged,
}

impl Verb {
    pub(super) fn read(number: i32, address: &str) -> Outcome<Self> {
        match v1::Outcome::try_from(number) {
            Ok(v1::Outcome::Created) => Ok(Self::Created),
            Ok(v1::Outcome::Configured) => Ok(Self::Configured),
            Ok(v1::Outcome::Unchanged) => Ok(Self::Unchanged),
            Ok(v1::Outcome::Unspecified) | Err(_) => Err(incomplete(address, "outcome")),
        }
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Configured => "configured",
            Self::Unchanged => "unchanged",
        }
    }
}

/// The answer to an apply.
#[derive(Debug, Clone)]
pub(crate) struct Applied<Resource> {
    pub(crate) resource: Resource,
    pub(crate) verb: Verb,
    pub(crate) change_id: String,
    pub(crate) warnings: Vec<String>,
    pub(crate) placement: Option<PlacementReport>,
}

/// The answer to a delete.
#[derive(Debug, Clone)]
pub(crate) struct Deletion {
    pub(crate) change_id: String,
    pub(crate) clusters: Vec<String>,
}

/// What one cluster runs, or would run.
#[derive(Debug, Clone)]
pub(crate) struct Rendered {
    pub(crate) manifests: Vec<Value>,
}

/// Clusters in which the same changes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct ClusterDiff {
    pub(crate) clusters: Vec<String>,
    pub(crate) objects: Vec<ObjectDiff>,
}

/// One object that changes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct ObjectDiff {
    pub(crate) object: ObjectKey,
    /// `None`: the object is new.
    pub(crate) before: Option<Value>,
    /// `None`: the object goes.
    pub(crate) after: Option<Value>,
}

impl ClusterDiff {
    pub(super) fn read(diff: v1::ClusterDiff, address: &str) -> Outcome<Self> {
        let objects = diff.objects.into_iter().map(|object| ObjectDiff::read(object, address));
        Ok(Self { clusters: diff.clusters, objects: objects.collect::<Result<_, _>>()? })
    }
}

impl ObjectDiff {
    fn read(diff: v1::ObjectDiff, address: &str) -> Outcome<Self> {
        let object = diff.object.ok_or_else(|| incomplete(address, "object"))?;
        let side = |bytes: &[u8], name| {
            if bytes.is_empty() { Ok(None) } else { json(bytes, name, address).map(Some) }
        };
        Ok(Self {
            object: object.try_into().map_err(unreadable(address))?,
            before: side(&diff.before, "before")?,
            after: side(&diff.after, "after")?,
        })
    }
}

pub(super) fn json(bytes: &[u8], name: &str, address: &str) -> Outcome<Value> {
    serde_json::from_slice(bytes).map_err(|error| {
        unreadable(address)(nave_common::field::FieldError::new(name, format!("is no JSON: {error}")))
    })
}

/// What a hub shows of a join token.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Token {
    pub(crate) id: String,
    pub(crate) expires_at: Option<Timestamp>,
    pub(crate) uses_left: u32,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) cluster: String,
    #[serde(skip_serializing_if = "Labels::is_empty")]
    pub(crate) labels: Labels,
    pub(crate) created_at: Option<Timestamp>,
    pub(crate) created_by: String,
}

impl Token {
    pub(super) fn read(token: v1::JoinToken) -> Self {
        Self {
            id: token.id,
            expires_at: time(token.expires_at_ms),
            uses_left: token.uses_left,
            cluster: token.cluster,
            labels: token.labels.into_iter().collect(),
            created_at: time(token.created_at_ms),
            created_by: token.created_by,
        }
    }
}

/// A token that was just made. Its text is its secret, so this is shown by nothing but `nave token create`.
pub(crate) struct NewToken {
    pub(crate) token: Token,
    pub(crate) text: zeroize::Zeroizing<String>,
}

/// A time for display; one that cannot be written is as good as none.
fn time(millis: i64) -> Option<Timestamp> {
    if millis == 0 { None } else { Timestamp::from_millis(millis).ok() }
}
