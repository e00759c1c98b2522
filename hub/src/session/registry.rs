//! Which clusters have a live stream: at most one each, and the newest is the one that counts.
//!
//! A cluster's agent that lost its connection comes back before the hub has noticed; so a newer stream replaces the
//! older one, which ends by itself.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nave_common::name::ClusterName;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// So many replacements within [`RIVALRY_WINDOW`] are no agent that lost its connection, but two of them in turns.
const RIVALRY_COUNT: usize = 3;
/// How close together they have to be.
const RIVALRY_WINDOW: Duration = Duration::from_secs(60);
/// How often one cluster's rivalry is told.
const RIVALRY_TOLD_EVERY: Duration = Duration::from_secs(300);

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
    /// Of clusters one of whose streams was replaced.
    rivalries: HashMap<ClusterName, Rivalry>,
    /// Clusters under whose name another one came, and when that was last told.
    impostors_told_at: HashMap<ClusterName, Instant>,
    next_id: u64,
    is_stopping: bool,
}

#[derive(Debug)]
struct Stream {
    id: u64,
    close: oneshot::Sender<Closing>,
}

/// How a cluster's streams replaced each other of late.
#[derive(Debug, Default)]
struct Rivalry {
    /// The last replacements, the latest first.
    replaced_at: [Option<Instant>; RIVALRY_COUNT],
    told_at: Option<Instant>,
}

impl Rivalry {
    /// Takes note of a replacement; whether it is time to tell of a rivalry.
    fn replaced(&mut self, now: Instant) -> bool {
        self.replaced_at.rotate_right(1);
        self.replaced_at[0] = Some(now);
        let is_within = |at: Option<Instant>, window: Duration| at.is_some_and(|at| now - at < window);
        let is_rivalry = is_within(self.replaced_at[RIVALRY_COUNT - 1], RIVALRY_WINDOW);
        let is_news = is_rivalry && !is_within(self.told_at, RIVALRY_TOLD_EVERY);
        if is_news {
            self.told_at = Some(now);
        }
        is_news
    }
}

/// A stream's place in the registry.
#[derive(Debug)]
pub struct Place {
    registry: Arc<Registry>,
    cluster: ClusterName,
    id: u64,
    /// Whether people should be told that two agents run as this cluster.
    pub is_rivalry_news: bool,
}

impl Registry {
    /// Takes the place of the cluster's stream, closing the one that had it.
    pub fn enter(self: &Arc<Self>, cluster: &ClusterName) -> (Place, oneshot::Receiver<Closing>) {
        let (close, closing) = oneshot::channel();
        let mut inner = self.lock();
        inner.next_id += 1;
        let id = inner.next_id;
        let mut is_rivalry_news = false;
        if inner.is_stopping {
            // Nobody reads the answer of a stream that is already gone.
            let _ = close.send(Closing::Stopping);
        } else {
            let older = inner.streams.insert(cluster.clone(), Stream { id, close });
            if let Some(older) = older {
                let _ = older.close.send(Closing::Replaced);
                let rivalry = inner.rivalries.entry(cluster.clone()).or_default();
                is_rivalry_news = rivalry.replaced(Instant::now());
            }
        }
        drop(inner);
        (Place { registry: self.clone(), cluster: cluster.clone(), id, is_rivalry_news }, closing)
    }

    /// Whether it is time to tell that another cluster came under this name, which is taken note of.
    pub fn is_impostor_news(&self, cluster: &ClusterName) -> bool {
        let now = Instant::now();
        let mut inner = self.lock();
        // What is too old to matter goes, and with it the names of clusters that left the fleet.
        inner.impostors_told_at.retain(|_, at| now.saturating_duration_since(*at) < RIVALRY_TOLD_EVERY);
        let is_news = !inner.impostors_told_at.contains_key(cluster);
        if is_news {
            inner.impostors_told_at.insert(cluster.clone(), now);
        }
        is_news
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

    #[tokio::test(start_paused = true)]
    async fn streams_that_replace_each_other_in_turns_are_told_of_now_and_then() {
        let registry = Arc::new(Registry::default());
        let cluster: ClusterName = "eu-1".parse().unwrap();
        let (mut place, _) = registry.enter(&cluster);
        let mut told = Vec::new();
        for second in (0..700).step_by(10) {
            (place, _) = registry.enter(&cluster);
            if place.is_rivalry_news {
                told.push(second);
            }
            tokio::time::advance(Duration::from_secs(10)).await;
        }
        assert_eq!(told, [20, 320, 620]);
        // Once in a while is an agent that lost its connection.
        tokio::time::advance(Duration::from_secs(600)).await;
        for _ in 0..20 {
            (place, _) = registry.enter(&cluster);
            assert!(!place.is_rivalry_news);
            tokio::time::advance(Duration::from_secs(30)).await;
        }
        drop(place);
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
