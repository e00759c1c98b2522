//! Fetching a backup, as it comes.

use std::time::Duration;

use nave_proto::v1;
use tonic::Streaming;

use super::Hub;
use super::error::{failure, too_slow};
use crate::exit::Outcome;

/// How long the next piece of a backup may take: a hub that is busy writing may pause.
const PIECE_TIMEOUT: Duration = Duration::from_secs(120);

/// A backup on its way.
#[derive(Debug)]
pub(crate) struct BackupStream {
    stream: Streaming<v1::BackupResponse>,
    address: String,
}

impl Hub {
    /// Begins to fetch a backup.
    pub(crate) async fn backup(&self) -> Outcome<BackupStream> {
        let mut client = self.client.clone();
        let asked = tokio::time::timeout(PIECE_TIMEOUT, client.backup(v1::BackupRequest {})).await;
        let answer = asked.map_err(|_| too_slow(&self.address, PIECE_TIMEOUT))?;
        let stream = answer.map_err(|status| failure(&status, &self.address))?.into_inner();
        Ok(BackupStream { stream, address: self.address.clone() })
    }
}

impl BackupStream {
    /// The next piece; `None` where it is whole.
    pub(crate) async fn next(&mut self) -> Outcome<Option<Vec<u8>>> {
        let piece = tokio::time::timeout(PIECE_TIMEOUT, self.stream.message()).await;
        let piece = piece.map_err(|_| too_slow(&self.address, PIECE_TIMEOUT))?;
        let piece = piece.map_err(|status| failure(&status, &self.address))?;
        Ok(piece.map(|piece| piece.chunk.into()))
    }
}
