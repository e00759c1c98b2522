//! One agent's stream, from its Hello to its end: reads what the agent says, and notes for the outbox what changed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use nave_common::assignment::Assignment;
use nave_common::failover::Epoch;
use nave_common::name::{ApplicationKey, ClusterName};
use nave_common::time::BootTime;
use nave_proto::v1::{self, sync_request::Message};
use tokio::time::Instant;
use tonic::{Status, Streaming};

use super::leases::Renewal;
use super::machine::{Machine, Opening, Wanted};
use super::outbox::Shared;
use super::registry::Closing;
use super::{grants, intake, report};
use crate::auth::enrolment;
use crate::auth::peer::AgentPeer;
use crate::backup::compare::compare;
use crate::error::Error;
use crate::parts::Parts;
use crate::world::{Changes, Interest, Link, State};

/// How long an agent may take for its first message.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// What a session keeps between messages.
struct Session {
    parts: Arc<Parts>,
    agent: AgentPeer,
    cluster: ClusterName,
    outbox: Arc<Shared>,
    link: Link,
    term: u64,
    /// What the agent runs and the hub has never heard of.
    unknown: BTreeSet<ApplicationKey>,
}

/// Serves one stream until either side ends it.
pub(super) async fn run(
    parts: Arc<Parts>,
    agent: AgentPeer,
    inbound: Streaming<v1::SyncRequest>,
    outbox: Arc<Shared>,
) {
    let cluster = agent.cluster.clone();
    parts.metrics.sessions.inc();
    let ended = serve(parts.clone(), agent, inbound, outbox.clone()).await;
    parts.metrics.sessions.dec();
    match ended {
        Ok(()) => {
            tracing::debug!(%cluster, "agent ended its stream");
            outbox.change(super::outbox::Outbox::finish);
        }
        Err(status) => {
            tracing::info!(%cluster, reason = status.message(), "agent's stream ended");
            outbox.change(|outbox| outbox.end(status));
        }
    }
}

async fn serve(
    parts: Arc<Parts>,
    agent: AgentPeer,
    mut inbound: Streaming<v1::SyncRequest>,
    outbox: Arc<Shared>,
) -> Result<(), Status> {
    let hello = match tokio::time::timeout(HELLO_TIMEOUT, inbound.message()).await {
        Ok(Ok(Some(v1::SyncRequest { message: Some(Message::Hello(hello)) }))) => hello,
        Ok(Ok(None)) => return Ok(()),
        Ok(Ok(Some(_))) => return Err(Status::invalid_argument("the first message must be a Hello")),
        Ok(Err(status)) => return Err(status),
        Err(_) => return Err(Status::deadline_exceeded("no Hello came in time")),
    };
    let cluster = agent.cluster.clone();
    // Subscribed before anything is read, so that no change falls in between.
    let mut changes = parts.world.subscribe(Interest::Cluster(cluster.clone()));
    enrolment::admit(&parts, &agent, &hello.cluster_uid).await?;
    let (place, mut closing) = parts.sessions.enter(&cluster);
    if place.is_rivalry_news {
        report::rivalry(&parts, &cluster);
    }
    let link = parts.world.connected(&cluster).ok_or_else(|| enrolment::not_joined(&cluster))?;
    let mut session = Session { parts, agent, cluster, outbox, link, term: 0, unknown: BTreeSet::new() };
    session.open(hello)?;

    let lease = session.parts.liveness_lease;
    let mut heard_at = Instant::now();
    let mut silence = std::pin::pin!(tokio::time::sleep(lease));
    loop {
        tokio::select! {
            message = inbound.message() => {
                let Some(message) = message? else { return Ok(()) };
                heard_at = Instant::now();
                // Exclusive leases run from here on: whatever else is done with the message comes after it.
                let received_at = session.parts.world.now().boot;
                session.receive(message, received_at)?;
            }
            changed = changes.next() => session.changed(changed)?,
            closed = &mut closing => {
                return Err(session.closed(closed.unwrap_or(Closing::Stopping)).into());
            }
            () = &mut silence => {
                // Looked at once per lease, however many messages come.
                if heard_at.elapsed() >= lease {
                    return Err(Status::deadline_exceeded("nothing was heard for a whole liveness lease"));
                }
                silence.as_mut().reset(heard_at + lease);
            }
        }
    }
}

impl Session {
    fn open(&mut self, hello: v1::Hello) -> Result<(), Error> {
        let agent_version: String = hello.agent_version.chars().take(80).collect();
        let epoch = Epoch::from_number(hello.epoch);
        let hello = intake::hello(hello)?;
        let held: BTreeSet<ApplicationKey> = hello.held.keys().cloned().collect();
        let held_count = hello.held.len();
        let (generation, wanted) =
            self.parts.world.read(|state| (state.generation(), told(state, &self.cluster)));
        self.parts
            .world
            .set_report(&self.cluster, self.parts.world.read(|state| compare(state, &self.cluster, &hello)));
        let wanted = wanted.iter().map(|assignment| (&assignment.application, Wanted::from(&**assignment)));
        let (machine, opening) = Machine::open(hello, generation, wanted);
        tracing::info!(
            cluster = %self.cluster,
            agent_version,
            held_count,
            pending_count = opening.pending.len(),
            "agent connected"
        );
        self.term = generation.term;
        let Opening { pending, unknown, ahead } = opening;
        self.parts.world.set_unknown(&self.cluster, unknown.iter().cloned().collect());
        report::unknown(&self.parts, &self.cluster, &unknown);
        if let Some(ahead) = ahead {
            report::ahead(&self.parts, &self.cluster, &ahead);
        }
        // Every grant raises the generation to its token's; a newer token is another hub's, or a later one's.
        if Epoch::of(generation).is_ok_and(|newest| epoch > newest) {
            report::epoch_ahead(&self.parts, &self.cluster, epoch);
            self.parts.world.set_epoch_ahead(&self.cluster, epoch, held);
        }
        self.unknown = unknown;
        let millis = |duration: Duration| u32::try_from(duration.as_millis()).unwrap_or(u32::MAX);
        let welcome = v1::Welcome {
            generation: Some(generation.into()),
            heartbeat_interval_ms: millis(self.parts.heartbeat_interval),
            liveness_lease_ms: millis(self.parts.liveness_lease),
            hub_version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        self.outbox.change(|outbox| outbox.open(machine, welcome, pending));
        Ok(())
    }

    /// Renews what a heartbeat asks for, as far as it may be promised.
    fn renew(&self, epochs: Vec<v1::HeldEpoch>, received_at: BootTime) -> Vec<v1::Renewal> {
        let asked = intake::epochs(epochs);
        if asked.is_empty() {
            return Vec::new();
        }
        let now = self.parts.world.now().boot;
        let promises = self.parts.world.read(|state| grants::promises(state, &self.cluster, &asked, now));
        let renewed = self.parts.grants.renew(&self.cluster, &asked, &promises, received_at);
        self.parts.metrics.failover.renewed(renewed.len(), asked.len());
        let wire = |it: Renewal| v1::Renewal {
            application: Some((&it.application).into()),
            epoch: it.epoch.number(),
            duration_ms: u64::try_from(it.duration.as_millis()).unwrap_or(u64::MAX),
        };
        renewed.into_iter().map(wire).collect()
    }

    /// Takes one message, which was taken from the wire at `received_at`.
    fn receive(&self, message: v1::SyncRequest, received_at: BootTime) -> Result<(), Error> {
        self.link.heard();
        match message.message {
            Some(Message::Heartbeat(beat)) => {
                let renewed = self.renew(beat.epochs, received_at);
                self.outbox.change(|outbox| outbox.acknowledge(beat.number, self.term, renewed));
            }
            Some(Message::Status(status)) => intake::status(&self.parts, &self.cluster, status),
            Some(Message::Accepted(accepted)) => {
                for refused in accepted.refused {
                    report::refused(&self.parts, &self.cluster, refused);
                }
            }
            Some(Message::Hello(_)) => return Err(Error::field("hello", "came twice; expected it once")),
            // A kind of message that a later version has.
            None => {}
        }
        Ok(())
    }

    fn changed(&mut self, changes: Changes) -> Result<(), Error> {
        let Changes { clusters, assignments, everything, .. } = changes;
        if everything || !clusters.is_empty() {
            self.parts.world.read(|state| enrolment::check(state, &self.agent))?;
        }
        let keys: Vec<ApplicationKey> = if everything {
            let told = self.parts.world.read(|state| told(state, &self.cluster));
            told.iter().map(|assignment| assignment.application.clone()).collect()
        } else {
            assignments.into_iter().map(|(_, key)| key).collect()
        };
        self.know(&keys);
        self.outbox.change(|outbox| {
            outbox.pend(keys);
            if everything {
                outbox.pend_known();
            }
        });
        Ok(())
    }

    /// What the hub has heard of now is no longer unknown.
    fn know(&mut self, keys: &[ApplicationKey]) {
        let before = self.unknown.len();
        for key in keys {
            self.unknown.remove(key);
        }
        if self.unknown.len() != before {
            self.parts.world.set_unknown(&self.cluster, self.unknown.iter().cloned().collect());
        }
    }

    fn closed(&self, closing: Closing) -> Error {
        match closing {
            Closing::Replaced => {
                self.parts.metrics.replaced_sessions.inc();
                Error::Conflict(format!(
                    "a newer stream of cluster {} took the place of this one",
                    self.cluster
                ))
            }
            Closing::Stopping => Error::Unavailable("the hub is stopping; come back soon".into()),
        }
    }
}

/// What a cluster is told, cheaply taken out from under the world's lock.
fn told(state: &State, cluster: &ClusterName) -> Vec<Arc<Assignment>> {
    let entries = state.assignments_in(cluster).into_iter().flat_map(|entries| entries.values());
    entries.map(|entry| entry.assignment.clone()).collect()
}
