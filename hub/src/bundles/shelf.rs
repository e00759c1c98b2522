//! Values that are each made once for however many ask at the same time, and kept while memory allows.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use nave_common::digest::Digest;
use tokio::sync::OnceCell;

use crate::cache::Cache;
use crate::error::Error;

/// Values of one sort, each made once.
#[derive(Debug)]
pub(super) struct Shelf<V> {
    kept: Mutex<Cache<Digest, V>>,
    /// What is being made; whoever else wants it waits for the same.
    making: Mutex<HashMap<Digest, Arc<OnceCell<V>>>>,
}

impl<V: Clone> Shelf<V> {
    pub(super) fn new(limit_bytes: usize) -> Self {
        Self { kept: Mutex::new(Cache::new(limit_bytes)), making: Mutex::default() }
    }

    pub(super) fn keep(&self, digest: Digest, value: V, size_bytes: usize) {
        lock(&self.kept).put(digest, value, size_bytes);
    }

    pub(super) fn forget(&self, digest: &Digest) {
        lock(&self.kept).forget(digest);
    }

    pub(super) async fn get_or_make(
        &self,
        digest: Digest,
        make: impl Future<Output = Result<(V, usize), Error>>,
    ) -> Result<V, Error> {
        if let Some(value) = lock(&self.kept).get(&digest) {
            return Ok(value);
        }
        let cell = lock(&self.making).entry(digest).or_default().clone();
        let made = cell
            .get_or_try_init(|| async {
                let (value, size_bytes) = make.await?;
                self.keep(digest, value.clone(), size_bytes);
                Ok(value)
            })
            .await
            .cloned();
        let mut making = lock(&self.making);
        // Whoever comes after this finds it kept, or makes it again.
        if making.get(&digest).is_some_and(|other| Arc::ptr_eq(other, &cell)) {
            making.remove(&digest);
        }
        made
    }
}

/// Nothing under these locks panics half-way, so a poisoned one is as good as another.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
