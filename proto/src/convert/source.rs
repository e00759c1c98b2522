//! Where manifests come from.

use nave_common::field::FieldError;
use nave_common::source::{BundleSource, InlineSource, Source};

use super::{by_value, json, json_bytes, parsed_or_none, text_of, text_or_none};
use crate::v1;

impl TryFrom<v1::Source> for Source {
    type Error = FieldError;

    fn try_from(wire: v1::Source) -> Result<Self, FieldError> {
        match wire.kind {
            Some(v1::source::Kind::Inline(inline)) => {
                InlineSource::try_from(inline).map(Self::Inline).map_err(|error| error.under("inline"))
            }
            Some(v1::source::Kind::Bundle(bundle)) => {
                BundleSource::try_from(bundle).map(Self::Bundle).map_err(|error| error.under("bundle"))
            }
            None => Err(FieldError::new("", "is empty; expected one of inline, bundle")),
        }
    }
}

impl From<&Source> for v1::Source {
    fn from(source: &Source) -> Self {
        let kind = match source {
            Source::Inline(inline) => v1::source::Kind::Inline(inline.into()),
            Source::Bundle(bundle) => v1::source::Kind::Bundle(bundle.into()),
        };
        Self { kind: Some(kind) }
    }
}

impl TryFrom<v1::InlineSource> for InlineSource {
    type Error = FieldError;

    fn try_from(wire: v1::InlineSource) -> Result<Self, FieldError> {
        let manifest = |(index, bytes)| json(bytes, &format!("manifests[{index}]"));
        Ok(Self { manifests: wire.manifests.iter().enumerate().map(manifest).collect::<Result<_, _>>()? })
    }
}

impl From<&InlineSource> for v1::InlineSource {
    fn from(inline: &InlineSource) -> Self {
        Self { manifests: inline.manifests.iter().map(json_bytes).collect() }
    }
}

impl TryFrom<v1::BundleSource> for BundleSource {
    type Error = FieldError;

    fn try_from(wire: v1::BundleSource) -> Result<Self, FieldError> {
        Ok(Self { path: text_or_none(wire.path), digest: parsed_or_none(&wire.digest, "digest")? })
    }
}

impl From<&BundleSource> for v1::BundleSource {
    fn from(bundle: &BundleSource) -> Self {
        Self { path: bundle.path.clone().unwrap_or_default(), digest: text_of(bundle.digest.as_ref()) }
    }
}

by_value!(Source => v1::Source, InlineSource => v1::InlineSource, BundleSource => v1::BundleSource);
