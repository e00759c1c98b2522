//! What goes into a store and comes out of it: sequences, entries, transactions, pages, and their bounds.
//!
//! The bounds are those that every backend can keep: etcd takes 128 operations and 1.5 MiB in one request.

use std::collections::HashSet;
use std::fmt;

use bytes::Bytes;

use super::{Error, Key};

/// The largest value, in bytes.
pub const MAX_VALUE_BYTES: usize = 1 << 20;
/// The most bytes of keys and values in one transaction.
pub const MAX_TRANSACTION_BYTES: usize = (1 << 20) + (1 << 18);
/// The most writes, and the most compares, in one transaction.
pub const MAX_OPERATIONS: usize = 128;
/// The most entries in one page.
pub const MAX_PAGE_ENTRIES: usize = 1000;
/// A page ends with the entry that takes it past this many bytes of values.
pub const MAX_PAGE_BYTES: usize = 4 << 20;

/// The store's counter for every write: each commit that changes something gets the next number, the first gets 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Sequence(pub u64);

impl Sequence {
    /// Before the first commit.
    pub const ZERO: Self = Self(0);

    /// The number after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A key's value, and the sequence of the commit that put it there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: Key,
    /// The value.
    pub value: Bytes,
    /// The commit that wrote this value; what a [`Compare`] names.
    pub sequence: Sequence,
}

/// What a compare wants to find under a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// No entry.
    Absent,
    /// The entry written by this commit.
    Sequence(Sequence),
}

impl Expect {
    /// The expectation to see again what was found: an entry's sequence, or no entry.
    #[must_use]
    pub fn same_as(found: Option<&Entry>) -> Self {
        found.map_or(Self::Absent, |entry| Self::Sequence(entry.sequence))
    }

    /// True where `found` is what was expected.
    #[must_use]
    pub fn holds(self, found: Option<Sequence>) -> bool {
        match self {
            Self::Absent => found.is_none(),
            Self::Sequence(sequence) => found == Some(sequence),
        }
    }
}

impl fmt::Display for Expect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("no entry"),
            Self::Sequence(sequence) => write!(f, "sequence {sequence}"),
        }
    }
}

/// A condition that must hold for a transaction to be applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compare {
    /// The key looked at.
    pub key: Key,
    /// What must be found there.
    pub expect: Expect,
}

/// One change of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// Puts the value under the key, in place of whatever is there.
    Put {
        /// The key.
        key: Key,
        /// Its new value.
        value: Bytes,
    },
    /// Removes the key, if it is there.
    Delete {
        /// The key.
        key: Key,
    },
}

impl Write {
    /// The key that is written.
    #[must_use]
    pub fn key(&self) -> &Key {
        match self {
            Self::Put { key, .. } | Self::Delete { key } => key,
        }
    }

    /// Bytes of key and value.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        match self {
            Self::Put { key, value } => key.as_bytes().len() + value.len(),
            Self::Delete { key } => key.as_bytes().len(),
        }
    }
}

/// Compares and writes that are applied together or not at all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Transaction {
    /// What must hold, looked at in this order.
    pub compares: Vec<Compare>,
    /// What is then written; no key twice.
    pub writes: Vec<Write>,
}

impl Transaction {
    /// A transaction that does nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a compare.
    #[must_use]
    pub fn expect(mut self, key: Key, expect: Expect) -> Self {
        self.compares.push(Compare { key, expect });
        self
    }

    /// Adds a put.
    #[must_use]
    pub fn put(mut self, key: Key, value: impl Into<Bytes>) -> Self {
        self.writes.push(Write::Put { key, value: value.into() });
        self
    }

    /// Adds a delete.
    #[must_use]
    pub fn delete(mut self, key: Key) -> Self {
        self.writes.push(Write::Delete { key });
        self
    }

    /// Bytes of all keys and values.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        let compares: usize = self.compares.iter().map(|compare| compare.key.as_bytes().len()).sum();
        compares + self.writes.iter().map(Write::size_bytes).sum::<usize>()
    }

    /// Checks every bound. Backends call it before anything else, so that all refuse the same.
    pub fn check(&self) -> Result<(), Error> {
        for (what, count) in [("compares", self.compares.len()), ("writes", self.writes.len())] {
            if count > MAX_OPERATIONS {
                let why = format!("it has {count}, the limit is {MAX_OPERATIONS}; split it");
                return Err(Error::Invalid { what: format!("a transaction with so many {what}"), why });
            }
        }
        let mut seen = HashSet::with_capacity(self.writes.len());
        for write in &self.writes {
            if !seen.insert(write.key()) {
                let why = format!("{} is written twice", write.key());
                return Err(Error::Invalid { what: "the transaction".to_owned(), why });
            }
            if let Write::Put { key, value } = write
                && value.len() > MAX_VALUE_BYTES
            {
                return Err(too_large(format!("the value of {key}"), value.len(), MAX_VALUE_BYTES));
            }
        }
        let size_bytes = self.size_bytes();
        if size_bytes > MAX_TRANSACTION_BYTES {
            return Err(too_large("the transaction".to_owned(), size_bytes, MAX_TRANSACTION_BYTES));
        }
        Ok(())
    }
}

fn too_large(what: String, size_bytes: usize, limit_bytes: usize) -> Error {
    Error::TooLarge { what, size_bytes: size_bytes as u64, limit_bytes: limit_bytes as u64 }
}

/// A part of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The entries, in key order. May be fewer than asked for while `next` says there is more.
    pub entries: Vec<Entry>,
    /// What to give as `after` for the next page; `None` at the end.
    pub next: Option<Key>,
    /// The commit after which this page is exactly true.
    pub at: Sequence,
}
