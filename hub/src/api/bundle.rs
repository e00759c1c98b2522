//! Taking in bundles: bounded, checked against their digest, and decoded before they are kept.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use nave_common::bundle::{Bundle, MAX_BUNDLE_BYTES};
use nave_common::digest::Digest;
use nave_proto::v1::{self, upload_bundle_request::Part};
use tonic::Streaming;

use crate::error::Error;
use crate::parts::Parts;

/// Memory that is set aside before the bytes have come, at most.
const MAX_RESERVED_BYTES: usize = 1 << 20;

/// How long the next message of an upload may take.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(60);

/// Takes in a bundle.
///
/// # Errors
/// Where it is too large, not what was announced, or no bundle; then nothing is kept.
pub(super) async fn upload(
    parts: &Parts,
    mut stream: Streaming<v1::UploadBundleRequest>,
) -> Result<v1::UploadBundleResponse, Error> {
    let broken =
        |status: tonic::Status| Error::Unavailable(format!("the upload broke: {}", status.message()));
    let first = stream.message().await.map_err(broken)?.and_then(|message| message.part);
    let Some(Part::Open(open)) = first else {
        return Err(Error::field("part", "the first message must be open"));
    };
    let digest: Digest = open.digest.parse().map_err(|error| Error::field("open.digest", error))?;
    let size_bytes = usize::try_from(open.size_bytes).unwrap_or(usize::MAX);
    if size_bytes == 0 || size_bytes > MAX_BUNDLE_BYTES {
        return Err(Error::field(
            "open.sizeBytes",
            format!("is {size_bytes}; expected 1 to {MAX_BUNDLE_BYTES}"),
        ));
    }
    let _place = parts.heavy_place().await?;
    let mut bytes = BytesMut::with_capacity(size_bytes.min(MAX_RESERVED_BYTES));
    while let Some(message) = next(&mut stream).await? {
        let Some(Part::Chunk(chunk)) = message.part else {
            return Err(Error::field("part", "every message after the first must be a chunk"));
        };
        if bytes.len() + chunk.len() > size_bytes {
            return Err(Error::field(
                "chunk",
                format!("there are more bytes than the {size_bytes} that were announced"),
            ));
        }
        bytes.extend_from_slice(&chunk);
    }
    if bytes.len() != size_bytes {
        let found = bytes.len();
        return Err(Error::field(
            "chunk",
            format!("there are {found} bytes, and {size_bytes} were announced"),
        ));
    }
    keep(parts, digest, bytes.freeze()).await
}

/// The next message. Whoever sends nothing for too long does not keep others waiting.
async fn next(
    stream: &mut Streaming<v1::UploadBundleRequest>,
) -> Result<Option<v1::UploadBundleRequest>, Error> {
    match tokio::time::timeout(MESSAGE_TIMEOUT, stream.message()).await {
        Ok(message) => {
            message.map_err(|status| Error::Unavailable(format!("the upload broke: {}", status.message())))
        }
        Err(_) => Err(Error::Unavailable("the upload came to a stop; try again".into())),
    }
}

async fn keep(parts: &Parts, digest: Digest, bytes: Bytes) -> Result<v1::UploadBundleResponse, Error> {
    parts.metrics.bundle_received_bytes.inc_by(bytes.len() as u64);
    let body = bytes.clone();
    let decoded = tokio::task::spawn_blocking(move || {
        let found = Digest::of(&body);
        if found != digest {
            return Err(Error::field("open.digest", format!("is {digest}, and the bytes have {found}")));
        }
        Bundle::decode(&body).map_err(|error| Error::field("chunk", error))
    });
    let bundle =
        decoded.await.map_err(|error| Error::Internal(format!("a bundle was not read: {error}")))??;
    let object_count = u32::try_from(bundle.manifests().len()).unwrap_or(u32::MAX);
    parts.bundles.put(Arc::new(bundle), bytes).await?;
    Ok(v1::UploadBundleResponse { digest: digest.to_string(), object_count })
}
