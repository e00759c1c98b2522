//! The store: every write the hub acknowledges, in one order, for ever.
//!
//! Place in the flow: `api` and `control` write here with compare-and-swap; the in-memory world is fed from here by
//! [`Watch`]. This module owns keys, transactions, their order and their durability. It never looks into a value,
//! never decides anything, and holds no body larger than [`MAX_VALUE_BYTES`]: bundles are [`blob`]s.
//!
//! To load everything and miss nothing, list page by page, then watch from the `at` of the *first* page; later pages
//! may already hold changes that the watch brings again, which their sequence tells.

pub mod blob;
pub mod disk;
mod error;
mod key;
pub mod memory;
mod shared_lock;
pub mod sled;
mod transaction;
mod watch;

pub use error::Error;
pub use key::{InvalidKey, Key, MAX_KEY_BYTES};
pub use transaction::{
    Compare, Entry, Expect, MAX_OPERATIONS, MAX_PAGE_BYTES, MAX_PAGE_ENTRIES, MAX_TRANSACTION_BYTES,
    MAX_VALUE_BYTES, Page, Sequence, Transaction, Write,
};
pub use watch::{Change, Commit, Log, Tail, Watch};

use async_trait::async_trait;

/// Keys and values in one sequence of commits. Used as `Arc<dyn Store>`.
///
/// Every method may fail with [`Error::Closed`], [`Error::Io`], [`Error::Backend`] and [`Error::Corrupt`].
#[async_trait]
pub trait Store: Send + Sync + std::fmt::Debug {
    /// The entry under `key`, or `None` where there is none. Sees at least every commit acknowledged before the call.
    async fn get(&self, key: &Key) -> Result<Option<Entry>, Error>;

    /// The entries whose keys begin with `prefix` (every key, for `""`) and come after `after`, in key order: at most
    /// `limit` (and [`MAX_PAGE_ENTRIES`], and about [`MAX_PAGE_BYTES`]), as they were at the page's `at`.
    async fn list(&self, prefix: &str, after: Option<&Key>, limit: usize) -> Result<Page, Error>;

    /// Applies all writes or none, and returns the sequence they got once they are durable.
    ///
    /// A transaction that changes nothing (no writes, or only deletions of absent keys) takes no sequence: it returns
    /// the last one. Fails with [`Error::Conflict`] where a compare does not hold, [`Error::Invalid`] and
    /// [`Error::TooLarge`] for a transaction past its bounds, [`Error::Full`] where the disk has no room. After any
    /// other error the caller must read to know whether the commit took place.
    async fn commit(&self, transaction: Transaction) -> Result<Sequence, Error>;

    /// Every commit after `from`, once each, in order, without gaps: first what the log holds, then what comes.
    ///
    /// Fails with [`Error::Compacted`] where the log no longer reaches back to `from`, and [`Error::Ahead`] where
    /// `from` is past the last commit, as after a restore of an older store.
    async fn watch(&self, from: Sequence) -> Result<Watch, Error>;

    /// Forgets the commits before `keep_from`, so that watches can begin no earlier. Entries stay. A `keep_from` below
    /// what is already forgotten does nothing; one past the last commit forgets the whole log.
    async fn compact(&self, keep_from: Sequence) -> Result<(), Error>;

    /// The sequence of the last acknowledged commit; 0 for a store never written.
    async fn last_sequence(&self) -> Result<Sequence, Error>;

    /// The format number of what is stored; see the backend for what each number means.
    fn format(&self) -> u32;

    /// Refuses new commits, finishes those taken, ends every watch with [`Error::Closed`] and releases the backend.
    /// Safe to call twice.
    async fn close(&self) -> Result<(), Error>;
}
