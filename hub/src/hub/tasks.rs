//! What runs in a hub: the world's feed, the planners, the servers, and what keeps house.

use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::backup::release;
use crate::bundles::collect;
use crate::control::{self, Control};
use crate::error::with_causes;
use crate::fencing::{self, Webhook};
use crate::listen::Connection;
use crate::parts::Parts;
use crate::{events, server, web};

/// Reports to whoever waits for the hub that something of it has failed for good.
pub(super) type Failed = watch::Sender<Option<String>>;

/// The world's feed and the planners.
pub(super) fn start_planning(tasks: &mut JoinSet<()>, parts: &Arc<Parts>, failed: &Failed) {
    let (world, shutdown, failed_world) = (parts.world.clone(), parts.shutdown.clone(), failed.clone());
    tasks.spawn(async move {
        if let Err(error) = world.follow(shutdown).await {
            fail(&failed_world, "the world is no longer fed", &error);
        }
    });
    let shared = control::Shared { grants: parts.grants.clone(), metrics: parts.metrics.clone() };
    let control = Control::new(parts.world.clone(), Arc::new(parts.bundles.clone()), shared);
    let (shutdown, failed) = (parts.shutdown.clone(), failed.clone());
    tasks.spawn(async move {
        if let Err(error) = control.run(shutdown).await {
            fail(&failed, "the planner stopped", &error);
        }
    });
}

/// The server of agents and people.
pub(super) fn start_serving(
    tasks: &mut JoinSet<()>,
    parts: &Arc<Parts>,
    connections: mpsc::Receiver<Connection>,
    failed: &Failed,
) {
    let (parts, failed) = (parts.clone(), failed.clone());
    tasks.spawn(async move {
        let shutdown = parts.shutdown.clone();
        if let Err(error) = server::serve(parts, connections, shutdown).await {
            fail(&failed, "the server stopped", &error);
        }
    });
}

/// The server of health and metrics.
pub(super) fn start_http(tasks: &mut JoinSet<()>, parts: &Arc<Parts>, socket: TcpListener, failed: &Failed) {
    let (parts, failed) = (parts.clone(), failed.clone());
    tasks.spawn(async move {
        let shutdown = parts.shutdown.clone();
        if let Err(error) = web::serve(parts, socket, shutdown).await {
            fail(&failed, "health and metrics are no longer served", &error);
        }
    });
}

/// What keeps house.
pub(super) fn start_housekeeping(
    tasks: &mut JoinSet<()>,
    parts: &Arc<Parts>,
    events: events::Writer,
    webhook: Option<Webhook>,
) {
    tasks.spawn(events.run(parts.store.clone(), parts.shutdown.clone()));
    tasks.spawn(release::run(parts.clone()));
    if let Some(webhook) = webhook {
        tasks.spawn(fencing::run(parts.clone(), webhook));
    }
    tasks.spawn(collect::run(parts.bundles.clone(), parts.world.clone(), parts.shutdown.clone()));
}

fn fail(failed: &Failed, what: &str, error: &dyn std::error::Error) {
    let text = format!("{what}: {}", with_causes(error));
    tracing::error!(error = text, "the hub failed");
    failed.send_replace(Some(text));
}
