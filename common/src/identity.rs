//! Identities: who speaks, as its certificate says. A SPIFFE URI, such as `spiffe://nave/cluster/eu-1`, is the only
//! Subject Alternative Name of kind URI in each certificate that a hub's authority signs.
//!
//! Whether the certificate may be trusted is TLS's to say; here it is only read.

use std::fmt;

use serde::{Deserialize, Serialize};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::digest::Digest;
use crate::name::{ClusterName, UserName};
use crate::time::Timestamp;

/// What every identity begins with: the scheme and the trust domain.
const TRUST_DOMAIN: &str = "spiffe://nave/";
/// What a digest's text begins with, which a certificate leaves out.
const ENROLMENT_PREFIX: &str = "sha256:";

/// Who speaks.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Identity {
    /// The agent of a cluster: `spiffe://nave/cluster/NAME`.
    Cluster(ClusterName),
    /// A person or pipeline: `spiffe://nave/user/NAME`.
    User(UserName),
    /// A hub: `spiffe://nave/hub`.
    Hub,
}

/// Why a text or a certificate holds no identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The text is none.
    #[error(
        "identity {0:?} is not valid: expected spiffe://nave/cluster/NAME, spiffe://nave/user/NAME or spiffe://nave/hub"
    )]
    Text(String),
    /// The bytes are no certificate.
    #[error("the certificate cannot be read: expected X.509 in DER")]
    Certificate,
    /// The certificate names nobody, or several.
    #[error("the certificate holds {0} URIs; expected exactly one, its identity")]
    Count(usize),
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cluster(name) => write!(f, "{TRUST_DOMAIN}cluster/{name}"),
            Self::User(name) => write!(f, "{TRUST_DOMAIN}user/{name}"),
            Self::Hub => write!(f, "{TRUST_DOMAIN}hub"),
        }
    }
}

impl std::str::FromStr for Identity {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let refused = || Error::Text(text.chars().take(200).collect());
        let path = text.strip_prefix(TRUST_DOMAIN).ok_or_else(refused)?;
        match path.split_once('/') {
            Some(("cluster", name)) => Ok(Self::Cluster(name.parse().map_err(|_| refused())?)),
            Some(("user", name)) => Ok(Self::User(name.parse().map_err(|_| refused())?)),
            None if path == "hub" => Ok(Self::Hub),
            _ => Err(refused()),
        }
    }
}

impl TryFrom<String> for Identity {
    type Error = Error;
    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<Identity> for String {
    fn from(identity: Identity) -> Self {
        identity.to_string()
    }
}

/// What is read from a peer's certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerCertificate {
    /// Whose it is.
    pub identity: Identity,
    /// From when on it is valid.
    pub not_before: Timestamp,
    /// Until when it is valid. A resumed TLS session does not check it again, so whoever serves one has to.
    pub not_after: Timestamp,
    /// The digest of its DER bytes, which tells it from every other.
    pub fingerprint: Digest,
    /// Which enrolment it goes back to: the digest of the public key that was enrolled. It stays the same through
    /// renewals, and a cluster that joins anew has another.
    pub enrolment: Digest,
}

/// The identity in a certificate (DER).
///
/// # Errors
/// Where the bytes are no certificate, or it does not hold exactly one URI, or that is no identity.
pub fn from_certificate(der: &[u8]) -> Result<Identity, Error> {
    read_certificate(der).map(|peer| peer.identity)
}

/// Identity, validity and fingerprint of a certificate (DER).
///
/// # Errors
/// As [`from_certificate`].
pub fn read_certificate(der: &[u8]) -> Result<PeerCertificate, Error> {
    let (rest, certificate) = X509Certificate::from_der(der).map_err(|_| Error::Certificate)?;
    if !rest.is_empty() {
        return Err(Error::Certificate);
    }
    let names = certificate.subject_alternative_name().map_err(|_| Error::Certificate)?;
    let uris: Vec<&str> = names
        .iter()
        .flat_map(|extension| &extension.value.general_names)
        .filter_map(|name| if let GeneralName::URI(uri) = name { Some(*uri) } else { None })
        .collect();
    let [uri] = uris.as_slice() else { return Err(Error::Count(uris.len())) };
    let instant =
        |seconds: i64| Timestamp::from_millis(seconds.saturating_mul(1000)).map_err(|_| Error::Certificate);
    let mut units = certificate.subject().iter_organizational_unit();
    let enrolment = match (units.next(), units.next()) {
        // The first certificate of a key begins an enrolment.
        (None, _) => Digest::of(certificate.public_key().raw),
        // A renewed one names it: the digest's 64 hex digits, which is as much as a unit may hold.
        (Some(unit), None) => {
            let digits = unit.as_str().map_err(|_| Error::Certificate)?;
            format!("{ENROLMENT_PREFIX}{digits}").parse().map_err(|_| Error::Certificate)?
        }
        (Some(_), Some(_)) => return Err(Error::Certificate),
    };
    Ok(PeerCertificate {
        identity: uri.parse()?,
        not_before: instant(certificate.validity().not_before.timestamp())?,
        not_after: instant(certificate.validity().not_after.timestamp())?,
        fingerprint: Digest::of(der),
        enrolment,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_round_trip_and_other_texts_are_refused() {
        for text in ["spiffe://nave/cluster/eu-1", "spiffe://nave/user/ana", "spiffe://nave/hub"] {
            let identity: Identity = text.parse().unwrap();
            assert_eq!(identity.to_string(), text);
            let json = serde_json::to_string(&identity).unwrap();
            assert_eq!(serde_json::from_str::<Identity>(&json).unwrap(), identity);
        }
        for bad in [
            "",
            "hub",
            "spiffe://other/hub",
            "spiffe://nave/",
            "spiffe://nave/hub/",
            "spiffe://nave/hub/a",
            "spiffe://nave/cluster",
            "spiffe://nave/cluster/",
            "spiffe://nave/cluster/a/b",
            "spiffe://nave/cluster/A",
            "spiffe://nave/node/a",
            "SPIFFE://nave/hub",
            "spiffe://nave/cluster/eu-1?x",
        ] {
            assert!(bad.parse::<Identity>().is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_no_certificate_is_refused() {
        assert_eq!(from_certificate(b"").unwrap_err(), Error::Certificate);
        assert_eq!(from_certificate(b"-----BEGIN CERTIFICATE-----").unwrap_err(), Error::Certificate);
    }
}
