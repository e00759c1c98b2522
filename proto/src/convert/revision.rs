//! Revisions.

use nave_common::field::FieldError;
use nave_common::revision::Revision;

use super::{by_value, instant, parsed, required};
use crate::v1;

impl TryFrom<v1::Revision> for Revision {
    type Error = FieldError;

    fn try_from(wire: v1::Revision) -> Result<Self, FieldError> {
        Ok(Self {
            application: required(wire.application, "application")?,
            number: wire.number,
            bundle: parsed(&wire.bundle, "bundle")?,
            origin: wire.origin,
            object_count: wire.object_count,
            requests: wire.requests.unwrap_or_default().into(),
            created_at: instant(wire.created_at_ms, "createdAt")?,
            created_by: wire.created_by,
        })
    }
}

impl From<&Revision> for v1::Revision {
    fn from(revision: &Revision) -> Self {
        Self {
            application: Some((&revision.application).into()),
            number: revision.number,
            bundle: revision.bundle.to_string(),
            origin: revision.origin.clone(),
            object_count: revision.object_count,
            requests: Some(revision.requests.into()),
            created_at_ms: revision.created_at.as_millis(),
            created_by: revision.created_by.clone(),
        }
    }
}

by_value!(Revision => v1::Revision);
