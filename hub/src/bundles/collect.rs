//! Collecting bundles that nothing names any more.
//!
//! A bundle is named by the source of an application, by a Revision, or by what a cluster is told. One that is named by
//! none of them is kept for a grace time after it was put last, since an upload comes before the apply that names it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use nave_common::assignment::Desired;
use nave_common::digest::Digest;
use nave_common::source::Source;
use tokio_util::sync::CancellationToken;

use super::Bundles;
use crate::error::{Error, with_causes};
use crate::store::blob::Listed;
use crate::world::World;

/// How long a bundle is kept that nothing names.
pub const GRACE: Duration = Duration::from_secs(24 * 3600);
/// How often bundles are looked through.
const INTERVAL: Duration = Duration::from_secs(3600);
/// Bundles looked at in one step.
const PAGE_BUNDLES: usize = 256;

/// Collects until `shutdown`.
pub async fn run(bundles: Bundles, world: World, shutdown: CancellationToken) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(INTERVAL) => {}
            () = shutdown.cancelled() => return,
        }
        match collect(&bundles, &world, GRACE).await {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "bundles collected that nothing names any more"),
            Err(error) => tracing::warn!(error = %with_causes(&error), "bundles cannot be collected"),
        }
    }
}

/// Deletes every bundle that nothing names and that was last put longer ago than `grace`; returns how many.
///
/// # Errors
/// Where the disk fails.
pub async fn collect(bundles: &Bundles, world: &World, grace: Duration) -> Result<usize, Error> {
    let (mut count, mut after) = (0, None);
    loop {
        let page = bundles.inner.blobs.list(after.as_ref(), PAGE_BUNDLES).await?;
        let old = page.blobs.iter().filter(|blob| is_old(blob, grace));
        let old: Vec<Digest> = old.map(|blob| blob.digest).collect();
        if !old.is_empty() {
            let named = named(world);
            for digest in old.into_iter().filter(|digest| !named.contains(digest)) {
                count += usize::from(collect_one(bundles, world, digest, grace).await?);
            }
        }
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(count),
        }
    }
}

/// Looks again now that nobody can begin to use it, then deletes it.
async fn collect_one(
    bundles: &Bundles,
    world: &World,
    digest: Digest,
    grace: Duration,
) -> Result<bool, Error> {
    let Some(_doom) = bundles.inner.pins.doom(digest) else { return Ok(false) };
    // It may have been put again since it was listed.
    let page = bundles.inner.blobs.list(before(&digest).as_ref(), 1).await?;
    let is_still_old = page.blobs.first().is_some_and(|blob| blob.digest == digest && is_old(blob, grace));
    if !is_still_old || named(world).contains(&digest) {
        return Ok(false);
    }
    bundles.inner.decoded.forget(&digest);
    bundles.inner.compressed.forget(&digest);
    Ok(bundles.inner.blobs.delete(&digest).await?)
}

/// A clock that was set back makes nothing old.
fn is_old(blob: &Listed, grace: Duration) -> bool {
    SystemTime::now().duration_since(blob.put_at).is_ok_and(|age| age >= grace)
}

/// The digest before this one in the order of listings; none before the first.
fn before(digest: &Digest) -> Option<Digest> {
    let mut bytes = *digest.as_bytes();
    for byte in bytes.iter_mut().rev() {
        let (less, borrows) = byte.overflowing_sub(1);
        *byte = less;
        if !borrows {
            return Some(Digest::from_bytes(bytes));
        }
    }
    None
}

/// Every bundle that something names.
fn named(world: &World) -> BTreeSet<Digest> {
    let (mut named, told) = world.read(|state| {
        let mut named = BTreeSet::new();
        let mut told = Vec::new();
        for (key, stored) in state.applications() {
            if let Source::Bundle(source) = &stored.value.spec.source {
                named.extend(source.digest);
            }
            named.extend(state.revisions(key).map(|revision| revision.bundle));
            told.extend(state.assignments_of(key).map(Arc::clone));
        }
        (named, told)
    });
    // Outside the lock: there may be millions.
    for assignment in told.iter().flat_map(|told| told.values()) {
        if let Desired::Run(run) = &assignment.desired {
            named.insert(run.bundle);
        }
    }
    named
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use nave_common::bundle::Bundle;
    use serde_json::json;

    use super::*;
    use crate::clock::SystemClock;
    use crate::store::blob::folder::FolderBlobs;
    use crate::store::disk::FreeSpace;
    use crate::store::memory::MemoryStore;
    use crate::world;

    #[test]
    fn the_digest_before_is_the_one_before() {
        let digest = |bytes: [u8; 2]| {
            let mut all = [0; 32];
            all[30..].copy_from_slice(&bytes);
            Digest::from_bytes(all)
        };
        assert_eq!(before(&digest([1, 0])), Some(digest([0, 255])));
        assert_eq!(before(&digest([0, 7])), Some(digest([0, 6])));
        assert_eq!(before(&digest([0, 0])), None);
    }

    #[tokio::test]
    async fn what_nothing_names_goes_after_its_grace_and_what_is_pinned_stays() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = FolderBlobs::open(folder.path(), FreeSpace::reserve(0)).await.unwrap();
        let bundles = Bundles::new(Arc::new(blobs), 1 << 20);
        let store = Arc::new(MemoryStore::default());
        let world = World::load(store, Arc::new(SystemClock), world::Options::default()).await.unwrap();
        let mut digests = Vec::new();
        for name in ["a", "b"] {
            let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}});
            let bundle = Bundle::from_objects([object]).unwrap();
            let encoded = Bytes::from(bundle.encode());
            digests.push(bundles.put(Arc::new(bundle), encoded).await.unwrap());
        }
        assert_eq!(collect(&bundles, &world, GRACE).await.unwrap(), 0);
        let pin = bundles.pin(digests[0]).unwrap();
        assert_eq!(collect(&bundles, &world, Duration::ZERO).await.unwrap(), 1);
        assert!(bundles.get(&digests[1]).await.is_err());
        drop(pin);
        assert!(bundles.get(&digests[0]).await.is_ok());
        assert_eq!(collect(&bundles, &world, Duration::ZERO).await.unwrap(), 1);
    }
}
