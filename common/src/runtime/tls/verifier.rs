//! How a hub verifies its clients' certificates: as usual, and with one more: a certificate that ran out not long ago is
//! let through the handshake, which still proves that its key is there.
//!
//! What such a client may do is the hub's to say: nothing but to ask for a new certificate.

use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};

use super::EXPIRED_GRACE;
use crate::identity::read_certificate;

/// Verifies as `inner` does, and forgives having run out within [`EXPIRED_GRACE`].
#[derive(Debug)]
pub(super) struct Forgiving {
    pub(super) inner: Arc<dyn ClientCertVerifier>,
}

impl ClientCertVerifier for Forgiving {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.inner.client_auth_mandatory()
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let expired = match self.inner.verify_client_cert(certificate, chain, now) {
            Err(
                error @ Error::InvalidCertificate(
                    CertificateError::Expired | CertificateError::ExpiredContext { .. },
                ),
            ) => error,
            verified => return verified,
        };
        let Ok(read) = read_certificate(certificate) else { return Err(expired) };
        let not_after = u64::try_from(read.not_after.as_millis()).unwrap_or_default() / 1000;
        if now.as_secs() > not_after.saturating_add(EXPIRED_GRACE.as_secs()) {
            return Err(expired);
        }
        // Everything else must hold as it did on its last day.
        self.inner.verify_client_cert(
            certificate,
            chain,
            UnixTime::since_unix_epoch(Duration::from_secs(not_after)),
        )
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
