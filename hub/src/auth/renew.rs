//! Renewal: a new certificate for an agent that shows one that is running out, or that ran out not long ago.
//!
//! The handshake proved the old key. The new certificate goes on with the same enrolment, so that it lives and dies with
//! it, and so that an answer that was lost costs nothing: the agent asks again with what it has.

use nave_common::identity::Identity;
use nave_proto::v1;

use super::enrolment;
use super::peer::AgentPeer;
use crate::error::Error;
use crate::parts::Parts;

/// Signs a certificate for a new key of an agent whose enrolment counts.
///
/// # Errors
/// Where its certificate was revoked, its cluster has another UID than the name is bound to, or its request cannot be
/// signed.
pub async fn renew(
    parts: &Parts,
    agent: &AgentPeer,
    request: &v1::RenewRequest,
) -> Result<v1::RenewResponse, Error> {
    // Signing takes its turn with enrolments, so that a fleet whose certificates run out together cannot take the hub.
    let turn = parts.enroll_turn.acquire().await;
    let _turn = turn.map_err(|_| Error::Unavailable("the hub is stopping".into()))?;
    parts.world.read(|state| enrolment::check(state, agent))?;
    enrolment::check_uid(parts, &agent.cluster, &request.cluster_uid)?;
    let identity = Identity::Cluster(agent.cluster.clone());
    let certificate = parts
        .authority
        .renew_csr(
            &request.certificate_signing_request,
            &identity,
            &agent.enrolment,
            parts.now(),
            parts.agent_certificate_lifetime,
        )
        .map_err(|error| Error::field("certificateSigningRequest", error))?;
    tracing::info!(cluster = %agent.cluster, "certificate renewed");
    Ok(v1::RenewResponse {
        certificate: certificate.into(),
        authority: parts.authority.certificate_der().to_vec().into(),
        addresses: parts.addresses.clone(),
    })
}
