//! Watches: every commit after a sequence, once each, in order.
//!
//! A watch holds a position and a few commits read ahead, never a queue that others fill: it reads the log at its own
//! pace and is woken by the log's tail. So a slow watcher costs the store nothing and delays nobody; where it falls
//! behind what memory holds it reads from disk, and only where the log itself was compacted is it told to start again.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::Stream;

use super::{Error, Key, Sequence};

/// Commits read ahead by one watch, at most.
const READ_AHEAD_COMMITS: usize = 64;

/// One key's change in a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The key.
    pub key: Key,
    /// Its value since the commit; `None` where it was deleted.
    pub value: Option<Bytes>,
}

/// What one transaction changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// The commit's sequence.
    pub sequence: Sequence,
    /// What changed, in the order written; never empty, no key twice.
    pub changes: Vec<Change>,
}

impl Commit {
    /// Bytes of all keys and values.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        let size =
            |change: &Change| change.key.as_bytes().len() + change.value.as_ref().map_or(0, Bytes::len);
        self.changes.iter().map(size).sum()
    }
}

/// The log behind a watch; what a backend implements.
#[async_trait]
pub trait Log: Send + Sync {
    /// The commits after `after`, without gaps, at least one where the tail is past `after`, and at most `limit`.
    /// Fails with [`Error::Compacted`] where they are forgotten.
    async fn read_after(&self, after: Sequence, limit: usize) -> Result<Vec<Arc<Commit>>, Error>;
}

/// How far a log reaches, as its backend publishes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tail {
    /// The last durable commit.
    pub sequence: Sequence,
    /// True once nothing more will come.
    pub closed: bool,
}

/// A stream of commits; see [`Store::watch`](super::Store::watch).
pub struct Watch {
    log: Arc<dyn Log>,
    tail: tokio::sync::watch::Receiver<Tail>,
    position: Sequence,
    ready: VecDeque<Arc<Commit>>,
}

impl Watch {
    /// A watch of `log` from `position`, woken by `tail`.
    #[must_use]
    pub fn new(log: Arc<dyn Log>, tail: tokio::sync::watch::Receiver<Tail>, position: Sequence) -> Self {
        Self { log, tail, position, ready: VecDeque::new() }
    }

    /// The sequence of the last commit that was returned, or where the watch began.
    #[must_use]
    pub fn position(&self) -> Sequence {
        self.position
    }

    /// The next commit, waiting until there is one. Cancel-safe: a dropped call loses nothing.
    ///
    /// Fails with [`Error::Compacted`] where the watcher was so slow that the log was compacted under it, and with
    /// [`Error::Closed`] once the store is closed and every commit was returned.
    pub async fn next(&mut self) -> Result<Arc<Commit>, Error> {
        loop {
            if let Some(commit) = self.ready.pop_front() {
                self.position = commit.sequence;
                return Ok(commit);
            }
            let tail = *self.tail.borrow_and_update();
            if tail.sequence > self.position {
                self.ready = self.log.read_after(self.position, READ_AHEAD_COMMITS).await?.into();
            } else if tail.closed || self.tail.changed().await.is_err() {
                return Err(Error::Closed { doing: "watching" });
            }
        }
    }

    /// The watch as a stream. After an error it ends.
    pub fn into_stream(self) -> impl Stream<Item = Result<Arc<Commit>, Error>> + Send {
        futures::stream::unfold(Some(self), |watch| async {
            let mut watch = watch?;
            match watch.next().await {
                Ok(commit) => Some((Ok(commit), Some(watch))),
                Err(error) => Some((Err(error), None)),
            }
        })
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("position", &self.position).finish_non_exhaustive()
    }
}
