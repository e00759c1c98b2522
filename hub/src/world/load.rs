//! Feeding the world: the whole store once, then its watch.

use std::sync::PoisonError;

use tokio_util::sync::CancellationToken;

use super::state::{State, Update};
use super::{Applied, Error, World};
use crate::records::{Name, PREFIXES, Record};
use crate::store::{self, Commit, Expect, Sequence, Store, Transaction};

/// Entries asked for in one page.
const PAGE_ENTRY_COUNT: usize = 1000;

/// Reads the whole store into a new state.
pub(super) async fn load(store: &dyn Store) -> Result<State, Error> {
    initialize(store).await?;
    loop {
        match try_load(store).await {
            // So much was written while we read that the log no longer reaches back; the next try begins later.
            Err(Error::Store(store::Error::Compacted { .. })) => {}
            loaded => return loaded,
        }
    }
}

/// Makes the records that a hub's store always has.
async fn initialize(store: &dyn Store) -> Result<(), Error> {
    let (term, generation) = (Name::Term.key()?, Name::Generation.key()?);
    if store.get(&term).await?.is_some() {
        return Ok(());
    }
    let mut transaction = Transaction::new().expect(term, Expect::Absent).expect(generation, Expect::Absent);
    transaction.writes = vec![Record::Term(1).write()?, Record::Generation(0).write()?];
    match store.commit(transaction).await {
        // Another replica was quicker.
        Ok(_) | Err(store::Error::Conflict { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

async fn try_load(store: &dyn Store) -> Result<State, Error> {
    let mut state = State::default();
    let (mut first, mut last) = (None, Sequence::ZERO);
    for prefix in PREFIXES {
        let mut after = None;
        loop {
            let page = store.list(prefix, after.as_ref(), PAGE_ENTRY_COUNT).await?;
            first.get_or_insert(page.at);
            last = last.max(page.at);
            for entry in page.entries {
                if let Some(record) = Record::parse(&entry.key, &entry.value)? {
                    state.apply(entry.sequence, vec![Update::Put(record)], &mut Vec::new());
                }
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
    }
    // Pages read later may hold newer records than pages read first; what the watch brings makes them one picture.
    let mut watch = store.watch(first.unwrap_or_default()).await?;
    while watch.position() < last {
        let commit = watch.next().await?;
        state.apply(commit.sequence, parse(&commit)?, &mut Vec::new());
    }
    state.apply(last, Vec::new(), &mut Vec::new());
    Ok(state)
}

fn parse(commit: &Commit) -> Result<Vec<Update>, Error> {
    let mut updates = Vec::with_capacity(commit.changes.len());
    for change in &commit.changes {
        match &change.value {
            Some(value) => updates.extend(Record::parse(&change.key, value)?.map(Update::Put)),
            None => updates.extend(Name::parse(&change.key)?.map(Update::Delete)),
        }
    }
    Ok(updates)
}

impl World {
    pub(super) async fn feed(&self, shutdown: &CancellationToken) -> Result<(), Error> {
        let mut from = self.read(State::sequence);
        loop {
            let fed = tokio::select! {
                fed = self.feed_from(from) => fed,
                () = shutdown.cancelled() => return Ok(()),
            };
            match fed {
                Err(Error::Store(store::Error::Compacted { .. } | store::Error::Ahead { .. })) => {
                    tracing::warn!(%from, "the store's log does not reach back to the world, reading everything");
                    from = self.reload().await?;
                }
                Err(Error::Store(store::Error::Closed { .. })) => return Ok(()),
                Err(error) => return Err(error),
                Ok(()) => {}
            }
        }
    }

    async fn feed_from(&self, from: Sequence) -> Result<(), Error> {
        let mut watch = self.0.store.watch(from).await?;
        loop {
            let commit = watch.next().await?;
            // Read before the lock is taken: the reading is the slow part.
            let updates = parse(&commit)?;
            self.change(|state, effects| state.apply(commit.sequence, updates, effects));
            self.set_applied(commit.sequence);
        }
    }

    async fn reload(&self) -> Result<Sequence, Error> {
        let mut state = load(&*self.0.store).await?;
        let sequence = state.sequence();
        {
            let mut current = self.0.state.write().unwrap_or_else(PoisonError::into_inner);
            state.take_over(&current);
            *current = state;
        }
        self.0.registry.publish_everything();
        self.set_applied(sequence);
        Ok(sequence)
    }

    fn set_applied(&self, sequence: Sequence) {
        self.0.applied.send_replace(Applied { sequence, stopped: false });
    }
}
