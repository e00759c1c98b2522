//! Putting a hub back from an archive: into a new folder, all or nothing, under a term above all that was seen.
//!
//! Everything is first made in a folder of its own inside the data folder. Only when it is whole, checked and on the disk
//! is it moved into place, and the removal of that folder is what makes it a hub: until then no hub starts there. What
//! fails leaves nothing behind.
//!
//! **The term.** Assignments are put back under the new term with the counters they had, so that agents take them, and
//! refuse the old hub once they have heard the new one. The new term is one above the archive's and above `--term`. An
//! agent that has seen a higher one still is left as it is and reported, and nothing Exclusive is granted meanwhile; the
//! hub never raises its own term to outbid it. That would not be safe: the higher term may be that of another restored
//! hub, alive, and two hubs that outbid each other would take turns at the fleet. A person who knows which of them is to
//! live restores again with `--term`.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use nave_common::assignment::Generation;
use nave_common::digest::Digest;
use nave_common::event::{Event, Severity};
use nave_common::failover::Epoch;
use nave_common::name::ApplicationKey;
use nave_common::runtime::{files, tls};
use nave_common::time::Timestamp;

use super::archive::{self, AuthorityPem, End, Frame, Header, Reader};
use super::make::named_bundle;
use crate::events;
use crate::init::{self, Folder, RESTORING};
use crate::records::{self, HoldRecord, Name, Record, RestoredRecord};
use crate::store::blob::folder::FolderBlobs;
use crate::store::blob::{Blobs, MAX_BLOB_BYTES};
use crate::store::disk::FreeSpace;
use crate::store::sled::{Options, SledStore};
use crate::store::{self, InvalidKey, Key, Sequence, Store, Transaction, Write};

/// Writes in one commit, less than the store's bound.
const BATCH_WRITES: usize = 100;
/// Bytes in one commit: the store's bound, less one entry.
const BATCH_BYTES: usize = store::MAX_TRANSACTION_BYTES - store::MAX_VALUE_BYTES - store::MAX_KEY_BYTES;
/// What must stay free on the disk.
const FREE_BYTES: u64 = 64 << 20;
/// What a new file system has in its uppermost folder.
const LOST_AND_FOUND: &str = "lost+found";

/// A hub that was put back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// Its term.
    pub term: u64,
    /// The term of the hub that made the backup.
    pub from_term: u64,
    /// When the backup was made.
    pub taken_at: Timestamp,
    /// Its applications, all of them held.
    pub application_count: usize,
    /// Its clusters.
    pub cluster_count: usize,
    /// Its bundles.
    pub bundle_count: usize,
}

/// Why a hub is not put back.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The archive is refused.
    #[error(transparent)]
    Archive(#[from] archive::Error),
    /// Something stands in the data folder.
    #[error("{} is not empty; a hub is restored into a new folder", .0.display())]
    NotEmpty(PathBuf),
    /// A term that no epoch can hold.
    #[error("the term {0} is too high; expected one that an agent or a hub has said")]
    Term(u64),
    /// A record in the archive cannot be read.
    #[error("the backup holds a record that this release cannot read")]
    Record(#[from] records::Error),
    /// A record's key is none.
    #[error("the backup holds a record that this release cannot read")]
    Key(#[from] InvalidKey),
    /// The authority in the archive cannot be used.
    #[error("the authority in the backup cannot be used")]
    Authority(#[from] tls::Error),
    /// The authority cannot be written.
    #[error(transparent)]
    Init(#[from] init::Error),
    /// The new store cannot be written.
    #[error("the new store cannot be written")]
    Store(#[from] store::Error),
    /// The file system refused.
    #[error("cannot {doing} {}", .path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// Puts a hub back from the archive in the file `archive` into the folder `data_dir`, under a term above the archive's
/// and above `seen_term`. Checks everything first, and leaves nothing behind where it fails.
///
/// # Errors
/// Where the folder is not empty, the archive is not whole or of a newer format, or the disk refuses.
pub async fn restore(archive: &Path, data_dir: &Path, seen_term: Option<u64>) -> Result<Restored, Error> {
    let file = File::open(archive).map_err(io_error("open", archive))?;
    let target = Target::claim(data_dir)?;
    let filled = match tokio::task::spawn_blocking(move || Reader::open(file)).await {
        Ok(Ok(reader)) => fill(reader, &target.unfinished, seen_term).await,
        Ok(Err(error)) => Err(error.into()),
        Err(error) => Err(archive::Error::from(io::Error::other(error)).into()),
    };
    match filled.and_then(|restored| target.finish().map(|()| restored)) {
        Ok(restored) => Ok(restored),
        Err(error) => {
            target.abandon();
            Err(error)
        }
    }
}

/// The data folder while it is being filled.
#[derive(Debug)]
struct Target {
    data_dir: PathBuf,
    unfinished: PathBuf,
    /// Whether the data folder was there before.
    was_there: bool,
}

impl Target {
    /// Takes a new or empty folder.
    fn claim(data_dir: &Path) -> Result<Self, Error> {
        let was_there = data_dir.exists();
        files::create_private_dir(data_dir).map_err(io_error("create", data_dir))?;
        for item in fs::read_dir(data_dir).map_err(io_error("list", data_dir))? {
            let item = item.map_err(io_error("list", data_dir))?;
            if item.file_name() == RESTORING {
                return Err(init::Error::Unfinished(data_dir.to_owned()).into());
            }
            if item.file_name() != LOST_AND_FOUND {
                return Err(Error::NotEmpty(data_dir.to_owned()));
            }
        }
        let unfinished = data_dir.join(RESTORING);
        // Fails where another restore was quicker.
        fs::create_dir(&unfinished).map_err(io_error("create", &unfinished))?;
        Ok(Self { data_dir: data_dir.to_owned(), unfinished, was_there })
    }

    /// Moves everything into place. The removal of the folder is what makes it a hub.
    fn finish(&self) -> Result<(), Error> {
        let (from, to) = (Folder::new(&self.unfinished), Folder::new(&self.data_dir));
        sync(&self.unfinished)?;
        for (from, to) in [
            (from.bundles(), to.bundles()),
            (from.store(), to.store()),
            (from.authority_folder(), to.authority_folder()),
        ] {
            fs::rename(&from, &to).map_err(io_error("move", &from))?;
        }
        sync(&self.data_dir)?;
        fs::remove_dir(&self.unfinished).map_err(io_error("remove", &self.unfinished))?;
        sync(&self.data_dir)?;
        self.data_dir.parent().filter(|parent| !parent.as_os_str().is_empty()).map_or(Ok(()), sync)
    }

    /// Removes what was made. The folder was empty, so all of it was made here.
    fn abandon(&self) {
        let folder = Folder::new(&self.data_dir);
        // The mark goes last: while it stands no hub starts here.
        for path in [folder.bundles(), folder.store(), folder.authority_folder(), self.unfinished.clone()] {
            match fs::remove_dir_all(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    eprintln!("warning: cannot remove {}: {error}", path.display());
                }
                _ => {}
            }
        }
        if !self.was_there {
            let _ = fs::remove_dir(&self.data_dir);
        }
    }
}

/// Makes a whole hub in `folder`.
async fn fill(mut reader: Reader, folder: &Path, seen_term: Option<u64>) -> Result<Restored, Error> {
    let Some(Frame::Header(header)) = reader.next_frame()? else { return Err(damaged("it has no header")) };
    let Some(Frame::Authority(AuthorityPem { certificate, key })) = reader.next_frame()? else {
        return Err(damaged("it has no authority"));
    };
    let authority = tls::Authority::load(&certificate, &key)?;
    let term = header.term.max(seen_term.unwrap_or(0)).saturating_add(1);
    Epoch::of(Generation { term, counter: 0 }).map_err(|_| Error::Term(term))?;
    let folder = Folder::new(folder);
    let store = SledStore::open(Options::new(folder.store())).await?;
    let blobs = FolderBlobs::open(folder.bundles(), FreeSpace::reserve(FREE_BYTES)).await?;
    let mut filling =
        Filling { store, blobs, term, batch: Transaction::new(), bundles: BTreeSet::new(), open: None };
    let end = filling.take_all(&mut reader).await?;
    let restored = filling.complete(&header, &end).await?;
    filling.store.close().await?;
    folder.put_authority(&authority)?;
    Ok(restored)
}

/// A hub that is being put back.
struct Filling {
    store: SledStore,
    blobs: FolderBlobs,
    term: u64,
    /// Writes that wait to be committed, no key twice.
    batch: Transaction,
    /// The bundles that are there.
    bundles: BTreeSet<Digest>,
    /// The bundle whose pieces come.
    open: Option<OpenBundle>,
}

/// A bundle of which not all pieces have come.
struct OpenBundle {
    digest: Digest,
    size_bytes: u64,
    content: Vec<u8>,
}

impl Filling {
    async fn take_all(&mut self, reader: &mut Reader) -> Result<End, Error> {
        let mut ended = None;
        while let Some(frame) = reader.next_frame()? {
            if !matches!(frame, Frame::Piece(_)) {
                self.close_bundle().await?;
            }
            match frame {
                Frame::Put(key, value) => self.put(&Key::new(key)?, value).await?,
                Frame::Delete(key) => self.write(Write::Delete { key: Key::new(key)? }).await?,
                Frame::Bundle(digest, size_bytes) if size_bytes <= MAX_BLOB_BYTES => {
                    self.open = Some(OpenBundle { digest, size_bytes, content: Vec::new() });
                }
                Frame::Bundle(..) => return Err(damaged("a bundle is too large")),
                Frame::Piece(piece) => {
                    let bundle = self.open.as_mut().ok_or_else(|| damaged("a piece is of no bundle"))?;
                    if bundle.content.len() as u64 + piece.len() as u64 > bundle.size_bytes {
                        return Err(damaged("a bundle is longer than it says"));
                    }
                    bundle.content.extend_from_slice(&piece);
                }
                Frame::End(end) => ended = Some(end),
                Frame::Header(_) | Frame::Authority(_) => return Err(damaged("it has two headers")),
            }
        }
        self.flush().await?;
        ended.ok_or_else(|| damaged("its end is missing"))
    }

    async fn close_bundle(&mut self) -> Result<(), Error> {
        let Some(bundle) = self.open.take() else { return Ok(()) };
        let digest = self.blobs.put(Bytes::from(bundle.content)).await?;
        if digest != bundle.digest {
            return Err(damaged(&format!("bundle {} has other content", bundle.digest)));
        }
        self.bundles.insert(digest);
        Ok(())
    }

    /// Puts a record back. What is told to agents is told under the new term; what an earlier restore left is not.
    async fn put(&mut self, key: &Key, value: Bytes) -> Result<(), Error> {
        let write = match Record::parse(key, &value)? {
            Some(Record::Term(_) | Record::Restored(_) | Record::Hold(_)) => return Ok(()),
            Some(Record::Assignment(mut assignment)) => {
                assignment.generation.term = self.term;
                Record::Assignment(assignment).write()?
            }
            Some(_) | None => Write::Put { key: key.clone(), value },
        };
        self.write(write).await
    }

    async fn write(&mut self, write: Write) -> Result<(), Error> {
        let is_full = self.batch.writes.len() >= BATCH_WRITES
            || self.batch.size_bytes() > BATCH_BYTES
            || self.batch.writes.iter().any(|waiting| waiting.key() == write.key());
        if is_full {
            self.flush().await?;
        }
        self.batch.writes.push(write);
        Ok(())
    }

    async fn flush(&mut self) -> Result<Sequence, Error> {
        Ok(self.store.commit(std::mem::take(&mut self.batch)).await?)
    }

    /// Checks that nothing is missing, holds every application, and writes the term last.
    async fn complete(&mut self, header: &Header, end: &End) -> Result<Restored, Error> {
        let now = Timestamp::now();
        let applications = self.check_bundles().await?;
        let counter = self.counter().await?;
        let up_to = Generation { term: self.term, counter };
        Epoch::of(up_to).map_err(|_| Error::Term(self.term))?;
        for application in &applications {
            let hold = HoldRecord { application: application.clone(), up_to, since: now, kept: None };
            self.write(Record::Hold(Box::new(hold)).write()?).await?;
        }
        self.flush().await?;
        let restored = RestoredRecord {
            at: now,
            term: self.term,
            taken_at: header.taken_at,
            from_term: header.term,
            from_sequence: end.sequence,
        };
        self.batch.writes.push(Record::Term(self.term).write()?);
        self.batch.writes.push(events::record(event(&restored, applications.len())).write()?);
        self.batch.writes.push(Record::Restored(Box::new(restored)).write()?);
        self.flush().await?;
        Ok(Restored {
            term: self.term,
            from_term: header.term,
            taken_at: header.taken_at,
            application_count: applications.len(),
            cluster_count: self.count("cluster/").await?,
            bundle_count: self.bundles.len(),
        })
    }

    /// Checks that every bundle is there that a record names; returns the applications.
    async fn check_bundles(&self) -> Result<Vec<ApplicationKey>, Error> {
        let mut applications = Vec::new();
        for prefix in ["application/", "revision/", "assignment/"] {
            let mut after = None;
            loop {
                let page = self.store.list(prefix, after.as_ref(), store::MAX_PAGE_ENTRIES).await?;
                for entry in &page.entries {
                    let Some(record) = Record::parse(&entry.key, &entry.value)? else { continue };
                    if let Some(missing) = named_bundle(&record).filter(|it| !self.bundles.contains(it)) {
                        return Err(damaged(&format!(
                            "bundle {missing} is missing, which {} names",
                            entry.key
                        )));
                    }
                    if let Record::Application(record) = record {
                        applications.push(record.application.key());
                    }
                }
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
        }
        Ok(applications)
    }

    /// The counter of the newest generation.
    async fn counter(&self) -> Result<u64, Error> {
        let key = Name::Generation.key()?;
        let entry = self.store.get(&key).await?.ok_or_else(|| damaged("the newest generation is missing"))?;
        match Record::parse(&entry.key, &entry.value)? {
            Some(Record::Generation(counter)) => Ok(counter),
            _ => Err(damaged("the newest generation is missing")),
        }
    }

    async fn count(&self, prefix: &str) -> Result<usize, Error> {
        let (mut count, mut after) = (0, None);
        loop {
            let page = self.store.list(prefix, after.as_ref(), store::MAX_PAGE_ENTRIES).await?;
            count += page.entries.len();
            after = page.next;
            if after.is_none() {
                return Ok(count);
            }
        }
    }
}

fn event(restored: &RestoredRecord, application_count: usize) -> Event {
    Event {
        at: restored.at,
        severity: Severity::Warning,
        reason: "Restored".into(),
        message: format!(
            "this hub was put back as it was at {}, under term {}: {application_count} applications are held until \
             their agents have said what they have, or nave hub release decides",
            restored.taken_at, restored.term
        ),
        application: None,
        cluster: None,
        change_id: String::new(),
    }
}

fn sync(folder: &Path) -> Result<(), Error> {
    File::open(folder).and_then(|file| file.sync_all()).map_err(io_error("sync", folder))
}

fn io_error(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Io { doing, path: path.to_owned(), source }
}

fn damaged(why: &str) -> Error {
    archive::Error::Damaged(why.to_owned()).into()
}
