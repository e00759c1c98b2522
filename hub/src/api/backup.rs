//! A backup on its way to a person, and what a person decides of applications that wait after a restore.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use nave_common::event::{Event, Severity};
use nave_proto::v1;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::call::Call;
use super::read;
use crate::backup::make::{self, Made, Out};
use crate::backup::release::{self, Choice, Decider};
use crate::error::Error;
use crate::parts::Parts;

/// Chunks that wait for a slow client.
const WAITING_CHUNKS: usize = 4;
/// How long a client may take for one chunk: bundles are not collected meanwhile.
const STALL_TIMEOUT: Duration = Duration::from_secs(120);

/// The archive in chunks.
pub(super) type Chunks = ReceiverStream<Result<v1::BackupResponse, Status>>;

/// Hands chunks to the client.
struct Client<'a> {
    sender: &'a mpsc::Sender<Result<v1::BackupResponse, Status>>,
}

impl Out for Client<'_> {
    async fn send(&mut self, chunk: Bytes) -> Result<(), Error> {
        let sent = self.sender.send(Ok(v1::BackupResponse { chunk }));
        match tokio::time::timeout(STALL_TIMEOUT, sent).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Error::Unavailable("nobody takes the backup any more".into())),
            Err(_) => Err(Error::Unavailable(format!(
                "the client took no part of the backup for {} s",
                STALL_TIMEOUT.as_secs()
            ))),
        }
    }
}

/// Begins to send a backup.
///
/// # Errors
/// Where the hub stops.
pub(super) async fn begin(parts: &Arc<Parts>, call: Call) -> Result<Chunks, Error> {
    let place = parts.heavy_place().await?;
    let (sender, receiver) = mpsc::channel(WAITING_CHUNKS);
    let (parts, handle) = (parts.clone(), Handle::current());
    // Compressing is work for a processor, so it has a thread of its own.
    tokio::task::spawn_blocking(move || {
        handle.block_on(async {
            let mut client = Client { sender: &sender };
            let made = tokio::select! {
                made = make::make(&parts, &mut client) => made,
                () = parts.shutdown.cancelled() => Err(Error::Unavailable("the hub is stopping".into())),
            };
            match made {
                Ok(made) => tell(&parts, &call, made),
                Err(error) => {
                    // A client that is gone needs no answer; one that is slow gets it once it looks.
                    let _ = sender.try_send(Err(error.into()));
                }
            }
        });
        drop(place);
    });
    Ok(ReceiverStream::new(receiver))
}

fn tell(parts: &Parts, call: &Call, made: Made) {
    parts.events.tell(Event {
        at: parts.now(),
        severity: Severity::Normal,
        reason: "BackupTaken".into(),
        message: format!(
            "a backup up to sequence {}, with {} bundles, went to {}",
            made.sequence, made.bundle_count, call.user
        ),
        application: None,
        cluster: None,
        change_id: call.change_id.clone(),
    });
}

/// Says what becomes of applications that wait after a restore.
///
/// # Errors
/// Where the choice is missing, an application is not held or cannot be kept, or the store fails.
pub(super) async fn release_held(
    parts: &Parts,
    call: &Call,
    request: v1::ReleaseHeldRequest,
) -> Result<v1::ReleaseHeldResponse, Error> {
    use v1::release_held_request::Choice as Wire;
    let choice = match request.choice() {
        Wire::KeepRunning => Choice::KeepRunning,
        Wire::ApplyBackup => Choice::ApplyBackup,
        Wire::Unspecified => return Err(Error::field("choice", "is missing")),
    };
    let only = read::key_or_none(request.application)?;
    let by = Decider { user: &call.user, change_id: &call.change_id };
    let released = release::decide(parts, by, only.as_ref(), choice).await?;
    Ok(v1::ReleaseHeldResponse { released: released.iter().map(Into::into).collect() })
}
