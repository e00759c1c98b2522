//! What every store must do, whatever its backend: written once, run on each.
//!
//! A backend's test file says how it is opened and calls [`store_conformance!`](crate::store_conformance!); it may
//! add tests of its own. The model it is compared with lives in [`model`].

#![allow(clippy::unwrap_used, clippy::expect_used)] // A failed expectation is how a test fails.

pub mod blobs;
pub mod model;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::{BoxFuture, join_all};
use nave_hub::store::{
    Change, Commit, Error, Expect, Key, MAX_OPERATIONS, MAX_TRANSACTION_BYTES, MAX_VALUE_BYTES, Page,
    Sequence, Store, Transaction, Watch,
};

/// No test here waits longer than this for anything.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A kind of store under test.
pub struct Backend {
    /// True where what was acknowledged is there again after closing and opening.
    pub durable: bool,
    /// Opens the store in a folder, keeping so many commits for watches.
    pub open: fn(&Path, u64) -> BoxFuture<'static, Arc<dyn Store>>,
}

/// Declares one test per rule of the suite for the backend that the expression gives.
#[macro_export]
macro_rules! store_conformance {
    ($backend:expr) => {
        $crate::store_conformance!(@rules $backend;
            a_commit_is_read_back_with_its_sequence
            a_failed_compare_names_the_key_and_changes_nothing
            a_transaction_that_changes_nothing_takes_no_sequence
            transactions_past_their_bounds_are_refused
            pages_join_to_the_whole_listing
            a_page_ends_when_it_is_large
            a_watch_gives_every_commit_after_its_begin
            a_watch_that_waits_is_woken
            a_dropped_wait_loses_nothing
            a_compacted_log_is_said_and_entries_stay
            the_kept_log_is_bounded_by_count
            a_slow_watcher_catches_up_or_is_told
            a_closed_store_says_so_and_ends_watches
            concurrent_writers_and_watchers_see_one_order
            a_page_is_true_at_one_sequence
            what_was_acknowledged_is_there_after_reopening
        );

        #[test]
        fn any_history_matches_the_model() {
            $crate::store_conformance::model::any_history_matches_the_model(&$backend);
        }
    };
    (@rules $backend:expr; $($rule:ident)+) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $rule() {
            $crate::store_conformance::$rule(&$backend).await;
        })+
    };
}

/// The key written as `text`.
pub fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

/// A transaction of one put.
pub fn put(text: &str, value: impl Into<Bytes>) -> Transaction {
    Transaction::new().put(key(text), value)
}

/// The next commit of a watch that must have one soon.
pub async fn next(watch: &mut Watch) -> Result<Arc<Commit>, Error> {
    tokio::time::timeout(PATIENCE, watch.next()).await.expect("the watch gives a commit in time")
}

/// Every entry, page by page.
pub async fn list_all(store: &dyn Store, prefix: &str, limit: usize) -> Vec<Page> {
    let mut pages: Vec<Page> = Vec::new();
    loop {
        let after = pages.last().and_then(|page| page.next.clone());
        if !pages.is_empty() && after.is_none() {
            return pages;
        }
        pages.push(store.list(prefix, after.as_ref(), limit).await.unwrap());
    }
}

async fn fresh(backend: &Backend) -> (tempfile::TempDir, Arc<dyn Store>) {
    let folder = tempfile::tempdir().unwrap();
    let store = (backend.open)(folder.path(), 10_000).await;
    (folder, store)
}

/// Puts give sequences, entries carry them.
pub async fn a_commit_is_read_back_with_its_sequence(backend: &Backend) {
    let (_folder, store) = fresh(backend).await;
    assert_eq!(store.last_sequence().await.unwrap(), Sequence::ZERO);
    assert_eq!(store.get(&key("a")).await.unwrap(), None);
    assert_eq!(store.commit(put("a", "1")).await.unwrap(), Sequence(1));
    assert_eq!(store.commit(put("a", "2").put(key("b"), "")).await.unwrap(), Sequence(2));
    for (name, value) in [("a", "2"), ("b", "")] {
        let entry = store.get(&key(name)).await.unwrap().unwrap();
        assert_eq!((entry.key, entry.value, entry.sequence), (key(name), Bytes::from(value), Sequence(2)));
    }
    assert_eq!(store.commit(Transaction::new().delete(key("a"))).await.unwrap(), Sequence(3));
    assert_eq!(store.get(&key("a")).await.unwrap(), None);
    assert_eq!(store.last_sequence().await.unwrap(), Sequence(3));
}

/// Optimistic concurrency.
pub async fn a_failed_compare_names_the_key_and_changes_nothing(backend: &Backend) {
    let (_folder, store) = fresh(backend).await;
    let first = store.commit(put("a", "1").expect(key("a"), Expect::Absent)).await.unwrap();
    let cases = [
        (key("a"), Expect::Absent, Some(first)),
        (key("a"), Expect::Sequence(Sequence(77)), Some(first)),
        (key("none"), Expect::Sequence(first), None),
    ];
    for (name, expect, found_there) in cases {
        let transaction = put("b", "2")
            .expect(key("a"), Expect::Sequence(first))
            .expect(name.clone(), expect)
            .delete(key("a"));
        match store.commit(transaction).await {
            Err(Error::Conflict { key, expected, found }) => {
                assert_eq!((key, expected, found), (name, expect, found_there));
            }
            other => panic!("expected a conflict, got {other:?}"),
        }
        assert_eq!(store.get(&key("b")).await.unwrap(), None);
        assert_eq!(store.last_sequence().await.unwrap(), first);
    }
    let transaction =
        put("b", "2").expect(key("a"), Expect::Sequence(first)).expect(key("none"), Expect::Absent);
    store.commit(transaction).await.unwrap();
}

/// Only changes are counted.
pub async fn a_transaction_that_changes_nothing_takes_no_sequence(backend: &Backend) {
    let (_folder, store) = fresh(backend).await;
    let last = store.commit(put("a", "1")).await.unwrap();
    assert_eq!(store.commit(Transaction::new()).await.unwrap(), last);
    assert_eq!(store.commit(Transaction::new().delete(key("none"))).await.unwrap(), last);
    let checked = Transaction::new().expect(key("a"), Expect::Sequence(last));
    assert_eq!(store.commit(checked).await.unwrap(), last);
    // Deletions of absent keys are no changes of a commit that has others.
    store.commit(put("b", "2").delete(key("none"))).await.unwrap();
    let commit = next(&mut store.watch(last).await.unwrap()).await.unwrap();
    assert_eq!(commit.changes, [Change { key: key("b"), value: Some("2".into()) }]);
}

/// Bounds are the same everywhere, so that nothing works on one backend alone.
pub async fn transactions_past_their_bounds_are_refused(backend: &Backend) {
    let (_folder, store) = fresh(backend).await;
    let large = || Bytes::from(vec![7; MAX_VALUE_BYTES]);
    store.commit(put("large", large())).await.unwrap();
    let larger = store.commit(put("larger", vec![7; MAX_VALUE_BYTES + 1])).await;
    assert!(matches!(larger, Err(Error::TooLarge { .. })), "{larger:?}");
    let both =
        store.commit(put("a", large()).put(key("b"), vec![7; MAX_TRANSACTION_BYTES - MAX_VALUE_BYTES])).await;
    assert!(matches!(both, Err(Error::TooLarge { .. })), "{both:?}");
    let twice = store.commit(put("a", "1").delete(key("a"))).await;
    assert!(matches!(twice, Err(Error::Invalid { .. })), "{twice:?}");
    let many =
        |count| (0..count).fold(Transaction::new(), |all, n| all.put(key(&format!("many/{n:03}")), "x"));
    store.commit(many(MAX_OPERATIONS)).await.unwrap();
    let more = store.commit(many(MAX_OPERATIONS + 1)).await;
    assert!(matches!(more, Err(Error::Invalid { .. })), "{more:?}");
    assert_eq!(store.get(&key("large")).await.unwrap().unwrap().value, large());
    assert_eq!(store.last_sequence().await.unwrap(), Sequence(2));
}

/// Listing.
pub async fn pages_join_to_the_whole_listing(backend: &Backend) {
    let (_folder, store) = fresh(backend).await;
    let names: Vec<String> = (0..57).map(|n| format!("app/p{}/n{n:02}", n % 3)).collect();
    for name in &names {
        store.commit(put(name, name.clone())).await.unwrap();
    }
    store.commit(put("app", "before").put(key("appendix"), "after").put(key("zoo"), "after")).await.unwrap();
    for (prefix, limit) in [("app/", 10), ("app/p1/", 1), ("app/p2/n0", 100), ("", 13), ("none", 5)] {
        let mut expected: Vec<&str> = names.iter().map(String::as_str).collect();
        expected.extend(["app", "appendix", "zoo"]);
        expected.retain(|name| name.starts_with(prefix));
        expected.sort_unstable();
        let pages = list_all(&*store, prefix, limit).await;
        let found: Vec<&str> =
            pages.iter().flat_map(|page| &page.entries).map(|entry| entry.key.as_str()).collect();
        assert_eq!(found, expected, "prefix {prefix:?}");
        assert!(pages.iter().all(|page| page.entries.len() <= limit && page.at == Sequence(58)));
    }
    // A place to go on from may lie outside of the prefix.
    let page = store.list("app/p1/", Some(&key("app/p1")), 1).await.unwrap();
    assert_eq!(page.entries[0].key, key("app/p1/n01"));
    assert_eq!(store.list("app/", Some(&key("b")), 1).await.unwrap().entries, []);
}

/// Pages are bounded by bytes as well.
pub async fn a_page_ends_when_it_is_large(backend: &Backend) {
    let (_folder, store) = fresh(backend).await;
    for n in 0..12 {
        store.commit(put(&format!("k/{n:02}"), vec![n; MAX_VALUE_BYTES])).await.unwrap();
    }
    let pages = list_all(&*store, "k/", 1000).await;
    assert!(pages.len() >= 2 && pages.iter().all(|page| page.entries.len() <= 6));
    assert_eq!(pages.iter().map(|page| page.entries.len()).sum::<usize>(), 12);
}

/// Watches replay.
pub async fn a_watch_gives_every_commit_after_its_begin(backend: &Backend) {
    let (_folder, store) = fresh(backend).await;
    let mut history = Vec::new();
    for n in 0..200_u64 {
        let (put_key, put_value) = (key(&format!("k{}", n % 7)), Bytes::from(n.to_string()));
        let sequence =
            store.commit(Transaction::new().put(put_key.clone(), put_value.clone())).await.unwrap();
        history.push(Commit { sequence, changes: vec![Change { key: put_key, value: Some(put_value) }] });
    }
    for from in [0, 1, 99, 199, 200] {
        let mut watch = store.watch(Sequence(from)).await.unwrap();
        for expected in &history[from as usize..] {
            assert_eq!(*next(&mut watch).await.unwrap(), *expected);
        }
        assert_eq!(watch.position(), Sequence(200));
    }
    let ahead = store.watch(Sequence(201)).await;
    assert!(matches!(ahead, Err(Error::Ahead { last: Sequence(200), .. })), "{ahead:?}");
}

/// Watches follow.
pub async fn a_watch_that_waits_is_woken(backend: &Backend) {
    let (_folder, store) = fresh(backend).await;
    let mut watch = store.watch(Sequence::ZERO).await.unwrap();
    let waiting = tokio::spawn(async move { next(&mut watch).await.unwrap().sequence });
    store.commit(put("a", "1")).await.unwrap();
    assert_eq!(waiting.await.unwrap(), Sequence(1));
}

/// `next` may stand in a `select!`.
pub async fn a_dropped_wait_loses_nothing(backend: &Backend) {
    let (_folder, store) = fresh(backend).await;
    let mut watch = store.watch(Sequence::ZERO).await.unwrap();
    for n in 1..=50 {
        store.commit(put("a", n.to_string())).await.unwrap();
        // Polled once and dropped, at whichever await it then stands.
        let polled_once = futures::FutureExt::now_or_never(watch.next());
        if let Some(commit) = polled_once {
            assert_eq!(commit.unwrap().sequence, watch.position());
        }
    }
    while watch.position() < Sequence(50) {
        let expected = watch.position().next();
        assert_eq!(next(&mut watch).await.unwrap().sequence, expected);
    }
}

/// Compaction.
pub async fn a_compacted_log_is_said_and_entries_stay(backend: &Backend) {
    let (_folder, store) = fresh(backend).await;
    for n in 0..20 {
        store.commit(put(&format!("k{n:02}"), "v")).await.unwrap();
    }
    store.compact(Sequence(11)).await.unwrap();
    store.compact(Sequence(3)).await.unwrap();
    for from in [0, 9] {
        let refused = store.watch(Sequence(from)).await;
        assert!(matches!(refused, Err(Error::Compacted { oldest: Sequence(10), .. })), "{refused:?}");
    }
    let mut watch = store.watch(Sequence(10)).await.unwrap();
    assert_eq!(next(&mut watch).await.unwrap().sequence, Sequence(11));
    assert_eq!(list_all(&*store, "", 7).await.iter().map(|page| page.entries.len()).sum::<usize>(), 20);
    store.compact(Sequence(1000)).await.unwrap();
    assert!(store.watch(Sequence(19)).await.is_err());
    let mut watch = store.watch(Sequence(20)).await.unwrap();
    assert_eq!(store.commit(put("k", "v")).await.unwrap(), Sequence(21));
    assert_eq!(next(&mut watch).await.unwrap().sequence, Sequence(21));
}

/// The log does not grow for ever.
pub async fn the_kept_log_is_bounded_by_count(backend: &Backend) {
    let folder = tempfile::tempdir().unwrap();
    let store = (backend.open)(folder.path(), 5).await;
    for n in 0..20 {
        store.commit(put("k", n.to_string())).await.unwrap();
    }
    let refused = store.watch(Sequence(14)).await;
    assert!(matches!(refused, Err(Error::Compacted { oldest: Sequence(15), .. })), "{refused:?}");
    let mut watch = store.watch(Sequence(15)).await.unwrap();
    assert_eq!(next(&mut watch).await.unwrap().sequence, Sequence(16));
}

/// Slow watchers.
pub async fn a_slow_watcher_catches_up_or_is_told(backend: &Backend) {
    let folder = tempfile::tempdir().unwrap();
    let store = (backend.open)(folder.path(), 6000).await;
    let mut slow = store.watch(Sequence::ZERO).await.unwrap();
    let mut slower = store.watch(Sequence::ZERO).await.unwrap();
    let commits = |from: u64, to: u64| {
        let store = store.clone();
        join_all((from..to).map(move |n| {
            let store = store.clone();
            async move { store.commit(put(&format!("k/{}", n % 100), n.to_string())).await.unwrap() }
        }))
    };
    commits(0, 5500).await;
    for expected in 1..=5500 {
        assert_eq!(next(&mut slow).await.unwrap().sequence, Sequence(expected));
    }
    commits(5500, 7000).await;
    let told = next(&mut slower).await;
    assert!(matches!(told, Err(Error::Compacted { oldest: Sequence(1000), .. })), "{told:?}");
    assert_eq!(next(&mut slow).await.unwrap().sequence, Sequence(5501));
}

/// Closing.
pub async fn a_closed_store_says_so_and_ends_watches(backend: &Backend) {
    let (_folder, store) = fresh(backend).await;
    store.commit(put("a", "1")).await.unwrap();
    let mut watch = store.watch(Sequence::ZERO).await.unwrap();
    store.close().await.unwrap();
    store.close().await.unwrap();
    assert_eq!(next(&mut watch).await.unwrap().sequence, Sequence(1));
    let errors = [
        next(&mut watch).await.unwrap_err(),
        store.commit(put("a", "2")).await.unwrap_err(),
        store.get(&key("a")).await.unwrap_err(),
        store.list("", None, 1).await.unwrap_err(),
        store.watch(Sequence::ZERO).await.unwrap_err(),
        store.compact(Sequence(1)).await.unwrap_err(),
        store.last_sequence().await.unwrap_err(),
    ];
    assert!(errors.iter().all(|error| matches!(error, Error::Closed { .. })), "{errors:?}");
}

/// Many at once: compare-and-swap loses no increment, and every watcher sees the same commits.
pub async fn concurrent_writers_and_watchers_see_one_order(backend: &Backend) {
    const WRITERS: u64 = 24;
    const EACH: u64 = 40;
    let (_folder, store) = fresh(backend).await;
    let counters = 5;
    let writers = join_all((0..WRITERS).map(|writer| {
        let store = store.clone();
        tokio::spawn(async move {
            for n in 0..EACH {
                increment(&*store, &key(&format!("counter/{}", (writer + n) % counters)), writer).await;
            }
        })
    }));
    let total = WRITERS * EACH;
    let watchers = join_all((0..8).map(|watcher| {
        let store = store.clone();
        tokio::spawn(async move {
            let mut watch = store.watch(Sequence::ZERO).await.unwrap();
            let mut seen = Vec::new();
            while (seen.len() as u64) < total {
                seen.push(next(&mut watch).await.unwrap());
                if watcher == 0 && seen.len() % 100 == 0 {
                    tokio::task::yield_now().await;
                }
            }
            seen
        })
    }));
    let (written, watched) = futures::join!(writers, watchers);
    written.into_iter().for_each(|writer| writer.unwrap());
    let watched: Vec<_> = watched.into_iter().map(|seen| seen.unwrap()).collect();
    assert!(watched.iter().all(|seen| *seen == watched[0]));
    assert!(watched[0].iter().zip(1..).all(|(commit, sequence)| commit.sequence == Sequence(sequence)));
    let pages = list_all(&*store, "counter/", 2).await;
    let value =
        |entry: &nave_hub::store::Entry| std::str::from_utf8(&entry.value).unwrap().parse::<u64>().unwrap();
    assert_eq!(pages.iter().flat_map(|page| &page.entries).map(value).sum::<u64>(), total);
}

/// Adds one under the key with compare-and-swap, and leaves a trace of the writer in the same transaction.
async fn increment(store: &dyn Store, counter: &Key, writer: u64) {
    loop {
        let found = store.get(counter).await.unwrap();
        let old: u64 =
            found.as_ref().map_or(0, |entry| std::str::from_utf8(&entry.value).unwrap().parse().unwrap());
        let transaction = Transaction::new()
            .expect(counter.clone(), Expect::same_as(found.as_ref()))
            .put(counter.clone(), (old + 1).to_string())
            .put(key(&format!("trace/{writer}")), counter.to_string());
        match store.commit(transaction).await {
            Ok(_) => return,
            Err(Error::Conflict { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

/// Pages are consistent while writers go on: pairs written together are seen together, nothing is newer than `at`, and
/// replaying the watch from `at` onto the page gives the end state.
pub async fn a_page_is_true_at_one_sequence(backend: &Backend) {
    const KEYS: usize = 40;
    const COMMITS: u64 = 1500;
    let (_folder, store) = fresh(backend).await;
    let writer = {
        let store = store.clone();
        tokio::spawn(async move {
            let commit = |n: u64| {
                let pair = n as usize * 7 % KEYS;
                let (left, right) = (key(&format!("pair/{pair:02}/l")), key(&format!("pair/{pair:02}/r")));
                if n % 5 == 4 {
                    Transaction::new().delete(left).delete(right)
                } else {
                    Transaction::new().put(left, n.to_string()).put(right, n.to_string())
                }
            };
            for group in 0..COMMITS / 10 {
                join_all((group * 10..group * 10 + 10).map(|n| store.commit(commit(n)))).await;
            }
        })
    };
    let mut pages = Vec::new();
    while !writer.is_finished() {
        pages.push(store.list("pair/", None, 1000).await.unwrap());
    }
    writer.await.unwrap();
    let last = store.list("pair/", None, 1000).await.unwrap();
    let mut previous = Sequence::ZERO;
    // A fast store lists thousands of times meanwhile; some of them, from begin to end, are enough.
    let step = pages.len().div_ceil(60).max(1);
    for page in pages.into_iter().step_by(step) {
        assert!(page.at >= previous && page.entries.iter().all(|entry| entry.sequence <= page.at));
        previous = page.at;
        for pair in page.entries.chunks(2) {
            assert_eq!((&pair[0].value, pair[0].sequence), (&pair[1].value, pair[1].sequence));
        }
        let mut state: BTreeMap<Key, Bytes> =
            page.entries.into_iter().map(|entry| (entry.key, entry.value)).collect();
        let mut watch = store.watch(page.at).await.unwrap();
        while watch.position() < last.at {
            for change in &next(&mut watch).await.unwrap().changes {
                match &change.value {
                    Some(value) => state.insert(change.key.clone(), value.clone()),
                    None => state.remove(&change.key),
                };
            }
        }
        assert!(
            state.into_iter().eq(last.entries.iter().map(|entry| (entry.key.clone(), entry.value.clone())))
        );
    }
}

/// Durability, as far as it can be seen without a crash.
pub async fn what_was_acknowledged_is_there_after_reopening(backend: &Backend) {
    if !backend.durable {
        return;
    }
    let (folder, mut store) = fresh(backend).await;
    for round in 0..5_u64 {
        let before = store.last_sequence().await.unwrap();
        assert_eq!(before, Sequence(round * 100));
        join_all((0..100).map(|n| store.commit(put(&format!("k/{n}"), format!("{round}/{n}"))))).await;
        if round % 2 == 0 {
            store.close().await.unwrap();
        }
        drop(store);
        store = (backend.open)(folder.path(), 10_000).await;
        for n in 0..100 {
            let entry = store.get(&key(&format!("k/{n}"))).await.unwrap().unwrap();
            assert_eq!(entry.value, format!("{round}/{n}"));
        }
        let mut watch = store.watch(Sequence::ZERO).await.unwrap();
        for sequence in 1..=(round + 1) * 100 {
            assert_eq!(next(&mut watch).await.unwrap().sequence, Sequence(sequence));
        }
    }
}
