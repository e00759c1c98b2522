//! Making a backup while the hub serves: every record as it is at one sequence of the store, and every bundle that a
//! record names.
//!
//! Records are listed page by page, and after each page whatever was committed meanwhile is written behind it, until
//! nothing more came than had come when the last page was read. Read to its end, the archive is the store exactly as it
//! was after that last commit, whatever was written meanwhile; and no more of it is in memory than one page.

use std::collections::BTreeSet;

use bytes::Bytes;
use nave_common::assignment::Desired;
use nave_common::digest::{Digest, Hasher};
use nave_common::source::Source;

use super::archive::{self, AuthorityPem, Header, Writer};
use crate::bundles::{Bundles, KeepAll};
use crate::error::Error;
use crate::parts::Parts;
use crate::records::Record;
use crate::store::{self, Key, Sequence, Store, Watch};

/// Bytes of an archive that are handed on at once, about.
const CHUNK_BYTES: usize = 256 << 10;
/// Entries asked for in one page.
const PAGE_ENTRY_COUNT: usize = 1000;

/// Where an archive goes, chunk by chunk.
pub trait Out {
    /// Hands on a chunk, waiting until there is room.
    ///
    /// # Errors
    /// Where nobody takes it any more.
    fn send(&mut self, chunk: Bytes) -> impl Future<Output = Result<(), Error>>;
}

/// What a backup came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Made {
    /// The store's write after which it is exactly true.
    pub sequence: Sequence,
    /// How many bundles are in it.
    pub bundle_count: usize,
}

/// Writes an archive of everything that the hub knows.
///
/// # Errors
/// Where the store or the disk fails, a bundle is missing or damaged, so much is written meanwhile that the store's log
/// does not reach back, or nobody takes the archive any more.
pub async fn make(parts: &Parts, out: &mut impl Out) -> Result<Made, Error> {
    let keep = parts.bundles.keep_all();
    let sequence = parts.store.last_sequence().await?;
    let header = Header {
        term: parts.world.read(|state| state.generation().term),
        sequence: sequence.0,
        taken_at: parts.now(),
        hub_version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let mut writer = Writer::new(&header)?;
    writer.authority(&AuthorityPem {
        certificate: parts.authority.certificate_pem().to_owned(),
        key: parts.authority.key_pem().to_string(),
    })?;
    let watch = parts.store.watch(sequence).await?;
    let mut making = Making {
        store: &*parts.store,
        bundles: &parts.bundles,
        writer,
        out,
        watch,
        named: BTreeSet::new(),
        _keep: keep,
    };
    making.records().await?;
    making.bundles().await?;
    let sequence = making.watch.position();
    let bundle_count = making.named.len();
    let rest = making.writer.finish(sequence.0)?;
    making.out.send(rest).await?;
    Ok(Made { sequence, bundle_count })
}

/// The bundle that a record names.
#[must_use]
pub fn named_bundle(record: &Record) -> Option<Digest> {
    match record {
        Record::Application(record) => match &record.application.spec.source {
            Source::Bundle(source) => source.digest,
            _ => None,
        },
        Record::Revision(revision) => Some(revision.bundle),
        Record::Assignment(assignment) => match &assignment.desired {
            Desired::Run(run) => Some(run.bundle),
            Desired::Remove => None,
        },
        _ => None,
    }
}

/// A backup under way.
struct Making<'a, O> {
    store: &'a dyn Store,
    bundles: &'a Bundles,
    writer: Writer,
    out: &'a mut O,
    /// At the last commit that was written.
    watch: Watch,
    /// The bundles that records name, or have named since it was begun.
    named: BTreeSet<Digest>,
    _keep: KeepAll,
}

impl<O: Out> Making<'_, O> {
    async fn records(&mut self) -> Result<(), Error> {
        let mut after: Option<Key> = None;
        loop {
            let page = self.store.list("", after.as_ref(), PAGE_ENTRY_COUNT).await?;
            for entry in &page.entries {
                self.put(&entry.key, &entry.value)?;
            }
            self.send_full().await?;
            self.follow(page.at).await?;
            after = page.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    /// Writes every commit up to `at`.
    async fn follow(&mut self, at: Sequence) -> Result<(), Error> {
        while self.watch.position() < at {
            let commit = self.watch.next().await.map_err(too_slow)?;
            for change in &commit.changes {
                match &change.value {
                    Some(value) => self.put(&change.key, value)?,
                    None => self.writer.delete(change.key.as_str())?,
                }
            }
            self.send_full().await?;
        }
        Ok(())
    }

    fn put(&mut self, key: &Key, value: &[u8]) -> Result<(), Error> {
        if let Some(record) = Record::parse(key, value)? {
            self.named.extend(named_bundle(&record));
        }
        Ok(self.writer.put(key.as_str(), value)?)
    }

    async fn bundles(&mut self) -> Result<(), Error> {
        for digest in self.named.clone() {
            let size_bytes = self.bundles.size(&digest).await?.ok_or_else(|| {
                Error::Internal(format!("bundle {digest} is named and is not there; upload it again"))
            })?;
            self.writer.bundle(&digest, size_bytes)?;
            let (mut hasher, mut offset) = (Hasher::default(), 0);
            while offset < size_bytes {
                let piece = self.bundles.read_range(&digest, offset, CHUNK_BYTES).await?;
                if piece.is_empty() {
                    break;
                }
                hasher.update(&piece);
                self.writer.piece(&piece)?;
                offset += piece.len() as u64;
                self.send_full().await?;
            }
            if hasher.finish() != digest {
                return Err(Error::Internal(format!("bundle {digest} is damaged on disk; upload it again")));
            }
        }
        Ok(())
    }

    async fn send_full(&mut self) -> Result<(), Error> {
        if self.writer.waiting_bytes() >= CHUNK_BYTES {
            let chunk = self.writer.take();
            self.out.send(chunk).await?;
        }
        Ok(())
    }
}

fn too_slow(error: store::Error) -> Error {
    match error {
        store::Error::Compacted { .. } => Error::Unavailable(
            "more was written meanwhile than the store's log holds, so the backup would have a gap; try again".into(),
        ),
        error => error.into(),
    }
}

impl From<archive::Error> for Error {
    fn from(error: archive::Error) -> Self {
        Self::Internal(crate::error::with_causes(&error))
    }
}
