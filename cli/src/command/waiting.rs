//! Waiting for applications: what `wait` does, and `apply`, `undo` and `delete` with `--wait`.

use std::cell::RefCell;
use std::time::Duration;

use nave_common::application::Application;
use nave_common::health::Health;
use nave_common::name::ApplicationKey;
use nave_common::status::{AssignmentView, Liveness, SyncState};
use nave_common::time::HumanDuration;
use serde_json::json;
use tokio::time::Instant;

use super::changes::Changes;
use crate::args::{WaitFor, Waiting};
use crate::client::{Change, Hub, Watch, WatchWhat};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{Printer, Progress, application_name};

/// How long after a broken watch the next one is opened.
const RETRY: Duration = Duration::from_secs(1);
/// How long a question may take that only makes a message better.
const ASIDE: Duration = Duration::from_secs(2);
/// How many clusters are named in one line.
const MAX_NAMED: usize = 10;

/// One application that is waited for.
#[derive(Debug, Clone)]
pub(super) struct Awaited {
    pub(super) key: ApplicationKey,
    /// What the hub says of an older write than this does not count.
    pub(super) sequence: u64,
}

/// How an application stands beside what is waited for.
#[derive(Debug, Clone, PartialEq)]
enum Standing {
    /// It is as it should be; what there is to say of it.
    Met(String),
    /// It is on its way.
    NotYet(String),
    /// It is wrong, and may stay so.
    Troubled(String),
    /// It cannot become what is waited for.
    Hopeless(String),
    /// There is no such application.
    NotThere,
}

/// How waiting for one application ended.
struct Ended {
    is_there: bool,
    key: ApplicationKey,
    exit: Exit,
    state: String,
    /// How long it was in trouble without a pause, where that is why.
    troubled: Duration,
}

/// Waits for all of them at once, within one limit of time, and tells how each ended.
pub(super) async fn all(
    hub: &Hub,
    awaited: &[Awaited],
    condition: WaitFor,
    waiting: &Waiting,
    printer: &mut Printer,
    changes: &mut Changes,
) -> Outcome {
    printer.flush()?;
    let progress = RefCell::new(Progress::start(printer.is_quiet()));
    let waits = awaited.iter().map(|awaited| {
        let say = |state: &str| {
            progress.borrow_mut().say(&format!("application/{}: {state}", application_name(&awaited.key)));
        };
        Wait { hub, awaited, condition, waiting, say }.run()
    });
    let ended = futures::future::join_all(waits).await;
    drop(progress);
    report(ended, condition, waiting, printer, changes)
}

fn report(
    ended: Vec<Outcome<Ended>>,
    condition: WaitFor,
    waiting: &Waiting,
    printer: &mut Printer,
    changes: &mut Changes,
) -> Outcome {
    let word = word(condition);
    let (mut exit, mut problems, mut all_are_there) = (Exit::Done, Vec::new(), true);
    for ended in ended {
        let ended = ended?;
        let name = format!("application/{}", application_name(&ended.key));
        let met = ended.exit == Exit::Done;
        let wait = json!({"condition": word, "met": met, "state": ended.state});
        match ended.exit {
            Exit::Done => {
                let line = format!("{word}{}", in_brackets(&ended.state));
                changes.tell_waited(printer, &name, Some(&line), wait)?;
            }
            other => {
                changes.tell_waited(printer, &name, None, wait)?;
                if exit == Exit::Done {
                    exit = other;
                }
                all_are_there &= ended.is_there;
                problems.push(match other {
                    _ if !ended.is_there => {
                        format!("application {} is not there", application_name(&ended.key))
                    }
                    Exit::TimedOut => {
                        format!("{name} is not {word} after {}: {}", waiting.timeout, ended.state)
                    }
                    Exit::Degraded => {
                        let seconds = HumanDuration(Duration::from_secs(ended.troubled.as_secs()));
                        format!("{name} is degraded, for {seconds} without a pause: {}", ended.state)
                    }
                    _ => format!("{name} is not {word}: {}", ended.state),
                });
            }
        }
    }
    if exit == Exit::Done {
        return Ok(exit);
    }
    let see = if all_are_there { "nave describe application NAME" } else { "nave get applications" };
    Err(Failure::new(exit, problems.join("; ")).hint(format!("see `{see}`")))
}

fn word(condition: WaitFor) -> &'static str {
    match condition {
        WaitFor::Synced => "synced",
        WaitFor::Healthy => "healthy",
        WaitFor::Deleted => "deleted",
    }
}

fn in_brackets(state: &str) -> String {
    if state.is_empty() { String::new() } else { format!(" ({state})") }
}

/// The wait for one application.
struct Wait<'a, Say> {
    hub: &'a Hub,
    awaited: &'a Awaited,
    condition: WaitFor,
    waiting: &'a Waiting,
    say: Say,
}

impl<Say: Fn(&str)> Wait<'_, Say> {
    async fn run(self) -> Outcome<Ended> {
        let deadline = Instant::now() + self.waiting.timeout.0;
        let mut troubled_since: Option<Instant> = None;
        let ended = |exit, state, since: Option<Instant>| {
            let troubled = since.map(|since| since.elapsed()).unwrap_or_default();
            Ok(Ended { is_there: true, key: self.awaited.key.clone(), exit, state, troubled })
        };
        let what =
            WatchWhat::Applications { project: None, selector: None, key: Some(self.awaited.key.clone()) };
        let mut watch = Some(self.hub.watch(&what).await?);
        let mut view = View::default();
        loop {
            let standing = view.standing(self.condition, self.awaited.sequence);
            let troubled = matches!(standing, Standing::Troubled(_));
            troubled_since = troubled.then(|| troubled_since.unwrap_or_else(Instant::now));
            let give_up = troubled_since.map(|since| since + self.waiting.give_up_after.0);
            let plain = match standing {
                Standing::Met(state) => return ended(Exit::Done, state, None),
                Standing::Hopeless(state) => return ended(Exit::Failed, state, None),
                Standing::NotThere => {
                    let gone = ended(Exit::Failed, "it is not there".to_owned(), None)?;
                    return Ok(Ended { is_there: false, ..gone });
                }
                Standing::NotYet(state) | Standing::Troubled(state) => state,
            };
            let state = self.in_full(&view, &plain).await;
            (self.say)(&state);
            let until = give_up.map_or(deadline, |give_up| give_up.min(deadline));
            match tokio::time::timeout_at(until, next(self.hub, &what, &mut watch)).await {
                Ok(Ok(change)) => view.take(change, &self.awaited.key),
                Ok(Err(failure)) => {
                    // A new watch begins with everything: what it does not name is gone.
                    view = View::default();
                    (self.say)(&format!("{}; trying again", failure.message().unwrap_or("the watch ended")));
                }
                Err(_) if give_up.is_some_and(|give_up| give_up <= deadline) => {
                    return ended(Exit::Degraded, state, troubled_since);
                }
                // Clusters may have been lost since the application itself changed last.
                Err(_) => return ended(Exit::TimedOut, self.in_full(&view, &plain).await, None),
            }
        }
    }

    /// The state; of a deletion also which clusters have not done their part, and why, where the hub answers.
    async fn in_full(&self, view: &View, state: &str) -> String {
        let state = state.to_owned();
        if self.condition != WaitFor::Deleted || !view.is_going() {
            return state;
        }
        let asked = self.hub.assignments(Some(&self.awaited.key), None);
        match tokio::time::timeout(ASIDE, asked).await {
            Ok(Ok(views)) => match holders(&views) {
                names if names.is_empty() => state,
                names => format!("{state}: {names}"),
            },
            _ => state,
        }
    }
}

/// The clusters that have not let go, each with why: `us-1: Lost, eu-1: Syncing`.
fn holders(views: &[AssignmentView]) -> String {
    let has_let_go = |view: &&AssignmentView| {
        view.status.as_ref().is_some_and(|status| status.removed && is_current(view))
    };
    let holding: Vec<&AssignmentView> = views.iter().filter(|view| !has_let_go(view)).collect();
    let mut named: Vec<String> = holding.iter().take(MAX_NAMED).map(|view| holder(view)).collect();
    if holding.len() > MAX_NAMED {
        named.push(format!("and {} more", holding.len() - MAX_NAMED));
    }
    named.join(", ")
}

fn holder(view: &AssignmentView) -> String {
    let why = match (&view.status, view.liveness) {
        (_, liveness) if liveness != Liveness::Alive => liveness.to_string(),
        (Some(status), _) if is_current(view) && !status.reason.is_empty() => {
            format!("{} ({})", status.sync, status.reason)
        }
        (Some(status), _) if is_current(view) => status.sync.to_string(),
        _ => "not heard of it yet".to_owned(),
    };
    format!("{}: {why}", view.assignment.cluster)
}

/// Whether the agent speaks of what is wanted now.
fn is_current(view: &AssignmentView) -> bool {
    view.status.as_ref().is_some_and(|status| status.generation == view.assignment.generation)
}

/// The next change; of a new watch where the last one broke.
async fn next(hub: &Hub, what: &WatchWhat, watch: &mut Option<Watch>) -> Outcome<Change> {
    let change = match watch {
        Some(open) => open.next().await,
        None => {
            tokio::time::sleep(RETRY).await;
            match hub.watch(what).await {
                Ok(mut open) => {
                    let change = open.next().await;
                    *watch = Some(open);
                    change
                }
                Err(failure) => Err(failure),
            }
        }
    };
    if change.is_err() {
        *watch = None;
    }
    change
}

/// What is known of the application.
#[derive(Debug, Default)]
struct View {
    application: Option<Box<Application>>,
    /// Whether everything that is there has been told: what is not known then is not there.
    is_complete: bool,
}

impl View {
    fn take(&mut self, change: Change, key: &ApplicationKey) {
        match change {
            Change::Application(application) if application.key() == *key => {
                self.application = Some(application);
            }
            Change::Deleted { application: Some(gone), .. } if gone == *key => self.application = None,
            Change::Synced => self.is_complete = true,
            _ => {}
        }
    }

    fn is_going(&self) -> bool {
        self.application.as_ref().is_some_and(|application| application.metadata.deleted_at.is_some())
    }

    fn standing(&self, condition: WaitFor, sequence: u64) -> Standing {
        match (&self.application, condition) {
            (None, _) if !self.is_complete => Standing::NotYet("asking the hub".into()),
            (None, WaitFor::Deleted) => Standing::Met(String::new()),
            (None, _) => Standing::NotThere,
            (Some(application), _) if application.metadata.sequence < sequence => {
                Standing::NotYet("the hub is taking it in".into())
            }
            (Some(application), WaitFor::Deleted) => going(application),
            (Some(application), WaitFor::Synced) => standing(application, false),
            (Some(application), WaitFor::Healthy) => standing(application, true),
        }
    }
}

fn going(application: &Application) -> Standing {
    let status = application.status.clone().unwrap_or_default();
    if application.metadata.deleted_at.is_none() {
        return Standing::NotYet("nobody has deleted it".into());
    }
    let count = status.removing_count + status.cluster_count;
    let clusters = if count == 1 { "cluster has" } else { "clusters have" };
    Standing::NotYet(format!("{count} {clusters} not let go of it yet"))
}

/// How an application that should run stands.
fn standing(application: &Application, wants_health: bool) -> Standing {
    let status = application.status.clone().unwrap_or_default();
    let why = if status.reason.is_empty() { String::new() } else { format!(": {}", status.reason) };
    if application.metadata.deleted_at.is_some() {
        return Standing::Hopeless("it is being deleted".into());
    }
    if status.unplaced_count > 0 {
        let problem = status.placement_problems.first().map_or("", String::as_str);
        return Standing::NotYet(format!("{} more clusters are wanted: {problem}", status.unplaced_count));
    }
    if status.cluster_count == 0 {
        let why =
            if status.reason.is_empty() { "no cluster is chosen for it yet" } else { status.reason.as_str() };
        return Standing::NotYet(why.to_owned());
    }
    let counts = format!(
        "{synced}/{all} in sync, {healthy}/{all} healthy",
        synced = status.synced_count,
        healthy = status.healthy_count,
        all = status.cluster_count
    );
    let is_synced = status.sync == SyncState::Synced;
    // What is stopped on purpose is as well as it should be.
    let is_healthy = status.health <= Health::Suspended;
    if is_synced && (is_healthy || !wants_health) {
        let plural = if status.cluster_count == 1 { "" } else { "s" };
        return Standing::Met(format!("{} cluster{plural}", status.cluster_count));
    }
    if status.sync == SyncState::Suspended {
        return Standing::Hopeless(format!("it is suspended (nave resume){why}"));
    }
    let is_troubled = matches!(status.sync, SyncState::Failed | SyncState::OutOfSync)
        || wants_health && matches!(status.health, Health::Degraded | Health::Missing) && is_synced;
    if is_troubled {
        Standing::Troubled(format!("{counts}{why}"))
    } else {
        Standing::NotYet(format!("{counts}{why}"))
    }
}

/// The default of how long to wait, for verbs that have no more to say about it.
pub(super) fn for_at_most(timeout: HumanDuration) -> Waiting {
    Waiting { timeout, give_up_after: timeout }
}

#[cfg(test)]
mod tests;
