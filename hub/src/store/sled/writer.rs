//! The one writer: takes transactions from a bounded queue, decides in what order they happen, and makes a whole group
//! durable with one sync. It touches the table only to read what a compare asks for.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::journal::Journal;
use super::shared::Shared;
use crate::store::{Change, Commit, Error, Key, Sequence, Transaction, Write};

/// Transactions in one group, at most.
const GROUP_COUNT: usize = 256;
/// A group ends with the transaction that takes it past this many bytes.
const GROUP_BYTES: usize = 4 << 20;

/// A transaction that waits for its answer.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) transaction: Transaction,
    pub(super) reply: oneshot::Sender<Result<Sequence, Error>>,
}

#[derive(Debug)]
pub(super) struct Writer {
    shared: Arc<Shared>,
    journal: Journal,
    requests: mpsc::Receiver<Request>,
}

/// The commits of one group, in the making.
struct Group<'a> {
    shared: &'a Shared,
    last: Sequence,
    commits: Vec<Arc<Commit>>,
    /// The keys written in this group: the newest commit, or `None` where deleted.
    written: HashMap<Key, Option<Sequence>>,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, journal: Journal, requests: mpsc::Receiver<Request>) -> Self {
        Self { shared, journal, requests }
    }

    /// Writes until the queue is closed and empty.
    pub(super) fn run(mut self) {
        let _end = EndsRecent(self.shared.clone());
        while let Some(first) = self.requests.blocking_recv() {
            let (requests, size_bytes) = self.gather(first);
            self.write(requests, size_bytes);
        }
    }

    /// The first request and those that wait behind it.
    fn gather(&mut self, first: Request) -> (Vec<Request>, usize) {
        let mut size_bytes = first.transaction.size_bytes();
        let mut requests = vec![first];
        while requests.len() < GROUP_COUNT && size_bytes < GROUP_BYTES {
            let Ok(request) = self.requests.try_recv() else { break };
            size_bytes += request.transaction.size_bytes();
            requests.push(request);
        }
        (requests, size_bytes)
    }

    /// Makes the group durable, then visible, and only then answers: also conflicts, since what they conflict with may
    /// be in the same group, and must not be told before it is durable.
    fn write(&mut self, requests: Vec<Request>, size_bytes: usize) {
        let mut group = Group {
            shared: &self.shared,
            last: self.journal.last(),
            commits: Vec::new(),
            written: HashMap::new(),
        };
        let mut replies = Vec::with_capacity(requests.len());
        for request in requests {
            replies.push((request.reply, group.add(request.transaction)));
        }
        let commits = group.commits;
        let written = if commits.is_empty() { Ok(()) } else { self.make_durable(&commits, size_bytes) };
        for (reply, result) in replies {
            // A caller that went away does not want its answer.
            let _ = reply.send(written.clone().and(result));
        }
    }

    fn make_durable(&mut self, commits: &[Arc<Commit>], size_bytes: usize) -> Result<(), Error> {
        let (space, folder) = (&self.shared.options.space, &self.shared.options.folder);
        self.shared.recent.wait_for_room()?;
        // What a group takes now in the journal it takes soon in the table as well.
        space.check(folder, 2 * size_bytes as u64)?;
        self.journal.append(commits).map_err(|error| space.full_or(folder, error))?;
        self.shared.recent.publish(commits);
        Ok(())
    }
}

impl Group<'_> {
    /// Adds the transaction's commit, if its compares hold and it changes anything.
    fn add(&mut self, transaction: Transaction) -> Result<Sequence, Error> {
        for compare in transaction.compares {
            let found = self.found(&compare.key)?;
            if !compare.expect.holds(found) {
                return Err(Error::Conflict { key: compare.key, expected: compare.expect, found });
            }
        }
        let mut changes = Vec::with_capacity(transaction.writes.len());
        for write in transaction.writes {
            match write {
                Write::Put { key, value } => changes.push(Change { key, value: Some(value) }),
                Write::Delete { key } if self.found(&key)?.is_some() => {
                    changes.push(Change { key, value: None })
                }
                Write::Delete { .. } => {}
            }
        }
        if !changes.is_empty() {
            self.last = self.last.next();
            for change in &changes {
                self.written.insert(change.key.clone(), change.value.is_some().then_some(self.last));
            }
            self.commits.push(Arc::new(Commit { sequence: self.last, changes }));
        }
        Ok(self.last)
    }

    /// The sequence under the key, as the commits so far left it.
    fn found(&self, key: &Key) -> Result<Option<Sequence>, Error> {
        match self.written.get(key) {
            Some(written) => Ok(*written),
            None => Ok(self.shared.get(key)?.map(|entry| entry.sequence)),
        }
    }
}

/// Tells the applier that no more commits will come, however the writer ends.
struct EndsRecent(Arc<Shared>);

impl Drop for EndsRecent {
    fn drop(&mut self) {
        self.0.recent.end();
    }
}
