//! What the writer, the applier and all readers share, how it is opened, and how it is read.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use async_trait::async_trait;

use super::Options;
use super::ballast::Ballast;
use super::folder::{Folder, State};
use super::journal::{Journal, Segments};
use super::recent::Recent;
use super::segment::corrupt;
use super::table::{Meta, Table};
use crate::store::shared_lock::{lock, read, write};
use crate::store::{Commit, Entry, Error, Key, Log, MAX_PAGE_BYTES, Page, Sequence, disk};

/// Commits put into the table in one batch when it is rebuilt.
const REPLAYED_COMMITS: usize = 512;
/// How often a listing is tried while others compact the log or delete what it finds.
const LIST_TRIES: usize = 16;
/// How often a read that sled failed is tried again, and how long it waits in between: five seconds together.
const REOPEN_TRIES: usize = 50;
const REOPEN_INTERVAL: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) options: Options,
    pub(super) recent: Recent,
    pub(super) segments: Arc<Segments>,
    /// `None` once closed, and while the applier opens it again after a disk was full.
    table: RwLock<Option<Table>>,
    table_folder: PathBuf,
    pub(super) ballast: Ballast,
    folder: Mutex<Option<Folder>>,
}

/// Opens everything under the folder, checks that the parts fit together, and brings the table up to the journal.
pub(super) fn open(options: Options) -> Result<(Arc<Shared>, Journal, Meta), Error> {
    let folder = Folder::lock(&options.folder)?;
    let state = folder.state()?;
    if state == State::New {
        options.space.check(&options.folder, options.segment_bytes)?;
        folder.set_state(State::New)?;
        Journal::create(&folder.journal())?;
        remove_table(&folder)?;
    }
    let ballast = Ballast::new(&options.folder, options.ballast_bytes);
    if options.space.check(&options.folder, 0).is_err() {
        // Opening must write a little; reads are worth more than the ballast.
        ballast.release();
    }
    let mut journal = Journal::open(&folder.journal(), options.segment_bytes)?;
    let (table, meta) = Table::open(&folder.table(), options.cache_bytes)?;
    let meta = catch_up(&table, meta, &journal.segments, journal.last())?;
    journal.repair()?;
    if state == State::New {
        table.sync()?;
        folder.set_state(State::Ready)?;
    }
    let floor = meta.floor.max(journal.segments.floor());
    let shared = Shared {
        recent: Recent::new(journal.last(), floor, options.kept_commit_count),
        segments: journal.segments.clone(),
        table: RwLock::new(Some(table)),
        table_folder: folder.table(),
        ballast,
        folder: Mutex::new(Some(folder)),
        options,
    };
    Ok((Arc::new(shared), journal, meta))
}

/// Removes what an interrupted making left of a table.
fn remove_table(folder: &Folder) -> Result<(), Error> {
    let table = folder.table();
    if table.exists() {
        std::fs::remove_dir_all(&table).map_err(Error::io("removing the unfinished table", &table))?;
    }
    Ok(())
}

/// Puts into the table what the journal has after it.
fn catch_up(table: &Table, mut meta: Meta, segments: &Segments, last: Sequence) -> Result<Meta, Error> {
    let folder = segments.folder().display();
    if meta.applied > last {
        let applied = meta.applied;
        return Err(corrupt(format!(
            "the journal in {folder} ends at sequence {last}, {applied} was written: it"
        )));
    }
    if meta.applied < segments.floor() {
        let (applied, first) = (meta.applied, segments.floor().next());
        return Err(corrupt(format!(
            "the table beside {folder} ends at sequence {applied}, the journal begins at {first}: the store"
        )));
    }
    while meta.applied < last {
        let commits = segments.read_after(meta.applied, last, REPLAYED_COMMITS)?;
        meta = table.apply(meta, meta.floor, &commits)?;
    }
    Ok(meta)
}

impl Shared {
    /// The table's handle, for one operation.
    pub(super) fn table(&self, doing: &'static str) -> Result<Table, Error> {
        let table = read(&self.table).clone();
        table.ok_or_else(|| self.recent.stalled().unwrap_or(Error::Closed { doing }))
    }

    pub(super) fn get(&self, key: &Key) -> Result<Option<Entry>, Error> {
        // In this order: what is not unapplied now is in the table now.
        if let Some(found) = self.recent.unapplied(key) {
            return Ok(found);
        }
        self.read_table("reading", |table| table.get(key))
    }

    /// Reads the table. Where sled gave it up, which a full disk makes it do, waits for the applier to open it again.
    fn read_table<T>(
        &self,
        doing: &'static str,
        work: impl Fn(&Table) -> Result<T, Error>,
    ) -> Result<T, Error> {
        for _ in 0..REOPEN_TRIES {
            // The handle is dropped before waiting, since the table cannot be opened again while anyone has one.
            match catch_unwind(AssertUnwindSafe(|| work(&self.table(doing)?))) {
                Ok(Err(Error::Io { .. } | Error::Full { .. } | Error::Closed { .. })) | Err(_) => {
                    self.recent.doubt()
                }
                Ok(result) => return result,
            }
            if self.recent.wait_for_end(REOPEN_INTERVAL) {
                break;
            }
        }
        work(&self.table(doing)?)
    }

    /// A page as of one commit, although the table moves on while it is read.
    pub(super) fn list(&self, prefix: &str, after: Option<&Key>, limit: usize) -> Result<Page, Error> {
        let mut scan_limit = limit;
        for _ in 0..LIST_TRIES {
            let before = self.recent.applied();
            let (found, more) = self.read_table("listing", |table| table.list(prefix, after, scan_limit))?;
            let commits = match self.commits_since(before) {
                // The journal was compacted past the begin of the scan while it went on.
                Err(Error::Compacted { .. }) => continue,
                commits => commits?,
            };
            let ended_by_count = found.len() == scan_limit;
            let (page, is_full) = page(Scan { prefix, after, limit, before, found, more }, &commits);
            if page.next.is_none() || is_full || !ended_by_count {
                return Ok(page);
            }
            // Deletions took entries away again: look further.
            scan_limit = 2 * scan_limit + 16;
        }
        let advice = "list again";
        let source = Arc::new(std::io::Error::other(
            "others compacted the log or deleted what was found again and again",
        ));
        Err(Error::Backend { doing: format!("listing {prefix}"), advice, source })
    }

    /// Every commit after `after` up to the tail as it is now.
    fn commits_since(&self, after: Sequence) -> Result<Vec<Arc<Commit>>, Error> {
        let tail = match self.recent.commits_after(after, usize::MAX) {
            Ok(commits) => return Ok(commits),
            Err(tail) => tail,
        };
        let mut commits: Vec<Arc<Commit>> = Vec::new();
        while let position = commits.last().map_or(after, |commit| commit.sequence)
            && position < tail
        {
            commits.extend(self.segments.read_after(position, tail, usize::MAX)?);
        }
        Ok(commits)
    }

    /// Opens the table again, after sled gave it up, and brings it to where the readers believe it to be.
    pub(super) fn reopen_table(&self) -> Result<Meta, Error> {
        let mut slot = write(&self.table);
        // Sled locks its file, so the old handle must go first.
        slot.take();
        let (table, meta) = Table::open(&self.table_folder, self.options.cache_bytes)?;
        let meta = catch_up(&table, meta, &self.segments, self.recent.applied())?;
        *slot = Some(table);
        Ok(meta)
    }

    /// Ends the watches, lets go of the table, and then of the folder's lock.
    pub(super) fn release(&self) {
        self.recent.close();
        write(&self.table).take();
        lock(&self.folder).take();
    }
}

#[async_trait]
impl Log for Shared {
    async fn read_after(&self, after: Sequence, limit: usize) -> Result<Vec<Arc<Commit>>, Error> {
        self.recent.check_kept(after)?;
        let tail = match self.recent.commits_after(after, limit) {
            Ok(commits) => return Ok(commits),
            Err(tail) => tail,
        };
        let segments = self.segments.clone();
        disk::run("reading the journal", move || segments.read_after(after, tail, limit)).await
    }
}

/// A part of the table, as it was found by a scan that began when the table held the commits up to `before`.
struct Scan<'a> {
    prefix: &'a str,
    after: Option<&'a Key>,
    limit: usize,
    before: Sequence,
    found: Vec<Entry>,
    more: bool,
}

/// The page as of the last of `commits`, which are all since before the scan: each entry found is of some commit in
/// between, and laying all changes over it in order ends at the same state, whichever it was. And whether it holds as much
/// as a page may.
fn page(scan: Scan<'_>, commits: &[Arc<Commit>]) -> (Page, bool) {
    let Scan { prefix, after, limit, before, found, more } = scan;
    let last_found = if more { found.last().map(|entry| entry.key.clone()) } else { None };
    let mut entries: BTreeMap<Key, Entry> =
        found.into_iter().map(|entry| (entry.key.clone(), entry)).collect();
    let in_page = |key: &Key| {
        key.as_str().starts_with(prefix)
            && after.is_none_or(|after| key > after)
            && last_found.as_ref().is_none_or(|last| key <= last)
    };
    for commit in commits {
        for change in commit.changes.iter().filter(|change| in_page(&change.key)) {
            let key = change.key.clone();
            match &change.value {
                Some(value) => {
                    let (value, sequence) = (value.clone(), commit.sequence);
                    entries.insert(key.clone(), Entry { key, value, sequence })
                }
                None => entries.remove(&key),
            };
        }
    }
    let at = commits.last().map_or(before, |commit| commit.sequence);
    let mut entries: Vec<Entry> = entries.into_values().collect();
    let mut next = last_found;
    let mut size_bytes = 0;
    let room = entries
        .iter()
        .take(limit)
        .take_while(|entry| {
            let is_room = size_bytes <= MAX_PAGE_BYTES;
            size_bytes += entry.value.len();
            is_room
        })
        .count();
    let is_full = room < entries.len() || room == limit;
    if room < entries.len() {
        entries.truncate(room);
        next = entries.last().map(|entry| entry.key.clone());
    }
    (Page { entries, next, at }, is_full)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Change, MAX_VALUE_BYTES};

    /// A slow disk left large values to the overlay, and a page held all of them.
    #[test]
    fn a_page_is_bounded_by_bytes_also_where_nothing_is_in_the_table_yet() {
        let commit = |n: u64| {
            let key = Key::new(format!("k/{n:02}")).unwrap();
            let value = Some(vec![0; MAX_VALUE_BYTES].into());
            Arc::new(Commit { sequence: Sequence(n), changes: vec![Change { key, value }] })
        };
        let commits: Vec<_> = (1..=12).map(commit).collect();
        let scan =
            Scan { prefix: "k/", after: None, limit: 1000, before: Sequence(0), found: vec![], more: false };
        let (page, is_full) = page(scan, &commits);
        assert!(is_full && page.entries.len() <= 6, "{} entries", page.entries.len());
        assert_eq!(page.next.as_ref(), page.entries.last().map(|entry| &entry.key));
    }
}
