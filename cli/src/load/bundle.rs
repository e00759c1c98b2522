//! Files of Kubernetes manifests as one bundle.

use std::path::PathBuf;

use nave_common::bundle::{Bundle, load_manifests};

use super::files;
use crate::exit::{Failure, Outcome};

/// Reads the manifests of files and folders, in the order of their names.
pub(super) fn read(paths: &[PathBuf]) -> Outcome<Bundle> {
    let files: Vec<(String, String)> =
        files::read_all(paths)?.into_iter().map(|file| (file.name(), file.text)).collect();
    load_manifests(&files).map_err(|error| {
        let failure = Failure::failed(&error);
        match &error {
            // Only here no file is named by the error itself.
            nave_common::bundle::LoadError::Bundle(_) => {
                let names: Vec<String> = paths.iter().map(|path| super::shown(path)).collect();
                failure.about(names.join(", "))
            }
            _ => failure,
        }
    })
}
