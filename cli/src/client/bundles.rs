//! Uploading bundles, in chunks.

use nave_common::bundle::Bundle;
use nave_common::digest::Digest;
use nave_proto::v1::upload_bundle_request::Part;
use nave_proto::v1::{UploadBundleOpen, UploadBundleRequest};

use super::error::refusal;
use super::{Fleet, Hub};
use crate::exit::{Failure, Outcome};

/// How many bytes one message carries: well below any bound on messages.
const CHUNK_BYTES: usize = 256 << 10;

impl Hub {
    /// Stores a bundle, where the hub does not have it yet.
    pub(crate) async fn upload(&self, bundle: &Bundle) -> Outcome<()> {
        upload(&mut self.client.clone(), bundle).await.map(|_| ())
    }
}

/// Stores a bundle. There is no bound on the time: lines may be thin; one that is dead is noticed by the connection.
pub(crate) async fn upload(client: &mut Fleet, bundle: &Bundle) -> Outcome<Digest> {
    let bytes = bundle.encode();
    let wanted = Digest::of(&bytes);
    let open = Part::Open(UploadBundleOpen { digest: wanted.to_string(), size_bytes: bytes.len() as u64 });
    // One chunk at a time is made, as the connection takes it.
    let starts = (0..bytes.len()).step_by(CHUNK_BYTES);
    let chunks = starts.map(move |start| {
        let end = bytes.len().min(start + CHUNK_BYTES);
        Part::Chunk(bytes[start..end].to_vec().into())
    });
    let parts = std::iter::once(open).chain(chunks).map(|part| UploadBundleRequest { part: Some(part) });
    let answer = client.upload_bundle(tokio_stream::iter(parts)).await;
    let answer = answer.map_err(|status| refusal(&status).about("uploading the manifests"))?.into_inner();
    if answer.digest == wanted.to_string() {
        Ok(wanted)
    } else {
        Err(Failure::failed("the hub stored something else than what was uploaded"))
    }
}
