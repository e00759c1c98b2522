//! The exclusive leases of this hub, shared by all streams and by control.
//!
//! What may be promised is read from the world, which shows only what is durable. The world is read before the leases
//! are locked: control closes a lease in here before it commits that the grant is taken back, so whatever was read
//! before is refused by the closed lease.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nave_common::application::Application;
use nave_common::assignment::{Activity, Desired};
use nave_common::failover::state::Grant;
use nave_common::failover::{Epoch, Exclusive};
use nave_common::name::{ApplicationKey, ClusterName};
use nave_common::time::BootTime;

use super::leases::{Leases, Promise, Renewal};
use crate::world::State;

/// The exclusive leases of this hub.
#[derive(Debug)]
pub struct Grants(Mutex<Leases>);

impl Grants {
    /// No lease was renewed by this process yet.
    #[must_use]
    pub fn new(started_at: BootTime) -> Self {
        Self(Mutex::new(Leases::new(started_at)))
    }

    /// Renews what a heartbeat of `cluster` asks for, where `promises` allow it ([`promises`]). `received_at` is when
    /// the heartbeat was taken from the wire.
    pub fn renew(
        &self,
        cluster: &ClusterName,
        asked: &[(ApplicationKey, Epoch)],
        promises: &BTreeMap<ApplicationKey, Promise>,
        received_at: BootTime,
    ) -> Vec<Renewal> {
        let asked = asked.iter().map(|(application, epoch)| (application, *epoch));
        self.lock().renew(cluster, asked, |application| promises.get(application).cloned(), received_at)
    }

    /// Closes the lease of a grant to renewal for good, and says when it is over at the latest.
    pub fn close(&self, application: &ApplicationKey, grant: &Grant) -> BootTime {
        self.lock().close(application, grant.epoch, grant.promised()).over_at
    }

    /// When the lease of a grant is over, where it is closed to renewal; `None` where it is not.
    #[must_use]
    pub fn closed_until(&self, application: &ApplicationKey, grant: &Grant) -> Option<BootTime> {
        let leases = self.lock();
        let is_closed = leases.is_closed(application, grant.epoch);
        is_closed.then(|| leases.over_at(application, grant.promised()).over_at)
    }

    /// When the lease of a grant would be over if it were not renewed again.
    #[must_use]
    pub fn over_at(&self, application: &ApplicationKey, grant: &Grant) -> BootTime {
        self.lock().over_at(application, grant.promised()).over_at
    }

    /// Forgets an application that is gone.
    pub fn forget(&self, application: &ApplicationKey) {
        self.lock().forget(application);
    }

    /// Nothing under this lock panics half-way.
    fn lock(&self) -> MutexGuard<'_, Leases> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What `cluster` may be promised of what it asks for: only what it is told to run under that token, by a grant that is
/// not being taken back.
pub fn promises(
    state: &State,
    cluster: &ClusterName,
    asked: &[(ApplicationKey, Epoch)],
    now: BootTime,
) -> BTreeMap<ApplicationKey, Promise> {
    let promise = |(application, epoch): &(ApplicationKey, Epoch)| {
        let grant = state.failovers().get(application)?.value.grant.as_ref()?;
        let is_granted = grant.cluster == *cluster && grant.epoch == *epoch && grant.release.is_none();
        let is_told = match &state.assignment(cluster, application)?.assignment.desired {
            Desired::Run(run) => {
                run.activity == Activity::Active && run.exclusive.is_some_and(|terms| terms.epoch == *epoch)
            }
            Desired::Remove => false,
        };
        if state.is_held(application) || state.epoch_doubt(application).is_some() {
            return None;
        }
        let rules = rules(&state.applications().get(application)?.value)?;
        let hold = state.hold_until(now);
        let duration = lease_duration(&rules, hold, now).min(grant.promised());
        let promise = Promise { cluster: cluster.clone(), epoch: *epoch, duration };
        (is_granted && is_told).then(|| (application.clone(), promise))
    };
    asked.iter().filter_map(promise).collect()
}

/// The rules of Exclusive work, as far as the application is Exclusive and wanted.
fn rules(application: &Application) -> Option<Exclusive> {
    application.spec.failover.exclusive_rules()
}

/// How long a lease that is renewed now is good for: its duration, or the rest of a maintenance hold where that is
/// longer.
#[must_use]
pub fn lease_duration(rules: &Exclusive, hold_until: Option<BootTime>, now: BootTime) -> Duration {
    let rest = hold_until.map_or(Duration::ZERO, |until| until.since(now));
    rules.lease_duration.0.max(rest)
}
