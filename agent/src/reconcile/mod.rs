//! The reconciler.
#[derive(Debug, Clone, Default)]
pub struct Config {
    pub max_in_flight: usize,
}
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub struct Error;
pub async fn run(
    _client: kube::Client,
    _work: tokio::sync::watch::Receiver<crate::work::WorkSet>,
    _reports: crate::reports::Reports,
    _config: Config,
    _shutdown: tokio_util::sync::CancellationToken,
) -> Result<(), Error> {
    Ok(())
}
