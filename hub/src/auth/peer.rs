//! Who is at the other end of a connection, as its certificate says.
//!
//! TLS has verified the certificate when it is read here, once for a connection. A resumed session repeats an old
//! certificate, so its validity is looked at again at every call.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use nave_common::digest::Digest;
use nave_common::identity::{self, Identity, PeerCertificate};
use nave_common::name::{ClusterName, UserName};
use nave_common::runtime::tls::EXPIRED_GRACE;
use nave_common::time::Timestamp;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tonic::service::Interceptor;
use tonic::{Request, Status};

use crate::error::Error;

/// Who is at the other end.
#[derive(Debug, Clone)]
pub struct Peer {
    address: SocketAddr,
    who: Who,
}

#[derive(Debug, Clone)]
enum Who {
    /// No certificate was shown.
    Nobody,
    Known(Arc<PeerCertificate>),
    /// A certificate was shown that this hub's authority signed and that names nobody.
    Unreadable(String),
}

impl Peer {
    /// The peer of a connection whose handshake is done.
    #[must_use]
    pub fn of(address: SocketAddr, stream: &TlsStream<TcpStream>) -> Self {
        let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let who = match certificate.map(|certificate| identity::read_certificate(certificate)) {
            None => Who::Nobody,
            Some(Ok(certificate)) => return Self::known(address, certificate),
            Some(Err(error)) => Who::Unreadable(error.to_string()),
        };
        Self { address, who }
    }

    /// A peer that showed this certificate, wherever it was verified.
    #[must_use]
    pub fn known(address: SocketAddr, certificate: PeerCertificate) -> Self {
        Self { address, who: Who::Known(Arc::new(certificate)) }
    }

    /// Whether a certificate was shown that has not run out.
    #[must_use]
    pub fn is_known(&self) -> bool {
        match &self.who {
            Who::Nobody => false,
            Who::Known(certificate) => Timestamp::now() <= certificate.not_after,
            Who::Unreadable(_) => true,
        }
    }

    /// What was shown, where it has not run out by more than `grace`.
    fn certificate(&self, now: Timestamp, grace: Duration) -> Result<&PeerCertificate, Error> {
        match &self.who {
            Who::Nobody => Err(Error::Unauthenticated(
                "no certificate was shown; expected one that this hub signed".into(),
            )),
            Who::Unreadable(why) => Err(Error::Unauthenticated(why.clone())),
            Who::Known(certificate) if now > certificate.not_after.plus(grace) => {
                Err(Error::Unauthenticated(format!("the certificate ran out at {}", certificate.not_after)))
            }
            Who::Known(certificate) => Ok(certificate),
        }
    }
}

fn peer_of<T>(request: &Request<T>) -> Result<&Peer, Error> {
    let peer = request.extensions().get::<Peer>();
    peer.ok_or_else(|| Error::Unauthenticated("the connection has no TLS".into()))
}

/// Who calls, whoever it is.
///
/// # Errors
/// [`Error::Unauthenticated`] where it is nobody.
pub fn caller<T>(request: &Request<T>) -> Result<&Identity, Error> {
    Ok(&peer_of(request)?.certificate(Timestamp::now(), Duration::ZERO)?.identity)
}

/// Where a request comes from.
#[must_use]
pub fn address<T>(request: &Request<T>) -> Option<SocketAddr> {
    request.extensions().get::<Peer>().map(|peer| peer.address)
}

/// The person or pipeline that calls.
///
/// # Errors
/// [`Error::Unauthenticated`] where it is nobody, [`Error::Denied`] where it is an agent.
pub fn user<T>(request: &Request<T>) -> Result<UserName, Error> {
    match caller(request)? {
        Identity::User(name) => Ok(name.clone()),
        other => {
            Err(Error::Denied(format!("{other} may not call this: FleetService is for people and pipelines")))
        }
    }
}

/// An agent, as its certificate says: whether that still counts is [`super::enrolment`]'s to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentPeer {
    /// The cluster that it speaks for.
    pub cluster: ClusterName,
    /// The enrolment that its certificate goes back to.
    pub enrolment: Digest,
}

/// The agent that calls.
///
/// # Errors
/// [`Error::Unauthenticated`] where it is nobody, [`Error::Denied`] where it is no agent.
pub fn agent<T>(request: &Request<T>) -> Result<AgentPeer, Error> {
    agent_in(peer_of(request)?.certificate(Timestamp::now(), Duration::ZERO)?)
}

/// The agent that asks for a new certificate, whose own may have run out, up to [`EXPIRED_GRACE`] ago.
///
/// # Errors
/// As [`agent`].
pub fn renewing_agent<T>(request: &Request<T>) -> Result<AgentPeer, Error> {
    agent_in(peer_of(request)?.certificate(Timestamp::now(), EXPIRED_GRACE)?)
}

fn agent_in(certificate: &PeerCertificate) -> Result<AgentPeer, Error> {
    match &certificate.identity {
        Identity::Cluster(name) => Ok(AgentPeer { cluster: name.clone(), enrolment: certificate.enrolment }),
        other => Err(Error::Denied(format!("{other} may not call this: AgentService is for agents"))),
    }
}

/// Lets people and pipelines through and nobody else: for services that do not ask themselves.
#[derive(Debug, Clone, Copy)]
pub struct OnlyUsers;

impl Interceptor for OnlyUsers {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        user(&request)?;
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    fn request(who: Who) -> Request<()> {
        let mut request = Request::new(());
        request.extensions_mut().insert(Peer { address: ([127, 0, 0, 1], 1).into(), who });
        request
    }

    fn known(identity: &str, not_after: Timestamp) -> Who {
        Who::Known(Arc::new(PeerCertificate {
            identity: identity.parse().unwrap(),
            not_before: Timestamp::EPOCH,
            not_after,
            fingerprint: Digest::of(b""),
            enrolment: Digest::of(b"a key"),
        }))
    }

    #[test]
    fn each_service_takes_its_own_callers() {
        let later = Timestamp::now().plus(std::time::Duration::from_secs(60));
        let (agent, person, hub) =
            ("spiffe://nave/cluster/eu-1", "spiffe://nave/user/ana", "spiffe://nave/hub");
        let known_agent = super::agent(&request(known(agent, later))).unwrap();
        assert_eq!(known_agent.cluster.as_str(), "eu-1");
        assert_eq!(known_agent.enrolment, Digest::of(b"a key"));
        assert_eq!(user(&request(known(person, later))).unwrap().as_str(), "ana");
        for refused in [user(&request(known(agent, later))).err(), user(&request(known(hub, later))).err()] {
            assert_eq!(refused.unwrap().code(), Code::PermissionDenied);
        }
        assert_eq!(super::agent(&request(known(person, later))).unwrap_err().code(), Code::PermissionDenied);
    }

    #[test]
    fn nobody_and_who_ran_out_are_not_known() {
        for who in [
            Who::Nobody,
            Who::Unreadable("it names nobody".into()),
            known("spiffe://nave/user/ana", Timestamp::EPOCH),
        ] {
            assert_eq!(user(&request(who)).unwrap_err().code(), Code::Unauthenticated);
        }
        assert_eq!(user(&Request::new(())).unwrap_err().code(), Code::Unauthenticated);
    }
}
