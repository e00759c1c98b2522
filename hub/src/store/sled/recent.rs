//! The recent past in memory: commits that are durable but not yet in the table, and the last ones for watches.
//!
//! It is where the three sides meet: the writer publishes here, readers look here first, the applier takes from here
//! and says what the table holds. Bounded: the writer waits while too much is unapplied, and applied commits are kept
//! only up to a count and a size.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;

use crate::store::shared_lock::lock;
use crate::store::{Commit, Entry, Error, Key, Sequence, Tail};

/// The writer waits while this many bytes are not yet in the table.
pub(super) const MAX_UNAPPLIED_BYTES: usize = 8 << 20;
/// Or this many commits.
const MAX_UNAPPLIED_COMMITS: u64 = 16 << 10;
/// Applied commits kept for watches, at most.
const KEPT_COMMITS: usize = 4096;
/// And at most so many bytes of them.
const KEPT_BYTES: usize = 8 << 20;
/// What a commit costs besides its keys and values, roughly, in bytes.
const COMMIT_OVERHEAD_BYTES: usize = 128;

#[derive(Debug)]
pub(super) struct Recent {
    inner: Mutex<Inner>,
    changed: Condvar,
    tail: watch::Sender<Tail>,
    kept_commit_count: u64,
}

#[derive(Debug)]
struct Inner {
    /// The last durable commit.
    tail: Sequence,
    /// The last commit that the table holds.
    applied: Sequence,
    /// The lowest sequence from which a watch can begin.
    floor: Sequence,
    /// Commits without gaps up to `tail`, at least those after `applied`.
    commits: VecDeque<Arc<Commit>>,
    commits_bytes: usize,
    unapplied_bytes: usize,
    /// The newest change of each key after `applied`.
    unapplied: HashMap<Key, (Sequence, Option<Bytes>)>,
    /// Why the applier cannot go on; writes are refused with it.
    stalled: Option<Error>,
    /// True where the floor moved since the applier last looked.
    floor_moved: bool,
    /// True where a reader saw the table fail.
    doubted: bool,
    ended: bool,
}

/// What the applier has to do next.
#[derive(Debug)]
pub(super) enum Work {
    /// Put these commits into the table; none, where only the floor moved.
    Apply(Vec<Arc<Commit>>),
    /// See whether the table still works.
    Check,
    /// Nothing for as long as was to be waited.
    Idle,
    /// Everything is applied, and nothing more will come.
    End,
}

impl Recent {
    pub(super) fn new(tail: Sequence, floor: Sequence, kept_commit_count: u64) -> Self {
        let floor = floor.max(Sequence(tail.0.saturating_sub(kept_commit_count)));
        let (sender, _) = watch::channel(Tail { sequence: tail, closed: false });
        let inner = Inner {
            tail,
            applied: tail,
            floor,
            commits: VecDeque::new(),
            commits_bytes: 0,
            unapplied_bytes: 0,
            unapplied: HashMap::new(),
            stalled: None,
            floor_moved: false,
            doubted: false,
            ended: false,
        };
        Self { inner: Mutex::new(inner), changed: Condvar::new(), tail: sender, kept_commit_count }
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Tail> {
        self.tail.subscribe()
    }

    pub(super) fn tail(&self) -> Sequence {
        lock(&self.inner).tail
    }

    pub(super) fn applied(&self) -> Sequence {
        lock(&self.inner).applied
    }

    pub(super) fn floor(&self) -> Sequence {
        lock(&self.inner).floor
    }

    /// The key's entry, or its absence, where a commit that the table does not yet hold changed it.
    pub(super) fn unapplied(&self, key: &Key) -> Option<Option<Entry>> {
        let inner = lock(&self.inner);
        let (sequence, value) = inner.unapplied.get(key)?;
        let entry = |value: &Bytes| Entry { key: key.clone(), value: value.clone(), sequence: *sequence };
        Some(value.as_ref().map(entry))
    }

    /// Fails where no watch can begin at `from`.
    pub(super) fn check_watch(&self, from: Sequence) -> Result<(), Error> {
        let last = self.tail();
        if from > last { Err(Error::Ahead { from, last }) } else { self.check_kept(from) }
    }

    /// Fails where the log was forgotten past `after`.
    pub(super) fn check_kept(&self, after: Sequence) -> Result<(), Error> {
        let oldest = self.floor();
        if after < oldest { Err(Error::Compacted { from: after, oldest }) } else { Ok(()) }
    }

    /// The commits after `after` that are in memory, at most `limit`; the tail as the error, where memory does not
    /// reach back so far, though the journal may.
    pub(super) fn commits_after(&self, after: Sequence, limit: usize) -> Result<Vec<Arc<Commit>>, Sequence> {
        let inner = lock(&self.inner);
        let first = inner.commits.front().map_or(inner.tail.next(), |commit| commit.sequence);
        if after.next() < first {
            return Err(inner.tail);
        }
        let skipped = usize::try_from(after.next().0 - first.0).unwrap_or(usize::MAX);
        Ok(inner.commits.iter().skip(skipped).take(limit).cloned().collect())
    }

    /// Makes durable commits visible.
    pub(super) fn publish(&self, commits: &[Arc<Commit>]) {
        let mut inner = lock(&self.inner);
        for commit in commits {
            let size_bytes = commit.size_bytes() + COMMIT_OVERHEAD_BYTES;
            inner.commits_bytes += size_bytes;
            inner.unapplied_bytes += size_bytes;
            for change in &commit.changes {
                inner.unapplied.insert(change.key.clone(), (commit.sequence, change.value.clone()));
            }
            inner.tail = commit.sequence;
            inner.commits.push_back(commit.clone());
        }
        let floor = Sequence(inner.tail.0.saturating_sub(self.kept_commit_count));
        inner.floor = inner.floor.max(floor);
        self.tail.send_replace(Tail { sequence: inner.tail, closed: false });
        self.changed.notify_all();
    }

    /// Forgets the commits up to `floor`, as far as there are any.
    pub(super) fn raise_floor(&self, floor: Sequence) {
        let mut inner = lock(&self.inner);
        let floor = floor.min(inner.tail);
        if floor > inner.floor {
            inner.floor = floor;
            inner.floor_moved = true;
            self.changed.notify_all();
        }
    }

    /// Waits until the table has caught up enough to take more. Fails where the applier cannot go on.
    pub(super) fn wait_for_room(&self) -> Result<(), Error> {
        let mut inner = lock(&self.inner);
        loop {
            if let Some(stalled) = &inner.stalled {
                return Err(stalled.clone());
            }
            let unapplied_count = inner.tail.0 - inner.applied.0;
            if inner.unapplied_bytes < MAX_UNAPPLIED_BYTES && unapplied_count < MAX_UNAPPLIED_COMMITS {
                return Ok(());
            }
            inner = self.wait(inner);
        }
    }

    /// Waits for work, for ever or for so long, and gives at most about `limit_bytes` of it.
    pub(super) fn next_work(&self, limit_bytes: usize, timeout: Option<Duration>) -> Work {
        let mut inner = lock(&self.inner);
        loop {
            let skipped = inner.commits.len().saturating_sub((inner.tail.0 - inner.applied.0) as usize);
            let mut size_bytes = 0;
            let fits = |commit: &&Arc<Commit>| {
                let had_bytes = size_bytes;
                size_bytes += commit.size_bytes() + COMMIT_OVERHEAD_BYTES;
                had_bytes < limit_bytes
            };
            let commits: Vec<_> = inner.commits.iter().skip(skipped).take_while(fits).cloned().collect();
            if !commits.is_empty() || inner.floor_moved {
                inner.floor_moved = false;
                return Work::Apply(commits);
            }
            if std::mem::take(&mut inner.doubted) {
                return Work::Check;
            }
            if inner.ended {
                return Work::End;
            }
            let Some(timeout) = timeout else {
                inner = self.wait(inner);
                continue;
            };
            let (waited, result) =
                self.changed.wait_timeout(inner, timeout).unwrap_or_else(PoisonError::into_inner);
            if result.timed_out() {
                return Work::Idle;
            }
            inner = waited;
        }
    }

    /// Takes note that the table holds these commits.
    pub(super) fn set_applied(&self, commits: &[Arc<Commit>]) {
        let mut inner = lock(&self.inner);
        for commit in commits {
            inner.applied = commit.sequence;
            inner.unapplied_bytes -= commit.size_bytes() + COMMIT_OVERHEAD_BYTES;
            for change in &commit.changes {
                if inner.unapplied.get(&change.key).is_some_and(|(sequence, _)| *sequence == commit.sequence)
                {
                    inner.unapplied.remove(&change.key);
                }
            }
        }
        while inner.commits.len() > KEPT_COMMITS || inner.commits_bytes > KEPT_BYTES {
            let applied = inner.applied;
            let Some(commit) = inner.commits.pop_front_if(|commit| commit.sequence <= applied) else { break };
            inner.commits_bytes -= commit.size_bytes() + COMMIT_OVERHEAD_BYTES;
        }
        self.changed.notify_all();
    }

    /// Why writes are refused, where they are.
    pub(super) fn stalled(&self) -> Option<Error> {
        lock(&self.inner).stalled.clone()
    }

    /// Has the applier look at the table: sled's background writes fail without anybody being told.
    pub(super) fn doubt(&self) {
        lock(&self.inner).doubted = true;
        self.changed.notify_all();
    }

    /// Refuses writes with this error until it is taken back.
    pub(super) fn set_stalled(&self, stalled: Option<Error>) {
        lock(&self.inner).stalled = stalled;
        self.changed.notify_all();
    }

    /// Waits a while, or until the store ends; returns whether it ended.
    pub(super) fn wait_for_end(&self, timeout: Duration) -> bool {
        let inner = lock(&self.inner);
        let waited = self.changed.wait_timeout_while(inner, timeout, |inner| !inner.ended);
        waited.map_or(true, |(inner, _)| inner.ended)
    }

    /// Says that no more commits will be published.
    pub(super) fn end(&self) {
        lock(&self.inner).ended = true;
        self.changed.notify_all();
    }

    /// Ends every watch that has caught up.
    pub(super) fn close(&self) {
        let tail = self.tail();
        self.tail.send_replace(Tail { sequence: tail, closed: true });
    }

    fn wait<'a>(&self, inner: MutexGuard<'a, Inner>) -> MutexGuard<'a, Inner> {
        self.changed.wait(inner).unwrap_or_else(PoisonError::into_inner)
    }
}
