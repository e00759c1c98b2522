//! How the stopping of Exclusive work stands. Pure.

use std::collections::BTreeSet;
use std::time::Duration;

use nave_common::manifest::ObjectKey;
use nave_common::status::{FenceState, FenceStatus};
use nave_common::time::{BootTime, HumanDuration, Timestamp};

use super::Exclusive;
use super::pods::{self, Job, Known};

/// How stopping one application stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop {
    /// When it was to stop.
    pub since: BootTime,
    /// How far it is.
    pub state: FenceState,
    /// What is in the way.
    pub reason: String,
    /// Since when it is so far.
    pub state_since: Timestamp,
}

/// What is seen of an application that is to stop.
#[derive(Debug)]
pub struct Seen<'a> {
    /// Whether the parked rendering is applied, and everything that ran pods has taken it in.
    pub is_parked: bool,
    /// Whether pods are followed.
    pub is_following: bool,
    /// Its pods.
    pub known: &'a Known,
    /// Nodes on which pods of it may run that nobody knows of.
    pub doubtful_nodes: Vec<&'a str>,
    /// The first object whose pods cannot be found.
    pub unseen: Option<&'a ObjectKey>,
    /// Whether the API server was asked, after all of the above, and knows of nothing that runs or will.
    pub is_checked: bool,
    /// What that answered, where it was in the way.
    pub check: &'a str,
}

impl Stop {
    /// It is to stop now.
    #[must_use]
    pub fn new(now: BootTime, wall_now: Timestamp) -> Self {
        Self {
            since: now,
            state: FenceState::Stopping,
            reason: "its workloads are being stopped".to_owned(),
            state_since: wall_now,
        }
    }

    /// Takes what is seen. True where that is news.
    pub fn assess(&mut self, seen: &Seen<'_>, timeout: Duration, now: BootTime, wall_now: Timestamp) -> bool {
        let obstacle = obstacle(seen);
        if self.state == FenceState::Confirmed && matches!(obstacle, Obstacle::Passing(_)) {
            // Somebody started it again: stopping that has its own time.
            self.since = now;
        }
        let (state, reason) = match obstacle {
            Obstacle::None => (FenceState::Confirmed, String::new()),
            Obstacle::Unknown(why) => (FenceState::Unconfirmed, why),
            Obstacle::Passing(why) if now.since(self.since) < timeout => (FenceState::Stopping, why),
            Obstacle::Passing(why) => {
                let timeout = HumanDuration(timeout);
                (FenceState::Unconfirmed, format!("not stopped within {timeout} (fenceTimeout): {why}"))
            }
        };
        if self.state == state && self.reason == reason {
            return false;
        }
        if self.state != state {
            self.state_since = wall_now;
        }
        self.state = state;
        self.reason = reason;
        true
    }
}

enum Obstacle {
    None,
    /// It may pass by itself.
    Passing(String),
    /// A person has to look.
    Unknown(String),
}

fn obstacle(seen: &Seen<'_>) -> Obstacle {
    let Known { running, vanished, .. } = seen.known;
    if !vanished.is_empty() {
        return Obstacle::Unknown(format!(
            "pods were removed without being seen to end, and may still run: {}; look at their nodes",
            pods::names(vanished.values())
        ));
    }
    if !seen.doubtful_nodes.is_empty() {
        let nodes = pods::join(seen.doubtful_nodes.iter().map(|node| (*node).to_owned()).collect());
        return Obstacle::Unknown(format!(
            "nodes are not Ready, and what ran on them before this agent was started is not known: {nodes}"
        ));
    }
    if !seen.is_following {
        return Obstacle::Passing("its pods cannot be seen yet".to_owned());
    }
    if !running.is_empty() {
        return Obstacle::Passing(format!("pods still run: {}", pods::names(running.values())));
    }
    if !seen.is_parked {
        return Obstacle::Passing("its workloads are being stopped".to_owned());
    }
    if let Some(key) = seen.unseen {
        return Obstacle::Unknown(format!(
            "the workloads are stopped, but the pods of {key} cannot be told from others; look whether they have ended"
        ));
    }
    match (seen.is_checked, seen.check) {
        (true, _) => Obstacle::None,
        (false, "") => Obstacle::Passing("its workloads are being stopped".to_owned()),
        (false, why) => Obstacle::Passing(why.to_owned()),
    }
}

impl Exclusive {
    /// What is told of the stopping; `None` while it may run.
    #[must_use]
    pub(crate) fn status(&self) -> Option<FenceStatus> {
        let stop = self.stop.as_ref()?;
        Some(FenceStatus {
            epoch: self.terms.epoch,
            state: stop.state,
            reason: stop.reason.clone(),
            since: stop.state_since,
        })
    }

    /// Jobs that run pods of it and that no manifest names.
    pub(crate) fn foreign_jobs(&self, known: &Known) -> Vec<Job> {
        let manifests = self.parked.rendering.as_ref().map_or(&[][..], |rendering| &rendering.manifests);
        let is_named = |job: &Job| {
            let named = |key: &ObjectKey| key.group == "batch" && key.kind == "Job" && key.name == job.name;
            manifests.iter().any(|manifest| named(manifest.key()))
        };
        let jobs = known.running.values().filter_map(|pod| pod.job.clone());
        let jobs: BTreeSet<Job> = jobs.filter(|job| !is_named(job)).collect();
        jobs.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::pods::Pod;
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn at(seconds: u64) -> BootTime {
        BootTime::from_duration(Duration::from_secs(seconds))
    }

    fn seen(known: &Known) -> Seen<'_> {
        Seen {
            is_parked: true,
            is_following: true,
            known,
            doubtful_nodes: Vec::new(),
            unseen: None,
            is_checked: true,
            check: "",
        }
    }

    fn pod() -> Pod {
        Pod {
            namespace: "bank".into(),
            name: "ledger-0".into(),
            node: Some("a".into()),
            ending: true,
            job: None,
        }
    }

    fn assess(stop: &mut Stop, seen: &Seen<'_>, seconds: u64) -> FenceState {
        let _ = stop.assess(seen, MINUTE, at(seconds), Timestamp::EPOCH);
        stop.state
    }

    #[test]
    fn it_is_confirmed_only_when_everything_is_parked_seen_and_checked() {
        let nothing = Known::default();
        let mut stop = Stop::new(at(0), Timestamp::EPOCH);
        for change in [
            |seen: &mut Seen<'_>| seen.is_parked = false,
            |seen: &mut Seen<'_>| seen.is_following = false,
            |seen: &mut Seen<'_>| seen.is_checked = false,
        ] {
            let mut seen = seen(&nothing);
            change(&mut seen);
            assert_eq!(assess(&mut stop, &seen, 1), FenceState::Stopping, "{seen:?}");
            assert_eq!(assess(&mut stop.clone(), &seen, 60), FenceState::Unconfirmed, "{seen:?}");
        }
        assert_eq!(assess(&mut stop, &seen(&nothing), 2), FenceState::Confirmed);
        assert_eq!(assess(&mut stop, &seen(&nothing), 200), FenceState::Confirmed);
        let parking = Seen { is_parked: false, ..seen(&nothing) };
        assert_eq!(
            assess(&mut stop, &parking, 300),
            FenceState::Stopping,
            "started by somebody, and stopped anew"
        );
        assert_eq!(assess(&mut stop, &parking, 361), FenceState::Unconfirmed);
    }

    #[test]
    fn pods_that_do_not_end_in_time_are_named_and_a_late_end_still_counts() {
        let known = Known { running: [("1".to_owned(), pod())].into(), ..Known::default() };
        let mut stop = Stop::new(at(0), Timestamp::EPOCH);
        assert_eq!(assess(&mut stop, &seen(&known), 59), FenceState::Stopping);
        assert_eq!(assess(&mut stop, &seen(&known), 61), FenceState::Unconfirmed);
        assert!(stop.reason.contains("within 1m") && stop.reason.contains("bank/ledger-0 on node a"));
        assert_eq!(assess(&mut stop, &seen(&Known::default()), 70), FenceState::Confirmed);
    }

    #[test]
    fn what_vanished_or_may_run_on_a_silent_node_needs_a_person() {
        let known = Known { vanished: [("1".to_owned(), pod())].into(), ..Known::default() };
        let mut stop = Stop::new(at(0), Timestamp::EPOCH);
        assert_eq!(assess(&mut stop, &seen(&known), 1), FenceState::Unconfirmed);
        assert!(stop.reason.contains("bank/ledger-0 on node a"), "{}", stop.reason);
        let nothing = Known::default();
        let doubtful = Seen { doubtful_nodes: vec!["b"], ..seen(&nothing) };
        assert_eq!(assess(&mut stop, &doubtful, 2), FenceState::Unconfirmed);
        let key = ObjectKey {
            group: "example.com".into(),
            kind: "Database".into(),
            namespace: None,
            name: "books".into(),
        };
        let unseen = Seen { unseen: Some(&key), ..seen(&nothing) };
        assert_eq!(assess(&mut stop.clone(), &unseen, 2), FenceState::Unconfirmed);
        assert!(stop.reason.ends_with(": b"), "{}", stop.reason);
    }
}
