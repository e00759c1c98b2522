//! The table: every entry, in sled, with the sequence up to which it holds the journal.
//!
//! One batch moves the entries and the [`Meta`] record together, so the table is always exactly the state after some
//! commit. `Meta` counts and sums all entries; since an open compares them with what is there, an entry that sled lost
//! without a word is noticed.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use sled::IVec;

use super::segment::corrupt;
use crate::store::{Commit, Entry, Error, Key, MAX_PAGE_BYTES, Sequence, disk};

/// Under which [`Meta`] lies.
const META_KEY: &[u8] = b"m";
/// What stands before each entry's key; no other key begins so.
const ENTRY_PREFIX: &[u8] = b"e/";
/// Bytes before an entry's value: its sequence and a CRC-32 over sequence, key and value.
const ENTRY_HEADER_BYTES: usize = 12;

/// A handle of the table; clones share it.
#[derive(Debug, Clone)]
pub(super) struct Table {
    db: sled::Db,
    folder: PathBuf,
}

/// What the table says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Meta {
    /// The last commit that the table holds.
    pub(super) applied: Sequence,
    /// The lowest sequence from which a watch can begin, when this was written.
    pub(super) floor: Sequence,
    /// How many entries there are.
    pub(super) count: u64,
    /// The wrapping sum of all entries' marks.
    pub(super) sum: u64,
}

impl Meta {
    const BYTES: usize = 36;

    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(Self::BYTES);
        for number in [self.applied.0, self.floor.0, self.count, self.sum] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (numbers, crc) = bytes.split_last_chunk::<4>()?;
        if bytes.len() != Self::BYTES || crc32fast::hash(numbers) != u32::from_le_bytes(*crc) {
            return None;
        }
        let mut numbers = numbers.as_chunks::<8>().0.iter().map(|chunk| u64::from_le_bytes(*chunk));
        let (applied, floor) = (Sequence(numbers.next()?), Sequence(numbers.next()?));
        Some(Self { applied, floor, count: numbers.next()?, sum: numbers.next()? })
    }

    fn add(&mut self, mark: u64) {
        self.count = self.count.wrapping_add(1);
        self.sum = self.sum.wrapping_add(mark);
    }

    fn remove(&mut self, mark: u64) {
        self.count = self.count.wrapping_sub(1);
        self.sum = self.sum.wrapping_sub(mark);
    }
}

/// One number for an entry as it is stored, from its sequence and checksum, which cover all of it.
fn mark(stored: &[u8]) -> u64 {
    let header = stored.first_chunk::<ENTRY_HEADER_BYTES>().copied().unwrap_or_default();
    let (sequence, crc) = header.split_at(8);
    let number = |bytes: &[u8]| bytes.iter().rev().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
    // The finalizer of splitmix64, so that sums of similar entries do not cancel out.
    let mut mixed = number(sequence).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (number(crc) << 32 | number(crc));
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

fn stored_key(key: &str) -> Vec<u8> {
    [ENTRY_PREFIX, key.as_bytes()].concat()
}

fn entry_crc(sequence: &[u8], key: &[u8], value: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(sequence);
    hasher.update(key);
    hasher.update(value);
    hasher.finalize()
}

fn encode_entry(key: &Key, sequence: Sequence, value: &[u8]) -> Vec<u8> {
    let sequence = sequence.0.to_le_bytes();
    let mut stored = Vec::with_capacity(ENTRY_HEADER_BYTES + value.len());
    stored.extend_from_slice(&sequence);
    stored.extend_from_slice(&entry_crc(&sequence, key.as_bytes(), value).to_le_bytes());
    stored.extend_from_slice(value);
    stored
}

fn decode_entry(key: &str, stored: &[u8]) -> Option<Entry> {
    let (header, value) = stored.split_first_chunk::<ENTRY_HEADER_BYTES>()?;
    let (sequence, crc) = header.split_first_chunk::<8>()?;
    if entry_crc(sequence, key.as_bytes(), value) != u32::from_le_bytes(crc.try_into().ok()?) {
        return None;
    }
    // Copied, since sled's bytes keep a whole page in memory.
    let value = Bytes::copy_from_slice(value);
    Some(Entry { key: Key::new(key).ok()?, value, sequence: Sequence(u64::from_le_bytes(*sequence)) })
}

impl Table {
    /// Opens or makes the table, and checks every entry in it.
    pub(super) fn open(folder: &Path, cache_bytes: u64) -> Result<(Self, Meta), Error> {
        disk::create_folder(folder)?;
        let config = sled::Config::new()
            .path(folder)
            .cache_capacity(cache_bytes)
            .mode(sled::Mode::HighThroughput)
            // The applier flushes; a timer besides would sync while nobody waits for it.
            .flush_every_ms(None);
        // Sled panics on some damage.
        let opened = catch_unwind(AssertUnwindSafe(|| config.open()));
        let damaged = || corrupt(format!("the table in {}, which sled cannot open,", folder.display()));
        let db = opened.map_err(|_| damaged())?.map_err(|error| failed("opening", folder, error))?;
        let table = Self { db, folder: folder.to_owned() };
        table.restrict_files()?;
        let checked = catch_unwind(AssertUnwindSafe(|| table.check()));
        let meta = checked.map_err(|_| damaged())??;
        Ok((table, meta))
    }

    /// Reads every entry and compares their count and sum with the record of it.
    fn check(&self) -> Result<Meta, Error> {
        let stored = self.db.get(META_KEY).map_err(|error| self.failed("reading", error))?;
        let meta = match stored {
            Some(stored) => Meta::decode(&stored).ok_or_else(|| self.damaged("the record of its content"))?,
            None => Meta::default(),
        };
        let mut found = Meta { count: 0, sum: 0, ..meta };
        for item in self.db.scan_prefix(ENTRY_PREFIX) {
            let (key, stored) = item.map_err(|error| self.failed("reading", error))?;
            self.entry(&key, &stored)?;
            self.touch(&key)?;
            found.add(mark(&stored));
        }
        if found != meta {
            let (count, expected) = (found.count, meta.count);
            return Err(
                self.damaged(&format!("{count} entries where {expected} were written, or other ones:"))
            );
        }
        Ok(meta)
    }

    pub(super) fn get(&self, key: &Key) -> Result<Option<Entry>, Error> {
        let stored_key = stored_key(key.as_str());
        let stored = self.db.get(&stored_key).map_err(|error| self.failed("reading", error))?;
        stored.map(|stored| self.entry(&stored_key, &stored)).transpose()
    }

    /// The entries that begin with `prefix` after `after`, and whether they go on after that.
    pub(super) fn list(
        &self,
        prefix: &str,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<(Vec<Entry>, bool), Error> {
        let start = match after {
            Some(key) if key.as_str() >= prefix => Bound::Excluded(stored_key(key.as_str())),
            _ => Bound::Included(stored_key(prefix)),
        };
        let stored_prefix = stored_key(prefix);
        let (mut entries, mut size_bytes) = (Vec::new(), 0);
        for item in self.db.range::<Vec<u8>, _>((start, Bound::Unbounded)) {
            let (key, stored) = item.map_err(|error| self.failed("listing", error))?;
            if !key.starts_with(&stored_prefix) {
                break;
            }
            if entries.len() == limit || size_bytes > MAX_PAGE_BYTES {
                return Ok((entries, true));
            }
            size_bytes += stored.len();
            self.touch(&key)?;
            entries.push(self.entry(&key, &stored)?);
        }
        Ok((entries, false))
    }

    /// Puts the commits into the table in one batch, and returns what the table then says about itself.
    pub(super) fn apply(&self, meta: Meta, floor: Sequence, commits: &[Arc<Commit>]) -> Result<Meta, Error> {
        let mut newest = BTreeMap::new();
        for commit in commits {
            for change in &commit.changes {
                newest.insert(&change.key, (commit.sequence, &change.value));
            }
        }
        let applied = commits.last().map_or(meta.applied, |commit| commit.sequence);
        let (mut meta, mut batch) = (Meta { applied, floor, ..meta }, sled::Batch::default());
        for (key, (sequence, value)) in newest {
            let stored_key = stored_key(key.as_str());
            if let Some(old) = self.db.get(&stored_key).map_err(|error| self.failed("reading", error))? {
                meta.remove(mark(&old));
            }
            match value {
                Some(value) => {
                    let stored = encode_entry(key, sequence, value);
                    meta.add(mark(&stored));
                    batch.insert(stored_key, stored);
                }
                None => batch.remove(stored_key),
            }
        }
        batch.insert(META_KEY, meta.encode());
        self.db.apply_batch(batch).map_err(|error| self.failed("writing", error))?;
        Ok(meta)
    }

    /// Returns once everything applied is durable. Sled's own flush leaves the file's size, its folder and the files
    /// of its large pages to the kernel's mercy, so all of them are synced here.
    pub(super) fn sync(&self) -> Result<(), Error> {
        self.db.flush().map_err(|error| self.failed("flushing", error))?;
        let large = self.folder.join("blobs");
        for path in disk::files_in(&large)?.iter().chain([&self.folder.join("db")]) {
            match std::fs::File::open(path).and_then(|file| file.sync_all()) {
                // Sled removes files of large pages when it likes.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                synced => synced.map_err(Error::io("syncing the table", path))?,
            }
        }
        disk::sync_folder(&large)?;
        disk::sync_folder(&self.folder)?;
        self.restrict_files()
    }

    fn restrict_files(&self) -> Result<(), Error> {
        for folder in [&self.folder, &self.folder.join("blobs")] {
            disk::files_in(folder)?.iter().try_for_each(|path| disk::restrict_file(path))?;
        }
        Ok(())
    }

    /// Looks at the entry once more, for sled's cache: it makes room only after so many thousand accesses, and a scan
    /// makes one for a whole page, so that without more of them a scan would leave the whole table in memory.
    fn touch(&self, stored_key: &[u8]) -> Result<(), Error> {
        self.db.contains_key(stored_key).map(|_| ()).map_err(|error| self.failed("reading", error))
    }

    fn entry(&self, stored_key: &[u8], stored: &IVec) -> Result<Entry, Error> {
        let key = std::str::from_utf8(&stored_key[ENTRY_PREFIX.len()..]).ok();
        let entry = key.and_then(|key| decode_entry(key, stored));
        entry.ok_or_else(|| self.damaged(&format!("the entry {}", String::from_utf8_lossy(stored_key))))
    }

    fn damaged(&self, what: &str) -> Error {
        corrupt(format!("the table in {}: {what} it", self.folder.display()))
    }

    fn failed(&self, doing: &'static str, error: sled::Error) -> Error {
        failed(doing, &self.folder, error)
    }
}

fn failed(doing: &'static str, folder: &Path, error: sled::Error) -> Error {
    match error {
        sled::Error::Corruption { .. } => corrupt(format!("the table in {}", folder.display())),
        sled::Error::Io(source) => Error::Io { doing, path: folder.to_owned(), source: Arc::new(source) },
        other => Error::Backend {
            doing: format!("{doing} the table in {}", folder.display()),
            advice: "restart the hub; if it stays, restore from a backup",
            source: Arc::new(other),
        },
    }
}
