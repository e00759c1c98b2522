//! Follows all objects of one kind that have Nave's label: a list, then a watch from there on, without end.
//!
//! It remembers nothing but a version. Objects go to the reconciler through a bounded channel; while that is full, the
//! watch waits, and the API server with it.

use std::sync::Arc;

use nave_common::runtime::backoff::Reconnect;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::api::list::Query;
use crate::api::watch::Event;
use crate::api::{Api, Error, Resource};
use crate::observation::APPLICATION_LABEL;

/// What a follower tells.
#[derive(Debug)]
pub struct Message {
    /// The kind that it follows.
    pub resource: Arc<Resource>,
    /// What it saw.
    pub sight: Sight,
}

/// What a follower saw.
#[derive(Debug)]
pub enum Sight {
    /// An object is there.
    Present(Value),
    /// An object is gone, or has lost its label; this is what it was before.
    Gone(Value),
    /// Every object that was there when the list was asked for has been told.
    Listed {
        /// When it was asked for.
        started_at: Instant,
    },
    /// It cannot follow.
    Blind {
        /// Why.
        why: String,
        /// Whether that will pass by itself.
        passes: bool,
    },
    /// It can follow again.
    Seeing,
}

/// Follows until the channel is closed or the task is stopped.
pub async fn follow(api: Api, resource: Arc<Resource>, sights: mpsc::Sender<Message>) {
    let mut pauses = Reconnect::new();
    let mut version = String::new();
    let mut blind = false;
    loop {
        let outcome = if version.is_empty() {
            list(&api, &resource, &sights).await.map(|listed| version = listed)
        } else {
            watch(&api, &resource, &sights, &mut version, &mut pauses, &mut blind).await
        };
        match outcome {
            Ok(()) => {}
            Err(Stopped::Closed) => return,
            Err(Stopped::Error(error)) => {
                if error.code() == 410 {
                    tracing::debug!(kind = %resource.gvk, "the watch is too old to go on, listing anew");
                    version.clear();
                } else {
                    tracing::warn!(kind = %resource.gvk, error = error.describe(), "cannot follow for now");
                    blind = true;
                    let problem = Sight::Blind { why: error.describe(), passes: error.is_transient() };
                    if send(&sights, &resource, problem).await.is_err() {
                        return;
                    }
                }
                let pause = error.retry_after().unwrap_or_default().max(pauses.next());
                tokio::time::sleep(pause).await;
            }
        }
    }
}

enum Stopped {
    /// Nobody listens any more.
    Closed,
    Error(Error),
}

impl From<Error> for Stopped {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

async fn send(sights: &mpsc::Sender<Message>, resource: &Arc<Resource>, sight: Sight) -> Result<(), Stopped> {
    let message = Message { resource: Arc::clone(resource), sight };
    sights.send(message).await.map_err(|_| Stopped::Closed)
}

/// Tells every object, and the version from which a watch goes on.
async fn list(
    api: &Api,
    resource: &Arc<Resource>,
    sights: &mpsc::Sender<Message>,
) -> Result<String, Stopped> {
    let started_at = Instant::now();
    let query = Query::all(resource).labelled(APPLICATION_LABEL);
    let mut next = String::new();
    loop {
        let page = api.list_page(query, &next).await?;
        for mut object in page.items {
            // Items of a list leave these to the list.
            object["apiVersion"] = resource.gvk.api_version().into();
            object["kind"] = resource.gvk.kind.as_str().into();
            send(sights, resource, Sight::Present(object)).await?;
        }
        if page.next.is_empty() {
            send(sights, resource, Sight::Listed { started_at }).await?;
            return Ok(page.resource_version);
        }
        next = page.next;
    }
}

/// Tells every change, until the server ends the watch.
async fn watch(
    api: &Api,
    resource: &Arc<Resource>,
    sights: &mpsc::Sender<Message>,
    version: &mut String,
    pauses: &mut Reconnect,
    blind: &mut bool,
) -> Result<(), Stopped> {
    let opened_at = Instant::now();
    let mut watch = api.watch(resource, APPLICATION_LABEL, version).await?;
    if std::mem::take(blind) {
        send(sights, resource, Sight::Seeing).await?;
    }
    let mut event_count = 0_u64;
    while let Some(event) = watch.next().await? {
        event_count += 1;
        pauses.reset();
        let sight = match event {
            Event::Bookmark(newer) => {
                *version = newer;
                continue;
            }
            Event::Present(object) => Sight::Present(object),
            Event::Gone(object) => Sight::Gone(object),
        };
        if let Sight::Present(object) | Sight::Gone(object) = &sight
            && let Some(newer) = object["metadata"]["resourceVersion"].as_str()
        {
            newer.clone_into(version);
        }
        send(sights, resource, sight).await?;
    }
    if event_count == 0 && opened_at.elapsed().as_secs() < 1 {
        // A server that ends every watch at once must not be asked in a tight loop.
        tokio::time::sleep(pauses.next()).await;
    }
    Ok(())
}
