//! The journal: what an acknowledgement stands on. Appended to by one writer, read by watches and after a crash.
//!
//! A failed write is undone by cutting the file; a failed sync cannot be, since nobody knows what reached the disk, so
//! the journal then refuses everything until the store is opened again.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};

use super::frame;
use super::segment::{self, SEGMENT_HEADER_BYTES, Scanned, Segment, corrupt};
use crate::store::shared_lock::{read, write};
use crate::store::{Commit, Error, Sequence, disk};

/// The segments that there are, as the writer, the readers and the applier share them; the last one is written to.
#[derive(Debug)]
pub(super) struct Segments {
    folder: PathBuf,
    list: RwLock<Vec<(Arc<Segment>, u64)>>,
}

/// The writing end.
#[derive(Debug)]
pub(super) struct Journal {
    pub(super) segments: Arc<Segments>,
    segment_bytes: u64,
    active: Arc<Segment>,
    file: File,
    end: u64,
    last: Sequence,
    torn_bytes: u64,
    buffer: Vec<u8>,
    broken: Option<Error>,
}

impl Journal {
    /// Makes an empty journal.
    pub(super) fn create(folder: &Path) -> Result<(), Error> {
        disk::create_folder(folder)?;
        for path in disk::files_in(folder)? {
            fs::remove_file(&path).map_err(Error::io("removing the unfinished journal", &path))?;
        }
        create_segment(folder, Sequence(1)).map(|_| ())
    }

    /// Opens the journal and checks every frame in it. Changes nothing: see [`Self::repair`].
    pub(super) fn open(folder: &Path, segment_bytes: u64) -> Result<Self, Error> {
        let mut paths = disk::files_in(folder)?;
        paths.sort();
        let (mut list, mut previous): (Vec<(Arc<Segment>, u64)>, Option<Scanned>) = (Vec::new(), None);
        for path in &paths {
            let Some(scanned) = segment::scan(path)? else {
                if Some(path) != paths.last() || previous.is_none() {
                    return Err(corrupt(format!("the header of the journal {}", path.display())));
                }
                break;
            };
            if let Some(previous) = previous {
                check_joined(&previous, scanned.segment.first)?;
                list.push((Arc::new(previous.segment), previous.end));
            }
            previous = Some(scanned);
        }
        let Some(scanned) = previous else {
            return Err(corrupt(format!("the journal in {}, which has no file,", folder.display())));
        };
        if scanned.damaged_inside {
            return Err(damaged(&scanned));
        }
        let active = Arc::new(scanned.segment);
        let file = OpenOptions::new().read(true).write(true).open(&active.path);
        let file = file.map_err(Error::io("opening the journal", &active.path))?;
        list.push((active.clone(), scanned.end));
        let segments = Arc::new(Segments { folder: folder.to_owned(), list: RwLock::new(list) });
        let (end, last, torn_bytes) = (scanned.end, scanned.last, scanned.torn_bytes);
        Ok(Self {
            segments,
            segment_bytes,
            active,
            file,
            end,
            last,
            torn_bytes,
            buffer: Vec::new(),
            broken: None,
        })
    }

    /// Cuts off what an interrupted write left at the end. Called once the rest is known to be whole.
    pub(super) fn repair(&mut self) -> Result<(), Error> {
        let unfinished = segment::path(&self.segments.folder, self.last.next());
        if unfinished != self.active.path && unfinished.exists() {
            fs::remove_file(&unfinished)
                .map_err(Error::io("removing the unfinished journal", &unfinished))?;
            disk::sync_folder(&self.segments.folder)?;
        }
        if self.torn_bytes > 0 {
            tracing::warn!(
                bytes = self.torn_bytes,
                after = self.last.0,
                "an interrupted write was cut off the journal"
            );
            self.cut()?;
            self.torn_bytes = 0;
        }
        Ok(())
    }

    fn cut(&self) -> Result<(), Error> {
        let cut = self.file.set_len(self.end).and_then(|()| self.file.sync_all());
        cut.map_err(Error::io("cutting the journal", &self.active.path))
    }

    /// The last commit in the journal.
    pub(super) fn last(&self) -> Sequence {
        self.last
    }

    /// Writes the commits and returns once they are durable. After an error none of them is in the journal, unless
    /// the sync itself failed: then it is unknown, and every later call fails.
    pub(super) fn append(&mut self, commits: &[Arc<Commit>]) -> Result<(), Error> {
        if let Some(broken) = &self.broken {
            return Err(broken.clone());
        }
        if self.end >= self.segment_bytes {
            self.roll()?;
        }
        self.buffer.clear();
        for commit in commits {
            frame::encode(commit, &mut self.buffer);
        }
        if let Err(error) = self.file.write_all_at(&self.buffer, self.end) {
            if let Err(cut) = self.cut() {
                self.broken = Some(self.broken_by(&cut));
            }
            return Err(Error::io("writing the journal", &self.active.path)(error));
        }
        if let Err(error) = self.file.sync_data() {
            let error = Error::io("syncing the journal", &self.active.path)(error);
            self.broken = Some(self.broken_by(&error));
            return Err(error);
        }
        if let Some(first) = commits.first() {
            self.active.mark(first.sequence, self.end);
        }
        self.end += self.buffer.len() as u64;
        self.last = commits.last().map_or(self.last, |commit| commit.sequence);
        self.segments.set_active_end(self.end);
        Ok(())
    }

    fn broken_by(&self, error: &Error) -> Error {
        tracing::error!(%error, "the journal takes no more writes until the hub is restarted");
        Error::Backend {
            doing: format!("writing the journal in {}", self.segments.folder.display()),
            advice: "an earlier write failed half-way: check the disk and restart the hub",
            source: Arc::new(error.clone()),
        }
    }

    fn roll(&mut self) -> Result<(), Error> {
        let (segment, file) = create_segment(&self.segments.folder, self.last.next())?;
        (self.active, self.file, self.end) = (Arc::new(segment), file, SEGMENT_HEADER_BYTES);
        write(&self.segments.list).push((self.active.clone(), self.end));
        Ok(())
    }
}

fn check_joined(previous: &Scanned, first: Sequence) -> Result<(), Error> {
    if previous.torn_bytes > 0 {
        return Err(damaged(previous));
    }
    if previous.last.next() != first {
        let path = previous.segment.path.display();
        return Err(corrupt(format!(
            "the journal after {path}: sequence {} is missing, it",
            previous.last.next()
        )));
    }
    Ok(())
}

fn damaged(scanned: &Scanned) -> Error {
    corrupt(format!("the journal {} after sequence {}", scanned.segment.path.display(), scanned.last))
}

/// Makes a segment, durably. A file of that name can only be what a crash or a full disk left of an earlier try.
fn create_segment(folder: &Path, first: Sequence) -> Result<(Segment, File), Error> {
    let path = segment::path(folder, first);
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(&path);
    let file = file.map_err(Error::io("creating the journal", &path))?;
    let written = file.write_all_at(&segment::header(first), 0).and_then(|()| file.sync_all());
    written.map_err(Error::io("writing the journal", &path))?;
    disk::sync_folder(folder)?;
    Ok((Segment::new(first, path), file))
}

impl Segments {
    fn set_active_end(&self, end: u64) {
        if let Some((_, active_end)) = write(&self.list).last_mut() {
            *active_end = end;
        }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The sequence before the first commit in the journal.
    pub(super) fn floor(&self) -> Sequence {
        read(&self.list).first().map_or(Sequence::ZERO, |(segment, _)| Sequence(segment.first.0 - 1))
    }

    /// The commits after `after` up to `through`: at least one, at most `limit` and about a mebibyte.
    pub(super) fn read_after(
        &self,
        after: Sequence,
        through: Sequence,
        limit: usize,
    ) -> Result<Vec<Arc<Commit>>, Error> {
        let mut commits = Vec::new();
        while commits.is_empty() && after < through {
            let found = {
                let list = read(&self.list);
                let index = list.partition_point(|(segment, _)| segment.first <= after.next());
                index.checked_sub(1).map(|index| list[index].0.clone())
            };
            let gone = match found {
                Some(segment) => !segment.read(after, through, limit, &mut commits)?,
                None => true,
            };
            if gone {
                return Err(Error::Compacted { from: after, oldest: self.floor() });
            }
            if commits.is_empty() {
                return Err(corrupt(format!(
                    "the journal in {} after sequence {after}: {through} was written, but it",
                    self.folder.display()
                )));
            }
        }
        Ok(commits)
    }

    /// The floor that takes the journal's size below `kept_bytes`, keeping the last two segments.
    pub(super) fn floor_for(&self, kept_bytes: u64) -> Sequence {
        let list = read(&self.list);
        let mut total: u64 = list.iter().map(|(_, bytes)| bytes).sum();
        let mut floor = Sequence::ZERO;
        for ((_, bytes), (following, _)) in
            list.iter().zip(list.iter().skip(1)).take(list.len().saturating_sub(2))
        {
            if total <= kept_bytes {
                break;
            }
            total -= bytes;
            floor = Sequence(following.first.0 - 1);
        }
        floor
    }

    /// The last sequence of the newest segment that lies wholly at or below `floor`; `None` where there is none.
    pub(super) fn droppable(&self, floor: Sequence) -> Option<Sequence> {
        let list = read(&self.list);
        let ends = list.iter().skip(1).map(|(following, _)| Sequence(following.first.0 - 1));
        ends.take_while(|last| *last <= floor).last()
    }

    /// Deletes the segments that end at or before `through`, the oldest first, so that no gap can be left.
    pub(super) fn drop_through(&self, through: Sequence) -> Result<(), Error> {
        loop {
            let dropped = {
                let mut list = write(&self.list);
                let ends = list.get(1).is_some_and(|(following, _)| following.first.0 - 1 <= through.0);
                ends.then(|| list.remove(0).0)
            };
            let Some(segment) = dropped else { break };
            fs::remove_file(&segment.path).map_err(Error::io("deleting the journal", &segment.path))?;
        }
        disk::sync_folder(&self.folder)
    }
}
