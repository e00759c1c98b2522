//! Watches: what is there, a mark, then what changes, for as long as the client listens.
//!
//! A watch holds the names of what it has sent, and a mailbox of names that changed: what changes ten times before the
//! client has room is sent once, as it then is. So a slow client costs memory bounded by the number of resources, and
//! one that takes nothing at all is ended.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use nave_proto::v1::{self, watch_response::Change};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::watched::{Item, Watched};
use crate::error::Error;
use crate::parts::Parts;
use crate::world::{Changes, Subscription};

/// Messages on their way to one client.
const WAITING_MESSAGES: usize = 32;
/// How long a client may take for one message before it is ended.
const SEND_TIMEOUT: Duration = Duration::from_secs(60);
/// After a change is sent, further ones gather for this long, so that a burst costs one message for each resource.
const GATHER_INTERVAL: Duration = Duration::from_millis(50);

/// What a watch sends.
pub(super) type Responses = ReceiverStream<Result<v1::WatchResponse, Status>>;

/// Begins a watch.
///
/// # Errors
/// Where the request is not valid, or too many clients watch.
pub(super) fn watch(parts: &Arc<Parts>, request: v1::WatchRequest) -> Result<Responses, Error> {
    let watched = Watched::read(request)?;
    let place = parts.watch_places.clone().try_acquire_owned().map_err(|_| {
        Error::Exhausted(format!("{} clients are watching already; try again later", parts.limits.watches))
    })?;
    let (sender, receiver) = mpsc::channel(WAITING_MESSAGES);
    let parts = parts.clone();
    tokio::spawn(async move {
        parts.metrics.watches.inc();
        let shutdown = parts.shutdown.clone();
        let client = Client { parts: parts.clone(), watched, sender: sender.clone(), known: BTreeSet::new() };
        let ended = tokio::select! {
            ended = client.run() => ended,
            () = shutdown.cancelled() => Err(Some(Status::unavailable("the hub is stopping; come back soon"))),
        };
        if let Err(Some(status)) = ended {
            // A client that takes nothing does not get this either.
            let _ = sender.try_send(Err(status));
        }
        parts.metrics.watches.dec();
        drop(place);
    });
    Ok(ReceiverStream::new(receiver))
}

/// What changed next, of whichever subscription is told first.
async fn next_of(subscriptions: &mut [Subscription]) -> Changes {
    let all = subscriptions.iter_mut().map(|subscription| Box::pin(subscription.next()));
    // A dropped call to next loses nothing.
    futures::future::select_all(all).await.0
}

struct Client {
    parts: Arc<Parts>,
    watched: Watched,
    sender: mpsc::Sender<Result<v1::WatchResponse, Status>>,
    /// What was sent and is there, as far as the client knows.
    known: BTreeSet<Item>,
}

/// Why a watch ended: with a status for the client, or none where it went away by itself.
type Ended = Result<(), Option<Status>>;

impl Client {
    async fn run(mut self) -> Ended {
        // Before anything is read, so that nothing falls in between.
        let interests = self.watched.interests().into_iter();
        let mut subscriptions: Vec<Subscription> =
            interests.map(|it| self.parts.world.subscribe(it)).collect();
        self.send_everything().await?;
        loop {
            let changed = tokio::select! {
                changed = next_of(&mut subscriptions) => changed,
                () = self.sender.closed() => return Err(None),
            };
            let sent_at = Instant::now();
            self.send_changes(changed).await?;
            tokio::time::sleep_until(sent_at + GATHER_INTERVAL).await;
        }
    }

    /// Sends all that is there, and that what the client knows beyond that is gone; then the mark.
    async fn send_everything(&mut self) -> Ended {
        let items = self.parts.world.read(|state| self.watched.items(state));
        let gone: Vec<Item> = self.known.iter().filter(|item| !items.contains(item)).cloned().collect();
        for item in gone.into_iter().chain(items) {
            self.send_item(item).await?;
        }
        self.send(Change::Synced(v1::Synced {})).await
    }

    async fn send_changes(&mut self, changes: Changes) -> Ended {
        if changes.everything {
            self.parts.metrics.resyncs.inc();
            return self.send_everything().await;
        }
        let items = self.parts.world.read(|state| self.watched.changed(state, changes));
        for item in items {
            self.send_item(item).await?;
        }
        Ok(())
    }

    /// Sends one resource as it is now, or that it is gone.
    async fn send_item(&mut self, item: Item) -> Ended {
        let now = self.parts.now();
        match self.parts.world.read(|state| self.watched.view(state, &item, now)) {
            Some(change) => {
                if self.watched.has_ends() {
                    self.known.insert(item);
                }
                self.send(change).await
            }
            None if self.known.remove(&item) => match item.deleted() {
                Some(deleted) => self.send(Change::Deleted(deleted)).await,
                None => Ok(()),
            },
            None => Ok(()),
        }
    }

    async fn send(&self, change: Change) -> Ended {
        let message = v1::WatchResponse { change: Some(change) };
        match tokio::time::timeout(SEND_TIMEOUT, self.sender.send(Ok(message))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(None),
            Err(_) => Err(Some(Status::resource_exhausted("the watch was too slow; start it again"))),
        }
    }
}
