//! Uploading bundles, in chunks.

use nave_common::bundle::Bundle;
use nave_common::digest::Digest;
use nave_proto::v1::upload_bundle_request::Part;
use nave_proto::v1::{UploadBundleOpen, UploadBundleRequest};

use super::Hub;
use super::error::{failure, incomplete};
use super::types::digest;
use crate::exit::Outcome;

/// How many bytes one message carries: well below any bound on messages.
const CHUNK_BYTES: usize = 256 << 10;

impl Hub {
    /// Stores a bundle, where the hub does not have it yet. There is no bound on the time: lines may be thin; a line
    /// that is dead is noticed by the connection itself.
    pub(crate) async fn upload(&self, bundle: &Bundle) -> Outcome<Digest> {
        let bytes = bundle.encode();
        let wanted = Digest::of(&bytes);
        let open =
            Part::Open(UploadBundleOpen { digest: wanted.to_string(), size_bytes: bytes.len() as u64 });
        // One chunk at a time is made, as the connection takes it.
        let starts = (0..bytes.len()).step_by(CHUNK_BYTES);
        let chunks = starts.map(move |start| {
            let end = bytes.len().min(start + CHUNK_BYTES);
            Part::Chunk(bytes[start..end].to_vec().into())
        });
        let parts = std::iter::once(open).chain(chunks).map(|part| UploadBundleRequest { part: Some(part) });
        let mut client = self.client.clone();
        let answer = client
            .upload_bundle(tokio_stream::iter(parts))
            .await
            .map_err(|status| failure(&status, &self.address).about("uploading the manifests"))?
            .into_inner();
        let stored = digest(&answer.digest, "digest", &self.address)?;
        if stored == wanted { Ok(stored) } else { Err(incomplete(&self.address, "the uploaded bundle")) }
    }
}
