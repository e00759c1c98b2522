//! The Inventory: what an agent applied in its cluster for one application.
//!
//! Prune deletes only what stands here, by UID. It is kept in the cluster, so that an agent that lost its disk still
//! knows what it made.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::assignment::Generation;
use crate::digest::Digest;
use crate::manifest::ObjectKey;
use crate::name::ApplicationKey;

/// What an agent applied in its cluster for one application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Inventory {
    /// The application.
    pub application: ApplicationKey,
    /// The newest generation that was acted on: an agent with an empty disk refuses what is older than this.
    pub generation: Generation,
    /// The objects. Ordered, so that equal inventories have equal text.
    #[serde(with = "as_list")]
    pub objects: BTreeMap<ObjectKey, InventoryEntry>,
}

/// One object of an inventory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InventoryEntry {
    /// The API version under which it was applied, such as `apps/v1`.
    pub api_version: String,
    /// The object's UID; `None` between the recorded intent to create it and the answer to the create.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// The digest of the manifest that was last applied.
    pub applied: Digest,
    /// The digest of Nave's own field set in `managedFields` and of the values there, as the server gave them back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owned: Option<Digest>,
    /// Whether the object was there before and was taken over: then it is released, not deleted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub adopted: bool,
}

/// JSON keys are text; an object key is a record. So the map is written as a list of records.
mod as_list {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{InventoryEntry, ObjectKey};

    #[derive(Serialize)]
    struct Line<'a> {
        object: &'a ObjectKey,
        entry: &'a InventoryEntry,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct OwnedLine {
        object: ObjectKey,
        entry: InventoryEntry,
    }

    pub(super) fn serialize<S: Serializer>(
        map: &BTreeMap<ObjectKey, InventoryEntry>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(map.iter().map(|(object, entry)| Line { object, entry }))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<ObjectKey, InventoryEntry>, D::Error> {
        let lines = Vec::<OwnedLine>::deserialize(deserializer)?;
        Ok(lines.into_iter().map(|line| (line.object, line.entry)).collect())
    }
}
