//! The rustls configurations: who trusts whom.
//!
//! Clients trust their hub's authority alone, and check the name [`crate::HUB_TLS_NAME`] and not the address that they
//! dialled. Hubs take clients without a certificate, for enrolment, and verify every certificate that is shown; what a
//! client without one may do is the hub's to say.

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use super::pem::private_key;
use super::verifier::Forgiving;
use super::{Credentials, Error, certificates, provider};

/// HTTP/2, as ALPN names it.
const HTTP2: &[u8] = b"h2";
/// How many servers' sessions a client remembers: hubs of one fleet.
const CLIENT_SESSIONS: usize = 16;

/// A client's side. `authority_pem`: whom to trust as hub, one certificate or several (while the authority is rotated).
/// `credentials`: what to show; nothing at enrolment.
///
/// # Errors
/// Where a PEM text cannot be read or does not hold what it should.
pub fn client_config(authority_pem: &str, credentials: Option<&Credentials>) -> Result<ClientConfig, Error> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots(authority_pem)?);
    let mut config = match credentials {
        Some(own) => {
            builder.with_client_auth_cert(certificates(&own.certificate_pem)?, private_key(&own.key_pem)?)?
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![HTTP2.to_vec()];
    config.resumption = Resumption::in_memory_sessions(CLIENT_SESSIONS);
    Ok(config)
}

/// A hub's side. `authority_pem`: who signed its clients' certificates, one or several.
///
/// Sessions resume by stateless tickets, so that a fleet that reconnects at once costs no full handshakes and no memory.
/// A resumed session repeats the client's certificate as it was: the hub must look at its validity again, and at
/// whether it was revoked. A certificate that ran out within [`super::EXPIRED_GRACE`] passes the handshake as well, for its
/// renewal alone.
///
/// # Errors
/// Where a PEM text cannot be read or does not hold what it should.
pub fn server_config(authority_pem: &str, own: &Credentials) -> Result<ServerConfig, Error> {
    let clients = WebPkiClientVerifier::builder_with_provider(roots(authority_pem)?, provider())
        .allow_unauthenticated()
        .build()
        .map_err(|error| Error::Authority(error.to_string()))?;
    let clients = Arc::new(Forgiving { inner: clients });
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(clients)
        .with_single_cert(certificates(&own.certificate_pem)?, private_key(&own.key_pem)?)?;
    config.alpn_protocols = vec![HTTP2.to_vec()];
    config.ticketer = rustls::crypto::ring::Ticketer::new()?;
    // One is enough: a client takes one for its one connection, and gets another there.
    config.send_tls13_tickets = 1;
    Ok(config)
}

fn roots(authority_pem: &str) -> Result<Arc<RootCertStore>, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(authority_pem)? {
        roots.add(certificate).map_err(|error| Error::Authority(error.to_string()))?;
    }
    Ok(Arc::new(roots))
}
