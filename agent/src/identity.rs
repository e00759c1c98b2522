//! Who this agent is: its key, its certificate, whom it trusts as hub and where hubs listen, kept on disk for the agent
//! alone; and enrolment, which trades a join token for them.

use std::path::Path;

use nave_common::metadata::Labels;
use nave_common::name::ClusterName;
use nave_common::runtime::{files, tls};
use nave_common::token::TokenText;
use nave_proto::v1::EnrollRequest;
use nave_proto::v1::agent_service_client::AgentServiceClient;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::connection::dial::{self, Dial as _};

/// An agent's identity, as it stands on disk.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Identity {
    /// The name of the cluster in the fleet.
    pub cluster: ClusterName,
    /// The UID of the cluster's namespace kube-system, to which the name is bound.
    pub cluster_uid: String,
    /// Where hubs listen, as host:port.
    pub addresses: Vec<String>,
    /// PEM: whom the agent trusts as hub.
    pub authority: String,
    /// PEM: the agent's certificate.
    pub certificate: String,
    /// PEM: the agent's key.
    key: Zeroizing<String>,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}

/// What went wrong with an identity.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is there and cannot be used.
    #[error("the agent's identity {path} cannot be {doing}: {why}")]
    File {
        /// The file.
        path: String,
        /// `read` or `written`.
        doing: &'static str,
        /// Why.
        why: String,
    },
    /// No hub could be reached.
    #[error(transparent)]
    Dial(#[from] dial::Error),
    /// The hub refused.
    #[error("the hub refused to enrol cluster {cluster}: {why}")]
    Refused {
        /// The name that was asked for.
        cluster: ClusterName,
        /// The hub's words.
        why: String,
    },
    /// The hub did not renew the certificate.
    #[error("the hub did not renew the certificate of cluster {cluster}: {why}")]
    Renewal {
        /// Whose.
        cluster: ClusterName,
        /// Why.
        why: String,
    },
    /// A key or certificate could not be made or read.
    #[error("enrolment: {0}")]
    Certificate(String),
}

impl Identity {
    /// The agent's key, PEM.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The same agent with another certificate (PEM) of another key (PEM).
    #[must_use]
    pub fn renewed(&self, certificate: String, key: Zeroizing<String>) -> Self {
        Self { certificate, key, ..self.clone() }
    }

    /// Reads the identity from `folder`; `None` where the agent has never enrolled.
    ///
    /// # Errors
    /// Where the file is there and cannot be read. It is never replaced: a person has to look.
    pub fn load(folder: &Path) -> Result<Option<Self>, Error> {
        let path = folder.join(FILE);
        let failed = |why: String| Error::File { path: path.display().to_string(), doing: "read", why };
        match std::fs::read(&path) {
            Ok(bytes) => {
                let bytes = Zeroizing::new(bytes);
                serde_json::from_slice(&bytes).map(Some).map_err(|error| failed(error.to_string()))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(error.to_string())),
        }
    }

    /// Keeps the identity in `folder`.
    ///
    /// # Errors
    /// Where it cannot be made durable.
    pub fn save(&self, folder: &Path) -> Result<(), Error> {
        let path = folder.join(FILE);
        let failed = |why: String| Error::File { path: path.display().to_string(), doing: "written", why };
        let bytes = Zeroizing::new(serde_json::to_vec(self).map_err(|error| failed(error.to_string()))?);
        files::create_private_dir(folder).map_err(|error| failed(error.to_string()))?;
        files::write_private(&path, &bytes).map_err(|error| failed(error.to_string()))
    }
}

const FILE: &str = "identity.json";

/// Trades a join token for an identity. The key is made here and never leaves.
///
/// # Errors
/// Where no hub of the token answers, or the hub refuses: the token, the name, or the cluster's UID.
pub async fn enroll(
    token: &TokenText,
    cluster: ClusterName,
    labels: Labels,
    cluster_uid: String,
) -> Result<Identity, Error> {
    let request = tls::new_key_and_csr().map_err(|error| Error::Certificate(error.to_string()))?;
    let authority = token.authority_pem();
    let channel = dial::Credentials::anonymous(&authority).dial(&token.addresses).await?;
    let answer = AgentServiceClient::new(channel)
        .enroll(EnrollRequest {
            token_id: token.id.clone(),
            token_secret: token.secret.to_string(),
            cluster: cluster.to_string(),
            labels: labels.into_iter().collect(),
            cluster_uid: cluster_uid.clone(),
            certificate_signing_request: request.csr_der.clone().into(),
        })
        .await
        .map_err(|status| Error::Refused { cluster: cluster.clone(), why: status.message().to_owned() })?
        .into_inner();
    Ok(Identity {
        cluster,
        cluster_uid,
        addresses: if answer.addresses.is_empty() { token.addresses.clone() } else { answer.addresses },
        authority: tls::certificate_pem(&answer.authority),
        certificate: tls::certificate_pem(&answer.certificate),
        key: request.key_pem,
    })
}
