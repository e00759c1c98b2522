//! Events on their way to the store, from those who must not wait for it.
//!
//! Bounded: when more happens than can be written, events are dropped and their number is told. What a person asked for
//! is not written here but in the same commit as the change itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nave_common::event::{Event, Severity};
use nave_common::time::Timestamp;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::records::{self, EventId, Record};
use crate::store::{Store, Transaction};

/// Events that may wait.
const WAITING_EVENTS: usize = 1024;
/// Events in one commit; a store takes 128 writes.
const BATCH_EVENTS: usize = 64;

/// Where events are left.
#[derive(Debug, Clone)]
pub struct Events {
    sender: mpsc::Sender<Event>,
    dropped_count: Arc<AtomicU64>,
}

/// Writes what was left.
#[derive(Debug)]
pub struct Writer {
    receiver: mpsc::Receiver<Event>,
    dropped_count: Arc<AtomicU64>,
}

/// Events and their writer, which is not yet running.
#[must_use]
pub fn channel() -> (Events, Writer) {
    let (sender, receiver) = mpsc::channel(WAITING_EVENTS);
    let dropped_count = Arc::<AtomicU64>::default();
    (Events { sender, dropped_count: dropped_count.clone() }, Writer { receiver, dropped_count })
}

impl Events {
    /// Leaves an event; drops it where too many wait.
    pub fn tell(&self, event: Event) {
        tracing::info!(
            reason = event.reason,
            cluster = event.cluster.as_ref().map(tracing::field::display),
            application = event.application.as_ref().map(tracing::field::display),
            message = event.message,
        );
        if self.sender.try_send(event).is_err() {
            self.dropped_count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Writer {
    /// Writes until `shutdown`.
    pub async fn run(mut self, store: Arc<dyn Store>, shutdown: CancellationToken) {
        let mut batch = Vec::with_capacity(BATCH_EVENTS);
        loop {
            tokio::select! {
                count = self.receiver.recv_many(&mut batch, BATCH_EVENTS) => if count == 0 { return },
                () = shutdown.cancelled() => return,
            }
            let dropped_count = self.dropped_count.swap(0, Ordering::Relaxed);
            if let (true, Some(last)) = (dropped_count > 0, batch.last()) {
                batch.push(dropped(dropped_count, last.at));
            }
            if let Err(error) = write(&*store, batch.drain(..)).await {
                // Events are for people; the hub goes on without them.
                tracing::warn!(error = %crate::error::with_causes(&error), "events cannot be written");
            }
        }
    }
}

fn dropped(count: u64, at: Timestamp) -> Event {
    Event {
        at,
        severity: Severity::Warning,
        reason: "EventsDropped".into(),
        message: format!("{count} events came faster than they could be written, and were dropped"),
        application: None,
        cluster: None,
        change_id: String::new(),
    }
}

async fn write(store: &dyn Store, events: impl Iterator<Item = Event>) -> Result<(), crate::error::Error> {
    let mut transaction = Transaction::new();
    for event in events {
        transaction.writes.push(record(event).write()?);
    }
    store.commit(transaction).await?;
    Ok(())
}

/// An event as it is stored, under an identifier of its own.
#[must_use]
pub fn record(event: Event) -> records::Record {
    Record::Event(EventId { at: event.at, nonce: rand::random() }, Box::new(event))
}
