//! Enrolment: a join token for a certificate.
//!
//! The token's use, the cluster's record and the event are one commit, so that a token is never spent for nothing nor
//! used once too often. What the request for a certificate says of its owner is ignored: the identity is the cluster's
//! name, which the token let in.

use std::net::SocketAddr;

use nave_common::cluster::{Cluster, ClusterSpec};
use nave_common::event::{Event, Severity};
use nave_common::identity::{Identity, read_certificate};
use nave_common::metadata::{ClusterMetadata, Labels};
use nave_common::name::ClusterName;
use nave_common::selector::check_labels;
use nave_common::token::{JoinToken, Refused};
use nave_proto::v1;

use crate::error::Error;
use crate::events;
use crate::parts::Parts;
use crate::records::{ClusterRecord, Name, Record};
use crate::store::{self, Entry, Expect, Transaction};

/// How often enrolment is tried when others use the same token at the same time.
const MAX_ATTEMPTS: usize = 16;
/// The longest UID, in bytes; Kubernetes makes them of 36.
const MAX_UID_BYTES: usize = 128;
/// The most labels that an agent may ask for.
const MAX_LABELS: usize = 64;

/// What an agent asks for, checked.
#[derive(Debug)]
struct Wish {
    cluster: ClusterName,
    uid: String,
    labels: Labels,
}

/// Trades a join token for a certificate.
///
/// # Errors
/// Where the token, the name, the UID or the request for a certificate is refused; then the token is not spent.
pub async fn enroll(
    parts: &Parts,
    address: Option<SocketAddr>,
    request: v1::EnrollRequest,
) -> Result<v1::EnrollResponse, Error> {
    let wish = wish(&request)?;
    // One after the other: a fleet that joins with one token would else spend its time on conflicts over that token.
    // Replicas of the hub still meet in the store, which is what the attempts are for.
    let turn = parts.enroll_turn.acquire().await;
    let _turn = turn.map_err(|_| Error::Unavailable("the hub is stopping".into()))?;
    for attempt in 1..=MAX_ATTEMPTS {
        match try_enroll(parts, &wish, &request).await {
            Ok(certificate) => {
                tracing::info!(cluster = %wish.cluster, token = request.token_id, ?address, "cluster enrolled");
                return Ok(v1::EnrollResponse {
                    certificate: certificate.into(),
                    authority: parts.authority.certificate_der().to_vec().into(),
                    addresses: parts.addresses.clone(),
                });
            }
            Err(Error::Store(store::Error::Conflict { .. })) if attempt < MAX_ATTEMPTS => {}
            Err(error) => {
                tracing::warn!(cluster = %wish.cluster, ?address, %error, "enrolment refused");
                return Err(error);
            }
        }
    }
    Err(Error::Conflict("the join token is being used by others all the time; try again".into()))
}

fn wish(request: &v1::EnrollRequest) -> Result<Wish, Error> {
    let cluster = request.cluster.parse().map_err(|error| Error::field("cluster", error))?;
    let uid = request.cluster_uid.clone();
    if uid.is_empty() || uid.len() > MAX_UID_BYTES || !uid.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Error::field(
            "clusterUid",
            "is not valid; expected the UID of the namespace kube-system",
        ));
    }
    if request.labels.len() > MAX_LABELS {
        return Err(Error::field(
            "labels",
            format!("has {} items; at most {MAX_LABELS} are allowed", request.labels.len()),
        ));
    }
    let labels: Labels = request.labels.clone().into_iter().collect();
    check_labels(&labels).map_err(|error| Error::Field(error.under("labels")))?;
    Ok(Wish { cluster, uid, labels })
}

/// Returns the certificate (DER).
async fn try_enroll(parts: &Parts, wish: &Wish, request: &v1::EnrollRequest) -> Result<Vec<u8>, Error> {
    // A token's id is no secret: that it is not there may be said. Of one that is there, nothing is said without the
    // secret.
    let unknown = || Error::Denied(Refused::Unknown.to_string());
    let token_key = Name::Token(request.token_id.clone()).key().map_err(|_| unknown())?;
    let token_entry = parts.store.get(&token_key).await?.ok_or_else(unknown)?;
    let Some(Record::Token(token)) = Record::parse(&token_entry.key, &token_entry.value)? else {
        return Err(unknown());
    };
    let checked = token.check(&request.token_secret, parts.now(), &wish.cluster, &wish.labels);
    checked.map_err(|refused| Error::Denied(refused.to_string()))?;
    check_only_name(parts, wish)?;
    let cluster_key = Name::Cluster(wish.cluster.clone()).key()?;
    let known = parts.store.get(&cluster_key).await?;
    let (mut record, is_new) = record(parts, wish, &token, known.as_ref())?;
    // Before the commit, so that no token is spent on a request that cannot be signed; after the check of the token, so
    // that strangers cannot have anything signed.
    let identity = Identity::Cluster(wish.cluster.clone());
    let certificate = parts
        .authority
        .sign_csr(
            &request.certificate_signing_request,
            &identity,
            parts.now(),
            parts.agent_certificate_lifetime,
        )
        .map_err(|error| Error::field("certificateSigningRequest", error))?;
    // From here on this key's certificates are valid under the name, and no older one's.
    let signed = read_certificate(&certificate).map_err(|error| Error::Internal(error.to_string()))?;
    record.enrolment = Some(signed.enrolment);
    let spent = JoinToken { uses_left: token.uses_left.saturating_sub(1), ..*token };
    let mut transaction = Transaction::new()
        .expect(token_key, Expect::Sequence(token_entry.sequence))
        .expect(cluster_key, Expect::same_as(known.as_ref()));
    transaction.writes = vec![
        events::record(joined(parts, wish, &spent, is_new)).write()?,
        Record::Token(Box::new(spent)).write()?,
        Record::Cluster(Box::new(record)).write()?,
    ];
    parts.commit(transaction).await?;
    Ok(certificate)
}

/// A cluster has one name. The world shows every enrolment before this one, since they take turns.
fn check_only_name(parts: &Parts, wish: &Wish) -> Result<(), Error> {
    let other = parts.world.read(|state| {
        let mut others = state.clusters().iter().filter(|(name, _)| **name != wish.cluster);
        let same = others.find(|(_, entry)| entry.record.value.spec.uid.as_ref() == Some(&wish.uid));
        same.map(|(name, _)| name.clone())
    });
    other.map_or(Ok(()), |name| {
        Err(Error::Refused(format!(
            "this cluster is in the fleet already as {name}: its kube-system namespace has the same UID; join under that \
             name, or, where it is a copy of {name}, make it anew"
        )))
    })
}

fn record(
    parts: &Parts,
    wish: &Wish,
    token: &JoinToken,
    known: Option<&Entry>,
) -> Result<(ClusterRecord, bool), Error> {
    let Some(entry) = known else {
        let mut labels = wish.labels.clone();
        labels.extend(token.labels.clone());
        let mut metadata = ClusterMetadata::new(wish.cluster.clone());
        metadata.labels = labels;
        metadata.created_at = Some(parts.now());
        let spec = ClusterSpec { uid: Some(wish.uid.clone()), ..ClusterSpec::default() };
        let cluster = Cluster { metadata, spec, status: None };
        return Ok((ClusterRecord::new(cluster), true));
    };
    let Some(Record::Cluster(mut record)) = Record::parse(&entry.key, &entry.value)? else {
        return Err(Error::Internal(format!("the record {} is no cluster", entry.key)));
    };
    let cluster = &mut record.cluster;
    if cluster.spec.uid.as_ref().is_some_and(|bound| *bound != wish.uid) {
        super::enrolment::tell_other_uid(parts, &wish.cluster);
        return Err(Error::Refused(format!(
            "the name {0} is bound to another cluster: its kube-system namespace has another UID; choose another name, or, where {0} was \
             made anew, take it out of the fleet first (nave delete cluster {0})",
            wish.cluster
        )));
    }
    cluster.spec.uid = Some(wish.uid.clone());
    // What people set since stays; the token's labels are its maker's will.
    for (key, value) in &wish.labels {
        cluster.metadata.labels.entry(key.clone()).or_insert_with(|| value.clone());
    }
    cluster.metadata.labels.extend(token.labels.clone());
    Ok((*record, false))
}

fn joined(parts: &Parts, wish: &Wish, token: &JoinToken, is_new: bool) -> Event {
    let verb = if is_new { "joined" } else { "enrolled again" };
    Event {
        at: parts.now(),
        severity: Severity::Normal,
        reason: "ClusterJoined".into(),
        message: format!("{} {verb} with token {} of {}", wish.cluster, token.id, token.created_by),
        application: None,
        cluster: Some(wish.cluster.clone()),
        change_id: String::new(),
    }
}
