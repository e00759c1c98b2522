//! The sled store passes the suite, and keeps its own promises: who may open it, what it says of damage and of other
//! formats, and how it stands a full disk.

#![allow(clippy::unwrap_used, clippy::expect_used)] // A failed expectation is how a test fails.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nave_hub::store::disk::FreeSpace;
use nave_hub::store::sled::{Options, SledStore};
use nave_hub::store::{Error, Key, Sequence, Store, Transaction};
use nave_tests::store_conformance::{Backend, key, list_all, next, put};

/// Small segments, so that every test crosses from one to the next.
fn options(folder: &Path) -> Options {
    Options { segment_bytes: 8 << 10, cache_bytes: 8 << 20, ..Options::new(folder.join("store")) }
}

const SLED: Backend = Backend {
    durable: true,
    open: |folder, kept| {
        let options = Options { kept_commit_count: kept, ..options(folder) };
        Box::pin(async move { Arc::new(SledStore::open(options).await.unwrap()) as Arc<dyn Store> })
    },
};

nave_tests::store_conformance!(SLED);

/// A store with some content, closed; and that content.
async fn filled(folder: &Path) -> Vec<(Key, Vec<u8>)> {
    let store = SledStore::open(options(folder)).await.unwrap();
    for n in 0..300_u32 {
        let value = vec![n as u8; 50 + n as usize % 300];
        store.commit(put(&format!("k/{}", n % 40), value)).await.unwrap();
    }
    let entries = content(&store).await;
    store.close().await.unwrap();
    entries
}

async fn content(store: &dyn Store) -> Vec<(Key, Vec<u8>)> {
    let pages = list_all(store, "", 1000).await;
    pages.into_iter().flat_map(|page| page.entries).map(|entry| (entry.key, entry.value.to_vec())).collect()
}

fn files_under(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for item in fs::read_dir(folder).unwrap() {
        let path = item.unwrap().path();
        if path.is_dir() { files.extend(files_under(&path)) } else { files.push(path) }
    }
    files.sort();
    files
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for item in fs::read_dir(from).unwrap() {
        let item = item.unwrap();
        let target = to.join(item.file_name());
        if item.path().is_dir() {
            copy_folder(&item.path(), &target);
        } else {
            fs::copy(item.path(), target).unwrap();
        }
    }
}

#[tokio::test]
async fn a_second_opener_is_told_who_has_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let store = SledStore::open(options(folder.path())).await.unwrap();
    let refused = SledStore::open(options(folder.path())).await.unwrap_err();
    assert!(matches!(refused, Error::Locked { .. }), "{refused}");
    assert!(refused.to_string().contains(&format!("process {}", std::process::id())), "{refused}");
    drop(store);
    SledStore::open(options(folder.path())).await.unwrap();
}

#[tokio::test]
async fn a_newer_format_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path()).await;
    let marker = folder.path().join("store/STORE");
    let content = fs::read_to_string(&marker).unwrap().replace("format: 1", "format: 2");
    let (content, _) = content.trim_end().rsplit_once('\n').unwrap();
    fs::write(&marker, format!("{content}\ncheck: {:08x}\n", crc32fast::hash(content.as_bytes()))).unwrap();
    let refused = SledStore::open(options(folder.path())).await.unwrap_err();
    assert!(matches!(refused, Error::NewerFormat { found: 2, known: 1, .. }), "{refused}");
}

#[tokio::test]
async fn only_the_owner_can_read_the_store() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path()).await;
    let store = folder.path().join("store");
    assert_eq!(fs::metadata(&store).unwrap().permissions().mode() & 0o777, 0o700);
    for file in files_under(&store) {
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600, "{}", file.display());
    }
}

#[tokio::test]
async fn a_store_that_lost_a_part_is_never_taken_for_new() {
    for lost in ["STORE", "journal", "table", "table/db"] {
        let folder = tempfile::tempdir().unwrap();
        filled(folder.path()).await;
        // Without its log from the beginning the journal cannot stand in for the table.
        let store = SledStore::open(options(folder.path())).await.unwrap();
        store.compact(Sequence(250)).await.unwrap();
        store.close().await.unwrap();
        let path = folder.path().join("store").join(lost);
        if path.is_dir() {
            fs::remove_dir_all(path).unwrap()
        } else {
            fs::remove_file(path).unwrap()
        }
        let refused = SledStore::open(options(folder.path())).await.unwrap_err();
        assert!(matches!(refused, Error::Corrupt { .. }), "without {lost}: {refused}");
    }
}

#[tokio::test]
async fn a_store_whose_making_was_interrupted_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    drop(SledStore::open(options(folder.path())).await.unwrap());
    let marker = folder.path().join("store/STORE");
    let content = fs::read_to_string(&marker).unwrap().replace("state: ready", "state: new");
    let (content, _) = content.trim_end().rsplit_once('\n').unwrap();
    fs::write(&marker, format!("{content}\ncheck: {:08x}\n", crc32fast::hash(content.as_bytes()))).unwrap();
    fs::remove_dir_all(folder.path().join("store/journal")).unwrap();
    let store = SledStore::open(options(folder.path())).await.unwrap();
    assert_eq!(store.commit(put("a", "1")).await.unwrap(), Sequence(1));
}

/// Whatever byte is flipped, wherever: the store is whole, or it says that it is damaged.
#[tokio::test]
async fn a_flipped_byte_is_noticed_or_harmless() {
    use rand::{RngExt, SeedableRng};
    let seed: u64 = std::env::var("NAVE_SEED").ok().map_or_else(rand::random, |seed| seed.parse().unwrap());
    println!("NAVE_SEED={seed}");
    let mut random = rand::rngs::StdRng::seed_from_u64(seed);
    let original = tempfile::tempdir().unwrap();
    let expected = filled(original.path()).await;
    let (mut noticed_count, mut harmless_count) = (0, 0);
    for _ in 0..120 {
        let folder = tempfile::tempdir().unwrap();
        copy_folder(original.path(), folder.path());
        let files = files_under(folder.path());
        let path = &files[random.random_range(0..files.len())];
        let mut bytes = fs::read(path).unwrap();
        if bytes.is_empty() {
            continue;
        }
        let at = random.random_range(0..bytes.len());
        bytes[at] ^= 1 << random.random_range(0..8);
        fs::write(path, bytes).unwrap();
        match SledStore::open(options(folder.path())).await {
            Ok(store) => {
                assert_eq!(content(&store).await, expected, "byte {at} of {}", path.display());
                assert_eq!(store.last_sequence().await.unwrap(), Sequence(300));
                harmless_count += 1;
            }
            Err(Error::Corrupt { .. } | Error::Backend { .. } | Error::NewerFormat { .. }) => {
                noticed_count += 1
            }
            Err(error) => panic!("byte {at} of {}: {error}", path.display()),
        }
    }
    println!("{noticed_count} flips noticed, {harmless_count} harmless");
    assert!(noticed_count > 0);
}

#[tokio::test]
async fn an_interrupted_write_is_cut_off_and_what_came_before_stays() {
    let folder = tempfile::tempdir().unwrap();
    let expected = filled(folder.path()).await;
    let journal = folder.path().join("store/journal");
    let last = files_under(&journal).pop().unwrap();
    for torn in
        [&b"\x07"[..], &[0; 5000], &[0xff; 100], b"\x50\0\0\0\x12\x34\x56\x78\x2d\x01\0\0\0\0\0\0\x01\0\x01"]
    {
        let mut bytes = fs::read(&last).unwrap();
        bytes.extend_from_slice(torn);
        fs::write(&last, bytes).unwrap();
        let store = SledStore::open(options(folder.path())).await.unwrap();
        assert_eq!(content(&store).await, expected);
        store.close().await.unwrap();
    }
    let unfinished = journal.join(format!("{:020}.log", 301));
    for begun in [&b""[..], b"NAVELOG1"] {
        fs::write(&unfinished, begun).unwrap();
        let store = SledStore::open(options(folder.path())).await.unwrap();
        assert_eq!(content(&store).await, expected);
        store.close().await.unwrap();
    }
    let store = SledStore::open(options(folder.path())).await.unwrap();
    assert_eq!(store.commit(put("k/0", "new")).await.unwrap(), Sequence(301));
}

#[tokio::test]
async fn a_shortened_journal_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path()).await;
    let last = files_under(&folder.path().join("store/journal")).pop().unwrap();
    let bytes = fs::read(&last).unwrap();
    fs::write(&last, &bytes[..bytes.len() - 1]).unwrap();
    let refused = SledStore::open(options(folder.path())).await.unwrap_err();
    assert!(matches!(refused, Error::Corrupt { .. }), "{refused}");
    assert_eq!(fs::read(&last).unwrap().len(), bytes.len() - 1, "nothing was changed");
}

/// As after a power cut that took what sled had not synced.
#[tokio::test]
async fn an_older_table_is_brought_up_from_the_journal() {
    let (folder, kept) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    filled(folder.path()).await;
    let table = folder.path().join("store/table");
    copy_folder(&table, kept.path());
    let store = SledStore::open(options(folder.path())).await.unwrap();
    for n in 0..700 {
        store.commit(put(&format!("k/{}", n % 50), n.to_string())).await.unwrap();
    }
    store.commit(Transaction::new().delete(key("k/1"))).await.unwrap();
    let expected = content(&store).await;
    store.close().await.unwrap();
    fs::remove_dir_all(&table).unwrap();
    copy_folder(kept.path(), &table);
    let store = SledStore::open(options(folder.path())).await.unwrap();
    assert_eq!(content(&store).await, expected);
    assert_eq!(store.last_sequence().await.unwrap(), Sequence(1001));
}

#[tokio::test]
async fn compaction_gives_disk_back_and_watches_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let store = SledStore::open(options(folder.path())).await.unwrap();
    let mut watch = store.watch(Sequence::ZERO).await.unwrap();
    for n in 0..500 {
        store.commit(put("k", vec![n as u8; 1000])).await.unwrap();
        assert_eq!(next(&mut watch).await.unwrap().sequence, Sequence(n + 1));
    }
    let journal = folder.path().join("store/journal");
    let before = files_under(&journal).len();
    store.compact(Sequence(480)).await.unwrap();
    store.commit(put("k", "last")).await.unwrap();
    assert_eq!(next(&mut watch).await.unwrap().sequence, Sequence(501));
    store.close().await.unwrap();
    let after = files_under(&journal).len();
    assert!(before > 50 && after < 6, "{before} files, then {after}");
    let store = SledStore::open(options(folder.path())).await.unwrap();
    assert!(matches!(store.watch(Sequence(478)).await, Err(Error::Compacted { oldest: Sequence(479), .. })));
    store.watch(Sequence(479)).await.unwrap();
}

#[tokio::test]
async fn the_journal_is_bounded_by_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { kept_journal_bytes: 64 << 10, ..options(folder.path()) };
    let store = SledStore::open(options).await.unwrap();
    for n in 0..400 {
        store.commit(put("k", vec![n as u8; 1000])).await.unwrap();
    }
    store.close().await.unwrap();
    let size = |path: &PathBuf| fs::metadata(path).unwrap().len();
    let total: u64 = files_under(&folder.path().join("store/journal")).iter().map(size).sum();
    assert!(total < 96 << 10, "{total}");
}

#[tokio::test]
async fn a_full_disk_refuses_writes_and_serves_reads_until_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let free = Arc::new(AtomicU64::new(u64::MAX));
    let measured = free.clone();
    let space = FreeSpace::measured_by(1 << 20, move |_| Ok(measured.load(Ordering::SeqCst)));
    let store = SledStore::open(Options { space, ..options(folder.path()) }).await.unwrap();
    store.commit(put("a", "1")).await.unwrap();
    free.store((1 << 20) + 3, Ordering::SeqCst);
    let refused = store.commit(put("a", "2")).await.unwrap_err();
    assert!(matches!(refused, Error::Full { free_bytes: 1_048_579, .. }), "{refused}");
    assert_eq!(store.get(&key("a")).await.unwrap().unwrap().value, "1");
    assert_eq!(store.list("", None, 10).await.unwrap().at, Sequence(1));
    free.store(u64::MAX, Ordering::SeqCst);
    assert_eq!(store.commit(put("a", "3")).await.unwrap(), Sequence(2));
}
