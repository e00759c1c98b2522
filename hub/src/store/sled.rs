//! The default store: a journal that makes writes durable, and a sled table that holds the entries.
//!
//! How a write goes: a bounded queue -> one writer thread, which checks compares and appends a whole group of commits
//! to the [`journal`] with one fdatasync -> [`recent`], where readers and watches see it, and the acknowledgement ->
//! one applier thread, which puts it into the [`table`] in atomic batches.
//!
//! Why not sled alone: its flush is `sync_file_range`, which promises nothing after a power cut; its recovery drops
//! what follows a damaged place without a word; and a log of commits inside it would write every value twice. So the
//! journal is what an acknowledgement stands on, and what watches read; the table is rebuilt forward from it after a
//! crash, and carries a count and a sum over all entries that tell at every open whether any is missing.
//!
//! **Invariant:** a journal segment is deleted only when the table holds all of it, durably.
//! **Invariant:** no reader takes a lock that the writer holds during I/O.

mod applier;
mod ballast;
mod folder;
mod frame;
mod journal;
mod recent;
mod segment;
mod shared;
mod table;
mod writer;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot};

use self::shared::Shared;
use super::disk::{self, FreeSpace};
use super::shared_lock::lock;
use super::{Entry, Error, Key, MAX_PAGE_ENTRIES, Page, Sequence, Store, Transaction, Watch};

pub use self::folder::FORMAT;

/// How a [`SledStore`] is opened.
#[derive(Debug, Clone)]
pub struct Options {
    /// The store's own folder; made where it is missing.
    pub folder: PathBuf,
    /// Bytes of memory for sled's page cache.
    pub cache_bytes: u64,
    /// Commits kept for watches, at most.
    pub kept_commit_count: u64,
    /// Bytes of journal kept for watches, at most; at least the last two segments are kept.
    pub kept_journal_bytes: u64,
    /// A journal segment is closed once it has this many bytes.
    pub segment_bytes: u64,
    /// Transactions that may wait for the writer; further callers of `commit` wait themselves.
    pub queue_count: usize,
    /// What must stay free on the disk.
    pub space: FreeSpace,
    /// Bytes of disk that the store keeps for the day the disk is full, so that reads go on even then.
    pub ballast_bytes: u64,
}

impl Options {
    /// The defaults: 64 MiB of cache, the last 100,000 commits or 256 MiB, 64 MiB of disk left free, 32 MiB of ballast.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            cache_bytes: 64 << 20,
            kept_commit_count: 100_000,
            kept_journal_bytes: 256 << 20,
            segment_bytes: 16 << 20,
            queue_count: 1024,
            space: FreeSpace::reserve(64 << 20),
            ballast_bytes: ballast::DEFAULT_BYTES,
        }
    }
}

/// A [`Store`] in a folder of this machine.
#[derive(Debug)]
pub struct SledStore {
    shared: Arc<Shared>,
    requests: Mutex<Option<mpsc::Sender<writer::Request>>>,
    threads: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

impl SledStore {
    /// Opens the store, making it where its folder is new, and checks every stored byte.
    ///
    /// Fails with [`Error::Locked`] where another process has it, [`Error::NewerFormat`], and [`Error::Corrupt`]
    /// where anything acknowledged is missing or damaged; then nothing in the folder was changed, but for what sled
    /// itself cuts off its own files when they are opened.
    pub async fn open(options: Options) -> Result<Self, Error> {
        disk::run("opening the store", move || Self::open_blocking(options)).await
    }

    fn open_blocking(options: Options) -> Result<Self, Error> {
        let (request_sender, request_receiver) = mpsc::channel(options.queue_count.max(1));
        let (shared, journal, meta) = shared::open(options)?;
        let writer = writer::Writer::new(shared.clone(), journal, request_receiver);
        let applier = applier::Applier::new(shared.clone(), meta);
        let threads = vec![
            spawn("store-writer", &shared, move || writer.run())?,
            spawn("store-applier", &shared, move || applier.run())?,
        ];
        Ok(Self {
            shared,
            requests: Mutex::new(Some(request_sender)),
            threads: Arc::new(Mutex::new(threads)),
        })
    }

    fn sender(&self, doing: &'static str) -> Result<mpsc::Sender<writer::Request>, Error> {
        lock(&self.requests).clone().ok_or(Error::Closed { doing })
    }

    /// Ends the queue: the writer finishes what is in it, then ends the applier.
    fn end_queue(&self) {
        lock(&self.requests).take();
    }

    async fn read<T: Send + 'static>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&Arc<Shared>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let shared = self.shared.clone();
        disk::run(doing, move || work(&shared)).await
    }
}

fn spawn(name: &str, shared: &Shared, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, Error> {
    let spawned = std::thread::Builder::new().name(name.to_owned()).spawn(work);
    spawned.map_err(Error::io("starting a thread for the store in", &shared.options.folder))
}

#[async_trait]
impl Store for SledStore {
    async fn get(&self, key: &Key) -> Result<Option<Entry>, Error> {
        self.sender("reading")?;
        if let Some(found) = self.shared.recent.unapplied(key) {
            return Ok(found);
        }
        let key = key.clone();
        self.read("reading", move |shared| shared.get(&key)).await
    }

    async fn list(&self, prefix: &str, after: Option<&Key>, limit: usize) -> Result<Page, Error> {
        let (prefix, after, limit) = (prefix.to_owned(), after.cloned(), limit.clamp(1, MAX_PAGE_ENTRIES));
        self.read("listing", move |shared| shared.list(&prefix, after.as_ref(), limit)).await
    }

    async fn commit(&self, transaction: Transaction) -> Result<Sequence, Error> {
        const DOING: &str = "committing";
        transaction.check()?;
        let (reply, answer) = oneshot::channel();
        let request = writer::Request { transaction, reply };
        let closed = Error::Closed { doing: DOING };
        self.sender(DOING)?.send(request).await.map_err(|_| closed.clone())?;
        answer.await.map_err(|_| closed)?
    }

    async fn watch(&self, from: Sequence) -> Result<Watch, Error> {
        self.sender("watching")?;
        self.shared.recent.check_watch(from)?;
        Ok(Watch::new(self.shared.clone(), self.shared.recent.subscribe(), from))
    }

    async fn compact(&self, keep_from: Sequence) -> Result<(), Error> {
        self.sender("compacting")?;
        self.shared.recent.raise_floor(Sequence(keep_from.0.saturating_sub(1)));
        Ok(())
    }

    async fn last_sequence(&self) -> Result<Sequence, Error> {
        self.sender("reading the last sequence")?;
        Ok(self.shared.recent.tail())
    }

    fn format(&self) -> u32 {
        FORMAT
    }

    async fn close(&self) -> Result<(), Error> {
        self.end_queue();
        let (shared, threads) = (self.shared.clone(), self.threads.clone());
        disk::run("closing the store", move || {
            join(&threads);
            shared.release();
            Ok(())
        })
        .await
    }
}

fn join(threads: &Mutex<Vec<JoinHandle<()>>>) {
    // The lock is held while joining, so that a second caller of close returns no earlier than the first.
    for thread in lock(threads).drain(..) {
        if thread.join().is_err() {
            tracing::error!("a thread of the store panicked");
        }
    }
}

impl Drop for SledStore {
    /// Waits for the last group, so that the folder is free once the store is dropped.
    fn drop(&mut self) {
        self.end_queue();
        join(&self.threads);
        self.shared.release();
    }
}
