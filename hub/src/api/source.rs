//! From an application's source to a bundle.

use std::sync::Arc;

use bytes::Bytes;
use nave_common::bundle::{self, Bundle};
use nave_common::digest::Digest;
use nave_common::manifest;
use nave_common::source::Source;

use crate::bundles::Pin;
use crate::error::Error;
use crate::parts::Parts;

/// What a source came to.
#[derive(Debug)]
pub(super) struct Resolved {
    /// The manifests.
    pub bundle: Arc<Bundle>,
    /// Their digest.
    pub digest: Digest,
    /// Their bytes, where they are not kept yet.
    pub unkept: Option<Bytes>,
    /// Where they came from, for people.
    pub origin: String,
    /// Keeps the bundle until something that lasts names it.
    pub _pin: Pin,
}

/// Reads a source. Nothing is kept yet.
///
/// # Errors
/// Where the source is no bundle, with the path of what is wrong, or names one that was not uploaded.
pub(super) async fn resolve(parts: &Parts, source: &Source) -> Result<Resolved, Error> {
    match source {
        Source::Inline(inline) => {
            let objects = inline.manifests.clone();
            let encoded = tokio::task::spawn_blocking(move || {
                let bundle = Bundle::from_objects(objects)?;
                let encoded = bundle.encode();
                Ok((bundle, encoded))
            });
            let encoded =
                encoded.await.map_err(|error| Error::Internal(format!("a source was not read: {error}")))?;
            let (bundle, encoded) = encoded.map_err(inline_error)?;
            let digest = Digest::of(&encoded);
            Ok(Resolved {
                _pin: parts.bundles.pin(digest)?,
                digest,
                bundle: Arc::new(bundle),
                unkept: Some(encoded.into()),
                origin: "inline".into(),
            })
        }
        Source::Bundle(source) => {
            let digest = source.digest.ok_or_else(|| {
                Error::field(
                    "spec.source.bundle.digest",
                    "is missing; upload the bundle first (nave apply does that)",
                )
            })?;
            let _pin = parts.bundles.pin(digest)?;
            let bundle = match parts.bundles.get(&digest).await {
                Err(Error::NotFound(why)) => {
                    return Err(Error::Refused(format!("spec.source.bundle.digest: {why}")));
                }
                got => got?,
            };
            let origin = match &source.path {
                Some(path) => format!("bundle {path}"),
                None => format!("bundle {}", digest.short()),
            };
            Ok(Resolved { bundle, digest, unkept: None, origin, _pin })
        }
    }
}

fn inline_error(error: bundle::Error) -> Error {
    let path = "spec.source.inline.manifests";
    match error {
        bundle::Error::Manifest { index, source: manifest::Error::Field(error) } => {
            Error::Field(error.under(&format!("{path}[{index}]")))
        }
        bundle::Error::Manifest { index, source } => Error::field(format!("{path}[{index}]"), source),
        other => Error::field(path, other),
    }
}

/// Keeps what is not kept yet.
///
/// # Errors
/// Where the disk is full or fails.
pub(super) async fn keep(parts: &Parts, resolved: &Resolved) -> Result<(), Error> {
    if let Some(bytes) = &resolved.unkept {
        parts.bundles.put(resolved.bundle.clone(), bytes.clone()).await?;
    }
    Ok(())
}
