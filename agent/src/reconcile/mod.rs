//! The reconciler: makes the cluster what it was told to be, keeps it so, and tells how it is.
//!
//! One loop owns all state. It takes in what was told ([`crate::work`]), what followers saw ([`crate::drift::follow`])
//! and what tasks brought about ([`tasks`]), decides in pure functions ([`crate::apply::plan`], [`object`], [`queue`],
//! [`status`]), and starts tasks, of which a bounded number is under way. It runs the same with a hub or without.
//!
//! **Invariant:** an application of which nothing is told is not changed, and nothing is deleted that its inventory does
//! not hold.

pub mod advance;
pub mod application;
pub mod claims;
pub mod intake;
pub mod kinds;
pub mod object;
pub mod outcome;
pub mod pause;
pub mod queue;
pub mod reconciler;
pub mod record;
pub mod replan;
pub mod resolve;
pub mod settle;
pub mod sights;
pub mod status;
pub mod tasks;
pub mod tell;
pub mod wakes;

use std::time::Duration;

use nave_common::FIELD_MANAGER;
use nave_common::time::Timestamp;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::reconciler::Reconciler;
use crate::api::Api;
use crate::cluster;
use crate::reports::Reports;
use crate::work::WorkSet;

/// How the reconciler works.
#[derive(Debug, Clone)]
pub struct Config {
    /// How many requests for single objects are under way at most.
    pub max_in_flight: usize,
    /// The name under which it owns fields.
    pub field_manager: String,
    /// How much time passes between two reports of one application at least.
    pub status_interval: Duration,
    /// Within which time an inventory is written whose objects are the same and only their digests are not. Until then
    /// an agent that starts anew applies what changed once more, which changes nothing.
    pub record_interval: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_in_flight: 16,
            field_manager: FIELD_MANAGER.to_owned(),
            status_interval: Duration::from_millis(100),
            record_interval: Duration::from_secs(10),
        }
    }
}

/// Why the reconciler ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A task did not come to its end, which is a mistake in this program; the process is to be started anew.
    #[error("a task of the reconciler broke off")]
    Task(#[source] tokio::task::JoinError),
    /// What is to run is told no longer.
    #[error("the sender of work is gone")]
    NoWork,
}

/// Runs until it is told to stop.
///
/// The client is best made without retries of its own: pauses and `Retry-After` are heeded here.
///
/// # Errors
/// [`Error`]. An API server that cannot be reached is none: it is reported, and everything goes on when it is back.
pub async fn run(
    client: kube::Client,
    work: watch::Receiver<WorkSet>,
    reports: Reports,
    config: Config,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let api = Api::new(client, config.field_manager.clone());
    // A set, so that the observer ends with this function however that ends.
    let mut beside = JoinSet::new();
    beside.spawn(cluster::observe(api.clone(), reports.clone(), shutdown.clone()));
    Box::pin(Reconciler::new(api, reports, config).run(work, &shutdown)).await
}

/// The time of day, for what people read.
#[must_use]
pub fn wall_clock() -> Timestamp {
    let millis = jiff::Timestamp::now().as_millisecond();
    // A clock so far off that no year can be written is no clock.
    Timestamp::from_millis(millis).or_else(|_| Timestamp::from_millis(0)).unwrap_or_else(|_| unreachable!())
}
