//! Liveness leases: which clusters are heard, and when they no longer are.
//!
//! A heartbeat costs two stores to memory and takes no lock. A lease is looked at when it would end if nothing more had
//! been heard: once per lease and cluster, however many heartbeats come.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nave_common::name::ClusterName;
use nave_common::status::Liveness;
use nave_common::time::Timestamp;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::World;
use super::interest::Effect;
use super::state::State;
use crate::clock::Clock;

/// When a cluster was last heard. The orderings are all sequential, so that of a heartbeat and the end of a lease at
/// the same time at least one sees the other.
#[derive(Debug, Default)]
pub(super) struct Beat {
    /// Wall clock, milliseconds since 1970; zero where it never was.
    heard_at_ms: AtomicI64,
    /// Boot clock, milliseconds.
    heard_boot_ms: AtomicU64,
    connections: AtomicU32,
    is_alive: AtomicBool,
    /// Whether the end of its lease is being waited for.
    is_armed: AtomicBool,
}

impl Beat {
    fn hear(&self, clock: &dyn Clock) {
        self.heard_at_ms.store(clock.now().as_millis(), Ordering::SeqCst);
        self.heard_boot_ms.store(millis(clock.boot()), Ordering::SeqCst);
    }

    pub(super) fn heard_at(&self) -> Option<Timestamp> {
        let millis = self.heard_at_ms.load(Ordering::SeqCst);
        (millis != 0).then(|| Timestamp::from_millis(millis).ok()).flatten()
    }

    fn ends_at_ms(&self, lease: Duration) -> u64 {
        self.heard_boot_ms.load(Ordering::SeqCst).saturating_add(millis(lease))
    }
}

/// One agent's connection. While it stands its cluster can be alive; when it is dropped, the cluster is Suspect until
/// its lease is over.
#[derive(Debug)]
pub struct Link {
    world: World,
    cluster: ClusterName,
    beat: Arc<Beat>,
}

impl Link {
    /// Notes that the agent was heard: the lease runs anew.
    pub fn heard(&self) {
        self.beat.hear(&*self.world.0.clock);
        if !self.beat.is_alive.load(Ordering::SeqCst) {
            self.world.set_liveness(&self.cluster, &self.beat, Liveness::Alive);
        }
    }

    /// The cluster.
    #[must_use]
    pub fn cluster(&self) -> &ClusterName {
        &self.cluster
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // A new connection may have come before the old one was seen to break.
        if self.beat.connections.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.world.lose_connection(&self.cluster, &self.beat);
        }
    }
}

/// The leases that are waited for, by the time on the boot clock when each would end.
#[derive(Debug, Default)]
pub(super) struct Leases {
    ends: Mutex<BTreeSet<(u64, ClusterName)>>,
    sooner: Notify,
}

impl Leases {
    fn arm(&self, ends_at_ms: u64, cluster: &ClusterName) {
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        let is_first = ends.first().is_none_or(|(first, _)| ends_at_ms < *first);
        ends.insert((ends_at_ms, cluster.clone()));
        drop(ends);
        if is_first {
            self.sooner.notify_one();
        }
    }

    fn first(&self) -> Option<u64> {
        let ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        ends.first().map(|(at, _)| *at)
    }

    fn take_due(&self, now_ms: u64) -> Vec<ClusterName> {
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        let mut due = Vec::new();
        while ends.first().is_some_and(|(at, _)| *at <= now_ms) {
            due.extend(ends.pop_first().map(|(_, cluster)| cluster));
        }
        due
    }
}

impl World {
    /// Notes that a cluster's agent has connected and was heard. `None` where no such cluster has joined.
    #[must_use]
    pub fn connected(&self, cluster: &ClusterName) -> Option<Link> {
        let beat = self.read(|state| Some(state.clusters().get(cluster)?.observed.beat.clone()))?;
        beat.connections.fetch_add(1, Ordering::SeqCst);
        let link = Link { world: self.clone(), cluster: cluster.clone(), beat };
        link.heard();
        if link.beat.is_alive.load(Ordering::SeqCst) {
            // It may be alive by an older connection whose end is being noted just now.
            self.set_liveness(cluster, &link.beat, Liveness::Alive);
        }
        Some(link)
    }

    fn set_liveness(&self, cluster: &ClusterName, beat: &Beat, liveness: Liveness) {
        self.change(|state, effects| state.set_liveness(cluster, beat, liveness, effects));
        if liveness == Liveness::Alive && !beat.is_armed.swap(true, Ordering::SeqCst) {
            self.0.leases.arm(beat.ends_at_ms(self.0.options.liveness_lease), cluster);
        }
    }

    fn lose_connection(&self, cluster: &ClusterName, beat: &Beat) {
        self.change(|state, effects| {
            // Checked again under the lock: whoever connected in between wins.
            if beat.connections.load(Ordering::SeqCst) == 0
                && state
                    .clusters()
                    .get(cluster)
                    .is_some_and(|entry| entry.observed.liveness == Liveness::Alive)
            {
                state.set_liveness(cluster, beat, Liveness::Suspect, effects);
            }
        });
    }

    /// Ends leases when they are over, until `shutdown`.
    pub(super) async fn keep_leases(&self, shutdown: &CancellationToken) {
        while !shutdown.is_cancelled() {
            let sooner = self.0.leases.sooner.notified();
            let now_ms = millis(self.0.clock.boot());
            for cluster in self.0.leases.take_due(now_ms) {
                self.end_lease(&cluster, now_ms);
            }
            let wait = async {
                match self.0.leases.first() {
                    // One millisecond more, since the timer counts whole ones.
                    Some(at) => {
                        tokio::time::sleep(Duration::from_millis(at.saturating_sub(now_ms) + 1)).await
                    }
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = wait => {}
                () = sooner => {}
                () = shutdown.cancelled() => return,
            }
        }
    }

    fn end_lease(&self, cluster: &ClusterName, now_ms: u64) {
        let lease = self.0.options.liveness_lease;
        let Some(beat) = self.read(|state| Some(state.clusters().get(cluster)?.observed.beat.clone())) else {
            return;
        };
        if beat.ends_at_ms(lease) > now_ms {
            self.0.leases.arm(beat.ends_at_ms(lease), cluster);
            return;
        }
        beat.is_armed.store(false, Ordering::SeqCst);
        self.set_liveness(cluster, &beat, Liveness::Lost);
        if beat.ends_at_ms(lease) > now_ms {
            // It was heard at this very moment.
            self.set_liveness(cluster, &beat, Liveness::Alive);
        }
    }
}

impl State {
    fn set_liveness(
        &mut self,
        name: &ClusterName,
        beat: &Beat,
        liveness: Liveness,
        effects: &mut Vec<Effect>,
    ) {
        beat.is_alive.store(liveness == Liveness::Alive, Ordering::SeqCst);
        let now = self.now();
        let Some((entry, fleet)) = self.cluster_mut(name) else { return };
        if std::mem::replace(&mut entry.observed.liveness, liveness) != liveness {
            entry.observed.facts.note_liveness(liveness, now);
            Arc::make_mut(fleet).update(name, |candidate| *candidate.liveness = liveness);
            self.note_silence();
            effects.push(Effect::Cluster(name.clone()));
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
