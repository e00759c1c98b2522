//! PEM, in and out.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::Error;

/// The most certificates in one PEM text.
const MAX_CERTIFICATES: usize = 64;
/// The longest line of base64 in PEM (RFC 7468).
const LINE_BYTES: usize = 64;

/// A certificate (DER) in PEM.
#[must_use]
pub fn certificate_pem(der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let mut pem = String::with_capacity(body.len() + body.len() / LINE_BYTES + 64);
    pem.push_str("-----BEGIN CERTIFICATE-----\n");
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, next) = rest.split_at(rest.len().min(LINE_BYTES));
        pem.push_str(line);
        pem.push('\n');
        rest = next;
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}

/// The certificates (DER) in a PEM text, at least one.
///
/// # Errors
/// Where it holds none, or what it holds is damaged.
pub fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let refused = Error::Pem { what: "the certificate" };
    let certificates: Result<Vec<_>, _> =
        CertificateDer::pem_slice_iter(pem.as_bytes()).take(MAX_CERTIFICATES).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(refused),
    }
}

pub(super) fn private_key(pem: &str) -> Result<PrivateKeyDer<'static>, Error> {
    PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| Error::Pem { what: "the private key" })
}
