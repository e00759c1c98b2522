//! The authority: the hub's own certificate authority, which signs what agents, people and hubs show.
//!
//! It takes nothing from a request but its public key: who somebody is, what he may use the certificate for and how long
//! is the hub's to say.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, SanType, SerialNumber,
    date_time_ymd,
};
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer};
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

use super::{Credentials, Error, certificates};
use crate::digest::Digest;
use crate::identity::Identity;
use crate::time::Timestamp;

/// How long an authority's own certificate is valid. It is replaced by rotation, not by running out.
const AUTHORITY_VALIDITY: Duration = Duration::from_secs(20 * 365 * 86_400);
/// How far back a certificate's validity begins, for peers whose clocks are behind.
pub const CLOCK_LEEWAY: Duration = Duration::from_secs(3600);
/// The largest certificate request, in bytes.
const MAX_REQUEST_BYTES: usize = 16 << 10;

/// A certificate authority with its key. ECDSA on P-256.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate_pem: String,
    certificate_der: CertificateDer<'static>,
    key_pem: Zeroizing<String>,
    not_after: Timestamp,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").field("certificate_pem", &self.certificate_pem).finish_non_exhaustive()
    }
}

/// A new private key and the request for a certificate of it.
pub struct NewKey {
    /// The private key, PKCS#8 in PEM.
    pub key_pem: Zeroizing<String>,
    /// The request, PKCS#10 in DER.
    pub csr_der: Vec<u8>,
}

impl fmt::Debug for NewKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewKey").finish_non_exhaustive()
    }
}

/// Makes a private key and a request for a certificate of it. The key stays where it is made.
///
/// # Errors
/// Where the system has no randomness to give.
pub fn new_key_and_csr() -> Result<NewKey, Error> {
    let key = new_key()?;
    let mut params = CertificateParams::default();
    // Who this is, the hub says.
    params.distinguished_name = DistinguishedName::new();
    let request = params.serialize_request(&key)?;
    Ok(NewKey { key_pem: Zeroizing::new(key.serialize_pem()), csr_der: request.der().to_vec() })
}

impl Authority {
    /// Makes a new authority, known by `name` to those who look into certificates.
    ///
    /// # Errors
    /// Where the system has no randomness to give.
    pub fn create(name: &str, now: Timestamp) -> Result<Self, Error> {
        let key = new_key()?;
        let not_after = now.plus(AUTHORITY_VALIDITY);
        let mut params = params(name, now, not_after);
        // It signs end certificates, and nothing that signs others.
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key)?;
        Ok(Self {
            certificate_pem: certificate.pem(),
            certificate_der: certificate.der().clone(),
            key_pem: Zeroizing::new(key.serialize_pem()),
            issuer: Issuer::new(params, key),
            not_after,
        })
    }

    /// Takes an authority from its certificate and key, both in PEM.
    ///
    /// # Errors
    /// Where one of them cannot be read, or they do not belong together, or the certificate is none of an authority.
    pub fn load(certificate_pem: &str, key_pem: &str) -> Result<Self, Error> {
        let certificate_der = certificates(certificate_pem)?
            .into_iter()
            .next()
            .ok_or(Error::Pem { what: "the certificate" })?;
        let key = KeyPair::from_pem(key_pem).map_err(|_| Error::Pem { what: "the private key" })?;
        let not_after = {
            let (_, certificate) = X509Certificate::from_der(&certificate_der)
                .map_err(|_| Error::Pem { what: "the certificate" })?;
            if certificate.public_key().raw != key.subject_public_key_info() {
                return Err(Error::Mismatch);
            }
            if !certificate.is_ca() {
                return Err(Error::Authority("the certificate is none of an authority".to_owned()));
            }
            let seconds = certificate.validity().not_after.timestamp();
            Timestamp::from_millis(seconds.saturating_mul(1000))
                .map_err(|error| Error::Authority(error.to_string()))?
        };
        Ok(Self {
            issuer: Issuer::from_ca_cert_der(&certificate_der, key)?,
            certificate_pem: super::certificate_pem(&certificate_der),
            certificate_der,
            key_pem: Zeroizing::new(key_pem.to_owned()),
            not_after,
        })
    }

    /// Its certificate, in PEM.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// Its certificate, in DER.
    #[must_use]
    pub fn certificate_der(&self) -> &[u8] {
        &self.certificate_der
    }

    /// Its private key, PKCS#8 in PEM.
    #[must_use]
    pub fn key_pem(&self) -> &Zeroizing<String> {
        &self.key_pem
    }

    /// Signs a certificate for the key of a request (PKCS#10, DER), for use as a client. The answer is DER.
    ///
    /// # Errors
    /// Where the request cannot be read, or was not signed by its own key.
    pub fn sign_csr(
        &self,
        csr_der: &[u8],
        identity: &Identity,
        now: Timestamp,
        validity: Duration,
    ) -> Result<Vec<u8>, Error> {
        self.sign(csr_der, &self.client_params(identity, now, validity)?)
    }

    /// As [`Authority::sign_csr`], for a key that takes the place of an older one: the certificate names the enrolment
    /// that it goes on with.
    ///
    /// # Errors
    /// As [`Authority::sign_csr`].
    pub fn renew_csr(
        &self,
        csr_der: &[u8],
        identity: &Identity,
        enrolment: &Digest,
        now: Timestamp,
        validity: Duration,
    ) -> Result<Vec<u8>, Error> {
        let mut params = self.client_params(identity, now, validity)?;
        params.distinguished_name.push(DnType::OrganizationalUnitName, enrolment.hex());
        self.sign(csr_der, &params)
    }

    fn sign(&self, csr_der: &[u8], params: &CertificateParams) -> Result<Vec<u8>, Error> {
        if csr_der.len() > MAX_REQUEST_BYTES {
            return Err(Error::Request("it is too large"));
        }
        let request = CertificateSigningRequestParams::from_der(&CertificateSigningRequestDer::from(csr_der))
            .map_err(|error| match error {
                rcgen::Error::InvalidCertificationRequestSignature => {
                    Error::Request("its signature is not by its own key")
                }
                _ => Error::Request("expected PKCS#10 in DER, without extensions"),
            })?;
        Ok(params.signed_by(&request.public_key, &self.issuer)?.der().to_vec())
    }

    /// A new key with a certificate for use as a client: for people, whose key the hub makes at `init`.
    ///
    /// # Errors
    /// Where the system has no randomness to give.
    pub fn client_certificate(
        &self,
        identity: &Identity,
        now: Timestamp,
        validity: Duration,
    ) -> Result<Credentials, Error> {
        self.credentials(&self.client_params(identity, now, validity)?)
    }

    /// A new key with a certificate for use as a server: a hub's, under [`crate::HUB_TLS_NAME`] and the DNS names and IP
    /// addresses given.
    ///
    /// # Errors
    /// Where a name is neither.
    pub fn server_certificate(
        &self,
        names: &[String],
        now: Timestamp,
        validity: Duration,
    ) -> Result<Credentials, Error> {
        let mut params = self.end_params(&Identity::Hub, now, validity)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let own = crate::HUB_TLS_NAME.to_owned();
        for name in std::iter::once(&own).chain(names.iter().filter(|name| **name != own)) {
            params.subject_alt_names.push(match name.parse::<IpAddr>() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) => SanType::DnsName(
                    checked_dns_name(name)?.try_into().map_err(|_| Error::Name(name.clone()))?,
                ),
            });
        }
        self.credentials(&params)
    }

    fn client_params(
        &self,
        identity: &Identity,
        now: Timestamp,
        validity: Duration,
    ) -> Result<CertificateParams, Error> {
        let mut params = self.end_params(identity, now, validity)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        Ok(params)
    }

    /// What all certificates but the authority's own have in common. None outlives the authority.
    fn end_params(
        &self,
        identity: &Identity,
        now: Timestamp,
        validity: Duration,
    ) -> Result<CertificateParams, Error> {
        let uri = identity.to_string();
        let mut params = params(&uri, now, now.plus(validity).min(self.not_after));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        params.subject_alt_names = vec![SanType::URI(uri.as_str().try_into()?)];
        Ok(params)
    }

    fn credentials(&self, params: &CertificateParams) -> Result<Credentials, Error> {
        let key = new_key()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Credentials { certificate_pem: certificate.pem(), key_pem: Zeroizing::new(key.serialize_pem()) })
    }
}

fn new_key() -> Result<KeyPair, Error> {
    Ok(KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?)
}

fn params(name: &str, now: Timestamp, not_after: Timestamp) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    // Random, since a renewed certificate of the same key must be told from the one before. The first bit is zero, as
    // for every positive number in DER.
    let mut serial: [u8; 16] = rand::random();
    serial[0] = serial[0] & 0x7f | 0x40;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    // rcgen's time type is not its own; this is the one function that makes it.
    let epoch = date_time_ymd(1970, 1, 1);
    params.not_before = epoch + since_epoch(now).saturating_sub(CLOCK_LEEWAY);
    params.not_after = epoch + since_epoch(not_after);
    params
}

fn since_epoch(at: Timestamp) -> Duration {
    Duration::from_millis(u64::try_from(at.as_millis()).unwrap_or(0))
}

/// `rcgen` takes any ASCII for a DNS name.
fn checked_dns_name(name: &str) -> Result<&str, Error> {
    let bare = name.strip_prefix("*.").unwrap_or(name);
    let legal = bare.len() <= 253
        && bare.split('.').all(|part| crate::name::check_dns_label(&part.to_ascii_lowercase()).is_ok());
    if legal { Ok(name) } else { Err(Error::Name(name.chars().take(80).collect())) }
}
