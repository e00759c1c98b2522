//! The agent's side of the stream: dials out, says what it has, takes what it is told, reports what it sees.
//!
//! It decides nothing about the cluster: [`crate::desired`] keeps what was told, [`crate::reconcile`] acts on it, with
//! or without a hub. A stream that breaks is dialled again for ever, with jittered pauses.

pub mod admission;
pub mod dial;
mod fetch;
mod intake;

use std::sync::Arc;
use std::time::Duration;

use nave_common::assignment::{Assignment, Generation};
use nave_common::failover::Epoch;
use nave_common::field::FieldError;
use nave_common::name::ApplicationKey;
use nave_common::runtime::backoff::Reconnect;
use nave_proto::v1::agent_service_client::AgentServiceClient;
use nave_proto::v1::{self, sync_request, sync_response};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

use crate::desired::DesiredState;
use crate::fence::Fence;
use crate::fence::machine::Renewed;
use crate::identity::Identity;
use crate::reports::Reports;
use dial::Dial;
use fetch::Fetcher;
use intake::{Inbox, Intake};

/// Messages on their way to the hub; past that the agent waits, and status coalesces meanwhile.
const OUTBOUND_MESSAGES: usize = 16;
/// Status is sent at once, and after that at most this often.
const STATUS_INTERVAL: Duration = Duration::from_millis(50);
/// The heartbeat interval and liveness lease until the hub has said its own.
const FIRST_HEARTBEAT_INTERVAL: Duration = Duration::from_secs(2);
const FIRST_LIVENESS_LEASE: Duration = Duration::from_secs(10);
/// The longest lease that an answer can mean; a maintenance hold may be that long.
const MAX_LEASE: Duration = Duration::from_secs(7 * 86_400);

/// The agent's connection to its hubs.
pub struct Connection {
    /// Who the agent is.
    pub identity: Identity,
    /// How hubs are reached.
    pub dial: Arc<dyn Dial>,
    /// What it was told.
    pub desired: DesiredState,
    /// What it may run of that.
    pub fence: Fence,
    /// What it has to say.
    pub reports: Reports,
}

/// Why a stream ended.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Dial(#[from] dial::Error),
    #[error("the hub ended the stream: {0}")]
    Ended(String),
    #[error("the hub has not answered a heartbeat for {} ms", .0.as_millis())]
    Silent(Duration),
    #[error("the hub sent a message that cannot be read: {0}; its version may be newer than this agent's")]
    Message(#[from] FieldError),
    #[error(transparent)]
    Desired(#[from] crate::desired::Error),
}

impl Connection {
    /// Keeps a stream to one of the hubs until `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut addresses = self.identity.addresses.clone();
        let mut pause = Reconnect::new();
        loop {
            let started = Instant::now();
            tokio::select! {
                () = shutdown.cancelled() => return,
                Err(error) = self.stream(&addresses) => {
                    // A stream that held for a while is no reason to wait long for the next.
                    if started.elapsed() > FIRST_LIVENESS_LEASE {
                        pause.reset();
                    }
                    let delay = pause.next();
                    tracing::warn!(%error, retry_in_ms = delay.as_millis(), "not connected to a hub");
                    // The next try begins with another hub.
                    let skip = usize::from(addresses.len() > 1);
                    addresses.rotate_left(skip);
                    tokio::select! {
                        () = shutdown.cancelled() => return,
                        () = tokio::time::sleep(delay) => {}
                    }
                }
            }
        }
    }

    /// One stream, from dialling to its end.
    async fn stream(&self, addresses: &[String]) -> Result<std::convert::Infallible, Error> {
        let channel = self.dial.dial(addresses).await?;
        let (outbound, messages) = mpsc::channel(OUTBOUND_MESSAGES);
        let ended = |status: tonic::Status| Error::Ended(status.message().to_owned());
        send(&outbound, sync_request::Message::Hello(self.hello())).await?;
        send(&outbound, self.status(true)).await?;
        let mut inbound = AgentServiceClient::new(channel)
            .sync(ReceiverStream::new(messages))
            .await
            .map_err(ended)?
            .into_inner();

        let (answers, mut answered) = mpsc::channel(OUTBOUND_MESSAGES);
        let inbox = Arc::new(Inbox::default());
        let mut intake = tokio::task::JoinSet::new(); // dropped, and so ended, with the stream
        intake.spawn(
            Intake {
                cluster: self.identity.cluster.clone(),
                desired: self.desired.clone(),
                fetcher: Arc::new(Fetcher::new(addresses.to_vec(), self.dial.clone())),
                inbox: inbox.clone(),
                answers,
            }
            .run(),
        );

        self.fence.reconnected();
        let mut heart = Heart::new();
        let mut status_due = Instant::now();
        loop {
            tokio::select! {
                message = inbound.message() => {
                    let Some(message) = message.map_err(ended)? else { return Err(Error::Ended("it is closing".into())) };
                    self.receive(message, &inbox, &mut heart).await?;
                }
                Some(answer) = answered.recv() => send(&outbound, sync_request::Message::Accepted(answer)).await?,
                number = heart.beat() => send(&outbound, self.heartbeat(number?)).await?,
                () = self.fence.beat_wanted() => {
                    let number = heart.next();
                    send(&outbound, self.heartbeat(number)).await?;
                }
                () = self.status_changed(status_due) => {
                    send(&outbound, self.status(false)).await?;
                    status_due = Instant::now() + STATUS_INTERVAL;
                }
            }
        }
    }

    async fn receive(
        &self,
        message: v1::SyncResponse,
        inbox: &Inbox,
        heart: &mut Heart,
    ) -> Result<(), Error> {
        match message.message {
            Some(sync_response::Message::Welcome(welcome)) => {
                let generation = Generation::try_from(welcome.generation.unwrap_or_default())?;
                heart.adopt(&welcome);
                if generation.term < self.desired.generation().term {
                    tracing::error!(hub = %generation, agent = %self.desired.generation(), "the hub's term is older than one seen before; nothing of it is applied until its term is raised");
                }
                let desired = self.desired.clone();
                blocking(move || desired.saw(generation)).await?;
                tracing::info!(hub_version = %welcome.hub_version, generation = %generation, "connected to a hub");
            }
            Some(sync_response::Message::Assignments(batch)) => {
                for wire in batch.assignments {
                    inbox.leave(Assignment::try_from(wire)?);
                }
                let forgotten: Result<Vec<ApplicationKey>, _> =
                    batch.forgotten.into_iter().map(ApplicationKey::try_from).collect();
                let (desired, forgotten) = (self.desired.clone(), forgotten?);
                if !forgotten.is_empty() {
                    for key in blocking(move || desired.forget(&forgotten)).await? {
                        self.reports.forget(&key);
                    }
                }
            }
            Some(sync_response::Message::Heartbeat(answer)) => {
                heart.heard();
                let renewed = answer.renewed.into_iter().map(renewed).collect::<Result<Vec<_>, _>>()?;
                self.fence.acknowledged(answer.number, answer.term, &renewed);
            }
            None => tracing::debug!("a message of a kind that this version does not know was skipped"),
        }
        Ok(())
    }

    async fn status_changed(&self, due: Instant) {
        self.reports.changed().await;
        tokio::time::sleep_until(due).await;
    }

    fn hello(&self) -> v1::Hello {
        v1::Hello {
            cluster_uid: self.identity.cluster_uid.clone(),
            epoch: self.fence.highest().number(),
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            capabilities: Vec::new(),
            generation: Some(self.desired.generation().into()),
            applications: self.desired.assignments().iter().map(intake::held).collect(),
        }
    }

    /// The heartbeat of this number, sent now: the leases that it asks for count from here.
    fn heartbeat(&self, number: u64) -> sync_request::Message {
        let asked = self.fence.beat(number).into_iter();
        let epochs = asked.map(|(application, epoch)| v1::HeldEpoch {
            application: Some(application.into()),
            epoch: epoch.number(),
        });
        sync_request::Message::Heartbeat(v1::Heartbeat { number, epochs: epochs.collect() })
    }

    fn status(&self, full: bool) -> sync_request::Message {
        let (assignments, cluster) = if full { self.reports.all() } else { self.reports.take_dirty() };
        sync_request::Message::Status(v1::Status {
            assignments: assignments.into_iter().map(Into::into).collect(),
            cluster: cluster.map(Into::into),
            full,
        })
    }
}

fn renewed(wire: v1::Renewal) -> Result<Renewed, FieldError> {
    let application = wire.application.unwrap_or_default();
    Ok(Renewed {
        application: ApplicationKey::try_from(application)?,
        epoch: Epoch::from_number(wire.epoch),
        // An agent counts on no lease that is longer than any that a hub can mean.
        duration: Duration::from_millis(wire.duration_ms).min(MAX_LEASE),
    })
}

async fn send(outbound: &mpsc::Sender<v1::SyncRequest>, message: sync_request::Message) -> Result<(), Error> {
    let message = v1::SyncRequest { message: Some(message) };
    outbound.send(message).await.map_err(|_| Error::Ended("the connection broke".into()))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, crate::desired::Error> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => Ok(done?),
        Err(error) => Err(Error::Ended(format!("a write to the cache was broken off: {error}"))),
    }
}

/// When to send heartbeats, and how long the hub may leave them unanswered.
struct Heart {
    interval: tokio::time::Interval,
    lease: Duration,
    heard_at: Instant,
    number: u64,
}

impl Heart {
    fn new() -> Self {
        let interval = interval(FIRST_HEARTBEAT_INTERVAL);
        Self { interval, lease: FIRST_LIVENESS_LEASE, heard_at: Instant::now(), number: 0 }
    }

    /// Takes the hub's intervals, within sane bounds.
    fn adopt(&mut self, welcome: &v1::Welcome) {
        let interval_ms = u64::from(welcome.heartbeat_interval_ms).clamp(10, 60_000);
        self.interval = interval(Duration::from_millis(interval_ms));
        self.lease = Duration::from_millis(u64::from(welcome.liveness_lease_ms).max(2 * interval_ms));
        self.heard();
    }

    fn heard(&mut self) {
        self.heard_at = Instant::now();
    }

    /// The number of the next heartbeat, when it is due.
    async fn beat(&mut self) -> Result<u64, Error> {
        self.interval.tick().await;
        let silence = self.heard_at.elapsed();
        if silence > self.lease {
            return Err(Error::Silent(silence));
        }
        Ok(self.next())
    }

    /// The number of the next heartbeat.
    fn next(&mut self) -> u64 {
        self.number += 1;
        self.number
    }
}

fn interval(period: Duration) -> tokio::time::Interval {
    let mut interval = tokio::time::interval_at(Instant::now() + period, period);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    interval
}
