//! A disk that is really full: a small tmpfs, where this process may mount one.
//!
//! Elsewhere these tests say that they were skipped; `store_sled` has the same rule with a measure of free space that
//! a test sets.

#![allow(clippy::unwrap_used, clippy::expect_used)] // A failed expectation is how a test fails.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use bytes::Bytes;
use nave_hub::store::blob::Blobs;
use nave_hub::store::blob::folder::FolderBlobs;
use nave_hub::store::disk::FreeSpace;
use nave_hub::store::sled::{Options, SledStore};
use nave_hub::store::{Error, Key, Sequence, Store};
use nave_tests::store_conformance::{PATIENCE, key, list_all, put};

const DISK_BYTES: u64 = 64 << 20;

/// One test at a time: they start processes, and what a starting process inherits keeps files alive for a moment.
static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// A mounted tmpfs, unmounted when dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let size = format!("size={DISK_BYTES}");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "nave-test"]).arg(folder.path()).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self(folder));
        }
        println!("skipped: a tmpfs cannot be mounted here");
        None
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Fills the disk but for so many bytes; removing the returned file makes room again.
    fn fill_but(&self, left_bytes: u64) -> PathBuf {
        let found = rustix::fs::statvfs(self.path()).unwrap();
        let filler = self.path().join("filler");
        fs::write(&filler, vec![1; (found.f_bavail * found.f_frsize - left_bytes) as usize]).unwrap();
        filler
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(self.path()).status();
        assert!(unmounted.is_ok_and(|status| status.success()));
    }
}

fn options(disk: &SmallDisk, space: FreeSpace) -> Options {
    Options {
        segment_bytes: 1 << 20,
        cache_bytes: 4 << 20,
        kept_journal_bytes: 4 << 20,
        space,
        ballast_bytes: 16 << 20,
        ..Options::new(disk.path().join("store"))
    }
}

/// Writes until the store says that there is no room; what was acknowledged goes into `written`.
async fn write_until_full(store: &SledStore, written: &mut BTreeMap<Key, Bytes>) -> Error {
    for n in 0..20_000_u32 {
        let (name, value) = (format!("k/{}", n % 500), Bytes::from(vec![n as u8; 6000]));
        match store.commit(put(&name, value.clone())).await {
            Ok(_) => written.insert(key(&name), value),
            Err(error) => return error,
        };
    }
    panic!("the disk never became full");
}

async fn check(store: &SledStore, written: &BTreeMap<Key, Bytes>) {
    let pages = list_all(store, "", 100).await;
    let found = pages.into_iter().flat_map(|page| page.entries).map(|entry| (entry.key, entry.value));
    assert!(found.eq(written.clone()));
    for (key, value) in written {
        assert_eq!(store.get(key).await.unwrap().unwrap().value, *value);
    }
}

/// Commits until one is taken, which must be soon.
async fn write_again(store: &SledStore, written: &mut BTreeMap<Key, Bytes>) {
    let taken = async {
        loop {
            match store.commit(put("k/again", "again")).await {
                Ok(_) => break,
                Err(error) => assert!(error.is_full(), "{error}"),
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, taken).await.expect("writes are taken again once there is room");
    written.insert(key("k/again"), "again".into());
}

/// With a reserve the disk is never full to the last byte, and with none it is: both must hold.
async fn a_full_disk_passes(space: FreeSpace) {
    let _turn = ONE_AT_A_TIME.lock().await;
    let Some(disk) = SmallDisk::mount() else { return };
    let mut written = BTreeMap::new();
    let store = SledStore::open(options(&disk, space.clone())).await.unwrap();
    for round in 0..3 {
        let filler = disk.fill_but(space.reserve_bytes + (1 << 20));
        let refused = write_until_full(&store, &mut written).await;
        assert!(refused.is_full(), "round {round}: {refused}");
        check(&store, &written).await;
        fs::remove_file(filler).unwrap();
        write_again(&store, &mut written).await;
        check(&store, &written).await;
    }
    let last = store.last_sequence().await.unwrap();
    store.close().await.unwrap();
    let store = SledStore::open(options(&disk, space.clone())).await.unwrap();
    assert_eq!(store.last_sequence().await.unwrap(), last);
    check(&store, &written).await;
}

#[tokio::test]
async fn writes_stop_at_the_reserve_and_resume() {
    a_full_disk_passes(FreeSpace::reserve(6 << 20)).await;
}

#[tokio::test]
async fn writes_stop_at_the_last_byte_and_resume() {
    a_full_disk_passes(FreeSpace::reserve(0)).await;
}

/// As when others fill the disk between the measuring and the writing: the journal's and sled's own writes fail.
#[tokio::test]
async fn writes_that_fail_half_way_are_undone_and_resume() {
    a_full_disk_passes(FreeSpace::measured_by(0, |_| Ok(u64::MAX))).await;
}

#[tokio::test]
async fn a_store_closed_on_a_full_disk_is_whole_when_opened() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let Some(disk) = SmallDisk::mount() else { return };
    let mut written = BTreeMap::new();
    let store = SledStore::open(options(&disk, FreeSpace::reserve(0))).await.unwrap();
    let filler = disk.fill_but(1 << 20);
    assert!(write_until_full(&store, &mut written).await.is_full());
    store.close().await.unwrap();
    fs::remove_file(filler).unwrap();
    let store = SledStore::open(options(&disk, FreeSpace::reserve(0))).await.unwrap();
    check(&store, &written).await;
    assert!(store.last_sequence().await.unwrap() > Sequence::ZERO);
}

#[tokio::test]
async fn a_blob_that_does_not_fit_leaves_nothing_behind() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let Some(disk) = SmallDisk::mount() else { return };
    let blobs = FolderBlobs::open(disk.path().join("blobs"), FreeSpace::reserve(0)).await.unwrap();
    // More than is free, although less than was measured: as when another fills the disk meanwhile.
    let measured_wrong = FreeSpace::measured_by(0, |_| Ok(u64::MAX));
    let hopeful = FolderBlobs::open(disk.path().join("blobs"), measured_wrong).await.unwrap();
    for blobs in [&blobs, &hopeful] {
        let refused = blobs.put(Bytes::from(vec![5; DISK_BYTES as usize + 1])).await.unwrap_err();
        assert!(refused.is_full(), "{refused}");
    }
    let fits = Bytes::from(vec![6; DISK_BYTES as usize / 2]);
    let digest = blobs.put(fits.clone()).await.unwrap();
    assert_eq!(blobs.get(&digest).await.unwrap(), Some(fits));
}
