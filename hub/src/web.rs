//! Health and metrics over plain HTTP, for what runs the hub: `/healthz`, `/readyz`, `/metrics`. Nothing here is secret,
//! and nothing here can be changed.

use std::sync::Arc;

use axum::extract::State as Shared;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use nave_common::status::Liveness;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::metrics::Scrape;
use crate::parts::Parts;
use crate::world::State;

/// The text format that Prometheus asks for.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Every liveness, so that a count that falls to zero is told.
const LIVENESSES: [(Liveness, &str); 4] = [
    (Liveness::Alive, "Alive"),
    (Liveness::Suspect, "Suspect"),
    (Liveness::Lost, "Lost"),
    (Liveness::Unheard, "Unheard"),
];

/// Serves until `shutdown`.
///
/// # Errors
/// Where the socket breaks.
pub async fn serve(
    parts: Arc<Parts>,
    socket: TcpListener,
    shutdown: CancellationToken,
) -> std::io::Result<()> {
    let router = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(parts);
    axum::serve(socket, router).with_graceful_shutdown(shutdown.cancelled_owned()).await
}

/// What readiness is made of.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Ready {
    store_open: bool,
    world_caught_up: bool,
    listening: bool,
}

async fn ready(Shared(parts): Shared<Arc<Parts>>) -> impl IntoResponse {
    let last = parts.store.last_sequence().await;
    let seen = parts.world.read(State::sequence);
    let ready = Ready {
        store_open: last.is_ok(),
        // Behind by what was written a moment ago is not behind.
        world_caught_up: last.is_ok_and(|last| last.0.saturating_sub(seen.0) < MAX_LAG_COMMITS),
        listening: !parts.shutdown.is_cancelled(),
    };
    let is_ready = ready.store_open && ready.world_caught_up && ready.listening;
    let code = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, Json(ready))
}

/// Commits by which the world may be behind the store and still be called caught up.
const MAX_LAG_COMMITS: u64 = 1000;

async fn metrics(Shared(parts): Shared<Arc<Parts>>) -> impl IntoResponse {
    let scrape = parts.world.read(|state| {
        let count = |wanted: Liveness| {
            let all = state.clusters().values().filter(|entry| entry.observed.liveness == wanted);
            all.count() as u64
        };
        Scrape {
            clusters: LIVENESSES.iter().map(|(liveness, name)| (*name, count(*liveness))).collect(),
            application_count: state.applications().len() as u64,
            held_count: state.waiting_count() as u64,
            store_sequence: state.sequence().0,
        }
    });
    ([(header::CONTENT_TYPE, OPEN_METRICS)], parts.metrics.text(&scrape))
}
