//! The file of contexts: read strictly, written so that only its owner can read it and a crash leaves the old or the new.

use std::io;
use std::path::{Path, PathBuf};

use super::files;
use crate::context::{Contexts, MAX_CONTEXTS};

/// The largest file of contexts, in bytes.
const MAX_FILE_BYTES: usize = 4 << 20;

/// Why a file of contexts cannot be read or written. No message quotes what is in it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file system refused.
    #[error("cannot {doing} {}", .path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The file holds something else.
    #[error("{} is no file of contexts: {why}", .path.display())]
    Content {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

impl Error {
    fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { doing, path: path.to_owned(), source }
    }
}

impl Contexts {
    /// Reads the contexts in `path`.
    ///
    /// # Errors
    /// Where the file cannot be read or is no file of contexts.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let content = |why: String| Error::Content { path: path.to_owned(), why };
        let text = files::read_private(path, MAX_FILE_BYTES).map_err(Error::io("read", path))?;
        // The library's message may quote lines, and lines hold keys: only the place is told.
        let contexts: Self = serde_saphyr::from_str(&text).map_err(|error| {
            let place = error.location().map(|at| format!(" at line {}, column {}", at.line(), at.column()));
            content(format!("expected contexts and current{}", place.unwrap_or_default()))
        })?;
        if contexts.contexts.len() > MAX_CONTEXTS {
            return Err(content(format!("more than {MAX_CONTEXTS} contexts")));
        }
        Ok(contexts)
    }

    /// Writes the contexts to `path`, for its owner alone (0600), making its folder where it is missing (0700).
    ///
    /// # Errors
    /// Where the file system refuses.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        let text = serde_saphyr::to_string(self).map_err(|error| Error::Content {
            path: path.to_owned(),
            why: format!("it cannot be written: {error}"),
        })?;
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            files::create_private_dir(folder).map_err(Error::io("create", folder))?;
        }
        files::write_private(path, text.as_bytes()).map_err(Error::io("write", path))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::context::Context;

    #[test]
    fn contexts_round_trip_and_are_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a").join("config.yaml");
        let mut contexts = Contexts::default();
        contexts.put(Context {
            name: "admin".into(),
            addresses: vec!["hub.example.com:7443".into()],
            authority: "-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----\n".into(),
            certificate: "-----BEGIN CERTIFICATE-----\ndef\n-----END CERTIFICATE-----\n".into(),
            key: "-----BEGIN PRIVATE KEY-----\nghi\n-----END PRIVATE KEY-----\n".to_owned().into(),
        });
        contexts.save(&path).unwrap();
        contexts.save(&path).unwrap();
        assert_eq!(Contexts::load(&path).unwrap(), contexts);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_broken_file_is_refused_without_quoting_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.yaml");
        files::write_private(&path, b"contexts:\n  - name: a\n    key: {secret: hidden}\n").unwrap();
        let error = Contexts::load(&path).unwrap_err().to_string();
        assert!(error.contains("line") && !error.contains("hidden"), "{error}");
    }
}
