//! Exclusive leases as the hub grants them: pure, no I/O, no clock.
//!
//! Only an answer to a heartbeat renews, and only what that heartbeat asked for by name. How long a lease may be
//! promised is durable in the store before it is promised here ([`Promise::duration`] is read from what the store
//! holds). A lease that was closed is never renewed again, by no stream and however late: it is closed first, and only
//! then is its last renewal read, so that nothing can be renewed in between.
//!
//! **Invariant:** of one application at most one (cluster, epoch) is ever renewed, and never one below the highest that
//! was closed.

use std::collections::BTreeMap;
use std::time::Duration;

use nave_common::failover::{Epoch, grantor_lease};
use nave_common::name::{ApplicationKey, ClusterName};
use nave_common::time::BootTime;

/// What may be promised to the holder of a lease: what the store says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Promise {
    /// Who holds it.
    pub cluster: ClusterName,
    /// Its token.
    pub epoch: Epoch,
    /// How long a renewal is good for; at most what is durable.
    pub duration: Duration,
}

/// One lease that was renewed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renewal {
    /// The application.
    pub application: ApplicationKey,
    /// The token.
    pub epoch: Epoch,
    /// How long it is good for, from when its holder sent the heartbeat.
    pub duration: Duration,
}

/// When a closed lease is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed {
    /// Its holder has given it up by then, however its clock drifts within the margin.
    pub over_at: BootTime,
}

/// The leases of one hub process.
#[derive(Debug)]
pub struct Leases {
    /// When this process started: an earlier one may have renewed anything until then.
    started_at: BootTime,
    by_application: BTreeMap<ApplicationKey, Lease>,
}

#[derive(Debug, Clone, Copy)]
struct Lease {
    epoch: Epoch,
    /// The last heartbeat that was answered with a renewal, by when it was received.
    renewed_at: Option<BootTime>,
    /// The longest that was promised under this epoch by this process.
    promised: Duration,
    is_closed: bool,
}

impl Leases {
    /// No lease was renewed by this process yet.
    #[must_use]
    pub fn new(started_at: BootTime) -> Self {
        Self { started_at, by_application: BTreeMap::new() }
    }

    /// Renews what a heartbeat asks for, where `promised` allows it. `received_at` is when the heartbeat came.
    pub fn renew<'a>(
        &mut self,
        cluster: &ClusterName,
        asked: impl IntoIterator<Item = (&'a ApplicationKey, Epoch)>,
        promised: impl Fn(&ApplicationKey) -> Option<Promise>,
        received_at: BootTime,
    ) -> Vec<Renewal> {
        let mut renewals = Vec::new();
        for (application, epoch) in asked {
            let Some(promise) = promised(application) else { continue };
            if promise.cluster != *cluster || promise.epoch != epoch {
                continue;
            }
            let new = Lease { epoch, renewed_at: None, promised: Duration::ZERO, is_closed: false };
            let lease = self.by_application.entry(application.clone()).or_insert(new);
            if epoch > lease.epoch {
                *lease = new;
            }
            if lease.epoch != epoch || lease.is_closed {
                continue;
            }
            lease.renewed_at = lease.renewed_at.max(Some(received_at));
            lease.promised = lease.promised.max(promise.duration);
            renewals.push(Renewal { application: application.clone(), epoch, duration: promise.duration });
        }
        renewals
    }

    /// Closes a lease to renewal for good, and says when it is over at the latest. `promised` is the longest that the
    /// store says was ever promised under this epoch.
    pub fn close(&mut self, application: &ApplicationKey, epoch: Epoch, promised: Duration) -> Closed {
        let new = Lease { epoch, renewed_at: None, promised: Duration::ZERO, is_closed: true };
        let lease = self.by_application.entry(application.clone()).or_insert(new);
        if epoch > lease.epoch {
            *lease = new;
        }
        lease.is_closed = true;
        self.over_at(application, promised)
    }

    /// Whether the lease under this token is closed to renewal.
    #[must_use]
    pub fn is_closed(&self, application: &ApplicationKey, epoch: Epoch) -> bool {
        self.by_application
            .get(application)
            .is_some_and(|lease| lease.epoch > epoch || lease.epoch == epoch && lease.is_closed)
    }

    /// When a lease would be over if it were not renewed again.
    #[must_use]
    pub fn over_at(&self, application: &ApplicationKey, promised: Duration) -> Closed {
        let lease = self.by_application.get(application);
        let renewed_at = lease.and_then(|lease| lease.renewed_at).unwrap_or(self.started_at);
        let promised = lease.map_or(promised, |lease| promised.max(lease.promised));
        Closed { over_at: renewed_at.max(self.started_at).plus(grantor_lease(promised)) }
    }

    /// Forgets an application that is gone.
    pub fn forget(&mut self, application: &ApplicationKey) {
        self.by_application.remove(application);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn at(seconds: u64) -> BootTime {
        BootTime::from_duration(Duration::from_secs(seconds))
    }

    fn ledger() -> ApplicationKey {
        "ledger".parse().unwrap()
    }

    fn promise(epoch: u64) -> Option<Promise> {
        let cluster = "eu-1".parse().unwrap();
        Some(Promise { cluster, epoch: Epoch::from_number(epoch), duration: MINUTE })
    }

    fn renew(leases: &mut Leases, cluster: &str, asked: u64, promised: u64, seconds: u64) -> usize {
        let (cluster, key) = (cluster.parse().unwrap(), ledger());
        let asked = [(&key, Epoch::from_number(asked))];
        leases.renew(&cluster, asked, |_| promise(promised), at(seconds)).len()
    }

    #[test]
    fn only_the_holder_of_the_newest_epoch_is_renewed() {
        let mut leases = Leases::new(at(0));
        assert_eq!(renew(&mut leases, "eu-1", 7, 7, 1), 1);
        assert_eq!(renew(&mut leases, "us-1", 7, 7, 2), 0);
        assert_eq!(renew(&mut leases, "eu-1", 6, 7, 2), 0);
        assert_eq!(renew(&mut leases, "eu-1", 8, 7, 2), 0);
        assert_eq!(renew(&mut leases, "eu-1", 8, 8, 3), 1);
        // The store's word of epoch 8 comes back late as that of 7.
        assert_eq!(renew(&mut leases, "eu-1", 7, 7, 4), 0);
    }

    #[test]
    fn what_is_closed_stays_closed_and_is_over_a_margin_after_the_last_renewal() {
        let mut leases = Leases::new(at(0));
        assert_eq!(renew(&mut leases, "eu-1", 7, 7, 100), 1);
        let closed = leases.close(&ledger(), Epoch::from_number(7), MINUTE);
        assert_eq!(closed.over_at, at(100).plus(grantor_lease(MINUTE)));
        assert_eq!(renew(&mut leases, "eu-1", 7, 7, 101), 0);
        assert_eq!(leases.close(&ledger(), Epoch::from_number(7), MINUTE), closed);
        assert_eq!(renew(&mut leases, "eu-1", 9, 9, 300), 1);
    }

    #[test]
    fn a_hub_that_started_waits_for_all_that_was_promised_before() {
        let mut leases = Leases::new(at(500));
        let half_an_hour = Duration::from_secs(1800);
        let closed = leases.close(&ledger(), Epoch::from_number(7), half_an_hour);
        assert_eq!(closed.over_at, at(500).plus(grantor_lease(half_an_hour)));
    }
}
