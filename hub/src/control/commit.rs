//! Committing plans: many applications' writes in few transactions, none of which holds if what was planned has changed.
//!
//! The first transaction raises the generation together with the first assignments that it orders; the others compare
//! that generation and go out at the same time, so that ten thousand assignments cost two waits for the disk.

use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt as _;
use nave_common::name::ApplicationKey;

use crate::records::{self, Name, Record};
use crate::store::{
    self, Expect, MAX_TRANSACTION_BYTES, MAX_VALUE_BYTES, Sequence, Store, Transaction, Write,
};

/// Writes in one transaction: the store's bound, less the generation and some to spare.
const MAX_WRITES: usize = 120;
/// Applications in one transaction: each takes two compares, and the generation one.
const MAX_APPLICATIONS: usize = 60;
/// Bytes in one transaction: the store's bound, less room for the compares' keys.
const MAX_BYTES: usize = MAX_TRANSACTION_BYTES - (128 << 10);
/// Transactions in flight.
const IN_FLIGHT: usize = 16;

/// One application's writes.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) key: ApplicationKey,
    /// The record that was planned.
    pub(super) sequence: Sequence,
    /// How it stood in failover when it was planned: the record, or none.
    pub(super) failover: Expect,
    pub(super) writes: Vec<Write>,
}

impl Batch {
    /// A write that no transaction takes, if there is one.
    pub(super) fn oversized(&self) -> Option<&Write> {
        self.writes.iter().find(|write| write.size_bytes() > MAX_VALUE_BYTES)
    }
}

/// The generation that a commit starts from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Base {
    pub(super) counter: u64,
    pub(super) sequence: Sequence,
}

/// How a commit went.
#[derive(Debug)]
pub(super) struct Committed {
    /// The generation after it.
    pub(super) base: Base,
    /// What the world must have seen before anything is planned again.
    pub(super) seen: Sequence,
    /// Applications that changed meanwhile; some of their writes may have been made.
    pub(super) conflicted: BTreeSet<ApplicationKey>,
}

/// What was there when an application was planned.
#[derive(Debug, Clone, Copy)]
struct Planned {
    sequence: Sequence,
    /// `None` where another transaction of the same application writes the record.
    failover: Option<Expect>,
}

/// Some applications' writes that fit one transaction.
#[derive(Debug, Default)]
struct Part {
    compares: BTreeMap<ApplicationKey, Planned>,
    writes: Vec<(ApplicationKey, Write)>,
    size_bytes: usize,
}

/// Commits `batches` on `base`. With `raise`, the generation rises to the next, by which the assignments among the
/// writes are stamped already.
pub(super) async fn commit(
    store: &dyn Store,
    base: Base,
    raise: bool,
    batches: Vec<Batch>,
) -> Result<Committed, Error> {
    let mut committed = Committed { base, seen: base.sequence, conflicted: BTreeSet::new() };
    let mut parts = pack(batches).into_iter();
    let mut must_raise = raise;
    while must_raise && let Some(part) = parts.next() {
        let done = part.commit(store, base.sequence, Some(base.counter + 1)).await?;
        if let Some(sequence) = done.sequence {
            committed.base = Base { counter: base.counter + 1, sequence };
            must_raise = false;
        }
        committed.add(done);
    }
    let sequence = committed.base.sequence;
    let mut rest = futures::stream::iter(parts.map(|part| part.commit(store, sequence, None)))
        .buffer_unordered(IN_FLIGHT);
    while let Some(done) = rest.next().await {
        committed.add(done?);
    }
    drop(rest);
    if !committed.conflicted.is_empty() {
        committed.seen = store.last_sequence().await?;
    }
    Ok(committed)
}

impl Committed {
    fn add(&mut self, done: Done) {
        self.seen = self.seen.max(done.sequence.unwrap_or_default());
        self.conflicted.extend(done.conflicted);
    }
}

/// How one transaction went.
#[derive(Debug, Default)]
struct Done {
    /// Its commit; `None` where every application in it had changed.
    sequence: Option<Sequence>,
    conflicted: BTreeSet<ApplicationKey>,
}

impl Part {
    fn has_room_for(&self, key: &ApplicationKey, write_count: usize, size_bytes: usize) -> bool {
        self.writes.len() + write_count <= MAX_WRITES
            && self.size_bytes + size_bytes <= MAX_BYTES
            && (self.compares.len() < MAX_APPLICATIONS || self.compares.contains_key(key))
    }

    /// Commits what still holds: an application that has changed is left out, and the others go on.
    async fn commit(
        mut self,
        store: &dyn Store,
        base: Sequence,
        raise_to: Option<u64>,
    ) -> Result<Done, Error> {
        let mut done = Done::default();
        while !self.writes.is_empty() {
            match store.commit(self.transaction(base, raise_to)?).await {
                Ok(sequence) => {
                    done.sequence = Some(sequence);
                    return Ok(done);
                }
                Err(store::Error::Conflict { key, .. }) => match Name::parse(&key)? {
                    Some(Name::Application(key) | Name::Failover(key)) => {
                        self.writes.retain(|(owner, _)| *owner != key);
                        self.compares.remove(&key);
                        done.conflicted.insert(key);
                    }
                    // Somebody else raised the generation: nothing of this was planned on what is there now.
                    _ => {
                        done.conflicted.extend(std::mem::take(&mut self.compares).into_keys());
                        return Ok(done);
                    }
                },
                Err(error) => return Err(error.into()),
            }
        }
        Ok(done)
    }

    fn transaction(&self, base: Sequence, raise_to: Option<u64>) -> Result<Transaction, records::Error> {
        let generation = Name::Generation.key()?;
        let expect = if base == Sequence::ZERO { Expect::Absent } else { Expect::Sequence(base) };
        let mut transaction = Transaction::new().expect(generation, expect);
        for (key, planned) in &self.compares {
            let application = Name::Application(key.clone()).key()?;
            transaction = transaction.expect(application, Expect::Sequence(planned.sequence));
            if let Some(failover) = planned.failover {
                transaction = transaction.expect(Name::Failover(key.clone()).key()?, failover);
            }
        }
        transaction.writes = self.writes.iter().map(|(_, write)| write.clone()).collect();
        if let Some(counter) = raise_to {
            transaction.writes.push(Record::Generation(counter).write()?);
        }
        Ok(transaction)
    }
}

/// Packs batches into transactions. What fits one is never torn: the standing in failover and the assignments that
/// follow from it are committed together or not at all. Exclusive work runs in one cluster and always fits. Of a larger
/// one the standing goes first, and the rest compares only the application.
fn pack(batches: Vec<Batch>) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    let mut part = Part::default();
    for batch in batches {
        let size_bytes: usize = batch.writes.iter().map(Write::size_bytes).sum();
        if !part.has_room_for(&batch.key, batch.writes.len(), size_bytes) && !part.writes.is_empty() {
            parts.push(std::mem::take(&mut part));
        }
        let mut planned = Planned { sequence: batch.sequence, failover: Some(batch.failover) };
        for write in batch.writes {
            let size_bytes = write.size_bytes();
            if !part.has_room_for(&batch.key, 1, size_bytes) && !part.writes.is_empty() {
                parts.push(std::mem::take(&mut part));
                planned.failover = None;
            }
            part.compares.entry(batch.key.clone()).or_insert(planned);
            part.writes.push((batch.key.clone(), write));
            part.size_bytes += size_bytes;
        }
    }
    if !part.writes.is_empty() {
        parts.push(part);
    }
    parts
}

/// Why a commit failed; conflicts are no failure.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    Record(#[from] records::Error),
}

impl From<Error> for super::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Store(error) => error.into(),
            Error::Record(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Key;
    use crate::store::memory::MemoryStore;

    fn key(name: &str) -> Key {
        Name::Application(name.parse().unwrap()).key().unwrap()
    }

    fn batch(name: &str, sequence: Sequence, write_count: usize) -> Batch {
        let write = |n| Write::Put { key: Key::new(format!("{name}/{n}")).unwrap(), value: "1".into() };
        let writes = (0..write_count).map(write).collect();
        Batch { key: name.parse().unwrap(), sequence, failover: Expect::Absent, writes }
    }

    async fn store() -> (MemoryStore, Base, Sequence) {
        let store = MemoryStore::default();
        let put = Transaction::new()
            .put(key("a"), "1")
            .put(key("b"), "1")
            .put(Name::Generation.key().unwrap(), "4");
        let sequence = store.commit(put).await.unwrap();
        (store, Base { counter: 4, sequence }, sequence)
    }

    async fn count(store: &MemoryStore, prefix: &str) -> usize {
        store.list(prefix, None, 1000).await.unwrap().entries.len()
    }

    #[tokio::test]
    async fn an_application_that_changed_is_left_out_and_the_others_go_on() {
        let (store, base, sequence) = store().await;
        store.commit(Transaction::new().put(key("a"), "2")).await.unwrap();
        let batches = vec![batch("a", sequence, 200), batch("b", sequence, 200)];
        let committed = commit(&store, base, true, batches).await.unwrap();
        assert_eq!(committed.conflicted, ["a".parse().unwrap()].into());
        assert_eq!((count(&store, "a/").await, count(&store, "b/").await), (0, 200));
        assert_eq!(committed.base.counter, 5);
        let generation = store.get(&Name::Generation.key().unwrap()).await.unwrap().unwrap();
        assert_eq!((&*generation.value, generation.sequence), (b"5".as_slice(), committed.base.sequence));
    }

    #[tokio::test]
    async fn an_order_that_came_meanwhile_stops_what_was_planned_without_it() {
        let (store, base, sequence) = store().await;
        let failover = Name::Failover("a".parse().unwrap()).key().unwrap();
        let order = store.commit(Transaction::new().put(failover, "1")).await.unwrap();
        let batches = vec![batch("a", sequence, 3), batch("b", sequence, 3)];
        let committed = commit(&store, base, true, batches).await.unwrap();
        assert_eq!(committed.conflicted, ["a".parse().unwrap()].into());
        assert_eq!((count(&store, "a/").await, count(&store, "b/").await), (0, 3));
        let again = Batch { failover: Expect::Sequence(order), ..batch("a", sequence, 3) };
        let committed = commit(&store, committed.base, true, vec![again]).await.unwrap();
        assert!(committed.conflicted.is_empty());
        assert_eq!(count(&store, "a/").await, 3);
    }

    #[test]
    fn what_fits_one_transaction_is_not_torn_and_no_transaction_compares_too_much() {
        let parts = pack(vec![batch("a", Sequence(1), 100), batch("b", Sequence(1), 100)]);
        let sizes: Vec<usize> = parts.iter().map(|part| part.writes.len()).collect();
        assert_eq!(sizes, [100, 100]);
        let parts = pack((0..200).map(|n| batch(&format!("a{n}"), Sequence(1), 2)).collect());
        assert!(parts.iter().all(|part| part.compares.len() * 2 < crate::store::MAX_OPERATIONS));
        assert_eq!(parts.iter().map(|part| part.compares.len()).sum::<usize>(), 200);
        let parts = pack(vec![batch("a", Sequence(1), 300)]);
        let compared: Vec<bool> =
            parts.iter().map(|part| part.compares.values().any(|it| it.failover.is_some())).collect();
        assert_eq!(compared, [true, false, false]);
    }

    #[tokio::test]
    async fn another_planner_stops_everything() {
        let (store, base, sequence) = store().await;
        store.commit(Transaction::new().put(Name::Generation.key().unwrap(), "9")).await.unwrap();
        let committed = commit(&store, base, true, vec![batch("a", sequence, 1), batch("b", sequence, 300)]);
        let committed = committed.await.unwrap();
        assert_eq!(committed.conflicted.len(), 2);
        assert_eq!(count(&store, "").await, 3);
        assert_eq!(committed.seen, store.last_sequence().await.unwrap());
    }

    #[tokio::test]
    async fn without_assignments_the_generation_stays() {
        let (store, base, sequence) = store().await;
        let committed = commit(&store, base, false, vec![batch("a", sequence, 1)]).await.unwrap();
        assert_eq!((committed.base.counter, committed.base.sequence), (4, base.sequence));
        assert_eq!(count(&store, "a/").await, 1);
    }
}
