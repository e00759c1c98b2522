//! Takes in assignments: admits, fetches, renders, keeps, and answers for each. Beside the stream and not in it, so that
//! a large bundle delays no heartbeat. The newest assignment of an application replaces one that still waits.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use nave_common::assignment::{Assignment, Desired};
use nave_common::name::{ApplicationKey, ClusterName};
use nave_common::runtime::backoff::Reconnect;
use nave_proto::v1;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;

use super::admission::{Admission, admit};
use super::fetch::{self, Fetcher};
use crate::desired::DesiredState;

/// How many assignments are fetched and rendered at once.
const MAX_AT_ONCE: usize = 4;

/// Where the stream leaves assignments. Bounded by the number of applications.
#[derive(Default)]
pub(crate) struct Inbox {
    waiting: Mutex<BTreeMap<ApplicationKey, Assignment>>,
    arrived: Notify,
}

impl Inbox {
    pub(crate) fn leave(&self, assignment: Assignment) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let key = assignment.application.clone();
        if waiting.get(&key).is_none_or(|other| other.generation <= assignment.generation) {
            waiting.insert(key, assignment);
        }
        drop(waiting);
        self.arrived.notify_one();
    }

    /// The next whose application is not being worked on.
    fn next(&self, busy: &BTreeSet<ApplicationKey>) -> Option<Assignment> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let key = waiting.keys().find(|key| !busy.contains(key)).cloned()?;
        waiting.remove(&key)
    }

    fn is_waiting(&self, application: &ApplicationKey) -> bool {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).contains_key(application)
    }
}

/// What one assignment is worked on with.
#[derive(Clone)]
pub(crate) struct Intake {
    pub(crate) cluster: ClusterName,
    pub(crate) desired: DesiredState,
    pub(crate) fetcher: Arc<Fetcher>,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) answers: mpsc::Sender<v1::Accepted>,
}

impl Intake {
    /// Works until it is dropped.
    pub(crate) async fn run(self) {
        let mut busy = BTreeSet::new();
        let mut tasks: JoinSet<ApplicationKey> = JoinSet::new();
        loop {
            while tasks.len() < MAX_AT_ONCE {
                let Some(assignment) = self.inbox.next(&busy) else { break };
                busy.insert(assignment.application.clone());
                let intake = self.clone();
                tasks.spawn(async move {
                    let key = assignment.application.clone();
                    intake.work_on(assignment).await;
                    key
                });
            }
            tokio::select! {
                () = self.inbox.arrived.notified() => {}
                Some(done) = tasks.join_next() => match done {
                    Ok(key) => { busy.remove(&key); }
                    // A task that panicked took its application's name with it: nothing is busy that does not run.
                    Err(error) => {
                        tracing::error!(%error, "an assignment could not be worked on");
                        if tasks.is_empty() { busy.clear(); }
                    }
                },
            }
        }
    }

    async fn work_on(&self, assignment: Assignment) {
        let held = self.desired.assignment(&assignment.application);
        let answer = match admit(&self.cluster, held.as_ref(), self.desired.generation(), &assignment) {
            Admission::Known => Ok(()),
            Admission::Refuse(why) => Err(why),
            Admission::Take => match self.take(&assignment).await {
                Some(answer) => answer,
                // A newer one waits: that one is answered.
                None => return,
            },
        };
        if let Err(why) = &answer {
            tracing::warn!(application = %assignment.application, generation = %assignment.generation, reason = why, "assignment refused");
        }
        // Where the stream is gone there is nobody to answer; the next Hello says what is held.
        let _ = self.answers.send(accepted(&assignment, answer)).await;
    }

    /// Fetches until there is a bundle, a refusal, or a newer assignment; then renders and keeps.
    async fn take(&self, assignment: &Assignment) -> Option<Result<(), String>> {
        let bundle = match &assignment.desired {
            Desired::Remove => None,
            Desired::Run(run) => match self.desired.bundle(assignment) {
                Some(bytes) => Some(bytes),
                None => {
                    let mut pause = Reconnect::new();
                    loop {
                        match self.fetcher.fetch(&run.bundle).await {
                            Ok(bytes) => break Some(bytes),
                            Err(error @ fetch::Error::Refused { .. }) => return Some(Err(error.to_string())),
                            Err(error) => {
                                tracing::warn!(application = %assignment.application, %error, "will try again");
                            }
                        }
                        if self.inbox.is_waiting(&assignment.application) {
                            return None;
                        }
                        tokio::time::sleep(pause.next()).await;
                    }
                }
            },
        };
        let (desired, taken) = (self.desired.clone(), assignment.clone());
        let kept = tokio::task::spawn_blocking(move || desired.take(taken, bundle.as_deref())).await;
        if matches!(kept, Ok(Ok(()))) {
            tracing::info!(
                application = %assignment.application,
                generation = %assignment.generation,
                change_id = %assignment.change_id,
                "assignment accepted"
            );
        }
        Some(match kept {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(error) => Err(format!("it could not be worked on: {error}")),
        })
    }
}

fn accepted(assignment: &Assignment, answer: Result<(), String>) -> v1::Accepted {
    let application = Some(assignment.application.clone().into());
    let generation = Some(assignment.generation.into());
    match answer {
        Ok(()) => v1::Accepted { applications: vec![held(assignment)], refused: Vec::new() },
        Err(reason) => v1::Accepted {
            applications: Vec::new(),
            refused: vec![v1::Refused { application, generation, reason }],
        },
    }
}

/// What the agent says that it has of one application.
pub(crate) fn held(assignment: &Assignment) -> v1::Held {
    v1::Held {
        application: Some(assignment.application.clone().into()),
        generation: Some(assignment.generation.into()),
        desired_digest: assignment.desired.digest().as_bytes().to_vec().into(),
    }
}
