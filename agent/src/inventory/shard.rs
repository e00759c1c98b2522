//! The parts into which an inventory is cut, so that none passes what a ConfigMap may hold. Pure.

use std::collections::BTreeMap;

use nave_common::digest::Digest;
use nave_common::inventory::{Inventory, InventoryEntry};
use nave_common::manifest::ObjectKey;
use serde_json::{Value, json};

use crate::ownership::hash;

/// The label that names the application of a part. Not the one that applied objects have: parts are not watched.
pub const APPLICATION_LABEL: &str = "nave.dev/inventory";
/// The label that names the project of a part's application.
pub const PROJECT_LABEL: &str = "nave.dev/inventory-project";

/// The most a part may hold, in bytes. A ConfigMap may hold 1 MiB.
pub const MAX_PART_BYTES: usize = 900_000;

/// What a part is made to hold at most when parts are cut anew, so that there is room to grow.
const CUT_BYTES: usize = 400_000;

/// More parts than any allowed bundle needs.
const MAX_PARTS: u32 = 256;

/// The key of a part's content in its ConfigMap.
const CONTENT: &str = "inventory.json";
/// The key of how many parts there are.
const PART_COUNT: &str = "parts";

/// One part as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its place, from 0.
    pub index: u32,
    /// How many there are.
    pub count: u32,
    /// Its content.
    pub text: String,
}

/// Cuts an inventory into parts: into `count` as before, as long as they fit.
#[must_use]
pub fn cut(inventory: &Inventory, count: u32) -> Vec<Part> {
    let mut count = count.clamp(1, MAX_PARTS);
    let mut limit = MAX_PART_BYTES;
    loop {
        let parts = cut_into(inventory, count);
        if count >= MAX_PARTS || parts.iter().all(|part| part.text.len() <= limit) {
            return parts;
        }
        count *= 2;
        limit = CUT_BYTES;
    }
}

fn cut_into(inventory: &Inventory, count: u32) -> Vec<Part> {
    let mut parts: Vec<BTreeMap<ObjectKey, InventoryEntry>> = vec![BTreeMap::new(); count as usize];
    for (key, entry) in &inventory.objects {
        let place = hash(&key.to_string()) % u64::from(count);
        // The remainder is smaller than the length of the list.
        if let Some(part) = usize::try_from(place).ok().and_then(|place| parts.get_mut(place)) {
            part.insert(key.clone(), entry.clone());
        }
    }
    (0..count)
        .zip(parts)
        .map(|(index, objects)| {
            let part = Inventory { objects, application: inventory.application.clone(), ..*inventory };
            // Every field has a JSON form.
            let text = serde_json::to_string(&part).unwrap_or_default();
            Part { index, count, text }
        })
        .collect()
}

/// The name of a part's ConfigMap. Names of projects and applications hold no dots.
#[must_use]
pub fn name(inventory: &Inventory, index: u32) -> String {
    format!("inventory.{}.{}.{index}", inventory.application.project, inventory.application.name)
}

/// The ConfigMap of a part.
#[must_use]
pub fn config_map(inventory: &Inventory, part: &Part, namespace: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": name(inventory, part.index),
            "namespace": namespace,
            "labels": {
                APPLICATION_LABEL: inventory.application.name.as_str(),
                PROJECT_LABEL: inventory.application.project.as_str(),
            },
        },
        "data": { CONTENT: part.text, PART_COUNT: part.count.to_string() },
    })
}

/// An inventory as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What could be read of it.
    pub inventory: Inventory,
    /// Whether every part was there and could be read.
    pub complete: bool,
    /// How many parts there are said to be.
    pub count: u32,
    /// The digest of each part's text, by its place.
    pub digests: BTreeMap<u32, Digest>,
}

/// Puts the parts of one application together. `None` where none of them can be read.
#[must_use]
pub fn join(config_maps: &[Value]) -> Option<Found> {
    let mut found: Option<Found> = None;
    let mut unreadable = false;
    for config_map in config_maps {
        let Some((index, part)) = read(config_map) else {
            unreadable = true;
            continue;
        };
        match &mut found {
            None => {
                found = Some(Found {
                    digests: BTreeMap::from([(index, part.1)]),
                    count: part.2,
                    inventory: part.0,
                    complete: true,
                })
            }
            Some(found) => {
                // Parts of two cuttings are there together after a crash between their writes: the union names every
                // object, and what it names too much is checked against the cluster before anything is done to it.
                if part.2 != found.count {
                    unreadable = true;
                }
                found.count = found.count.max(part.2);
                found.digests.insert(index, part.1);
                found.inventory.generation = found.inventory.generation.max(part.0.generation);
                for (key, entry) in part.0.objects {
                    let known = found.inventory.objects.get(&key).is_some_and(|known| known.uid.is_some());
                    if !known {
                        found.inventory.objects.insert(key, entry);
                    }
                }
            }
        }
    }
    let mut found = found?;
    found.complete = !unreadable && (0..found.count).all(|index| found.digests.contains_key(&index));
    Some(found)
}

type Read = (Inventory, Digest, u32);

fn read(config_map: &Value) -> Option<(u32, Read)> {
    let text = config_map["data"][CONTENT].as_str()?;
    let inventory: Inventory = serde_json::from_str(text).ok()?;
    let count = config_map["data"][PART_COUNT].as_str()?.parse().ok()?;
    let index = config_map["metadata"]["name"].as_str()?.rsplit_once('.')?.1.parse().ok()?;
    Some((index, (inventory, Digest::of(text.as_bytes()), count)))
}

#[cfg(test)]
mod tests {
    use nave_common::assignment::Generation;
    use proptest::prelude::*;

    use super::*;

    fn inventory(object_count: usize) -> Inventory {
        let object = |number: usize| {
            let key = ObjectKey {
                group: "apps".into(),
                kind: "Deployment".into(),
                namespace: Some("shop".into()),
                name: format!("object-with-a-long-name-{number}"),
            };
            let entry = InventoryEntry {
                api_version: "apps/v1".into(),
                uid: Some(format!("ba9e50a6-e2f8-4daf-b2bd-{number:012}")),
                applied: Digest::of(b"applied"),
                owned: Some(Digest::of(b"owned")),
                adopted: false,
            };
            (key, entry)
        };
        Inventory {
            application: "retail/shop".parse().unwrap(),
            generation: Generation { term: 1, counter: 7 },
            objects: (0..object_count).map(object).collect(),
        }
    }

    fn written(inventory: &Inventory, count: u32) -> Vec<Value> {
        cut(inventory, count).iter().map(|part| config_map(inventory, part, "nave-system")).collect()
    }

    #[test]
    fn ten_thousand_objects_fit() {
        let inventory = inventory(10_000);
        let parts = cut(&inventory, 1);
        assert!(parts.iter().all(|part| part.text.len() <= MAX_PART_BYTES));
        assert!(parts.len() > 1);
        let found = join(&written(&inventory, 1)).unwrap();
        assert!(found.complete);
        assert_eq!(found.inventory, inventory);
        // With the same count as before nothing moves from one part to another.
        assert_eq!(cut(&inventory, found.count).len(), parts.len());
    }

    #[test]
    fn missing_or_broken_part_makes_it_incomplete_and_not_smaller() {
        let inventory = inventory(20);
        let all = written(&inventory, 4);
        assert!(join(&all).unwrap().complete);
        let found = join(&all[1..]).unwrap();
        assert!(!found.complete);
        let mut broken = all;
        broken[2]["data"][CONTENT] = "{".into();
        assert!(!join(&broken).unwrap().complete);
        broken[2]["data"] = Value::Null;
        assert!(!join(&broken).unwrap().complete);
        assert_eq!(join(&[]), None);
    }

    #[test]
    fn crash_between_two_cuttings_loses_nothing() {
        let inventory = inventory(20);
        let mut mixed = written(&inventory, 4);
        mixed.splice(0..1, written(&inventory, 2).drain(..1));
        let found = join(&mixed).unwrap();
        assert!(!found.complete);
        let lost = inventory.objects.keys().filter(|key| !found.inventory.objects.contains_key(key)).count();
        // Only what stood in the part that was overwritten may be missing, and the incomplete flag says so.
        assert!(lost <= 20 / 2, "{lost}");
    }

    proptest! {
        #[test]
        fn what_is_cut_can_be_joined(object_count in 0_usize..60, count in 1_u32..9) {
            let inventory = inventory(object_count);
            let found = join(&written(&inventory, count)).unwrap();
            prop_assert!(found.complete);
            prop_assert_eq!(found.inventory, inventory);
        }
    }
}
