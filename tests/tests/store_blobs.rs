//! Blobs in a folder pass the suite, and say when they are damaged.

#![allow(clippy::unwrap_used, clippy::expect_used)] // A failed expectation is how a test fails.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use nave_common::digest::Digest;
use nave_hub::store::Error;
use nave_hub::store::blob::Blobs;
use nave_hub::store::blob::folder::FolderBlobs;
use nave_hub::store::disk::FreeSpace;
use nave_tests::store_conformance::blobs as suite;

async fn open(folder: &Path) -> FolderBlobs {
    FolderBlobs::open(folder.join("blobs"), FreeSpace::reserve(1 << 20)).await.unwrap()
}

fn path(folder: &Path, digest: &Digest) -> PathBuf {
    folder.join("blobs").join(&digest.hex()[..2]).join(digest.hex())
}

#[tokio::test]
async fn a_blob_is_kept_under_its_digest() {
    let folder = tempfile::tempdir().unwrap();
    suite::a_blob_is_kept_under_its_digest(&open(folder.path()).await).await;
}

#[tokio::test]
async fn a_blob_past_the_bound_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    suite::a_blob_past_the_bound_is_refused(&open(folder.path()).await).await;
}

#[test]
fn any_history_of_blobs_matches_the_model() {
    suite::any_history_of_blobs_matches_the_model(|| {
        let folder = tempfile::tempdir().unwrap();
        let blobs = tokio::runtime::Handle::current().block_on(open(folder.path()));
        (folder, Box::new(blobs))
    });
}

#[tokio::test]
async fn a_damaged_blob_is_said_and_mended_by_putting_it_again() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = open(folder.path()).await;
    let body = Bytes::from(vec![42; 10_000]);
    let digest = blobs.put(body.clone()).await.unwrap();
    let path = path(folder.path(), &digest);
    for damaged in [&body[..9_999], &[&body[..], b"x"].concat(), &vec![43; 10_000], b""] {
        fs::write(&path, damaged).unwrap();
        let said = blobs.get(&digest).await.unwrap_err();
        assert!(
            matches!(said, Error::Corrupt { .. }) && said.to_string().contains(&digest.to_string()),
            "{said}"
        );
        assert_eq!(blobs.put(body.clone()).await.unwrap(), digest);
        assert_eq!(blobs.get(&digest).await.unwrap(), Some(body.clone()));
    }
}

#[tokio::test]
async fn what_an_interrupted_put_left_is_removed_and_never_listed() {
    let folder = tempfile::tempdir().unwrap();
    let digest = open(folder.path()).await.put("body".into()).await.unwrap();
    let left = folder.path().join("blobs/unfinished/left");
    fs::write(&left, "half").unwrap();
    let blobs = open(folder.path()).await;
    assert!(!left.exists());
    let listed: Vec<_> = blobs.list(None, 10).await.unwrap().blobs.iter().map(|blob| blob.digest).collect();
    assert_eq!(listed, [digest]);
}

#[tokio::test]
async fn only_the_owner_can_read_blobs() {
    let folder = tempfile::tempdir().unwrap();
    let digest = open(folder.path()).await.put("body".into()).await.unwrap();
    let path = path(folder.path(), &digest);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o600);
    assert!(path.ancestors().skip(1).take(2).all(|folder| mode(folder) == 0o700));
}

#[tokio::test]
async fn a_full_disk_refuses_a_blob_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let space = FreeSpace::measured_by(1 << 20, |_| Ok(1 << 20));
    let blobs = FolderBlobs::open(folder.path().join("blobs"), space).await.unwrap();
    let refused = blobs.put(Bytes::from_static(b"body")).await.unwrap_err();
    assert!(matches!(refused, Error::Full { .. }), "{refused}");
    assert!(blobs.list(None, 1).await.unwrap().blobs.is_empty());
}
