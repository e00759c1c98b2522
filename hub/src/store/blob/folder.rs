//! Blobs in a folder: one file each, named by its digest, in 256 subfolders by the digest's first byte.
//!
//! A body is written beside the others, synced, and only then renamed to its digest, so that a file under a digest is
//! whole. Folders are 0700 and files 0600. What an interrupted put left behind is removed at the next open.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use nave_common::digest::Digest;

use super::{BlobPage, Blobs, Listed, MAX_BLOB_BYTES, MAX_BLOB_PAGE};
use crate::store::Error;
use crate::store::disk::{self, FreeSpace};

/// Where bodies are written before they have their name; no digest's first byte is spelled so.
const UNFINISHED: &str = "unfinished";

/// Blobs in a folder of this machine.
#[derive(Debug, Clone)]
pub struct FolderBlobs {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    space: FreeSpace,
    unfinished_count: AtomicU64,
}

impl FolderBlobs {
    /// Opens the blobs in `folder`, making it where it is missing. `space` says how much must stay free on its disk.
    /// Only one process may have a folder open; the store's lock beside it sees to that.
    pub async fn open(folder: impl Into<PathBuf>, space: FreeSpace) -> Result<Self, Error> {
        let inner = Arc::new(Inner { folder: folder.into(), space, unfinished_count: AtomicU64::new(0) });
        let blobs = Self { inner };
        blobs.run("opening the blobs", Inner::prepare).await?;
        Ok(blobs)
    }

    async fn run<T: Send + 'static>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&Inner) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let inner = self.inner.clone();
        disk::run(doing, move || work(&inner)).await
    }
}

#[async_trait]
impl Blobs for FolderBlobs {
    async fn put(&self, bytes: Bytes) -> Result<Digest, Error> {
        self.run("writing a blob", move |inner| inner.put(&bytes)).await
    }

    async fn get(&self, digest: &Digest) -> Result<Option<Bytes>, Error> {
        let digest = *digest;
        self.run("reading a blob", move |inner| inner.get(&digest)).await
    }

    async fn read_range(&self, digest: &Digest, offset: u64, length: usize) -> Result<Option<Bytes>, Error> {
        let digest = *digest;
        self.run("reading a part of a blob", move |inner| inner.read_range(&digest, offset, length)).await
    }

    async fn size(&self, digest: &Digest) -> Result<Option<u64>, Error> {
        let digest = *digest;
        self.run("looking for a blob", move |inner| inner.size(&digest)).await
    }

    async fn delete(&self, digest: &Digest) -> Result<bool, Error> {
        let digest = *digest;
        self.run("deleting a blob", move |inner| inner.delete(&digest)).await
    }

    async fn list(&self, after: Option<&Digest>, limit: usize) -> Result<BlobPage, Error> {
        let after = after.copied();
        self.run("listing blobs", move |inner| inner.list(after, limit.clamp(1, MAX_BLOB_PAGE))).await
    }
}

impl Inner {
    fn prepare(&self) -> Result<(), Error> {
        disk::create_folder(&self.folder)?;
        let unfinished = self.folder.join(UNFINISHED);
        disk::create_folder(&unfinished)?;
        for path in disk::files_in(&unfinished)? {
            fs::remove_file(&path).map_err(Error::io("removing the unfinished blob", &path))?;
        }
        disk::sync_folder(&self.folder)
    }

    fn shard(&self, digest: &Digest) -> PathBuf {
        self.folder.join(&digest.hex()[..2])
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.shard(digest).join(digest.hex())
    }

    fn put(&self, bytes: &Bytes) -> Result<Digest, Error> {
        if bytes.len() as u64 > MAX_BLOB_BYTES {
            let (size_bytes, limit_bytes) = (bytes.len() as u64, MAX_BLOB_BYTES);
            return Err(Error::TooLarge { what: "a blob".to_owned(), size_bytes, limit_bytes });
        }
        let digest = Digest::of(bytes);
        let path = self.path(&digest);
        if self.is_whole(&path, bytes)? {
            let file = File::open(&path).map_err(Error::io("opening the blob", &path))?;
            file.set_modified(SystemTime::now()).map_err(Error::io("touching the blob", &path))?;
            return Ok(digest);
        }
        self.space.check(&self.folder, bytes.len() as u64)?;
        let number = self.unfinished_count.fetch_add(1, Ordering::Relaxed);
        let unfinished = self.folder.join(UNFINISHED).join(format!("{}.{number}", digest.hex()));
        let written = self.write(&unfinished, &path, bytes);
        if written.is_err() {
            // Best effort: the next open removes it too.
            let _ = fs::remove_file(&unfinished);
        }
        written.map_err(|error| self.space.full_or(&self.folder, error)).map(|()| digest)
    }

    /// True where the file holds exactly these bytes. Comparing is cheaper than hashing, and finds damage as well.
    fn is_whole(&self, path: &Path, bytes: &Bytes) -> Result<bool, Error> {
        let Some(found) = read_if_there(path, bytes.len())? else { return Ok(false) };
        if found != *bytes {
            tracing::warn!(path = %path.display(), "blob is damaged and put again");
        }
        Ok(found == *bytes)
    }

    fn write(&self, unfinished: &Path, path: &Path, bytes: &Bytes) -> Result<(), Error> {
        let options = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).to_owned();
        let mut file = options.open(unfinished).map_err(Error::io("creating the blob", unfinished))?;
        file.write_all(bytes).map_err(Error::io("writing the blob", unfinished))?;
        file.sync_all().map_err(Error::io("syncing the blob", unfinished))?;
        let shard = path.parent().unwrap_or(&self.folder);
        if !shard.is_dir() {
            disk::create_folder(shard)?;
            disk::sync_folder(&self.folder)?;
        }
        fs::rename(unfinished, path).map_err(Error::io("naming the blob", path))?;
        disk::sync_folder(shard)
    }

    fn get(&self, digest: &Digest) -> Result<Option<Bytes>, Error> {
        let path = self.path(digest);
        let Some(bytes) = read_if_there(&path, 0)? else { return Ok(None) };
        if Digest::of(&bytes) != *digest {
            let what = format!("the blob {digest} in {}", path.display());
            let advice =
                "upload the same content again, which mends it, or restore it from a backup".to_owned();
            return Err(Error::Corrupt { what, advice });
        }
        Ok(Some(bytes.into()))
    }

    fn read_range(&self, digest: &Digest, offset: u64, length: usize) -> Result<Option<Bytes>, Error> {
        let path = self.path(digest);
        let file = match File::open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(Error::io("opening the blob", &path))?,
        };
        let size = file.metadata().map_err(Error::io("looking at the blob", &path))?.len();
        let length = size.saturating_sub(offset).min(length as u64);
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
        file.read_exact_at(&mut bytes, offset).map_err(Error::io("reading the blob", &path))?;
        Ok(Some(bytes.into()))
    }

    fn size(&self, digest: &Digest) -> Result<Option<u64>, Error> {
        let path = self.path(digest);
        match fs::metadata(&path) {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("looking at the blob", &path)(error)),
        }
    }

    fn delete(&self, digest: &Digest) -> Result<bool, Error> {
        let path = self.path(digest);
        match fs::remove_file(&path) {
            Ok(()) => disk::sync_folder(&self.shard(digest)).map(|()| true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(Error::io("deleting the blob", &path)(error)),
        }
    }

    fn list(&self, after: Option<Digest>, limit: usize) -> Result<BlobPage, Error> {
        let mut page = BlobPage { blobs: Vec::new(), next: None };
        let first_shard = after.map_or(0, |digest| digest.as_bytes()[0]);
        for shard in first_shard..=u8::MAX {
            let folder = self.folder.join(format!("{shard:02x}"));
            if !folder.is_dir() {
                continue;
            }
            for digest in digests_in(&folder)? {
                if after.is_some_and(|after| digest <= after) {
                    continue;
                }
                if page.blobs.len() == limit {
                    page.next = page.blobs.last().map(|blob| blob.digest);
                    return Ok(page);
                }
                page.blobs.extend(self.listed(digest)?);
            }
        }
        Ok(page)
    }

    /// The blob as listed; `None` where it was deleted meanwhile.
    fn listed(&self, digest: Digest) -> Result<Option<Listed>, Error> {
        let path = self.path(&digest);
        match fs::metadata(&path).and_then(|metadata| Ok((metadata.len(), metadata.modified()?))) {
            Ok((size_bytes, put_at)) => Ok(Some(Listed { digest, size_bytes, put_at })),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("looking at the blob", &path)(error)),
        }
    }
}

/// The digests that name files in `folder`, in order; files with other names are nobody's blob.
fn digests_in(folder: &Path) -> Result<Vec<Digest>, Error> {
    let named = |path: PathBuf| format!("sha256:{}", path.file_name()?.to_str()?).parse().ok();
    let mut digests: Vec<Digest> = disk::files_in(folder)?.into_iter().filter_map(named).collect();
    digests.sort_unstable();
    Ok(digests)
}

/// The file's bytes, or `None` where there is no file.
fn read_if_there(path: &Path, capacity: usize) -> Result<Option<Vec<u8>>, Error> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(Error::io("opening the blob", path))?,
    };
    let mut bytes = Vec::with_capacity(capacity);
    file.read_to_end(&mut bytes).map_err(Error::io("reading the blob", path))?;
    Ok(Some(bytes))
}
