//! Serves one simulated cluster until it is interrupted, and prints its kubeconfig: for trying things by hand.

use nave_sim::{Cluster, Config};

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let port = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(0);
    let cluster =
        Cluster::start(Config { port, seed: std::process::id().into(), ..Config::default() }).await?;
    print!("{}", cluster.kubeconfig());
    std::future::pending::<()>().await;
    Ok(())
}
