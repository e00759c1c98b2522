//! The hub's store in memory, on a disk that may be full: reads go on, and nothing is written until there is room again.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_trait::async_trait;
use nave_hub::store::memory::MemoryStore;
use nave_hub::store::{Entry, Error, Key, Page, Sequence, Store, Transaction, Watch};

/// What a full disk of a hub keeps free, in bytes.
const RESERVE_BYTES: u64 = 64 << 20;

/// A store whose disk can be filled.
#[derive(Debug, Default)]
pub struct FullStore {
    inner: MemoryStore,
    is_full: AtomicBool,
    refused_count: AtomicU64,
}

impl FullStore {
    /// The disk is full from now on, or has room again.
    pub fn set_full(&self, is_full: bool) {
        self.is_full.store(is_full, Ordering::Relaxed);
    }

    /// Transactions that found no room so far.
    #[must_use]
    pub fn refused_count(&self) -> u64 {
        self.refused_count.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl Store for FullStore {
    async fn get(&self, key: &Key) -> Result<Option<Entry>, Error> {
        self.inner.get(key).await
    }

    async fn list(&self, prefix: &str, after: Option<&Key>, limit: usize) -> Result<Page, Error> {
        self.inner.list(prefix, after, limit).await
    }

    async fn commit(&self, transaction: Transaction) -> Result<Sequence, Error> {
        // As the durable store does it: what writes nothing needs no room.
        if self.is_full.load(Ordering::Relaxed) && !transaction.writes.is_empty() {
            self.refused_count.fetch_add(1, Ordering::Relaxed);
            let folder = PathBuf::from("a disk of this world");
            return Err(Error::Full { folder, free_bytes: 0, reserve_bytes: RESERVE_BYTES });
        }
        self.inner.commit(transaction).await
    }

    async fn watch(&self, from: Sequence) -> Result<Watch, Error> {
        self.inner.watch(from).await
    }

    async fn compact(&self, keep_from: Sequence) -> Result<(), Error> {
        self.inner.compact(keep_from).await
    }

    async fn last_sequence(&self) -> Result<Sequence, Error> {
        self.inner.last_sequence().await
    }

    fn format(&self) -> u32 {
        self.inner.format()
    }

    async fn close(&self) -> Result<(), Error> {
        self.inner.close().await
    }
}
