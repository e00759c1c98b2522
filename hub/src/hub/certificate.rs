//! The hub's own certificate: made at each start, and again long before it runs out.

use std::sync::Arc;
use std::time::Duration;

use nave_common::runtime::tls;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use crate::error::with_causes;
use crate::parts::Parts;

/// How long a certificate is valid. The next one is made when half of that is over.
const SERVER_VALIDITY: Duration = Duration::from_secs(90 * 86_400);

/// TLS with a new certificate of the hub's own.
pub(super) fn acceptor(parts: &Parts) -> Result<TlsAcceptor, tls::Error> {
    // Clients check the name that every hub has, so no address has to stand in it.
    let own = parts.authority.server_certificate(&[], parts.now(), SERVER_VALIDITY)?;
    let config = tls::server_config(parts.authority.certificate_pem(), &own)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Makes a new certificate of the hub's own long before the old one runs out.
pub(super) async fn renew(parts: Arc<Parts>, tls: watch::Sender<TlsAcceptor>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(SERVER_VALIDITY / 2) => {}
            () = parts.shutdown.cancelled() => return,
        }
        match acceptor(&parts) {
            Ok(renewed) => {
                tls.send_replace(renewed);
            }
            Err(error) => {
                tracing::error!(error = %with_causes(&error), "the hub's certificate cannot be renewed")
            }
        }
    }
}
