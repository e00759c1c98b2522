//! What names things on the wire: applications, Kubernetes objects, generations.

use nave_common::assignment::Generation;
use nave_common::field::FieldError;
use nave_common::manifest::ObjectKey;
use nave_common::name::ApplicationKey;

use super::{by_value, filled, parsed, parsed_or_none};
use crate::v1;

impl TryFrom<v1::ApplicationKey> for ApplicationKey {
    type Error = FieldError;

    fn try_from(wire: v1::ApplicationKey) -> Result<Self, FieldError> {
        let project = parsed_or_none(&wire.project, "project")?.unwrap_or_default();
        Ok(Self::new(project, parsed(&wire.name, "name")?))
    }
}

impl From<&ApplicationKey> for v1::ApplicationKey {
    fn from(key: &ApplicationKey) -> Self {
        Self { project: key.project.to_string(), name: key.name.to_string() }
    }
}

impl TryFrom<v1::ObjectKey> for ObjectKey {
    type Error = FieldError;

    fn try_from(wire: v1::ObjectKey) -> Result<Self, FieldError> {
        Ok(Self {
            group: wire.group,
            kind: filled(wire.kind, "kind", "a kind, such as Deployment")?,
            namespace: wire.namespace.filter(|namespace| !namespace.is_empty()),
            name: filled(wire.name, "name", "the object's name")?,
        })
    }
}

impl From<&ObjectKey> for v1::ObjectKey {
    fn from(key: &ObjectKey) -> Self {
        Self {
            group: key.group.clone(),
            kind: key.kind.clone(),
            namespace: key.namespace.clone(),
            name: key.name.clone(),
        }
    }
}

impl TryFrom<v1::Generation> for Generation {
    type Error = FieldError;

    /// Never refused; fallible only so that it can be required like every other sub-message.
    fn try_from(wire: v1::Generation) -> Result<Self, FieldError> {
        Ok(Self { term: wire.term, counter: wire.counter })
    }
}

impl From<&Generation> for v1::Generation {
    fn from(generation: &Generation) -> Self {
        Self { term: generation.term, counter: generation.counter }
    }
}

by_value!(
    ApplicationKey => v1::ApplicationKey,
    ObjectKey => v1::ObjectKey,
    Generation => v1::Generation,
);
