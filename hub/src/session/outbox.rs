//! What waits to go to one agent, and in which order it goes.
//!
//! The outbox holds names, not messages: what an application is to be is read from the world at the moment when the
//! wire has room. So the newest wins, a slow agent costs the hub the names of its applications and nothing more, and
//! no queue can delay another agent. A heartbeat's answer goes before everything else.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use futures::Stream;
use nave_common::assignment::Assignment;
use nave_common::name::ApplicationKey;
use nave_proto::v1::{self, sync_response::Message};
use prost::Message as _;
use tonic::Status;

use super::machine::{Machine, Step};
use crate::metrics::Metrics;

/// Assignments in one message, in bytes: large enough to keep a fast line busy, small enough that the answer to a
/// heartbeat behind it is not late on a slow one. One assignment larger than that goes alone.
pub const MAX_BATCH_BYTES: usize = 256 << 10;

/// Where an outbox reads what is wanted.
pub trait View {
    /// What is wanted of an application; `None` where nothing is, not even its removal.
    fn wanted(&self, key: &ApplicationKey) -> Option<Arc<Assignment>>;

    /// Whether nothing is said of it now: it is held after a restore, and is looked at again when it is released.
    fn is_withheld(&self, _wanted: &Assignment) -> bool {
        false
    }
}

/// What waits to go to one agent.
#[derive(Debug, Default)]
pub struct Outbox {
    machine: Option<Machine>,
    welcome: Option<v1::Welcome>,
    heartbeat: Option<v1::HeartbeatAck>,
    pending: BTreeSet<ApplicationKey>,
    end: Option<Status>,
    is_ended: bool,
}

impl Outbox {
    /// Begins, once the agent has said what it has.
    pub fn open(&mut self, machine: Machine, welcome: v1::Welcome, pending: BTreeSet<ApplicationKey>) {
        self.machine = Some(machine);
        self.welcome = Some(welcome);
        // What changed while the Hello was looked at stays.
        self.pending.extend(pending);
    }

    /// Applications that may have to be sent.
    pub fn pend(&mut self, keys: impl IntoIterator<Item = ApplicationKey>) {
        self.pending.extend(keys);
    }

    /// Answers a heartbeat with what it renewed. One that was not answered yet is answered with it: a heartbeat asks for
    /// all that its agent holds, so of two answers the later one is worth as much, and what only the earlier one
    /// renewed was closed since.
    pub fn acknowledge(&mut self, number: u64, term: u64, renewed: Vec<v1::Renewal>) {
        self.heartbeat = Some(v1::HeartbeatAck { number, term, renewed });
    }

    /// Ends the stream with this status, dropping what waits: the agent asks again when it comes back.
    pub fn end(&mut self, status: Status) {
        if self.end.is_none() && !self.is_ended {
            self.end = Some(status);
        }
    }

    /// Everything is looked at again, as after a gap in what is known to have changed.
    pub fn pend_known(&mut self) {
        if let Some(machine) = &self.machine {
            self.pending.extend(machine.known().cloned());
        }
    }

    /// Ends the stream without a word: the agent ended its side.
    pub fn finish(&mut self) {
        self.is_ended = true;
    }

    /// How many applications wait.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.pending.len()
    }

    /// The next message, or the end.
    pub fn next(&mut self, view: &impl View) -> Option<Result<v1::SyncResponse, Status>> {
        if let Some(status) = self.end.take() {
            self.is_ended = true;
            return Some(Err(status));
        }
        let machine = self.machine.as_mut()?;
        let message = if let Some(welcome) = self.welcome.take() {
            Message::Welcome(welcome)
        } else if let Some(heartbeat) = self.heartbeat.take() {
            Message::Heartbeat(heartbeat)
        } else {
            Message::Assignments(next_batch(machine, &mut self.pending, view)?)
        };
        Some(Ok(v1::SyncResponse { message: Some(message) }))
    }
}

/// Takes what is pending, until a message is full or nothing is left; `None` where nothing of it had to be said.
fn next_batch(
    machine: &mut Machine,
    pending: &mut BTreeSet<ApplicationKey>,
    view: &impl View,
) -> Option<v1::Assignments> {
    let mut batch = v1::Assignments::default();
    let mut size_bytes = 0;
    while let Some(key) = pending.pop_first() {
        let wanted = view.wanted(&key);
        if wanted.as_ref().is_some_and(|wanted| view.is_withheld(wanted)) {
            continue;
        }
        match (machine.look(&key, wanted.as_ref().map(|it| it.generation)), wanted) {
            (Step::Send, Some(wanted)) => {
                let assignment = v1::Assignment::from(&*wanted);
                let more = assignment.encoded_len();
                if size_bytes > 0 && size_bytes + more > MAX_BATCH_BYTES {
                    pending.insert(key);
                    break;
                }
                size_bytes += more;
                tracing::debug!(
                    cluster = %wanted.cluster,
                    application = %key,
                    generation = %wanted.generation,
                    change_id = wanted.change_id,
                    "assignment sent"
                );
                machine.sent(key, (&*wanted).into());
                batch.assignments.push(assignment);
            }
            (Step::Forget, _) => {
                machine.forgotten(&key);
                batch.forgotten.push((&key).into());
            }
            (Step::Send | Step::Nothing, _) => {}
        }
    }
    (!batch.assignments.is_empty() || !batch.forgotten.is_empty()).then_some(batch)
}

/// An outbox that a session fills and the wire empties.
#[derive(Debug)]
pub struct Shared {
    inner: Mutex<Inner>,
    metrics: Arc<Metrics>,
}

#[derive(Debug, Default)]
struct Inner {
    outbox: Outbox,
    waker: Option<Waker>,
}

impl Shared {
    /// An empty outbox.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self { inner: Mutex::default(), metrics })
    }

    /// Changes the outbox and wakes the wire.
    pub fn change(&self, change: impl FnOnce(&mut Outbox)) {
        let mut inner = self.lock();
        let before = inner.outbox.depth();
        change(&mut inner.outbox);
        self.metrics.outbox_moved(before, inner.outbox.depth());
        let waker = inner.waker.take();
        drop(inner);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let depth = self.lock().outbox.depth();
        self.metrics.outbox_moved(depth, 0);
    }
}

/// The wire's end of an outbox. It is asked for a message only when the wire has room for one.
#[derive(Debug)]
pub struct Outgoing<V> {
    shared: Arc<Shared>,
    view: V,
}

impl<V: View + Unpin> Outgoing<V> {
    /// The messages of `shared`, read from `view`.
    pub fn new(shared: Arc<Shared>, view: V) -> Self {
        Self { shared, view }
    }
}

impl<V: View + Unpin> Stream for Outgoing<V> {
    type Item = Result<v1::SyncResponse, Status>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut inner = self.shared.lock();
        if inner.outbox.is_ended {
            return Poll::Ready(None);
        }
        let before = inner.outbox.depth();
        let next = inner.outbox.next(&self.view);
        self.shared.metrics.outbox_moved(before, inner.outbox.depth());
        if next.is_none() {
            inner.waker = Some(context.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(next)
    }
}

#[cfg(test)]
#[path = "outbox_tests.rs"]
mod tests;
