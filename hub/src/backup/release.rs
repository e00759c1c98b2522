//! The end of holds: an application is released once every agent concerned has said that it has what the backup says, or
//! once a person has decided.
//!
//! * `--apply-backup`: what the backup says is sent. Agents take it, since the restored term is above all that they have
//!   seen. A grant of Exclusive work gets a new epoch: whoever was granted it after the backup is refused by its storage,
//!   and is renewed by nobody. The person who says it answers for nothing else running it.
//! * `--keep-running`: nothing of the backup is sent. What is there stays until the application is applied again or
//!   deleted; then it is planned and sent as ever. Exclusive work cannot be kept so, since nothing would renew its lease.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use nave_common::assignment::Generation;
use nave_common::event::{Event, Severity};
use nave_common::failover::state::FailoverState;
use nave_common::failover::{Epoch, FailoverMode};
use nave_common::name::{ApplicationKey, UserName};
use nave_common::time::Timestamp;

use tokio::time::Instant;

use crate::error::{Error, with_causes};
use crate::events;
use crate::parts::Parts;
use crate::records::{HoldRecord, KeptBy, Name, Record};
use crate::store::{self, Expect, Sequence, Transaction};
use crate::world::{Interest, Kinds, State, Stored};

/// Applications released in one commit: each takes up to two compares and two writes.
const BATCH_APPLICATIONS: usize = 40;
/// How often a decision is tried when others write at the same time.
const MAX_ATTEMPTS: usize = 8;
/// The least time between two looks at what waits.
const MIN_PAUSE: Duration = Duration::from_millis(50);
/// How long it waits after the store refused.
const RETRY_WAIT: Duration = Duration::from_secs(1);
/// Applications of which each gets an event of its own, and that a message names one by one.
const NAMED_APPLICATIONS: usize = 5;

/// What a person decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// What runs stays.
    KeepRunning,
    /// What the backup says is sent.
    ApplyBackup,
}

/// Who decides, for the event.
#[derive(Debug, Clone, Copy)]
pub struct Decider<'a> {
    /// Who.
    pub user: &'a UserName,
    /// Follows the change.
    pub change_id: &'a str,
}

/// Releases what is settled, and tells people of what waits for them, until nothing is held any more or the hub stops.
pub async fn run(parts: Arc<Parts>) {
    let mut changes = parts.world.subscribe(Interest::All(Kinds::APPLICATIONS.and(Kinds::CLUSTERS)));
    let mut told = BTreeSet::new();
    loop {
        let started = Instant::now();
        let held: Vec<ApplicationKey> = parts.world.read(|state| state.holds().keys().cloned().collect());
        if held.is_empty() {
            return;
        }
        // One by one, so that the lock is held for moments.
        let settled: Vec<ApplicationKey> =
            held.iter().filter(|key| parts.world.read(|state| state.is_settled(key))).cloned().collect();
        tell_waiting(&parts, &held, &mut told);
        let wait = match release_settled(&parts, &settled).await {
            Ok(()) => MIN_PAUSE.max(started.elapsed() * 4),
            Err(error) => {
                tracing::warn!(error = %with_causes(&error), "applications cannot be released");
                RETRY_WAIT
            }
        };
        tokio::select! {
            () = parts.shutdown.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
        tokio::select! {
            () = parts.shutdown.cancelled() => return,
            _ = changes.next() => {}
        }
    }
}

/// Tells once of each application that waits for a person.
fn tell_waiting(parts: &Parts, held: &[ApplicationKey], told: &mut BTreeSet<ApplicationKey>) {
    let mut news = Vec::new();
    for key in held.iter().filter(|key| !told.contains(*key)) {
        let holding = parts.world.read(|state| state.holding(key));
        if let Some(holding) = holding.filter(|it| !it.is_kept && !it.differing.is_empty()) {
            news.push((key.clone(), holding.reason()));
        }
    }
    told.extend(news.iter().map(|(key, _)| key.clone()));
    if news.len() > NAMED_APPLICATIONS {
        let keys: Vec<ApplicationKey> = news.into_iter().map(|(key, _)| key).collect();
        let message = format!(
            "{} applications are not in every cluster as the backup says, and wait for nave hub release: {}",
            keys.len(),
            names(&keys)
        );
        parts.events.tell(event(parts.now(), Severity::Warning, "HeldForPerson", message, ""));
        return;
    }
    for (key, reason) in news {
        let event = event(parts.now(), Severity::Warning, "HeldForPerson", reason, "");
        parts.events.tell(Event { application: Some(key), ..event });
    }
}

async fn release_settled(parts: &Parts, settled: &[ApplicationKey]) -> Result<(), Error> {
    for keys in settled.chunks(BATCH_APPLICATIONS) {
        let mut transaction = Transaction::new();
        parts.world.read(|state| {
            // Looked at again together with the sequences that the commit compares.
            for key in keys.iter().filter(|key| state.is_settled(key)) {
                if let Some(hold) = state.holds().get(key) {
                    let name = Name::Hold(key.clone()).key()?;
                    transaction = std::mem::take(&mut transaction)
                        .expect(name.clone(), Expect::Sequence(hold.sequence))
                        .delete(name);
                }
            }
            Ok::<_, Error>(())
        })?;
        let message = format!("released, since every agent has what is wanted: {}", names(keys));
        let event = event(parts.now(), Severity::Normal, "Released", message, "");
        transaction.writes.push(events::record(event).write()?);
        match parts.commit(transaction).await {
            // A person was quicker; what is left is looked at again.
            Ok(_) | Err(Error::Store(store::Error::Conflict { .. })) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Takes a person's decision of one application, or of all that wait; returns those of which it decided.
///
/// # Errors
/// Where the application is not held, is Exclusive and is to be kept, or the store fails.
pub async fn decide(
    parts: &Parts,
    by: Decider<'_>,
    only: Option<&ApplicationKey>,
    choice: Choice,
) -> Result<Vec<ApplicationKey>, Error> {
    let keys = parts.world.read(|state| chosen(state, only, choice))?;
    let mut decided = Vec::new();
    for keys in keys.chunks(BATCH_APPLICATIONS) {
        decided.extend(decide_some(parts, by, keys, choice).await?);
    }
    Ok(decided)
}

/// The applications that a decision is about.
fn chosen(
    state: &State,
    only: Option<&ApplicationKey>,
    choice: Choice,
) -> Result<Vec<ApplicationKey>, Error> {
    let Some(key) = only else {
        let may = |key: &&ApplicationKey| choice == Choice::ApplyBackup || !is_exclusive(state, key);
        return Ok(state.holds().keys().filter(may).cloned().collect());
    };
    if !state.is_held(key) {
        return Err(Error::Refused(format!("application {key} is not held: nothing has to be decided")));
    }
    if choice == Choice::KeepRunning && is_exclusive(state, key) {
        return Err(Error::Refused(format!(
            "application {key} is Exclusive: while it were kept nothing would renew its lease; make sure that \
             nothing else runs it and say --apply-backup, or delete it"
        )));
    }
    Ok(vec![key.clone()])
}

fn is_exclusive(state: &State, key: &ApplicationKey) -> bool {
    let mode = state.applications().get(key).map(|stored| stored.value.spec.failover.mode);
    mode == Some(FailoverMode::Exclusive)
        || state.failovers().get(key).is_some_and(|stored| stored.value.grant.is_some())
}

/// Decides of some applications in one commit, anew where others wrote at the same time.
async fn decide_some(
    parts: &Parts,
    by: Decider<'_>,
    keys: &[ApplicationKey],
    choice: Choice,
) -> Result<Vec<ApplicationKey>, Error> {
    for _ in 0..MAX_ATTEMPTS {
        let now = parts.now();
        let (transaction, decided) = parts.world.read(|state| decision(state, by, keys, choice, now))?;
        if decided.is_empty() {
            return Ok(decided);
        }
        match parts.commit(transaction).await {
            Ok(_) => return Ok(decided),
            Err(Error::Store(store::Error::Conflict { .. })) => {
                parts.caught_up(parts.store.last_sequence().await?).await?;
            }
            Err(error) => return Err(error),
        }
    }
    Err(Error::Conflict("others write at the same time again and again; try again".into()))
}

/// What a decision writes: pure.
fn decision(
    state: &State,
    by: Decider<'_>,
    keys: &[ApplicationKey],
    choice: Choice,
    now: Timestamp,
) -> Result<(Transaction, Vec<ApplicationKey>), Error> {
    let mut transaction = Transaction::new();
    let mut decided = Vec::new();
    let newest = state.generation();
    let next = Generation { counter: newest.counter + 1, ..newest };
    let mut is_raised = false;
    for key in keys {
        let Some(hold) = state.holds().get(key) else { continue };
        let name = Name::Hold(key.clone()).key()?;
        transaction = transaction.expect(name.clone(), Expect::Sequence(hold.sequence));
        decided.push(key.clone());
        match choice {
            Choice::KeepRunning => {
                let kept = Some(KeptBy { by: by.user.to_string(), at: now });
                let record = HoldRecord { kept, ..HoldRecord::clone(&hold.value) };
                transaction.writes.push(Record::Hold(Box::new(record)).write()?);
            }
            Choice::ApplyBackup => {
                transaction = transaction.delete(name);
                if let Some((record, sequence)) = granted_anew(state.failovers().get(key), next, now)? {
                    let name = Name::Failover(key.clone()).key()?;
                    transaction = transaction.expect(name, Expect::Sequence(sequence));
                    transaction.writes.push(record.write()?);
                    is_raised = true;
                }
            }
        }
    }
    if is_raised {
        let expect = Expect::Sequence(state.generation_sequence());
        transaction = transaction.expect(Name::Generation.key()?, expect);
        transaction.writes.push(Record::Generation(next.counter).write()?);
    }
    let (reason, verb) = match choice {
        Choice::KeepRunning => ("KeptRunning", "stays as it runs until it is applied again"),
        Choice::ApplyBackup => ("BackupApplied", "is told anew as the backup says"),
    };
    let message = format!("{} {verb}, by {}", names(&decided), by.user);
    let event = event(now, Severity::Normal, reason, message, by.change_id);
    transaction.writes.push(events::record(event).write()?);
    Ok((transaction, decided))
}

/// A grant under a new epoch, which is above every epoch that was ever granted, by whichever hub.
fn granted_anew(
    stored: Option<&Stored<FailoverState>>,
    generation: Generation,
    now: Timestamp,
) -> Result<Option<(Record, Sequence)>, Error> {
    let Some(stored) = stored.filter(|stored| stored.value.grant.is_some()) else { return Ok(None) };
    let epoch = Epoch::of(generation).map_err(|error| Error::Internal(error.to_string()))?;
    let mut state = FailoverState::clone(&stored.value);
    if let Some(grant) = &mut state.grant {
        let before = std::mem::replace(&mut grant.epoch, epoch);
        grant.granted_at = now;
        // A move that brought it there goes on under the new epoch.
        for it in state.moves.iter_mut().filter(|it| it.epoch == Some(before)) {
            it.epoch = Some(epoch);
        }
    }
    Ok(Some((Record::Failover(Box::new(state)), stored.sequence)))
}

fn names(keys: &[ApplicationKey]) -> String {
    let mut text = String::new();
    for (index, key) in keys.iter().take(NAMED_APPLICATIONS).enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        let _ = write!(text, "{comma}{key}");
    }
    if keys.len() > NAMED_APPLICATIONS {
        let _ = write!(text, " and {} more", keys.len() - NAMED_APPLICATIONS);
    }
    text
}

fn event(at: Timestamp, severity: Severity, reason: &str, message: String, change_id: &str) -> Event {
    let (reason, change_id) = (reason.to_owned(), change_id.to_owned());
    Event { at, severity, reason, message, application: None, cluster: None, change_id }
}
