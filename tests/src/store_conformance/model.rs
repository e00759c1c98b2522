//! Random histories against a model: a map, and the list of all commits.

use std::collections::BTreeMap;

use bytes::Bytes;
use nave_hub::store::{Change, Commit, Error, Expect, Key, Sequence, Store, Transaction, Watch, Write};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};

use super::{Backend, key, list_all, next};

/// Commits kept for watches: few, so that histories run into the bound.
const KEPT_COMMITS: u64 = 30;

/// What may be compared with.
#[derive(Debug, Clone, Copy)]
enum Guess {
    Absent,
    Current,
    Wrong(u64),
}

/// One step of a history.
#[derive(Debug, Clone)]
enum Step {
    Commit { compares: Vec<(Index, Guess)>, writes: Vec<(Index, Option<usize>)> },
    Get(Index),
    Page { prefix: usize, after: Option<Index>, limit: usize },
    ListAll { prefix: usize, limit: usize },
    Watch(Index),
    Compact(Index),
    Reopen,
}

const PREFIXES: [&str; 6] = ["", "a", "a/", "a/b/", "c/1", "zzz"];

fn keys() -> Vec<Key> {
    ["a", "a/b", "a/b/c", "a/b/d", "a/c", "ab", "b/x", "c/1", "c/10", "c/2", "d", "~"].map(key).to_vec()
}

fn step() -> impl Strategy<Value = Step> {
    let guess = prop_oneof![
        1 => Just(Guess::Absent),
        6 => Just(Guess::Current),
        1 => (0..40_u64).prop_map(Guess::Wrong),
    ];
    let compares = prop::collection::vec((any::<Index>(), guess), 0..3);
    // Some values are large enough to fill journal segments, and some histories write a key twice in one commit.
    let value = prop_oneof![3 => (0..60_usize).prop_map(Some), 1 => (2000..6000_usize).prop_map(Some), 2 => Just(None)];
    let writes = prop::collection::vec((any::<Index>(), value), 0..4);
    prop_oneof![
        12 => (compares, writes).prop_map(|(compares, writes)| Step::Commit { compares, writes }),
        3 => any::<Index>().prop_map(Step::Get),
        3 => (0..PREFIXES.len(), any::<Option<Index>>(), 1..6_usize)
            .prop_map(|(prefix, after, limit)| Step::Page { prefix, after, limit }),
        1 => (0..PREFIXES.len(), 1..6_usize).prop_map(|(prefix, limit)| Step::ListAll { prefix, limit }),
        2 => any::<Index>().prop_map(Step::Watch),
        1 => any::<Index>().prop_map(Step::Compact),
        1 => Just(Step::Reopen),
    ]
}

/// Runs random histories; proptest prints and keeps the ones that fail.
pub fn any_history_matches_the_model(backend: &Backend) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let config = Config { cases: 60, failure_persistence: None, ..Config::default() };
    let history = prop::collection::vec(step(), 1..120);
    let run = TestRunner::new(config).run(&history, |steps| {
        runtime.block_on(run_history(backend, steps));
        Ok(())
    });
    if let Err(error) = run {
        panic!("{error}");
    }
}

#[derive(Default)]
struct Model {
    entries: BTreeMap<Key, (Sequence, Bytes)>,
    history: Vec<Commit>,
    floor: u64,
}

async fn run_history(backend: &Backend, steps: Vec<Step>) {
    let folder = tempfile::tempdir().unwrap();
    let mut store = (backend.open)(folder.path(), KEPT_COMMITS).await;
    let (mut model, keys) = (Model::default(), keys());
    let mut follower = store.watch(Sequence::ZERO).await.unwrap();
    for step in steps {
        match step {
            Step::Reopen if !backend.durable => {}
            Step::Reopen => {
                store.close().await.unwrap();
                drop(store);
                store = (backend.open)(folder.path(), KEPT_COMMITS).await;
                follower = follow_on(&*store, &model, follower.position()).await;
            }
            Step::Commit { compares, writes } => model.commit(&*store, &keys, compares, writes).await,
            step => model.look(&*store, &keys, step).await,
        }
        assert_eq!(store.last_sequence().await.unwrap(), model.last());
    }
    drain(&model, &mut follower).await;
    check_whole(&*store, &model).await;
}

/// A watch from where an earlier one stood, or from the oldest place if that is forgotten.
async fn follow_on(store: &dyn Store, model: &Model, position: Sequence) -> Watch {
    store.watch(position.max(Sequence(model.floor))).await.unwrap()
}

/// Reads a watch to the end, which must be what the model has, or to where it is told that it was too slow.
async fn drain(model: &Model, watch: &mut Watch) {
    while watch.position() < model.last() {
        let position = watch.position();
        match next(watch).await {
            Ok(commit) => assert_eq!(*commit, model.history[position.0 as usize]),
            Err(Error::Compacted { from, oldest }) => {
                assert_eq!((from, oldest), (position, Sequence(model.floor)));
                assert!(position.0 < model.floor);
                return;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

async fn check_whole(store: &dyn Store, model: &Model) {
    let pages = list_all(store, "", 4).await;
    let found = pages
        .into_iter()
        .flat_map(|page| page.entries)
        .map(|entry| (entry.key, (entry.sequence, entry.value)));
    assert!(found.eq(model.entries.clone()));
}

impl Model {
    fn last(&self) -> Sequence {
        Sequence(self.history.len() as u64)
    }

    fn sequence(&self, key: &Key) -> Option<Sequence> {
        self.entries.get(key).map(|(sequence, _)| *sequence)
    }

    async fn commit(
        &mut self,
        store: &dyn Store,
        keys: &[Key],
        compares: Vec<(Index, Guess)>,
        writes: Vec<(Index, Option<usize>)>,
    ) {
        let mut transaction = Transaction::new();
        for (index, guess) in compares {
            let key = index.get(keys);
            let expect = match guess {
                Guess::Absent => Expect::Absent,
                Guess::Wrong(sequence) => Expect::Sequence(Sequence(sequence)),
                Guess::Current => self.sequence(key).map_or(Expect::Absent, Expect::Sequence),
            };
            transaction = transaction.expect(key.clone(), expect);
        }
        for (index, length) in writes {
            let key = index.get(keys).clone();
            transaction = match length {
                Some(length) => transaction.put(key, vec![self.history.len() as u8; length]),
                None => transaction.delete(key),
            };
        }
        let expected = self.expected(&transaction);
        let found = store.commit(transaction).await;
        match (expected, found) {
            (Ok(expected), Ok(found)) => assert_eq!(expected, found),
            (Err(expected), Err(found)) => assert_eq!(expected.to_string(), found.to_string()),
            (expected, found) => panic!("expected {expected:?}, found {found:?}"),
        }
    }

    fn expected(&mut self, transaction: &Transaction) -> Result<Sequence, Error> {
        transaction.check()?;
        for compare in &transaction.compares {
            let found = self.sequence(&compare.key);
            if !compare.expect.holds(found) {
                return Err(Error::Conflict { key: compare.key.clone(), expected: compare.expect, found });
            }
        }
        let mut changes = Vec::new();
        let sequence = self.last().next();
        for write in &transaction.writes {
            let (key, value) = match write {
                Write::Put { key, value } => (key, Some(value)),
                Write::Delete { key } => (key, None),
            };
            let changed = match value {
                Some(value) => {
                    self.entries.insert(key.clone(), (sequence, value.clone()));
                    true
                }
                None => self.entries.remove(key).is_some(),
            };
            if changed {
                changes.push(Change { key: key.clone(), value: value.cloned() });
            }
        }
        if !changes.is_empty() {
            self.history.push(Commit { sequence, changes });
            self.floor = self.floor.max(self.last().0.saturating_sub(KEPT_COMMITS));
        }
        Ok(self.last())
    }

    /// The steps that change nothing but the log.
    async fn look(&mut self, store: &dyn Store, keys: &[Key], step: Step) {
        match step {
            Step::Get(index) => {
                let found =
                    store.get(index.get(keys)).await.unwrap().map(|entry| (entry.sequence, entry.value));
                assert_eq!(found.as_ref(), self.entries.get(index.get(keys)));
            }
            Step::Page { prefix, after, limit } => {
                let after = after.map(|index| index.get(keys));
                let page = store.list(PREFIXES[prefix], after, limit).await.unwrap();
                let matching = |key: &&Key| key.as_str().starts_with(PREFIXES[prefix]) && after < Some(*key);
                let expected: Vec<_> = self.entries.keys().filter(matching).take(limit).collect();
                assert_eq!(page.entries.iter().map(|entry| &entry.key).collect::<Vec<_>>(), expected);
                assert_eq!(page.at, self.last());
            }
            Step::ListAll { prefix, limit } => {
                let pages = list_all(store, PREFIXES[prefix], limit).await;
                let found = pages.iter().flat_map(|page| &page.entries).map(|entry| &entry.key);
                assert!(
                    found.eq(self.entries.keys().filter(|key| key.as_str().starts_with(PREFIXES[prefix])))
                );
            }
            Step::Watch(index) => self.watch(store, index.index(self.history.len() + 2) as u64).await,
            Step::Compact(index) => {
                let keep_from = index.index(self.history.len() + 3) as u64;
                store.compact(Sequence(keep_from)).await.unwrap();
                self.floor = self.floor.max(keep_from.saturating_sub(1).min(self.last().0));
            }
            Step::Commit { .. } | Step::Reopen => unreachable!("handled by the caller"),
        }
    }

    async fn watch(&self, store: &dyn Store, from: u64) {
        match store.watch(Sequence(from)).await {
            Ok(mut watch) => {
                assert!((self.floor..=self.last().0).contains(&from));
                drain(self, &mut watch).await;
                assert_eq!(watch.position(), self.last());
            }
            Err(Error::Compacted { oldest, .. }) => {
                assert!(
                    from < self.floor && oldest == Sequence(self.floor),
                    "{from} {oldest} {}",
                    self.floor
                );
            }
            Err(Error::Ahead { last, .. }) => assert!(from > last.0 && last == self.last()),
            Err(error) => panic!("{error}"),
        }
    }
}
