//! Writing an application: with compare, in one commit with its new Revision and the event that tells of it.

use std::sync::Arc;

use nave_common::application::Application;
use nave_common::event::{Event, Severity};
use nave_common::name::ApplicationKey;
use nave_common::revision::Revision;

use super::call::Call;
use super::source::Resolved;
use crate::error::Error;
use crate::events;
use crate::parts::Parts;
use crate::records::{ApplicationRecord, Name, Record};
use crate::store::{self, Expect, Sequence, Transaction};

/// How often a change is tried when others write at the same time.
const MAX_ATTEMPTS: usize = 8;
/// Old Revisions that one commit takes away; the next takes more.
const PRUNED_REVISIONS: usize = 32;

/// An application as the store has it.
#[derive(Debug, Clone)]
pub(super) struct Current {
    /// The application; its sequence is filled in.
    pub application: Application,
    /// The commit that wrote it.
    pub sequence: Sequence,
}

/// Reads an application from the store, and waits until the world is at least as new.
///
/// # Errors
/// Where the store fails, or the hub stops.
pub(super) async fn current(parts: &Parts, key: &ApplicationKey) -> Result<Option<Current>, Error> {
    let name = Name::Application(key.clone()).key()?;
    let Some(entry) = parts.store.get(&name).await? else { return Ok(None) };
    let Some(Record::Application(record)) = Record::parse(&entry.key, &entry.value)? else { return Ok(None) };
    parts.caught_up(entry.sequence).await?;
    let mut application = record.application;
    application.metadata.sequence = entry.sequence.0;
    Ok(Some(Current { application, sequence: entry.sequence }))
}

/// Refuses a writer whose copy is old.
///
/// # Errors
/// [`Error::Conflict`] with both sequences.
pub(super) fn check_sequence(
    key: &ApplicationKey,
    based_on: u64,
    current: Option<&Current>,
) -> Result<(), Error> {
    let found = current.map_or(0, |current| current.sequence.0);
    if based_on != 0 && based_on != found {
        let state =
            if current.is_some() { format!("is at sequence {found}") } else { "does not exist".to_owned() };
        return Err(Error::Conflict(format!(
            "application {key} {state} and this change is based on sequence {based_on}: somebody else changed it; \
             get it again, look at the difference, and apply again"
        )));
    }
    Ok(())
}

/// Refuses to change what is being deleted.
///
/// # Errors
/// [`Error::Refused`].
pub(super) fn check_alive(application: &Application) -> Result<(), Error> {
    match application.metadata.deleted_at {
        Some(at) => Err(Error::Refused(format!(
            "application {} is being deleted since {at}; wait until it is gone, then apply it again",
            application.key()
        ))),
        None => Ok(()),
    }
}

/// A change that is to be written.
#[derive(Debug)]
pub(super) struct Change<'a> {
    /// What the store had when the change was decided.
    pub base: Option<&'a Current>,
    /// The application as it shall be.
    pub application: Application,
    /// The new Revision, if there is one.
    pub revision: Option<Revision>,
    /// The event's word for machines.
    pub reason: &'static str,
    /// The event's sentence for people.
    pub message: String,
    /// The commit of the newest generation, where the change was decided on what clusters are told: it is written only
    /// if nothing has been told since.
    pub planned: Option<Sequence>,
}

/// The Revision that a bundle makes, if it is not what the newest Revision has.
#[must_use]
pub(super) fn new_revision(
    parts: &Parts,
    call: &Call,
    key: &ApplicationKey,
    resolved: &Resolved,
) -> Option<Revision> {
    let latest: Option<Arc<Revision>> = parts.world.read(|state| state.latest_revision(key).cloned());
    if latest.as_ref().is_some_and(|latest| latest.bundle == resolved.digest) {
        return None;
    }
    Some(Revision {
        application: key.clone(),
        number: latest.map_or(1, |latest| latest.number + 1),
        bundle: resolved.digest,
        origin: resolved.origin.clone(),
        object_count: u32::try_from(resolved.bundle.manifests().len()).unwrap_or(u32::MAX),
        requests: resolved.bundle.requests(),
        created_at: parts.now(),
        created_by: call.user.to_string(),
    })
}

/// Writes a change. Durable, and shown by the world, when this returns.
///
/// # Errors
/// [`store::Error::Conflict`] where somebody else wrote in between.
pub(super) async fn write(parts: &Parts, call: &Call, change: Change<'_>) -> Result<Sequence, Error> {
    let key = change.application.key();
    let record = ApplicationRecord { application: change.application, change_id: call.change_id.clone() };
    let expected = change.base.map_or(Expect::Absent, |base| Expect::Sequence(base.sequence));
    let history_limit = record.application.spec.revision_history_limit;
    let mut transaction = Transaction::new().expect(Name::Application(key.clone()).key()?, expected);
    if let Some(planned) = change.planned {
        transaction = transaction.expect(Name::Generation.key()?, Expect::Sequence(planned));
    }
    transaction.writes.push(Record::Application(Box::new(record)).write()?);
    if let Some(revision) = change.revision {
        let name = Name::Revision(key.clone(), revision.number).key()?;
        transaction = transaction.expect(name, Expect::Absent);
        for number in outdated(parts, &key, revision.number, history_limit) {
            transaction.writes.push(Name::Revision(key.clone(), number).delete()?);
        }
        transaction.writes.push(Record::Revision(Box::new(revision)).write()?);
    }
    let event = Event {
        at: parts.now(),
        severity: Severity::Normal,
        reason: change.reason.into(),
        message: change.message,
        application: Some(key.clone()),
        cluster: None,
        change_id: call.change_id.clone(),
    };
    transaction.writes.push(events::record(event).write()?);
    let sequence = parts.commit(transaction).await.map_err(too_large)?;
    tracing::info!(
        application = %key,
        change_id = call.change_id,
        user = %call.user,
        reason = change.reason,
        %sequence,
        "application written"
    );
    Ok(sequence)
}

/// The store takes values of 1 MiB; what is larger has a better place.
fn too_large(error: Error) -> Error {
    match error {
        Error::Store(store::Error::TooLarge { size_bytes, limit_bytes, .. }) => Error::field(
            "",
            format!(
                "the application takes {size_bytes} bytes, at most {limit_bytes} are allowed; \
                 put the manifests in files and use spec.source.bundle"
            ),
        ),
        other => other,
    }
}

/// The numbers of the Revisions that are past the history's limit once `newest` is there.
fn outdated(parts: &Parts, key: &ApplicationKey, newest: u64, limit: u32) -> Vec<u64> {
    let kept = usize::try_from(limit).unwrap_or(usize::MAX).saturating_sub(1);
    parts.world.read(|state| {
        let older = state.revisions(key).rev().map(|revision| revision.number);
        older.filter(|number| *number < newest).skip(kept).take(PRUNED_REVISIONS).collect()
    })
}

/// Counts how often a change was tried while others wrote at the same time.
#[derive(Debug)]
pub(super) struct Attempts<'a> {
    parts: &'a Parts,
    what: String,
    left: usize,
}

impl<'a> Attempts<'a> {
    /// None yet, of changing `what`.
    #[must_use]
    pub(super) fn of(parts: &'a Parts, what: String) -> Self {
        Self { parts, what, left: MAX_ATTEMPTS }
    }

    /// Returns where another attempt makes sense: somebody else wrote in between, and the world shows by now what.
    ///
    /// # Errors
    /// The error that ended the attempt; or [`Error::Conflict`] where others were quicker each time.
    pub(super) async fn after(&mut self, error: Error) -> Result<(), Error> {
        let Error::Store(store::Error::Conflict { .. }) = &error else { return Err(error) };
        self.left = self.left.saturating_sub(1);
        if self.left == 0 {
            return Err(Error::Conflict(format!(
                "{} is changed by others all the time; try again",
                self.what
            )));
        }
        let last = self.parts.store.last_sequence().await?;
        self.parts.caught_up(last).await
    }
}
