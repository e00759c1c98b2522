//! Private files: written so that a crash leaves the old content or the new, and so that only their owner can read them.
//!
//! These calls block; a busy task makes them on a thread for blocking work.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use zeroize::Zeroizing;

/// Its owner may read and write it, and nobody else.
const PRIVATE_FILE: u32 = 0o600;
/// Its owner may list it and make files in it, and nobody else.
const PRIVATE_FOLDER: u32 = 0o700;

/// Tells the unfinished files of one process from each other.
static UNFINISHED: AtomicU64 = AtomicU64::new(0);

/// Writes a file for its owner alone (0600), in place of what was there. When this returns, it survives a power cut;
/// when it fails, the old content still stands.
///
/// # Errors
/// Where the file system refuses.
pub fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let unfinished = unfinished_path(path)?;
    let written = write_new(&unfinished, content)
        .and_then(|()| fs::rename(&unfinished, path))
        .and_then(|()| sync_folder(folder_of(path)));
    if written.is_err() {
        // Best effort: the error that counts is the one above. After the rename there is nothing to remove.
        let _ = fs::remove_file(&unfinished);
    }
    written
}

/// As [`write_private`], for what only has to outlive this process: it may be lost in a power cut, and costs no wait for the
/// disk. Another writer of the same file must not be at work.
///
/// # Errors
/// Where the file system refuses; then the old content still stands.
pub fn replace_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let unfinished = path.with_added_extension("new");
    let mut options = File::options();
    options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(PRIVATE_FILE)
        .open(&unfinished)?
        .write_all(content)?;
    fs::rename(&unfinished, path)
}

/// Makes a folder for its owner alone (0700), and the folders above it where they are missing. One that is there is
/// left as it is.
///
/// # Errors
/// Where the file system refuses, or something else has the name.
pub fn create_private_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(PRIVATE_FOLDER).create(path)
}

/// Reads a file of at most `max_bytes`.
///
/// # Errors
/// Where the file system refuses, or the file is larger.
pub fn read_bounded(path: &Path, max_bytes: usize) -> io::Result<Vec<u8>> {
    read_open(&mut File::open(path)?, max_bytes)
}

/// Reads a private key or another secret of at most `max_bytes` of text.
///
/// # Errors
/// Where every user of the machine may read or change the file; and as [`read_bounded`].
pub fn read_private(path: &Path, max_bytes: usize) -> io::Result<Zeroizing<String>> {
    let mut file = File::open(path)?;
    let mode = file.metadata()?.permissions().mode() & 0o777;
    // Group bits are let be: Kubernetes mounts Secrets so, for the group of the pod.
    if mode & 0o007 != 0 {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!("every user may read it (mode {mode:04o}); expected 0600: chmod 600 {}", path.display()),
        ));
    }
    let bytes = Zeroizing::new(read_open(&mut file, max_bytes)?);
    match std::str::from_utf8(&bytes) {
        Ok(text) => Ok(Zeroizing::new(text.to_owned())),
        Err(_) => Err(io::Error::new(io::ErrorKind::InvalidData, "it holds bytes that are no text")),
    }
}

fn read_open(file: &mut File, max_bytes: usize) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    let limit = u64::try_from(max_bytes).unwrap_or(u64::MAX).saturating_add(1);
    file.take(limit).read_to_end(&mut content)?;
    if content.len() > max_bytes {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it has more than the {max_bytes} bytes that are allowed"),
        ));
    }
    Ok(content)
}

fn write_new(path: &Path, content: &[u8]) -> io::Result<()> {
    // Never an existing file: its mode would stay what it was.
    let mut file = OpenOptions::new().write(true).create_new(true).mode(PRIVATE_FILE).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

/// A name beside `path` that nothing else has.
fn unfinished_path(path: &Path) -> io::Result<PathBuf> {
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the path ends in no file name"))?;
    let mut unfinished = std::ffi::OsString::from(".");
    unfinished.push(name);
    let number = UNFINISHED.fetch_add(1, Ordering::Relaxed);
    unfinished.push(format!(".{}-{number}-{:08x}.new", std::process::id(), rand::random::<u32>()));
    Ok(folder_of(path).join(unfinished))
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes names in a folder durable.
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn files_are_private_and_replace_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let private = folder.path().join("a/b");
        create_private_dir(&private).unwrap();
        create_private_dir(&private).unwrap();
        let path = private.join("key");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        write_private(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!((mode(&private), mode(&path)), (0o700, 0o600));
        assert_eq!(fs::read_dir(&private).unwrap().count(), 1, "nothing unfinished is left");
    }

    #[test]
    fn a_write_that_fails_leaves_the_old_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("is-a-folder");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("full"), "").unwrap();
        assert!(write_private(&path, b"new").is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(write_private(Path::new("/"), b"x").is_err());
    }

    #[test]
    fn a_secret_that_everybody_may_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        write_private(&path, b"secret").unwrap();
        assert_eq!(read_private(&path, 100).unwrap().as_str(), "secret");
        assert_eq!(read_private(&path, 3).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let error = read_private(&path, 100).unwrap_err().to_string();
        assert!(
            error.starts_with("every user may read it (mode 0644); expected 0600: chmod 600 "),
            "{error}"
        );
        assert_eq!(read_bounded(&path, 6).unwrap(), b"secret");
        assert!(read_bounded(&path, 5).is_err());
    }
}
