//! A manifest on its way through the changes: copied at its first change, checked again at the end.

use serde_json::Value;

use super::Error;
use crate::manifest::{Manifest, ObjectKey};

/// What identifies an object and can therefore not be changed.
const IDENTITY: [&str; 4] = ["/apiVersion", "/kind", "/metadata/name", "/metadata/namespace"];

/// One manifest and, once something has changed it, its new content.
pub(super) struct Draft {
    manifest: Manifest,
    changed: Option<Value>,
}

impl Draft {
    pub(super) fn new(manifest: Manifest) -> Self {
        Self { manifest, changed: None }
    }

    pub(super) fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    pub(super) fn key(&self) -> &ObjectKey {
        self.manifest.key()
    }

    pub(super) fn object(&self) -> &Value {
        self.changed.as_ref().unwrap_or_else(|| self.manifest.object())
    }

    pub(super) fn object_mut(&mut self) -> &mut Value {
        self.changed.get_or_insert_with(|| self.manifest.object().clone())
    }

    /// An error about this object.
    pub(super) fn refuse(&self, problem: impl std::fmt::Display) -> Error {
        Error(format!("{}: {problem}", self.key()))
    }

    /// The first field of the object's identity that is no longer what it was.
    pub(super) fn changed_identity(&self) -> Option<String> {
        let differs = |path: &&&str| self.object().pointer(path) != self.manifest.object().pointer(path);
        IDENTITY.iter().find(differs).map(|path| path.trim_start_matches('/').replace('/', "."))
    }

    /// The manifest as it is now.
    pub(super) fn finish(self) -> Result<Manifest, Error> {
        let Some(object) = self.changed else { return Ok(self.manifest) };
        Manifest::new(object)
            .map_err(|error| Error(format!("{}: after the changes: {error}", self.manifest.key())))
    }
}
