//! Which clusters have a live stream: at most one each, and the newest is the one that counts.
//!
//! A cluster's agent that lost its connection comes back before the hub has noticed; so a newer stream replaces the
//! older one, which ends by itself.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nave_common::name::ClusterName;
use tokio::sync::oneshot;

/// Why a stream is closed from this side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closing {
    /// The cluster's agent connected anew.
    Replaced,
    /// The hub stops.
    Stopping,
}

/// The live streams.
#[derive(Debug, Default)]
pub struct Registry {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    streams: HashMap<ClusterName, Stream>,
    next_id: u64,
    is_stopping: bool,
}

#[derive(Debug)]
struct Stream {
    id: u64,
    close: oneshot::Sender<Closing>,
}

/// A stream's place in the registry.
#[derive(Debug)]
pub struct Place {
    registry: Arc<Registry>,
    cluster: ClusterName,
    id: u64,
}

impl Registry {
    /// Takes the place of the cluster's stream, closing the one that had it.
    pub fn enter(self: &Arc<Self>, cluster: &ClusterName) -> (Place, oneshot::Receiver<Closing>) {
        let (close, closing) = oneshot::channel();
        let mut inner = self.lock();
        inner.next_id += 1;
        let id = inner.next_id;
        if inner.is_stopping {
            // Nobody reads the answer of a stream that is already gone.
            let _ = close.send(Closing::Stopping);
        } else {
            let older = inner.streams.insert(cluster.clone(), Stream { id, close });
            if let Some(older) = older {
                let _ = older.close.send(Closing::Replaced);
            }
        }
        drop(inner);
        (Place { registry: self.clone(), cluster: cluster.clone(), id }, closing)
    }

    /// Closes every stream, and those that come later.
    pub fn stop(&self) {
        let mut inner = self.lock();
        inner.is_stopping = true;
        for (_, stream) in inner.streams.drain() {
            let _ = stream.close.send(Closing::Stopping);
        }
    }

    /// How many streams are live.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().streams.len()
    }

    /// Whether no stream is live.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Whether no newer stream has taken the place.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.registry.lock().streams.get(&self.cluster).is_some_and(|stream| stream.id == self.id)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut inner = self.registry.lock();
        if inner.streams.get(&self.cluster).is_some_and(|stream| stream.id == self.id) {
            inner.streams.remove(&self.cluster);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_stream_replaces_the_older() {
        let registry = Arc::new(Registry::default());
        let cluster: ClusterName = "eu-1".parse().unwrap();
        let (old, mut old_closing) = registry.enter(&cluster);
        assert!(old_closing.try_recv().is_err() && old.is_current());
        let (new, mut new_closing) = registry.enter(&cluster);
        assert_eq!(old_closing.try_recv(), Ok(Closing::Replaced));
        assert!(!old.is_current() && new.is_current());
        drop(old);
        assert_eq!(registry.len(), 1);
        assert_eq!(new_closing.try_recv(), Err(oneshot::error::TryRecvError::Empty));
        drop(new);
        assert!(registry.is_empty());
    }

    #[test]
    fn a_stopping_registry_lets_nobody_in() {
        let registry = Arc::new(Registry::default());
        let (_place, mut closing) = registry.enter(&"eu-1".parse().unwrap());
        registry.stop();
        assert_eq!(closing.try_recv(), Ok(Closing::Stopping));
        let (_late, mut late_closing) = registry.enter(&"eu-2".parse().unwrap());
        assert_eq!(late_closing.try_recv(), Ok(Closing::Stopping));
    }
}
