//! What every place for blobs must do, whatever its backend.

use std::collections::BTreeMap;

use bytes::Bytes;
use nave_common::digest::Digest;
use nave_hub::store::Error;
use nave_hub::store::blob::{BlobPage, Blobs, MAX_BLOB_BYTES};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// Every digest, page by page.
pub async fn list_all(blobs: &dyn Blobs, limit: usize) -> Vec<BlobPage> {
    let mut pages: Vec<BlobPage> = Vec::new();
    loop {
        let after = pages.last().and_then(|page| page.next);
        if !pages.is_empty() && after.is_none() {
            return pages;
        }
        pages.push(blobs.list(after.as_ref(), limit).await.unwrap());
    }
}

/// Put, get, ranges, size, delete.
pub async fn a_blob_is_kept_under_its_digest(blobs: &dyn Blobs) {
    let body = Bytes::from((0..100_000_u32).flat_map(u32::to_le_bytes).collect::<Vec<u8>>());
    let digest = blobs.put(body.clone()).await.unwrap();
    assert_eq!(digest, Digest::of(&body));
    assert_eq!(blobs.put(body.clone()).await.unwrap(), digest);
    assert_eq!(blobs.get(&digest).await.unwrap().as_ref(), Some(&body));
    assert_eq!(blobs.size(&digest).await.unwrap(), Some(400_000));
    assert!(blobs.contains(&digest).await.unwrap());
    for (offset, length) in
        [(0, 10), (399_990, 100), (123, 4567), (400_000, 5), (500_000, 5), (0, usize::MAX)]
    {
        let range = blobs.read_range(&digest, offset, length).await.unwrap().unwrap();
        let begin = body.len().min(offset as usize);
        assert_eq!(range, body.slice(begin..body.len().min(begin.saturating_add(length))));
    }
    assert!(blobs.delete(&digest).await.unwrap());
    assert!(!blobs.delete(&digest).await.unwrap());
    assert_eq!(blobs.get(&digest).await.unwrap(), None);
    assert_eq!(blobs.size(&digest).await.unwrap(), None);
    assert_eq!(blobs.read_range(&digest, 0, 1).await.unwrap(), None);
    let empty = blobs.put(Bytes::new()).await.unwrap();
    assert_eq!(blobs.get(&empty).await.unwrap(), Some(Bytes::new()));
    assert!(blobs.delete(&empty).await.unwrap());
}

/// Bounds.
pub async fn a_blob_past_the_bound_is_refused(blobs: &dyn Blobs) {
    let refused = blobs.put(Bytes::from(vec![0; MAX_BLOB_BYTES as usize + 1])).await;
    assert!(matches!(refused, Err(Error::TooLarge { .. })), "{refused:?}");
}

#[derive(Debug, Clone)]
enum Step {
    Put(u8),
    Get(u8),
    Delete(u8),
    List(usize),
}

/// Random histories against a map.
pub fn any_history_of_blobs_matches_the_model(open: impl Fn() -> (tempfile::TempDir, Box<dyn Blobs>)) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let step = prop_oneof![
        4 => any::<u8>().prop_map(Step::Put),
        2 => any::<u8>().prop_map(Step::Get),
        2 => any::<u8>().prop_map(Step::Delete),
        1 => (1..20_usize).prop_map(Step::List),
    ];
    let config = Config { cases: 20, failure_persistence: None, ..Config::default() };
    let run = TestRunner::new(config).run(&prop::collection::vec(step, 1..60), |steps| {
        let _inside = runtime.enter();
        let (_folder, blobs) = open();
        runtime.block_on(run_history(&*blobs, steps));
        Ok(())
    });
    if let Err(error) = run {
        panic!("{error}");
    }
}

async fn run_history(blobs: &dyn Blobs, steps: Vec<Step>) {
    let body = |seed: u8| Bytes::from(vec![seed; usize::from(seed) * 37]);
    let mut model: BTreeMap<Digest, Bytes> = BTreeMap::new();
    for step in steps {
        match step {
            Step::Put(seed) => {
                let digest = blobs.put(body(seed)).await.unwrap();
                model.insert(digest, body(seed));
            }
            Step::Get(seed) => {
                let digest = Digest::of(&body(seed));
                assert_eq!(blobs.get(&digest).await.unwrap().as_ref(), model.get(&digest));
            }
            Step::Delete(seed) => {
                let digest = Digest::of(&body(seed));
                assert_eq!(blobs.delete(&digest).await.unwrap(), model.remove(&digest).is_some());
            }
            Step::List(limit) => {
                let pages = list_all(blobs, limit).await;
                assert!(pages.iter().all(|page| page.blobs.len() <= limit));
                let found =
                    pages.into_iter().flat_map(|page| page.blobs).map(|blob| (blob.digest, blob.size_bytes));
                assert!(found.eq(model.iter().map(|(digest, body)| (*digest, body.len() as u64))));
            }
        }
    }
}
