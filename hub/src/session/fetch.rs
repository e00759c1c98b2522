//! Bundles on their way to agents: only those that an assignment of the asking cluster names, compressed once for all.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::Stream;
use nave_common::assignment::Desired;
use nave_common::digest::Digest;
use nave_common::name::ClusterName;
use nave_proto::v1;
use tokio::sync::OwnedSemaphorePermit;
use tonic::Status;

use crate::auth::enrolment;
use crate::auth::peer::AgentPeer;
use crate::error::Error;
use crate::metrics::Metrics;
use crate::parts::Parts;

/// Bytes in one message.
pub const CHUNK_BYTES: usize = 256 << 10;
/// Bundles that one cluster may fetch at the same time.
pub const MAX_FETCHES_PER_CLUSTER: usize = 8;

/// How many bundles each cluster is fetching.
#[derive(Debug, Default)]
pub struct Counts(Mutex<HashMap<ClusterName, usize>>);

/// Counts as long as it lives.
#[derive(Debug)]
struct Counted {
    counts: Arc<Counts>,
    cluster: ClusterName,
}

impl Counts {
    fn begin(self: &Arc<Self>, cluster: ClusterName) -> Result<Counted, Error> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(cluster.clone()).or_default();
        if *count >= MAX_FETCHES_PER_CLUSTER {
            return Err(Error::Exhausted(format!(
                "cluster {cluster} is fetching {MAX_FETCHES_PER_CLUSTER} bundles already; wait for one of them"
            )));
        }
        *count += 1;
        drop(counts);
        Ok(Counted { counts: self.clone(), cluster })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut counts = self.counts.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.cluster) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.cluster);
            }
        }
    }
}

/// Begins to send a bundle to a cluster that is told to run it.
pub(super) async fn fetch(
    parts: &Parts,
    counts: &Arc<Counts>,
    agent: AgentPeer,
    request: &v1::FetchBundleRequest,
) -> Result<Chunks, Error> {
    let digest: Digest = request.digest.parse().map_err(|error| Error::field("digest", error))?;
    parts.world.read(|state| enrolment::check(state, &agent))?;
    let cluster = agent.cluster;
    if !is_told(parts, &cluster, &digest) {
        return Err(Error::Denied(format!("no assignment of cluster {cluster} names bundle {digest}")));
    }
    let counted = counts.begin(cluster)?;
    let place = parts.fetch_places.clone().acquire_owned().await;
    let place = place.map_err(|_| Error::Unavailable("the hub is stopping".into()))?;
    let body = parts.bundles.compressed(&digest).await?;
    let offset = usize::try_from(request.offset).unwrap_or(usize::MAX);
    if offset > body.len() {
        return Err(Error::field("offset", format!("is {offset}, past the end, which is {}", body.len())));
    }
    Ok(Chunks {
        body,
        offset,
        is_first: true,
        metrics: parts.metrics.clone(),
        _counted: counted,
        _place: place,
    })
}

fn is_told(parts: &Parts, cluster: &ClusterName, digest: &Digest) -> bool {
    parts.world.read(|state| {
        let mut told = state.assignments_in(cluster).into_iter().flat_map(|entries| entries.values());
        told.any(|entry| matches!(&entry.assignment.desired, Desired::Run(run) if run.bundle == *digest))
    })
}

/// What is left of a body, in chunks that share its memory.
#[derive(Debug)]
pub struct Chunks {
    body: Bytes,
    offset: usize,
    is_first: bool,
    metrics: Arc<Metrics>,
    _counted: Counted,
    _place: OwnedSemaphorePermit,
}

impl Stream for Chunks {
    type Item = Result<v1::FetchBundleResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let end = self.body.len().min(self.offset + CHUNK_BYTES);
        // Whoever resumes at the very end still learns the size.
        if self.offset == end && !self.is_first {
            return Poll::Ready(None);
        }
        let chunk = self.body.slice(self.offset..end);
        self.metrics.bundle_sent_bytes.inc_by(chunk.len() as u64);
        self.offset = end;
        self.is_first = false;
        Poll::Ready(Some(Ok(v1::FetchBundleResponse { chunk, compressed_bytes: self.body.len() as u64 })))
    }
}
