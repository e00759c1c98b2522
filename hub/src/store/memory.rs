//! A store in memory, for tests and for `nave demo`: the same promises, but for durability.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::watch;

use super::shared_lock::lock;
use super::{
    Change, Commit, Entry, Error, Key, Log, MAX_PAGE_BYTES, MAX_PAGE_ENTRIES, Page, Sequence, Store, Tail,
    Transaction, Watch, Write,
};

/// The format of the memory store, which no other release ever reads.
const FORMAT: u32 = 1;

/// A [`Store`] that is gone when it is dropped.
#[derive(Debug)]
pub struct MemoryStore {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    inner: Mutex<Inner>,
    tail: watch::Sender<Tail>,
    kept_commit_count: usize,
}

#[derive(Debug, Default)]
struct Inner {
    entries: BTreeMap<Key, (Sequence, Bytes)>,
    log: VecDeque<Arc<Commit>>,
    last: Sequence,
    /// The lowest sequence from which a watch can begin: everything after it is in the log.
    floor: Sequence,
    closed: bool,
}

impl MemoryStore {
    /// An empty store that keeps the last `kept_commit_count` commits for watches.
    #[must_use]
    pub fn new(kept_commit_count: usize) -> Self {
        let (tail, _) = watch::channel(Tail { sequence: Sequence::ZERO, closed: false });
        Self { shared: Arc::new(Shared { inner: Mutex::default(), tail, kept_commit_count }) }
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new(100_000)
    }
}

impl Shared {
    /// The inner state. Nothing under the lock panics half-way, so a poisoned lock is as good as another.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
    }
}

impl Inner {
    fn check_open(&self, doing: &'static str) -> Result<(), Error> {
        if self.closed { Err(Error::Closed { doing }) } else { Ok(()) }
    }

    fn changes(&self, writes: Vec<Write>) -> Vec<Change> {
        let change = |write| match write {
            Write::Put { key, value } => Some(Change { key, value: Some(value) }),
            Write::Delete { key } => self.entries.contains_key(&key).then_some(Change { key, value: None }),
        };
        writes.into_iter().filter_map(change).collect()
    }

    fn apply(&mut self, changes: Vec<Change>) {
        self.last = self.last.next();
        for change in &changes {
            match &change.value {
                Some(value) => self.entries.insert(change.key.clone(), (self.last, value.clone())),
                None => self.entries.remove(&change.key),
            };
        }
        self.log.push_back(Arc::new(Commit { sequence: self.last, changes }));
    }

    fn forget_through(&mut self, floor: Sequence) {
        self.floor = self.floor.max(floor.min(self.last));
        while self.log.front().is_some_and(|commit| commit.sequence <= self.floor) {
            self.log.pop_front();
        }
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn get(&self, key: &Key) -> Result<Option<Entry>, Error> {
        let inner = self.shared.lock();
        inner.check_open("reading")?;
        let entry = |(sequence, value): &(Sequence, Bytes)| Entry {
            key: key.clone(),
            value: value.clone(),
            sequence: *sequence,
        };
        Ok(inner.entries.get(key).map(entry))
    }

    async fn list(&self, prefix: &str, after: Option<&Key>, limit: usize) -> Result<Page, Error> {
        let inner = self.shared.lock();
        inner.check_open("listing")?;
        let limit = limit.clamp(1, MAX_PAGE_ENTRIES);
        let mut page = Page { entries: Vec::new(), next: None, at: inner.last };
        let mut size_bytes = 0;
        let start = match after {
            Some(key) if key.as_str() >= prefix => Bound::Excluded(key.as_str()),
            _ => Bound::Included(prefix),
        };
        for (key, (sequence, value)) in inner.entries.range::<str, _>((start, Bound::Unbounded)) {
            if !key.as_str().starts_with(prefix) {
                break;
            }
            if page.entries.len() == limit || size_bytes > MAX_PAGE_BYTES {
                page.next = page.entries.last().map(|entry| entry.key.clone());
                break;
            }
            size_bytes += value.len();
            page.entries.push(Entry { key: key.clone(), value: value.clone(), sequence: *sequence });
        }
        Ok(page)
    }

    async fn commit(&self, transaction: Transaction) -> Result<Sequence, Error> {
        transaction.check()?;
        let mut inner = self.shared.lock();
        inner.check_open("committing")?;
        for compare in transaction.compares {
            let found = inner.entries.get(&compare.key).map(|(sequence, _)| *sequence);
            if !compare.expect.holds(found) {
                return Err(Error::Conflict { key: compare.key, expected: compare.expect, found });
            }
        }
        let changes = inner.changes(transaction.writes);
        if !changes.is_empty() {
            inner.apply(changes);
            let kept = self.shared.kept_commit_count as u64;
            let floor = Sequence(inner.last.0.saturating_sub(kept));
            inner.forget_through(floor);
            self.shared.tail.send_replace(Tail { sequence: inner.last, closed: false });
        }
        Ok(inner.last)
    }

    async fn watch(&self, from: Sequence) -> Result<Watch, Error> {
        let inner = self.shared.lock();
        inner.check_open("watching")?;
        if from < inner.floor {
            return Err(Error::Compacted { from, oldest: inner.floor });
        }
        if from > inner.last {
            return Err(Error::Ahead { from, last: inner.last });
        }
        Ok(Watch::new(self.shared.clone(), self.shared.tail.subscribe(), from))
    }

    async fn compact(&self, keep_from: Sequence) -> Result<(), Error> {
        let mut inner = self.shared.lock();
        inner.check_open("compacting")?;
        inner.forget_through(Sequence(keep_from.0.saturating_sub(1)));
        Ok(())
    }

    async fn last_sequence(&self) -> Result<Sequence, Error> {
        let inner = self.shared.lock();
        inner.check_open("reading the last sequence")?;
        Ok(inner.last)
    }

    fn format(&self) -> u32 {
        FORMAT
    }

    async fn close(&self) -> Result<(), Error> {
        let mut inner = self.shared.lock();
        inner.closed = true;
        self.shared.tail.send_replace(Tail { sequence: inner.last, closed: true });
        Ok(())
    }
}

#[async_trait]
impl Log for Shared {
    async fn read_after(&self, after: Sequence, limit: usize) -> Result<Vec<Arc<Commit>>, Error> {
        let inner = self.lock();
        if after < inner.floor {
            return Err(Error::Compacted { from: after, oldest: inner.floor });
        }
        let skipped = usize::try_from(after.0 - inner.floor.0).unwrap_or(usize::MAX);
        Ok(inner.log.iter().skip(skipped).take(limit).cloned().collect())
    }
}
