//! What the store holds: the keys, and the JSON under them.
//!
//! Everything that writes the store makes its writes here, and everything that reads it reads through here, so a key's
//! shape stands in one place. A record that cannot be read is an error that names its key; none is ever skipped.
//! Status is never stored: it is the agents' to repeat. Bodies of bundles are blobs, not records.

use std::fmt;

use nave_common::application::Application;
use nave_common::assignment::{Assignment, Generation};
use nave_common::cluster::Cluster;
use nave_common::digest::Digest;
use nave_common::event::Event;
use nave_common::failover::state::FailoverState;
use nave_common::name::{ApplicationKey, ApplicationName, ClusterName, ProjectName};
use nave_common::revision::Revision;
use nave_common::time::Timestamp;
use nave_common::token::JoinToken;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::store::{Key, Write};

/// The most events kept; the oldest go first.
pub const MAX_EVENT_COUNT: usize = 5000;

/// The prefixes under which records stand, in the order in which a loader should read them: what is referred to comes
/// before what refers to it.
pub const PREFIXES: [&str; 9] = [
    "meta/",
    "cluster/",
    "application/",
    "revision/",
    "failover/",
    "hold/",
    "assignment/",
    "token/",
    "event/",
];

/// Why a key or value is no record.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A key under one of the [`PREFIXES`] with a wrong rest.
    #[error("the store's key {key} is no record's: {why}")]
    Key {
        /// The key.
        key: String,
        /// What is wrong with it.
        why: String,
    },
    /// A value that is not what its key says.
    #[error("the record {key} cannot be read; restore a backup, or delete it if nothing needs it")]
    Value {
        /// The record's key.
        key: Key,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// A value whose own name is not its key's.
    #[error("the record {key} holds {found}; restore a backup, or delete it if nothing needs it")]
    Misplaced {
        /// The record's key.
        key: Key,
        /// What it says it is.
        found: Name,
    },
}

/// Tells events apart, and orders them by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId {
    /// When it happened.
    pub at: Timestamp,
    /// Tells apart what happened in one millisecond; any number that nobody else takes, such as a random one.
    pub nonce: u64,
}

/// What a record is known by: its key, taken apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Name {
    /// `meta/term`.
    Term,
    /// `meta/generation`.
    Generation,
    /// `meta/failover`.
    HubFailover,
    /// `meta/restored`.
    Restored,
    /// `failover/PROJECT/NAME`.
    Failover(ApplicationKey),
    /// `hold/PROJECT/NAME`.
    Hold(ApplicationKey),
    /// `cluster/NAME`.
    Cluster(ClusterName),
    /// `application/PROJECT/NAME`.
    Application(ApplicationKey),
    /// `revision/PROJECT/NAME/NNNNNNNNNN`.
    Revision(ApplicationKey, u64),
    /// `assignment/CLUSTER/PROJECT/NAME`.
    Assignment(ClusterName, ApplicationKey),
    /// `token/ID`.
    Token(String),
    /// `event/MILLISECONDS-NONCE`.
    Event(EventId),
}

impl Name {
    /// Reads a key; `None` where it stands under none of the [`PREFIXES`].
    ///
    /// # Errors
    /// Where it does, but the rest is no name.
    pub fn parse(key: &Key) -> Result<Option<Self>, Error> {
        let refused = |why: String| Error::Key { key: key.to_string(), why };
        let segments: Vec<&str> = key.segments().collect();
        let application = |project: &str, name: &str| -> Result<ApplicationKey, Error> {
            let project = ProjectName::new(project).map_err(|error| refused(error.to_string()))?;
            let name = ApplicationName::new(name).map_err(|error| refused(error.to_string()))?;
            Ok(ApplicationKey::new(project, name))
        };
        let cluster = |name: &str| ClusterName::new(name).map_err(|error| refused(error.to_string()));
        Ok(Some(match segments.as_slice() {
            ["meta", "term"] => Self::Term,
            ["meta", "generation"] => Self::Generation,
            ["meta", "failover"] => Self::HubFailover,
            ["meta", "restored"] => Self::Restored,
            ["failover", project, name] => Self::Failover(application(project, name)?),
            ["hold", project, name] => Self::Hold(application(project, name)?),
            ["cluster", name] => Self::Cluster(cluster(name)?),
            ["application", project, name] => Self::Application(application(project, name)?),
            ["revision", project, name, number] => {
                let number = number.parse().map_err(|_| refused(format!("{number:?} is no number")))?;
                Self::Revision(application(project, name)?, number)
            }
            ["assignment", on, project, name] => Self::Assignment(cluster(on)?, application(project, name)?),
            ["token", id] => Self::Token((*id).to_owned()),
            ["event", id] => {
                Self::Event(parse_event_id(id).ok_or_else(|| refused("it names no event".into()))?)
            }
            [
                "cluster" | "application" | "revision" | "failover" | "hold" | "assignment" | "token"
                | "event",
                ..,
            ] => {
                return Err(refused("it has the wrong number of segments".into()));
            }
            _ => return Ok(None),
        }))
    }

    /// The key under which the record stands.
    ///
    /// # Errors
    /// Only for a token whose id cannot stand in a key.
    pub fn key(&self) -> Result<Key, Error> {
        let text = self.to_string();
        Key::new(&text).map_err(|error| Error::Key { key: text, why: error.to_string() })
    }

    /// The write that deletes the record.
    ///
    /// # Errors
    /// As [`Name::key`].
    pub fn delete(&self) -> Result<Write, Error> {
        Ok(Write::Delete { key: self.key()? })
    }
}

impl fmt::Display for Name {
    /// The text of the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Term => f.write_str("meta/term"),
            Self::Generation => f.write_str("meta/generation"),
            Self::HubFailover => f.write_str("meta/failover"),
            Self::Restored => f.write_str("meta/restored"),
            Self::Failover(key) => write!(f, "failover/{key}"),
            Self::Hold(key) => write!(f, "hold/{key}"),
            Self::Cluster(name) => write!(f, "cluster/{name}"),
            Self::Application(key) => write!(f, "application/{key}"),
            // Ten digits, so that keys are ordered as numbers are.
            Self::Revision(key, number) => write!(f, "revision/{key}/{number:010}"),
            Self::Assignment(cluster, key) => write!(f, "assignment/{cluster}/{key}"),
            Self::Token(id) => write!(f, "token/{id}"),
            Self::Event(id) => write!(f, "event/{:016}-{:016x}", id.at.as_millis(), id.nonce),
        }
    }
}

fn parse_event_id(text: &str) -> Option<EventId> {
    let (millis, nonce) = text.split_once('-')?;
    let at = Timestamp::from_millis(millis.parse().ok()?).ok()?;
    Some(EventId { at, nonce: u64::from_str_radix(nonce, 16).ok()? })
}

/// An Application as it is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApplicationRecord {
    /// The application, without status.
    pub application: Application,
    /// The change that led to this; it goes on into the assignments.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub change_id: String,
}

/// A Cluster as it is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClusterRecord {
    /// The cluster, without status.
    pub cluster: Cluster,
    /// The change that led to this; it goes on into the assignments.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub change_id: String,
    /// The enrolment whose certificates are valid, and no other's. `None` of a record that an older hub wrote, until the
    /// cluster connects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enrolment: Option<Digest>,
}

impl ClusterRecord {
    /// A cluster that no agent has enrolled as yet, changed by nobody.
    #[must_use]
    pub fn new(cluster: Cluster) -> Self {
        Self { cluster, change_id: String::new(), enrolment: None }
    }
}

/// What people said of failover as a whole, and what the hub promised of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HubFailoverRecord {
    /// Since when a person has stopped all moves that nobody ordered, and who; `None` where nobody has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frozen: Option<FrozenBy>,
    /// When a person last said that the hub's own doubts are unfounded: those that are older no longer freeze.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thawed_at: Option<Timestamp>,
    /// Until when no Exclusive work moves: the maintenance hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maintenance_until: Option<Timestamp>,
    /// For how long that was said to last, in milliseconds: no hub that starts anew holds for longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maintenance_ms: Option<u64>,
}

/// Who has stopped all moves that nobody ordered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FrozenBy {
    /// Who.
    pub by: String,
    /// Since when.
    pub since: Timestamp,
}

/// That this store was put back from a backup; the last write of a restore, so what was written later has a higher
/// sequence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RestoredRecord {
    /// When it was put back.
    pub at: Timestamp,
    /// The term since then.
    pub term: u64,
    /// When the backup was made.
    pub taken_at: Timestamp,
    /// The term of the hub that made it.
    pub from_term: u64,
    /// The last write that is in it, in the sequence of that hub's store.
    pub from_sequence: u64,
}

/// An application that waits after a restore: nothing of it is planned, granted, renewed or sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HoldRecord {
    /// The application.
    pub application: ApplicationKey,
    /// What was assigned up to here is from the backup, and is not sent while this stands.
    pub up_to: Generation,
    /// When the hub was restored.
    pub since: Timestamp,
    /// `Some` once a person has said that what runs in the clusters stays until the application is applied again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<KeptBy>,
}

/// Who has said that what runs stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KeptBy {
    /// Who.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

/// One thing that the store holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// The hub's incarnation.
    Term(u64),
    /// The counter of the newest [`nave_common::assignment::Generation`].
    Generation(u64),
    /// What people said of failover as a whole.
    HubFailover(Box<HubFailoverRecord>),
    /// That the store was put back from a backup.
    Restored(Box<RestoredRecord>),
    /// How an application stands in failover.
    Failover(Box<FailoverState>),
    /// That an application waits after a restore.
    Hold(Box<HoldRecord>),
    /// A cluster that has joined.
    Cluster(Box<ClusterRecord>),
    /// Desired state.
    Application(Box<ApplicationRecord>),
    /// One entry of an application's history.
    Revision(Box<Revision>),
    /// What a cluster is told.
    Assignment(Box<Assignment>),
    /// A join token.
    Token(Box<JoinToken>),
    /// Something that happened.
    Event(EventId, Box<Event>),
}

impl Record {
    /// Reads a record; `None` where its key stands under none of the [`PREFIXES`].
    ///
    /// # Errors
    /// Where key or value are damaged, or do not belong together.
    pub fn parse(key: &Key, value: &[u8]) -> Result<Option<Self>, Error> {
        let Some(name) = Name::parse(key)? else { return Ok(None) };
        let record = match &name {
            Name::Term => Self::Term(read(key, value)?),
            Name::Generation => Self::Generation(read(key, value)?),
            Name::HubFailover => Self::HubFailover(read(key, value)?),
            Name::Restored => Self::Restored(read(key, value)?),
            Name::Failover(_) => Self::Failover(read(key, value)?),
            Name::Hold(_) => Self::Hold(read(key, value)?),
            Name::Cluster(_) => Self::Cluster(read(key, value)?),
            Name::Application(_) => Self::Application(read(key, value)?),
            Name::Revision(..) => Self::Revision(read(key, value)?),
            Name::Assignment(..) => Self::Assignment(read(key, value)?),
            Name::Token(_) => Self::Token(read(key, value)?),
            Name::Event(id) => Self::Event(*id, read(key, value)?),
        };
        let found = record.name();
        if found != name {
            return Err(Error::Misplaced { key: key.clone(), found });
        }
        Ok(Some(record))
    }

    /// What the record is known by.
    #[must_use]
    pub fn name(&self) -> Name {
        match self {
            Self::Term(_) => Name::Term,
            Self::Generation(_) => Name::Generation,
            Self::HubFailover(_) => Name::HubFailover,
            Self::Restored(_) => Name::Restored,
            Self::Failover(state) => Name::Failover(state.application.clone()),
            Self::Hold(hold) => Name::Hold(hold.application.clone()),
            Self::Cluster(record) => Name::Cluster(record.cluster.metadata.name.clone()),
            Self::Application(record) => Name::Application(record.application.key()),
            Self::Revision(revision) => Name::Revision(revision.application.clone(), revision.number),
            Self::Assignment(assignment) => {
                Name::Assignment(assignment.cluster.clone(), assignment.application.clone())
            }
            Self::Token(token) => Name::Token(token.id.clone()),
            Self::Event(id, _) => Name::Event(*id),
        }
    }

    /// The write that stores the record, without any status it carries.
    ///
    /// # Errors
    /// As [`Name::key`].
    pub fn write(&self) -> Result<Write, Error> {
        let key = self.name().key()?;
        let value = match self {
            Self::Term(number) | Self::Generation(number) => serde_json::to_vec(number),
            Self::Cluster(record) if record.cluster.status.is_some() => {
                let mut bare = record.clone();
                bare.cluster.status = None;
                serde_json::to_vec(&bare)
            }
            Self::Cluster(record) => serde_json::to_vec(record),
            Self::Application(record) if record.application.status.is_some() => {
                let mut bare = record.clone();
                bare.application.status = None;
                serde_json::to_vec(&bare)
            }
            Self::Application(record) => serde_json::to_vec(record),
            Self::HubFailover(record) => serde_json::to_vec(record),
            Self::Restored(record) => serde_json::to_vec(record),
            Self::Failover(state) => serde_json::to_vec(state),
            Self::Hold(hold) => serde_json::to_vec(hold),
            Self::Revision(revision) => serde_json::to_vec(revision),
            Self::Assignment(assignment) => serde_json::to_vec(assignment),
            Self::Token(token) => serde_json::to_vec(token),
            Self::Event(_, event) => serde_json::to_vec(event),
        };
        let value = value.map_err(|source| Error::Value { key: key.clone(), source })?;
        Ok(Write::Put { key, value: value.into() })
    }
}

fn read<T: DeserializeOwned>(key: &Key, value: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(value).map_err(|source| Error::Value { key: key.clone(), source })
}

#[cfg(test)]
mod tests {
    use nave_common::assignment::Desired;

    use super::*;

    fn assignment() -> Assignment {
        Assignment {
            application: "retail/shop".parse().unwrap(),
            cluster: "eu-1".parse().unwrap(),
            generation: Generation { term: 1, counter: 7 },
            change_id: "c1".into(),
            desired: Desired::Remove,
        }
    }

    #[test]
    fn keys_round_trip() {
        let shop: ApplicationKey = "retail/shop".parse().unwrap();
        let at = Timestamp::from_millis(1_769_860_800_000).unwrap();
        for (name, text) in [
            (Name::Term, "meta/term"),
            (Name::Restored, "meta/restored"),
            (Name::Hold(shop.clone()), "hold/retail/shop"),
            (Name::Cluster("eu-1".parse().unwrap()), "cluster/eu-1"),
            (Name::Revision(shop.clone(), 12), "revision/retail/shop/0000000012"),
            (Name::Assignment("eu-1".parse().unwrap(), shop), "assignment/eu-1/retail/shop"),
            (Name::Event(EventId { at, nonce: 255 }), "event/0001769860800000-00000000000000ff"),
        ] {
            assert_eq!(name.key().unwrap().as_str(), text);
            assert_eq!(Name::parse(&Key::new(text).unwrap()).unwrap(), Some(name));
        }
        assert_eq!(Name::parse(&Key::new("authority/key").unwrap()).unwrap(), None);
        assert!(Name::parse(&Key::new("cluster/UPPER").unwrap()).is_err());
        assert!(Name::parse(&Key::new("assignment/eu-1").unwrap()).is_err());
    }

    #[test]
    fn a_damaged_record_is_named() {
        let record = Record::Assignment(Box::new(assignment()));
        let Write::Put { key, value } = record.write().unwrap() else { panic!("a put") };
        assert_eq!(Record::parse(&key, &value).unwrap(), Some(record));
        let error = Record::parse(&key, b"{").unwrap_err();
        assert!(error.to_string().contains("assignment/eu-1/retail/shop"), "{error}");
        let elsewhere = Key::new("assignment/eu-2/retail/shop").unwrap();
        let error = Record::parse(&elsewhere, &value).unwrap_err();
        assert!(error.to_string().contains("holds assignment/eu-1/retail/shop"), "{error}");
    }
}
