//! Which bundles are in use by a call that is under way, and which one is being collected: never both.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nave_common::digest::Digest;

use crate::error::Error;

/// The bundles that are in use or being collected.
#[derive(Debug, Default)]
pub(super) struct Pins {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    pinned: BTreeMap<Digest, usize>,
    dying: BTreeSet<Digest>,
    /// How many keep every bundle.
    keepers: usize,
}

/// Keeps every bundle from being collected as long as it lives.
#[derive(Debug)]
pub struct KeepAll {
    pins: Arc<Pins>,
}

/// Keeps a bundle from being collected as long as it lives.
#[derive(Debug)]
pub struct Pin {
    pins: Arc<Pins>,
    digest: Digest,
}

/// Keeps a bundle from being used as long as it lives.
#[derive(Debug)]
pub(super) struct Doom {
    pins: Arc<Pins>,
    digest: Digest,
}

impl Pins {
    pub(super) fn pin(self: &Arc<Self>, digest: Digest) -> Result<Pin, Error> {
        let mut inner = self.lock();
        if inner.dying.contains(&digest) {
            return Err(Error::Unavailable(format!(
                "bundle {digest} is being collected just now; try again"
            )));
        }
        *inner.pinned.entry(digest).or_default() += 1;
        drop(inner);
        Ok(Pin { pins: self.clone(), digest })
    }

    pub(super) fn keep_all(self: &Arc<Self>) -> KeepAll {
        self.lock().keepers += 1;
        KeepAll { pins: self.clone() }
    }

    /// Takes the bundle for collection; `None` where it is in use.
    pub(super) fn doom(self: &Arc<Self>, digest: Digest) -> Option<Doom> {
        let mut inner = self.lock();
        if inner.keepers > 0 || inner.pinned.contains_key(&digest) || !inner.dying.insert(digest) {
            return None;
        }
        drop(inner);
        Some(Doom { pins: self.clone(), digest })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut inner = self.pins.lock();
        if let Some(count) = inner.pinned.get_mut(&self.digest) {
            *count -= 1;
            if *count == 0 {
                inner.pinned.remove(&self.digest);
            }
        }
    }
}

impl Drop for KeepAll {
    fn drop(&mut self) {
        self.pins.lock().keepers -= 1;
    }
}

impl Drop for Doom {
    fn drop(&mut self) {
        self.pins.lock().dying.remove(&self.digest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_use_is_not_collected_and_what_is_being_collected_is_not_used() {
        let (pins, digest) = (Arc::new(Pins::default()), Digest::of(b"a"));
        let (one, two) = (pins.pin(digest).unwrap(), pins.pin(digest).unwrap());
        drop(one);
        assert!(pins.doom(digest).is_none());
        drop(two);
        let doom = pins.doom(digest).unwrap();
        assert!(pins.pin(digest).is_err() && pins.doom(digest).is_none());
        drop(doom);
        assert!(pins.pin(digest).is_ok());
        let keeper = pins.keep_all();
        assert!(pins.doom(digest).is_none());
        drop(keeper);
        assert!(pins.doom(digest).is_some());
    }
}
