//! Health and metrics over plain HTTP.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{TestHub, application, apply, config_map};

/// What the hub answers over plain HTTP, headers and all.
pub(crate) async fn fetch(hub: &TestHub, path: &str) -> String {
    let mut stream = TcpStream::connect(hub.hub.http_address()).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn health_readiness_and_metrics_are_served() {
    let hub = TestHub::start().await;
    hub.enroll("eu-1", &[]).await;
    apply(&mut hub.admin().await, application("shop", &[config_map("a", "1")])).await;
    assert!(fetch(&hub, "/healthz").await.starts_with("HTTP/1.1 200"));
    let ready = fetch(&hub, "/readyz").await;
    assert!(ready.starts_with("HTTP/1.1 200") && ready.contains("\"worldCaughtUp\":true"), "{ready}");
    let metrics = fetch(&hub, "/metrics").await;
    for line in [
        "nave_hub_clusters{liveness=\"Unheard\"} 1",
        "nave_hub_applies_total{outcome=\"Created\"} 1",
        "nave_hub_applications 1",
        "# EOF",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    assert!(fetch(&hub, "/other").await.starts_with("HTTP/1.1 404"));
}
