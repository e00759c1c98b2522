//! Making a data folder ready, and what stands in it besides the store: the certificate authority and the
//! administrator's context.
//!
//! ```text
//! authority/certificate.pem   whom agents and people trust as hub
//! authority/key.pem           signs their certificates; whoever has it is the fleet's master
//! admin.yaml                  the administrator's context, for `nave context import`
//! audit.log  audit.log.N      every change that was asked for, see `audit`
//! store/  bundles/            the store's
//! ```

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nave_common::context::{Context, Contexts, PrivateKey};
use nave_common::identity::Identity;
use nave_common::name::UserName;
use nave_common::runtime::{context, files, tls};
use nave_common::time::Timestamp;

/// How long the administrator's certificate is valid; `nave-hub init` makes a new one.
const ADMIN_VALIDITY: Duration = Duration::from_secs(365 * 86_400);
/// The largest file of a certificate or key, in bytes.
const MAX_PEM_BYTES: usize = 64 << 10;
/// What the administrator is called.
const ADMIN: &str = "admin";
/// What the context is called, and the authority in its certificate.
const NAME: &str = "nave";

/// Where a restore gathers what it puts into the folder. While it is there, the folder holds no whole hub.
pub(crate) const RESTORING: &str = ".restoring";

/// Why a data folder cannot be made ready or used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is nothing in it yet.
    #[error("{} holds no hub yet; make it ready with nave-hub init, or start with --init", .0.display())]
    New(PathBuf),
    /// A restore was broken off in it, or goes on.
    #[error("a restore into {} goes on or was broken off; let it end, or empty the folder and restore again", .0.display())]
    Unfinished(PathBuf),
    /// One of the authority's two files is there and the other is not.
    #[error("{} is missing, and the other half of the authority is there; restore it from a backup", .0.display())]
    Half(PathBuf),
    /// A file cannot be read or written.
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
    /// A certificate or key cannot be made or used.
    #[error("the authority in {}", .path.display())]
    Tls {
        /// Where it stands.
        path: PathBuf,
        /// Why not.
        #[source]
        source: tls::Error,
    },
    /// The administrator's context cannot be read or written.
    #[error(transparent)]
    Context(#[from] context::Error),
    /// The administrator's context is not in its file.
    #[error("{} holds no context {NAME}; make a new one with nave-hub init", .0.display())]
    NoContext(PathBuf),
}

/// The paths of a data folder.
#[derive(Debug, Clone)]
pub struct Folder(PathBuf);

impl Folder {
    /// The data folder at `path`.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// The store's folder.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.0.join("store")
    }

    /// The folder of bundles.
    #[must_use]
    pub fn bundles(&self) -> PathBuf {
        self.0.join("bundles")
    }

    /// The audit log; older files of it stand beside it.
    #[must_use]
    pub fn audit_log(&self) -> PathBuf {
        self.0.join("audit.log")
    }

    /// The administrator's context.
    #[must_use]
    pub fn admin_context(&self) -> PathBuf {
        self.0.join("admin.yaml")
    }

    /// The folder of the authority.
    pub(crate) fn authority_folder(&self) -> PathBuf {
        self.0.join("authority")
    }

    /// Writes the authority of a restored hub.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub(crate) fn put_authority(&self, authority: &tls::Authority) -> Result<(), Error> {
        let folder = self.authority_folder();
        files::create_private_dir(&folder).map_err(io_error("create", &folder))?;
        let write = |path: &Path, pem: &str| {
            files::write_private(path, pem.as_bytes()).map_err(io_error("write", path))
        };
        write(&self.key(), authority.key_pem())?;
        write(&self.certificate(), authority.certificate_pem())
    }

    fn certificate(&self) -> PathBuf {
        self.0.join("authority").join("certificate.pem")
    }

    fn key(&self) -> PathBuf {
        self.0.join("authority").join("key.pem")
    }

    /// The authority; `None` in a new folder.
    ///
    /// # Errors
    /// Where it cannot be read, or is not whole.
    pub fn authority(&self) -> Result<Option<tls::Authority>, Error> {
        if self.0.join(RESTORING).exists() {
            return Err(Error::Unfinished(self.0.clone()));
        }
        let (certificate, key) = (self.certificate(), self.key());
        match (certificate.exists(), key.exists()) {
            (false, false) => return Ok(None),
            (false, true) => return Err(Error::Half(certificate)),
            (true, false) => return Err(Error::Half(key)),
            (true, true) => {}
        }
        let read = |path: &Path| files::read_private(path, MAX_PEM_BYTES).map_err(io_error("read", path));
        let (certificate_pem, key_pem) = (read(&certificate)?, read(&key)?);
        let authority = tls::Authority::load(&certificate_pem, &key_pem);
        authority.map(Some).map_err(|source| Error::Tls { path: self.0.join("authority"), source })
    }

    /// The authority, made where the folder is new.
    ///
    /// # Errors
    /// Where it cannot be read or written.
    pub fn make_authority(&self, now: Timestamp) -> Result<tls::Authority, Error> {
        if let Some(authority) = self.authority()? {
            return Ok(authority);
        }
        let folder = self.authority_folder();
        let failed = |source| Error::Tls { path: folder.clone(), source };
        let authority = tls::Authority::create(NAME, now).map_err(failed)?;
        self.put_authority(&authority)?;
        tracing::info!(folder = %folder.display(), "certificate authority made");
        Ok(authority)
    }

    /// Writes a new context for the administrator.
    ///
    /// # Errors
    /// Where it cannot be made or written.
    pub fn make_admin_context(
        &self,
        authority: &tls::Authority,
        addresses: &[String],
        now: Timestamp,
    ) -> Result<Context, Error> {
        let path = self.admin_context();
        let failed = |source| Error::Tls { path: self.0.join("authority"), source };
        let name = UserName::new(ADMIN).map_err(|_| Error::NoContext(path.clone()))?;
        let own = authority.client_certificate(&Identity::User(name), now, ADMIN_VALIDITY).map_err(failed)?;
        let context = Context {
            name: NAME.into(),
            addresses: addresses.to_vec(),
            authority: authority.certificate_pem().to_owned(),
            certificate: own.certificate_pem,
            key: PrivateKey::from(own.key_pem.to_string()),
        };
        let mut contexts = Contexts::default();
        contexts.put(context.clone());
        contexts.save(&path)?;
        Ok(context)
    }

    /// The administrator's context.
    ///
    /// # Errors
    /// Where it was taken away or cannot be read.
    pub fn read_admin_context(&self) -> Result<Context, Error> {
        let path = self.admin_context();
        Contexts::load(&path)?.get(Some(NAME)).cloned().ok_or(Error::NoContext(path))
    }

    /// Keeps the addresses in the administrator's context true, where it is there.
    ///
    /// # Errors
    /// Where it cannot be read or written.
    pub fn update_admin_context(&self, addresses: &[String]) -> Result<(), Error> {
        let path = self.admin_context();
        if !path.exists() {
            return Ok(());
        }
        let mut contexts = Contexts::load(&path)?;
        let Some(context) = contexts.get(Some(NAME)).filter(|it| it.addresses != addresses).cloned() else {
            return Ok(());
        };
        contexts.put(Context { addresses: addresses.to_vec(), ..context });
        Ok(contexts.save(&path)?)
    }
}

fn io_error(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Io { doing, path: path.to_owned(), source }
}

/// What making a data folder ready came to.
#[derive(Debug)]
pub struct Made {
    /// Where the administrator's new context is.
    pub context: PathBuf,
    /// Whether the folder held no hub before.
    pub is_new: bool,
}

/// Makes a data folder ready: the authority where there is none, and a new context for the administrator.
///
/// # Errors
/// Where the folder cannot be written, or holds half of an authority.
pub fn init(data_dir: &Path, addresses: &[String]) -> Result<Made, Error> {
    let (folder, now) = (Folder::new(data_dir), Timestamp::now());
    let is_new = folder.authority()?.is_none();
    let authority = folder.make_authority(now)?;
    folder.make_admin_context(&authority, addresses, now)?;
    Ok(Made { context: folder.admin_context(), is_new })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_made_ready_once_and_the_authority_stays() {
        let data_dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(data_dir.path());
        assert!(folder.authority().unwrap().is_none());
        assert!(init(data_dir.path(), &["hub:1".into()]).unwrap().is_new);
        let first = folder.authority().unwrap().unwrap();
        let context = folder.read_admin_context().unwrap();
        assert!(!init(data_dir.path(), &["hub:2".into()]).unwrap().is_new);
        assert_eq!(folder.authority().unwrap().unwrap().certificate_pem(), first.certificate_pem());
        let again = folder.read_admin_context().unwrap();
        assert_eq!(again.addresses, ["hub:2"]);
        assert_ne!(again.certificate, context.certificate);
        folder.update_admin_context(&["hub:3".into()]).unwrap();
        let updated = folder.read_admin_context().unwrap();
        assert_eq!((updated.addresses, updated.certificate), (vec!["hub:3".to_owned()], again.certificate));
    }

    #[test]
    fn half_an_authority_is_not_replaced() {
        let data_dir = tempfile::tempdir().unwrap();
        init(data_dir.path(), &[]).unwrap();
        std::fs::remove_file(data_dir.path().join("authority/key.pem")).unwrap();
        let error = init(data_dir.path(), &[]).unwrap_err();
        assert!(matches!(&error, Error::Half(path) if path.ends_with("key.pem")), "{error}");
    }
}
