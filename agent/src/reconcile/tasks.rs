//! What the reconciler has done beside itself: one request or a few for one thing, and what came of it. Tasks decide
//! nothing and know nothing of the reconciler's state.

use std::collections::BTreeSet;
use std::sync::Arc;

use nave_common::digest::Digest;
use nave_common::inventory::Inventory;
use nave_common::manifest::ObjectKey;
use nave_common::name::ApplicationKey;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::object::Why;
use super::wall_clock;
use crate::api::list::Query;
use crate::api::{Api, Error, Resource};
use crate::apply::{look, patch, prune};
use crate::discovery::Discovery;
use crate::health::diagnosis;
use crate::inventory::store::{self, Saved};
use crate::inventory::sweep::{self, Swept};

/// What came of a task.
#[derive(Debug)]
pub enum Done {
    /// Kinds were asked for; these API versions could not be.
    Discovered {
        /// For whom.
        application: ApplicationKey,
        /// What went wrong.
        problem: Option<Error>,
    },
    /// Objects were looked for.
    Looked {
        /// For whom.
        application: ApplicationKey,
        /// When the question was asked.
        asked_at: Instant,
        /// What was found.
        verdicts: Vec<(Arc<ObjectKey>, look::Verdict)>,
    },
    /// An object was applied, or not.
    Applied {
        /// For whom.
        application: ApplicationKey,
        /// Which.
        key: Arc<ObjectKey>,
        /// Why.
        why: Why,
        /// The digest of the manifest.
        digest: Digest,
        /// How it went.
        outcome: Box<patch::Outcome>,
    },
    /// An object was deleted or released, or not.
    Left {
        /// For whom.
        application: ApplicationKey,
        /// Which.
        key: Arc<ObjectKey>,
        /// How it went.
        outcome: prune::Outcome,
    },
    /// An inventory was written, or not.
    Saved {
        /// Whose.
        application: ApplicationKey,
        /// What is there now.
        outcome: Result<Saved, Error>,
    },
    /// An inventory was deleted, or not.
    Dropped {
        /// Whose.
        application: ApplicationKey,
        /// How it went.
        outcome: Result<(), Error>,
    },
    /// The cluster was swept, or not.
    Swept(Result<(Swept, Vec<String>), Error>),
    /// A workload's pods were asked.
    Diagnosed {
        /// For whom.
        application: ApplicationKey,
        /// Which workload.
        key: Arc<ObjectKey>,
        /// What they say.
        diagnosis: Option<String>,
    },
}

/// Asks for the kinds of some API versions.
pub async fn discover(
    discovery: Discovery,
    application: ApplicationKey,
    api_versions: BTreeSet<String>,
) -> Done {
    let mut problem = None;
    let since = Instant::now();
    for api_version in api_versions {
        if let Err(error) = discovery.refresh(&api_version, since).await {
            problem = Some(error);
        }
    }
    Done::Discovered { application, problem }
}

/// Looks for objects, once one of the looks that may go on at the same time is over.
pub async fn look(api: Api, request: look::Request, looks: Arc<Semaphore>) -> Done {
    // The semaphore is never closed; if it were, there would be nothing to wait for.
    let _permit = looks.acquire().await.ok();
    let asked_at = Instant::now();
    let verdicts = look::look(&api, &request).await;
    tracing::debug!(
        kind = %request.resource.gvk,
        objects = request.objects.len(),
        took = ?asked_at.elapsed(),
        "looked for what is there already"
    );
    Done::Looked { application: request.work.assignment.application.clone(), asked_at, verdicts }
}

/// Applies an object.
pub async fn apply(api: Api, request: patch::Request, why: Why, digest: Digest) -> Done {
    let outcome = Box::pin(patch::apply(&api, &request, wall_clock())).await;
    Done::Applied {
        application: request.work.assignment.application.clone(),
        key: request.key,
        why,
        digest,
        outcome: Box::new(outcome),
    }
}

/// Deletes an object.
pub async fn prune(api: Api, discovery: Discovery, request: prune::Request) -> Done {
    let outcome = Box::pin(prune::prune(&api, &discovery, &request)).await;
    Done::Left { application: request.application, key: request.key, outcome }
}

/// Releases an object.
pub async fn release(api: Api, request: prune::Request) -> Done {
    let outcome = prune::release(&api, &request).await;
    Done::Left { application: request.application, key: request.key, outcome }
}

/// Writes an inventory.
pub async fn save(api: Api, inventory: Inventory, saved: Saved) -> Done {
    let started_at = Instant::now();
    let outcome = store::save(&api, &inventory, &saved).await;
    tracing::debug!(
        application = %inventory.application,
        objects = inventory.objects.len(),
        took = ?started_at.elapsed(),
        "inventory written"
    );
    Done::Saved { application: inventory.application, outcome }
}

/// Deletes an inventory.
pub async fn drop_inventory(api: Api, inventory: Inventory, saved: Saved) -> Done {
    let outcome = store::remove(&api, &inventory, &saved).await;
    Done::Dropped { application: inventory.application, outcome }
}

/// Sweeps the cluster.
pub async fn sweep(api: Api, discovery: Discovery) -> Done {
    Done::Swept(sweep::sweep(&api, &discovery).await)
}

/// Asks a workload's pods why it is not well. What goes wrong here is no problem of the workload.
pub async fn diagnose(api: Api, application: ApplicationKey, key: Arc<ObjectKey>, selector: String) -> Done {
    let pods = Resource::core("Pod", "pods", true);
    let query = Query { page: Some(diagnosis::MAX_PODS), ..Query::all(&pods) };
    let query = query.within(key.namespace.as_deref()).labelled(&selector);
    let diagnosis = match api.list_page(query, "").await {
        Ok(page) => diagnosis::diagnose(&page.items),
        Err(error) => {
            tracing::debug!(object = %key, error = error.describe(), "its pods could not be asked");
            None
        }
    };
    Done::Diagnosed { application, key, diagnosis }
}
