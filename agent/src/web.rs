//! Probes and metrics over plain HTTP, for the kubelet and Prometheus.

use std::net::SocketAddr;

use anyhow::Context as _;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use nave_common::health::Health;
use nave_common::status::SyncState;

use crate::reports::Reports;

/// Serves `/healthz`, `/readyz` and `/metrics` in the background.
///
/// # Errors
/// Where the address cannot be listened on.
pub async fn serve(listen: SocketAddr, reports: Reports) -> anyhow::Result<SocketAddr> {
    let listener = tokio::net::TcpListener::bind(listen)
        .await
        .with_context(|| format!("cannot listen on {listen} for health and metrics"))?;
    let address = listener.local_addr()?;
    let app = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(reports);
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, app).await {
            tracing::error!(%error, "health and metrics are no longer served");
        }
    });
    Ok(address)
}

/// Ready once the cluster's API server has answered, and while it does.
async fn ready(State(reports): State<Reports>) -> (StatusCode, String) {
    match reports.all().1 {
        Some(observed) => match observed.problem {
            None => (StatusCode::OK, "ok\n".into()),
            Some(problem) => (StatusCode::SERVICE_UNAVAILABLE, format!("{problem}\n")),
        },
        None => (StatusCode::SERVICE_UNAVAILABLE, "the cluster has not been looked at yet\n".into()),
    }
}

async fn metrics(State(reports): State<Reports>) -> String {
    let (applications, observed) = reports.all();
    let count = |f: &dyn Fn(&nave_common::status::AssignmentStatus) -> bool| {
        applications.iter().filter(|status| f(status)).count()
    };
    let drift: u64 = applications.iter().map(|status| status.drift_count).sum();
    let objects: u64 = applications.iter().map(|status| u64::from(status.object_count)).sum();
    let rows: [(&str, &str, &str, u64); 6] = [
        (
            "nave_agent_applications",
            "gauge",
            "Applications assigned to this cluster.",
            applications.len() as u64,
        ),
        (
            "nave_agent_applications_synced",
            "gauge",
            "Applications that are as wanted.",
            count(&|s| s.sync == SyncState::Synced) as u64,
        ),
        (
            "nave_agent_applications_healthy",
            "gauge",
            "Applications that are healthy.",
            count(&|s| s.health == Health::Healthy) as u64,
        ),
        ("nave_agent_objects", "gauge", "Objects kept as wanted.", objects),
        ("nave_agent_drift_corrected_total", "counter", "Foreign changes that were put back.", drift),
        (
            "nave_agent_api_server_up",
            "gauge",
            "Whether the cluster's API server can be used.",
            u64::from(observed.is_some_and(|o| o.problem.is_none())),
        ),
    ];
    rows.iter()
        .map(|(name, kind, help, value)| {
            format!("# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n")
        })
        .collect()
}
