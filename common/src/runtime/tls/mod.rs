//! TLS: keys, certificates and the rustls configurations of hub, agent and command line.
//!
//! One provider, `ring`; TLS 1.3 alone; HTTP/2 alone. Private keys are wiped from memory when they are dropped, and no
//! Debug output shows one. Every certificate of a fleet is signed by its hub's [`Authority`] and holds one
//! [`Identity`](crate::identity::Identity).

mod authority;
mod config;
mod pem;
mod verifier;

pub use authority::{Authority, CLOCK_LEEWAY, NewKey, new_key_and_csr};
pub use config::{client_config, server_config};
pub use pem::{certificate_pem, certificates};

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::CryptoProvider;
use zeroize::Zeroizing;

/// How long after it ran out an agent's certificate can still be renewed by proof of its key.
pub const EXPIRED_GRACE: Duration = Duration::from_secs(90 * 86_400);

/// Why a key, a certificate or a configuration cannot be made. No message quotes a key.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A text is not the PEM that was expected.
    #[error("{what} cannot be read: expected PEM")]
    Pem {
        /// What was being read.
        what: &'static str,
    },
    /// A certificate and a key do not belong together.
    #[error("the key does not belong to the certificate")]
    Mismatch,
    /// A request for a certificate is none, or its signature is not by its own key.
    #[error("the certificate request cannot be taken: {0}")]
    Request(&'static str),
    /// A name cannot stand in a certificate.
    #[error("{0:?} cannot stand in a certificate: expected a DNS name or an IP address")]
    Name(String),
    /// The certificate library refused.
    #[error("the certificate cannot be made: {0}")]
    Certificate(#[from] rcgen::Error),
    /// The TLS library refused.
    #[error("the TLS configuration is refused: {0}")]
    Tls(#[from] rustls::Error),
    /// The certificates of the authority cannot be trusted.
    #[error("the authority's certificates cannot be used: {0}")]
    Authority(String),
}

/// A certificate with its private key, both in PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The certificate, and the chain to its authority where there is one.
    pub certificate_pem: String,
    /// The private key, PKCS#8.
    pub key_pem: Zeroizing<String>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("certificate_pem", &self.certificate_pem).finish_non_exhaustive()
    }
}

/// Makes `ring` the provider of the whole process, for libraries that ask for the default. Doing it twice is fine.
pub fn install_provider() {
    // An error says that a provider is there already; nothing in this workspace could have installed another.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

#[cfg(test)]
mod tests;
