//! Looks whether wanted objects that the inventory does not hold are there already, and whose they are: one request for
//! a few of them, and one list of metadata for many of one kind in one namespace.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use futures::future::join_all;
use nave_common::digest::Digest;
use nave_common::inventory::InventoryEntry;
use nave_common::manifest::{Manifest, ObjectKey};
use serde_json::Value;

use super::adopt::{self, Judgement, Situation};
use super::body::{self, Dressing};
use crate::api::list::Query;
use crate::api::{Api, ApplyOptions, Error, Resource, Target};
use crate::observation::{Identity, Yields};
use crate::ownership;
use crate::work::Work;

/// Up to so many objects are asked for one by one; for more, the whole kind is listed.
const MAX_SINGLE_LOOKS: usize = 3;

/// Objects of one kind in one namespace.
#[derive(Debug, Clone)]
pub struct Request {
    /// The assignment that wants them.
    pub work: Arc<Work>,
    /// Their kind.
    pub resource: Arc<Resource>,
    /// Their namespace.
    pub namespace: Option<String>,
    /// The objects, and their places in the rendering.
    pub objects: Vec<Sought>,
}

/// One object that is looked for.
#[derive(Debug, Clone)]
pub struct Sought {
    /// Its key.
    pub key: Arc<ObjectKey>,
    /// Its place in the rendering.
    pub index: u32,
    /// What the inventory says of it, if it was made before.
    pub entry: Option<InventoryEntry>,
}

/// What was found out about one object.
#[derive(Debug)]
pub enum Verdict {
    /// It is not there.
    Absent,
    /// It is there and this application's already.
    Ours {
        /// What it is.
        live: Identity,
        /// Hashes of the paths that Nave owned after its last apply, where they can be told.
        paths: Option<Box<[u64]>>,
        /// Whether everything in it was Nave's, whoever has it now.
        whole: bool,
    },
    /// It is there and may be taken over.
    TakeOver(Identity),
    /// It is there, is not this application's, and is being deleted.
    Going,
    /// It is there and stays as it is.
    Leave,
    /// It is there and is not touched; this is why.
    Refuse(String),
    /// It could not be found out.
    Failed(Error),
}

/// Looks, and judges what is found.
pub async fn look(api: &Api, request: &Request) -> Vec<(Arc<ObjectKey>, Verdict)> {
    let mut found = match find(api, request).await {
        Ok(found) => found,
        Err(error) => return fail(request, error),
    };
    let mut verdicts = Vec::with_capacity(request.objects.len());
    for sought in &request.objects {
        let verdict = match found.remove(sought.key.name.as_str()) {
            None => Verdict::Absent,
            Some(live) => judge(api, request, sought, &live).await,
        };
        verdicts.push((Arc::clone(&sought.key), verdict));
    }
    verdicts
}

/// An error cannot be cloned; each object gets what it says.
fn fail(request: &Request, error: Error) -> Vec<(Arc<ObjectKey>, Verdict)> {
    let mut verdicts = Vec::with_capacity(request.objects.len());
    let mut objects = request.objects.iter();
    let first = objects.next();
    for sought in objects {
        let copy = match &error {
            Error::Refused(refusal) => Error::Refused(refusal.clone()),
            other => Error::Unreachable {
                what: "look for existing objects".into(),
                source: other.describe().into(),
            },
        };
        verdicts.push((Arc::clone(&sought.key), Verdict::Failed(copy)));
    }
    if let Some(sought) = first {
        verdicts.push((Arc::clone(&sought.key), Verdict::Failed(error)));
    }
    verdicts
}

/// The metadata of those that are there, by name.
async fn find(api: &Api, request: &Request) -> Result<HashMap<String, Value>, Error> {
    let namespace = request.namespace.as_deref();
    let mut found = HashMap::new();
    if request.objects.len() <= MAX_SINGLE_LOOKS {
        let asked: Vec<_> =
            request.objects.iter().map(|sought| find_one(api, request, &sought.key)).collect();
        let answers = join_all(asked).await;
        for (sought, answer) in request.objects.iter().zip(answers) {
            if let Some(metadata) = answer? {
                found.insert(sought.key.name.clone(), metadata);
            }
        }
        return Ok(found);
    }
    let wanted: HashSet<&str> = request.objects.iter().map(|sought| sought.key.name.as_str()).collect();
    let query = Query::all(&request.resource).within(namespace).metadata();
    let mut next = String::new();
    loop {
        let page = api.list_page(query, &next).await?;
        for item in page.items {
            let name = item["metadata"]["name"].as_str().unwrap_or_default();
            if wanted.contains(name) {
                found.insert(name.to_owned(), item);
            }
        }
        if page.next.is_empty() {
            return Ok(found);
        }
        next = page.next;
    }
}

async fn find_one(api: &Api, request: &Request, key: &ObjectKey) -> Result<Option<Value>, Error> {
    let namespace = request.namespace.as_deref();
    match api.get_metadata(Target { resource: &request.resource, namespace, name: &key.name }).await {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

async fn judge(api: &Api, request: &Request, sought: &Sought, metadata: &Value) -> Verdict {
    let live = Identity::of(metadata, api.field_manager());
    let key = &sought.key;
    let manifest = request.work.rendering.as_ref().and_then(|it| it.manifests.get(sought.index as usize));
    let (Some(run), Some(manifest)) = (request.work.run(), manifest) else {
        // The reconciler looks only for objects that are wanted.
        return Verdict::Leave;
    };
    let application = &request.work.assignment.application;
    let situation = Situation {
        application,
        adopt: run.sync.adopt,
        bare_namespace: is_bare_namespace(&request.work, key),
    };
    let recorded = sought.entry.as_ref().filter(|entry| entry.uid.as_ref() == Some(&live.uid));
    if let Some(entry) = recorded.filter(|_| live.owner.as_ref().is_none_or(|owner| owner == application)) {
        // The very object, whatever became of its labels.
        return recorded_object(api, metadata, live, entry.owned.as_ref());
    }
    match adopt::judge(&live, &ownership::managers(metadata), situation) {
        // The answer to its create was never seen, so it was made whole.
        Judgement::Ours => Verdict::Ours { live, paths: None, whole: true },
        _ if live.deleting => Verdict::Going,
        Judgement::TakeOver => Verdict::TakeOver(live),
        Judgement::Leave => Verdict::Leave,
        Judgement::Refuse(why) => Verdict::Refuse(why),
        Judgement::Compare => match compare(api, request, key, manifest).await {
            Ok(fields) if fields.is_empty() => Verdict::TakeOver(live),
            Ok(fields) => Verdict::Refuse(adopt::differs(&fields)),
            Err(error) if error.is_not_found() => Verdict::Absent,
            Err(Error::Refused(refusal)) if refusal.code == 422 => Verdict::Refuse(format!(
                "it was there before and cannot be made what is wanted ({}); delete it, or change the manifest",
                refusal.message
            )),
            Err(error) => Verdict::Failed(error),
        },
    }
}

/// An object that the inventory holds. `last` is the digest of what Nave owned of it after its last apply.
fn recorded_object(api: &Api, metadata: &Value, live: Identity, last: Option<&Digest>) -> Verdict {
    let now = ownership::of(metadata, api.field_manager(), &[]);
    let paths = match (&now, last) {
        (Some(now), Some(last)) => ownership::restore(metadata, api.field_manager(), now, last),
        _ => None,
    };
    // Who clears managedFields claims nothing for himself.
    Verdict::Ours { live, paths, whole: now.is_none() }
}

/// Asks the API server what an apply would make of the object, and compares.
async fn compare(
    api: &Api,
    request: &Request,
    key: &ObjectKey,
    manifest: &Manifest,
) -> Result<Vec<String>, Error> {
    let target = Target { resource: &request.resource, namespace: key.namespace.as_deref(), name: &key.name };
    let live = api.get(target).await?;
    let dressing = Dressing {
        application: &request.work.assignment.application,
        key,
        uid: live["metadata"]["uid"].as_str(),
        adopted: true,
        yields: Yields::default(),
        scaled: None,
        is_parked: false,
        ignored: &[],
    };
    let object = body::dress(manifest, dressing);
    let would_be = api.apply(target, &object, ApplyOptions { force: true, dry_run: true }).await?;
    Ok(adopt::differences(&live, &would_be.object))
}

/// Whether an object is the namespace that `createNamespace` makes where it is missing, and nothing more: then it may
/// be there already, and any number of applications may want it.
#[must_use]
pub fn is_bare_namespace(work: &Work, key: &ObjectKey) -> bool {
    work.run().is_some_and(|run| {
        run.create_namespace
            && key.kind == "Namespace"
            && key.group.is_empty()
            && run.namespace.as_ref().is_some_and(|namespace| namespace.as_str() == key.name)
    })
}
