//! Fetches bundles on a connection of its own, so that a lease never queues behind a large body on a thin line.
//!
//! A fetch that was cut goes on where it stopped; the whole is checked by its digest.

use std::io::Read;
use std::sync::Arc;

use nave_common::bundle::MAX_BUNDLE_BYTES;
use nave_common::digest::Digest;
use nave_proto::v1::FetchBundleRequest;
use nave_proto::v1::agent_service_client::AgentServiceClient;
use tokio::sync::Mutex;
use tonic::transport::Channel;

use super::dial::{self, Dial};

/// How often a cut fetch is taken up before it is reported.
const MAX_RESUMES: u32 = 5;

/// Fetches bundles from whichever hub answers.
pub(crate) struct Fetcher {
    addresses: Vec<String>,
    dial: Arc<dyn Dial>,
    channel: Mutex<Option<Channel>>,
}

/// Why a bundle could not be fetched.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Dial(#[from] dial::Error),
    #[error("the hub refused bundle {digest}: {why}")]
    Refused { digest: String, why: String },
    #[error("the fetch of bundle {digest} was cut {MAX_RESUMES} times: {why}")]
    Cut { digest: String, why: String },
    #[error("bundle {digest} arrived damaged: {why}")]
    Damaged { digest: String, why: String },
}

impl Fetcher {
    pub(crate) fn new(addresses: Vec<String>, dial: Arc<dyn Dial>) -> Self {
        Self { addresses, dial, channel: Mutex::new(None) }
    }

    /// The canonical bytes of a bundle that an assignment of this agent names.
    pub(crate) async fn fetch(&self, digest: &Digest) -> Result<Vec<u8>, Error> {
        let mut compressed = Vec::new();
        let mut why = String::new();
        for _ in 0..MAX_RESUMES {
            match self.fetch_from(digest, &mut compressed).await? {
                Progress::Whole => return unpack(digest, compressed).await,
                Progress::Cut(reason) => why = reason,
            }
        }
        Err(Error::Cut { digest: digest.short(), why })
    }

    /// Appends what comes after the bytes that are there.
    async fn fetch_from(&self, digest: &Digest, compressed: &mut Vec<u8>) -> Result<Progress, Error> {
        let channel = self.channel().await?;
        let offset = compressed.len() as u64;
        let request = FetchBundleRequest { digest: digest.to_string(), offset };
        let mut stream = match AgentServiceClient::new(channel).fetch_bundle(request).await {
            Ok(answer) => answer.into_inner(),
            Err(status) => return self.failed(digest, &status).await,
        };
        loop {
            match stream.message().await {
                Ok(Some(part)) => {
                    let total = usize::try_from(part.compressed_bytes).unwrap_or(usize::MAX);
                    if total > MAX_BUNDLE_BYTES || compressed.len() + part.chunk.len() > total {
                        let why = format!("the hub announced {total} bytes and sent more, or too many");
                        return Err(Error::Damaged { digest: digest.short(), why });
                    }
                    compressed.extend_from_slice(&part.chunk);
                    if compressed.len() == total {
                        return Ok(Progress::Whole);
                    }
                }
                Ok(None) => return Ok(Progress::Cut("the hub ended the stream early".into())),
                Err(status) => return self.failed(digest, &status).await,
            }
        }
    }

    /// Tells a refusal, which trying again does not mend, from a cut, after which the next try dials anew.
    async fn failed(&self, digest: &Digest, status: &tonic::Status) -> Result<Progress, Error> {
        use tonic::Code::{
            FailedPrecondition, InvalidArgument, NotFound, OutOfRange, PermissionDenied, Unauthenticated,
        };
        let why = status.message().to_owned();
        match status.code() {
            FailedPrecondition | InvalidArgument | NotFound | OutOfRange | PermissionDenied
            | Unauthenticated => Err(Error::Refused { digest: digest.short(), why }),
            _ => {
                *self.channel.lock().await = None;
                Ok(Progress::Cut(why))
            }
        }
    }

    async fn channel(&self) -> Result<Channel, dial::Error> {
        let mut channel = self.channel.lock().await;
        if let Some(channel) = &*channel {
            return Ok(channel.clone());
        }
        let fresh = self.dial.dial(&self.addresses).await?;
        *channel = Some(fresh.clone());
        Ok(fresh)
    }
}

enum Progress {
    Whole,
    Cut(String),
}

/// Decompresses, bounded, and checks the digest.
async fn unpack(digest: &Digest, compressed: Vec<u8>) -> Result<Vec<u8>, Error> {
    let digest = *digest;
    let damaged = move |why: String| Error::Damaged { digest: digest.short(), why };
    let unpacked = tokio::task::spawn_blocking(move || {
        let mut bytes = Vec::new();
        let limit = MAX_BUNDLE_BYTES as u64 + 1;
        zstd::Decoder::new(compressed.as_slice())?.take(limit).read_to_end(&mut bytes)?;
        Ok::<_, std::io::Error>(bytes)
    })
    .await;
    let bytes =
        unpacked.map_err(|error| damaged(error.to_string()))?.map_err(|error| damaged(error.to_string()))?;
    if Digest::of(&bytes) != digest {
        return Err(damaged(format!("its digest is {}", Digest::of(&bytes).short())));
    }
    Ok(bytes)
}
