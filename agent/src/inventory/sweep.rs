//! The sweep: finds what Nave made by its labels and its field manager, for applications whose inventory was lost.
//!
//! One list of metadata per kind, narrowed by label, once.

use std::collections::{BTreeMap, BTreeSet};

use nave_common::digest::Digest;
use nave_common::inventory::InventoryEntry;
use nave_common::manifest::ObjectKey;
use nave_common::name::ApplicationKey;
use nave_common::runtime::backoff::retry;
use serde_json::Value;

use crate::api::list::Query;
use crate::api::{Api, Error, Resource};
use crate::discovery::Discovery;
use crate::observation::{APPLICATION_LABEL, Identity};

/// How often a kind is listed that cannot be for the moment.
const MAX_ATTEMPTS: u32 = 8;

/// What was found, by application.
pub type Swept = BTreeMap<ApplicationKey, BTreeMap<ObjectKey, InventoryEntry>>;

/// Lists every kind. Second, the kinds that could not be listed: what is of them stays unknown, and so untouched.
///
/// # Errors
/// [`Error`] where the API server does not answer; then nothing is known.
pub async fn sweep(api: &Api, discovery: &Discovery) -> Result<(Swept, Vec<String>), Error> {
    let (kinds, mut unread) = discovery.all().await?;
    let mut swept = Swept::new();
    // One object may be served by two groups.
    let mut uids = BTreeSet::new();
    for resource in kinds {
        match sweep_kind(api, &resource, &mut swept, &mut uids).await {
            Ok(()) => {}
            Err(error) if error.is_unreachable() => return Err(error),
            Err(error) => {
                tracing::warn!(error = error.describe(), kind = %resource.gvk, "kind was left out of the sweep");
                unread.push(resource.gvk.to_string());
            }
        }
    }
    Ok((swept, unread))
}

/// Lists a kind page by page, so that no more than a page is held at a time.
async fn sweep_kind(
    api: &Api,
    resource: &Resource,
    swept: &mut Swept,
    uids: &mut BTreeSet<Option<String>>,
) -> Result<(), Error> {
    let query = Query::all(resource).labelled(APPLICATION_LABEL).metadata();
    let mut next = String::new();
    loop {
        // What is left out is not found, so it is not left out for a trouble that passes.
        let page = retry(MAX_ATTEMPTS, Error::is_transient, || api.list_page(query, &next)).await?;
        for item in page.items {
            if let Some((application, key, entry)) = read(&item, resource, api.field_manager())
                && uids.insert(entry.uid.clone())
            {
                swept.entry(application).or_default().insert(key, entry);
            }
        }
        if page.next.is_empty() {
            return Ok(());
        }
        next = page.next;
    }
}

fn read(
    item: &Value,
    resource: &Resource,
    field_manager: &str,
) -> Option<(ApplicationKey, ObjectKey, InventoryEntry)> {
    let identity = Identity::of(item, field_manager);
    if !identity.applied_by_nave {
        return None;
    }
    let key = ObjectKey {
        group: resource.gvk.group.clone(),
        kind: resource.gvk.kind.clone(),
        namespace: item["metadata"]["namespace"].as_str().map(str::to_owned),
        name: item["metadata"]["name"].as_str()?.to_owned(),
    };
    let entry = InventoryEntry {
        api_version: resource.gvk.api_version(),
        uid: Some(identity.uid),
        // What was applied is not known; the next pass applies it again, which changes nothing if it is the same.
        applied: Digest::from_bytes([0; 32]),
        owned: None,
        adopted: identity.adopted,
    };
    Some((identity.owner?, key, entry))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_nave_applied_is_taken_for_its_own() {
        let object = |manager: &str, labels: Value| {
            json!({"metadata": {"name": "a", "namespace": "shop", "uid": "u", "labels": labels,
                "managedFields": [{"manager": manager, "operation": "Apply", "fieldsV1": {}}]}})
        };
        let labels = json!({"nave.dev/application": "shop", "nave.dev/project": "retail"});
        let resource = Resource::core("ConfigMap", "configmaps", true);
        let (application, key, entry) = read(&object("nave", labels.clone()), &resource, "nave").unwrap();
        assert_eq!(application.to_string(), "retail/shop");
        assert_eq!(key.to_string(), "ConfigMap shop/a");
        assert_eq!(entry.uid.as_deref(), Some("u"));
        assert_eq!(read(&object("helm", labels), &resource, "nave"), None);
        assert_eq!(read(&object("nave", json!({})), &resource, "nave"), None);
    }
}
