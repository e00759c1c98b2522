//! Reads and writes inventories in the cluster. Only parts that changed are written.

use std::collections::BTreeMap;

use nave_common::SYSTEM_NAMESPACE;
use nave_common::digest::Digest;
use nave_common::inventory::Inventory;
use nave_common::name::ApplicationKey;
use serde_json::{Value, json};

use super::shard::{self, Found};
use crate::api::list::Query;
use crate::api::{Api, ApplyOptions, Error, Resource, Target};

/// A part may be close to a megabyte.
const PAGE_PARTS: u32 = 10;

/// What of an inventory is in the cluster, as far as this agent has written or read it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Saved {
    /// How many parts there are; 0 where there is none.
    pub count: u32,
    /// The digest of each part's text.
    pub digests: BTreeMap<u32, Digest>,
}

impl From<&Found> for Saved {
    fn from(found: &Found) -> Self {
        Self { count: found.count, digests: found.digests.clone() }
    }
}

fn config_maps() -> Resource {
    Resource::core("ConfigMap", "configmaps", true)
}

/// Reads every inventory. Second, the applications of which something is there and nothing can be read.
///
/// # Errors
/// [`Error`]; then nothing is known, which is not the same as that there is none.
pub async fn load(api: &Api) -> Result<(Vec<Found>, Vec<ApplicationKey>), Error> {
    let resource = config_maps();
    let query = Query { page: Some(PAGE_PARTS), ..Query::all(&resource) };
    let query = query.within(Some(SYSTEM_NAMESPACE)).labelled(shard::APPLICATION_LABEL);
    let mut parts: BTreeMap<ApplicationKey, Vec<Value>> = BTreeMap::new();
    for item in api.list(query).await? {
        let label = |name: &str| item["metadata"]["labels"][name].as_str().unwrap_or_default().to_owned();
        let key = format!("{}/{}", label(shard::PROJECT_LABEL), label(shard::APPLICATION_LABEL));
        match key.parse() {
            Ok(key) => parts.entry(key).or_default().push(item),
            Err(error) => {
                tracing::warn!(%error, "a ConfigMap that is labelled as an inventory names no application")
            }
        }
    }
    let mut found = Vec::new();
    let mut unreadable = Vec::new();
    for (application, parts) in parts {
        match shard::join(&parts) {
            Some(joined) if joined.inventory.application == application => found.push(joined),
            _ => unreadable.push(application),
        }
    }
    Ok((found, unreadable))
}

/// Writes what differs from `saved`, and says what is there now.
///
/// # Errors
/// [`Error`]; what was written until then is there.
pub async fn save(api: &Api, inventory: &Inventory, saved: &Saved) -> Result<Saved, Error> {
    let parts = shard::cut(inventory, saved.count);
    let count = u32::try_from(parts.len()).unwrap_or(u32::MAX);
    let mut digests = BTreeMap::new();
    for part in &parts {
        let digest = Digest::of(part.text.as_bytes());
        if count != saved.count || saved.digests.get(&part.index) != Some(&digest) {
            write(api, &shard::config_map(inventory, part, SYSTEM_NAMESPACE)).await?;
        }
        digests.insert(part.index, digest);
    }
    Ok(Saved { count, digests })
}

/// Deletes an inventory whose objects are all gone.
///
/// # Errors
/// [`Error`].
pub async fn remove(api: &Api, inventory: &Inventory, saved: &Saved) -> Result<(), Error> {
    let resource = config_maps();
    for index in 0..saved.count.max(1) {
        let name = shard::name(inventory, index);
        let target = Target { resource: &resource, namespace: Some(SYSTEM_NAMESPACE), name: &name };
        match api.delete(target, None, None).await {
            Ok(_) => {}
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Applies a part; makes Nave's namespace first where it is missing.
async fn write(api: &Api, config_map: &Value) -> Result<(), Error> {
    let resource = config_maps();
    let name = config_map["metadata"]["name"].as_str().unwrap_or_default();
    let target = Target { resource: &resource, namespace: Some(SYSTEM_NAMESPACE), name };
    // Nobody but the agent has any business in these, so force settles what a curious person left.
    let options = ApplyOptions { force: true, dry_run: false };
    match api.apply(target, config_map, options).await {
        Ok(_) => return Ok(()),
        Err(error) if error.is_not_found() => {}
        Err(error) => return Err(error),
    }
    let namespaces = Resource::core("Namespace", "namespaces", false);
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SYSTEM_NAMESPACE}});
    let home = Target { resource: &namespaces, namespace: None, name: SYSTEM_NAMESPACE };
    api.apply(home, &namespace, options).await?;
    api.apply(target, config_map, options).await?;
    Ok(())
}
