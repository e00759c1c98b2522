//! The audit log: every change that somebody asked for, and what came of it, one JSON object a line in `audit.log` of the
//! data folder.
//!
//! A call that may change something takes a place for its line before it begins and so cannot go unrecorded: not when
//! more is asked than can be written, since then it waits for its place; not when it is broken off, since then the line
//! says so. A line that the disk refuses goes to the ordinary log instead, is counted, and stops nothing.

mod file;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use nave_common::time::Timestamp;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use self::file::LogFile;
use crate::config::AuditConfig;
use crate::error::Error;
use crate::metrics::Metrics;

/// Calls under way and lines that wait, together.
const PLACES: usize = 4096;
/// Lines that are written and made durable at once.
const BATCH_LINES: usize = 64;
/// How long the last lines may take when the hub stops.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// One line: a change that somebody asked for. It holds names and no content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Line {
    /// When it was decided.
    pub time: Timestamp,
    /// Who asked, as the certificate says.
    pub who: String,
    /// The address that was asked from.
    pub from: String,
    /// Follows what the call changed, in events and in agents; empty where the call was refused before it had one.
    pub request_id: String,
    /// What was asked.
    pub verb: &'static str,
    /// Of what; empty where it is the hub, or where no valid name was given.
    pub object: String,
    /// Whether it was only tried: nothing is changed by that.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// What came of it.
    pub outcome: Outcome,
    /// The object's new sequence in the store, where the answer says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
    /// The application's revision, where the answer says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// The code of the refusal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Why it was refused. What quotes the request is left out: a field is named without its value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// What came of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// It was done; durable before the line was written.
    Ok,
    /// It was refused or failed.
    Refused,
    /// The caller went away before it was decided: it may or may not have been done. Events tell, by the request's id.
    Unknown,
}

/// Where lines are left.
#[derive(Debug, Clone)]
pub struct Audit {
    /// `None`: nobody writes, as in a hub without a folder of its own.
    sender: Option<mpsc::Sender<Line>>,
}

/// A place for one line.
#[derive(Debug)]
pub struct Place(Option<mpsc::OwnedPermit<Line>>);

/// The task that writes lines.
#[derive(Debug)]
pub struct Writer {
    task: Option<tokio::task::JoinHandle<()>>,
    closing: CancellationToken,
}

impl Audit {
    /// A log that nobody writes.
    #[must_use]
    pub fn nowhere() -> (Self, Writer) {
        (Self { sender: None }, Writer { task: None, closing: CancellationToken::new() })
    }

    /// The log in the file at `path`, and its writer, which runs.
    #[must_use]
    pub fn start(path: PathBuf, config: AuditConfig, metrics: Arc<Metrics>) -> (Self, Writer) {
        let (sender, receiver) = mpsc::channel(PLACES);
        let closing = CancellationToken::new();
        let task = tokio::spawn(write(receiver, LogFile::new(path, config), metrics, closing.clone()));
        (Self { sender: Some(sender) }, Writer { task: Some(task), closing })
    }

    /// A place for one line, once there is one.
    ///
    /// # Errors
    /// Where the hub stops.
    pub async fn place(&self) -> Result<Place, Error> {
        let Some(sender) = &self.sender else { return Ok(Place(None)) };
        match sender.clone().reserve_owned().await {
            Ok(permit) => Ok(Place(Some(permit))),
            Err(_) => Err(Error::Unavailable("the hub is stopping".into())),
        }
    }
}

impl Place {
    /// Leaves the line, which is written soon.
    pub fn tell(self, line: Line) {
        if let Some(permit) = self.0 {
            permit.send(line);
        }
    }
}

impl Writer {
    /// Writes what was left, and ends. No call may be under way any more.
    pub async fn close(mut self) {
        self.closing.cancel();
        if let Some(task) = self.task.take()
            && tokio::time::timeout(CLOSE_TIMEOUT, task).await.is_err()
        {
            tracing::error!("the last lines of the audit log were not written in time");
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.closing.cancel();
    }
}

async fn write(
    mut receiver: mpsc::Receiver<Line>,
    mut file: LogFile,
    metrics: Arc<Metrics>,
    closing: CancellationToken,
) {
    let mut batch = Vec::with_capacity(BATCH_LINES);
    loop {
        tokio::select! {
            count = receiver.recv_many(&mut batch, BATCH_LINES) => if count == 0 { return },
            () = closing.cancelled(), if !receiver.is_closed() => {
                // What is left, and what those leave who have a place, still comes.
                receiver.close();
                continue;
            }
        }
        let lines: Vec<String> = batch.drain(..).filter_map(|line| text(&line)).collect();
        let written = tokio::task::spawn_blocking(move || {
            let written = file.append(&lines);
            (file, lines, written)
        });
        let Ok((back, lines, written)) = written.await else {
            tracing::error!("the audit log's writer broke; no further line is written before a restart");
            return;
        };
        file = back;
        if let Err(error) = written {
            metrics.refused_audit_lines.inc_by(lines.len() as u64);
            tracing::error!(
                path = %file.path().display(),
                %error,
                count = lines.len(),
                "lines of the audit log cannot be written; they follow here, and the hub goes on. Make room or repair \
                 the permissions: the next line is tried anew"
            );
            for line in &lines {
                tracing::error!(line = line.trim_end(), "audit");
            }
        }
    }
}

fn text(line: &Line) -> Option<String> {
    match serde_json::to_string(line) {
        Ok(text) => Some(text + "\n"),
        Err(error) => {
            tracing::error!(%error, ?line, "a line of the audit log has no text");
            None
        }
    }
}
