//! What is known of the pods of Exclusive work: which run, which were seen to end, and which vanished so that nobody can
//! say whether they run. Pure.
//!
//! A pod has ended when its phase says so, when it never got a node, or when it was deleted and its node was Ready when
//! it went: then the node's kubelet has let it go. One that was removed by force, or whose node was silent or gone, may
//! still run where nobody looks. That is remembered until a new epoch is granted: then somebody has made sure.

use std::collections::{BTreeMap, BTreeSet};

use nave_common::failover::Epoch;
use nave_common::render::activity::EXCLUSIVE_LABEL;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Pods that vanished, remembered of one application at most; more only make what is known already worse.
const MAX_VANISHED: usize = 100;
/// How many pods or nodes a reason names.
const MAX_NAMED: usize = 5;

/// One pod that may run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pod {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its node; `None` while no node has it.
    pub node: Option<String>,
    /// Whether it is being deleted with time to end: who removes it by force gives it none.
    pub ending: bool,
    /// The Job that made it, if one did.
    pub job: Option<Job>,
}

/// A Job that made a pod.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Job {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
}

/// One look at a pod of Exclusive work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sight {
    /// The value of the label that tells whose it is.
    pub label: String,
    /// Its UID.
    pub uid: String,
    /// What it is; `None` where it has ended.
    pub pod: Option<Pod>,
}

/// How a pod went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Nothing of it runs.
    Ended,
    /// Nobody can say.
    Vanished,
}

/// What is known of the pods of one application.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Known {
    /// Those that may run, by UID.
    pub running: BTreeMap<String, Pod>,
    /// Those of which nobody can say whether they run, by UID.
    pub vanished: BTreeMap<String, Pod>,
    /// The newest epoch that was ever granted here since this was begun.
    pub granted: Epoch,
    /// Whether nothing can have run of which this does not know.
    pub is_complete: bool,
}

/// The pods of all Exclusive work.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tracker {
    by_label: BTreeMap<String, Known>,
    /// Nodes that were not Ready when looking began: what ran on them before is known of no application whose record is
    /// not complete.
    doubtful_nodes: BTreeSet<String>,
    /// Whether all pods that are there were seen, and changes are followed.
    pub is_following: bool,
}

impl Tracker {
    /// With what was remembered.
    #[must_use]
    pub fn new(by_label: BTreeMap<String, Known>) -> Self {
        Self { by_label, ..Self::default() }
    }

    /// What is to be remembered. What is complete only because nothing is in doubt now is complete.
    #[must_use]
    pub fn to_remember(&self) -> BTreeMap<String, Known> {
        let is_sure = self.is_following && self.doubtful_nodes.is_empty();
        let remember = |(label, known): (&String, &Known)| {
            (label.clone(), Known { is_complete: known.is_complete || is_sure, ..known.clone() })
        };
        self.by_label.iter().map(remember).collect()
    }

    /// What is known of the pods with this label.
    #[must_use]
    pub fn of(&self, label: &str) -> Known {
        self.by_label.get(label).cloned().unwrap_or_default()
    }

    /// The nodes on which pods with this label may run that nobody knows of.
    #[must_use]
    pub fn doubtful_nodes(&self, label: &str) -> Vec<&str> {
        let is_complete = self.by_label.get(label).is_some_and(|known| known.is_complete);
        if is_complete { Vec::new() } else { self.doubtful_nodes.iter().map(String::as_str).collect() }
    }

    /// Every node that is in doubt.
    #[must_use]
    pub fn all_doubtful_nodes(&self) -> Vec<String> {
        self.doubtful_nodes.iter().cloned().collect()
    }

    /// A node is Ready: what ran on it before is in the API, or ended by its kubelet.
    pub fn node_is_ready(&mut self, node: &str) -> bool {
        self.doubtful_nodes.remove(node)
    }

    /// What has this label may run here under `epoch`. Where that was granted after this agent last knew everything, all
    /// earlier ones are known to be dead. True where that is news.
    pub fn granted(&mut self, label: &str, epoch: Epoch, is_new: bool) -> bool {
        let known = self.by_label.entry(label.to_owned()).or_default();
        if epoch <= known.granted {
            return false;
        }
        if is_new || known.granted > Epoch::default() {
            known.vanished.clear();
            known.is_complete = true;
        }
        known.granted = epoch;
        true
    }

    /// Nothing with this label is of concern any more.
    pub fn forget(&mut self, label: &str) {
        self.by_label.remove(label);
    }

    /// Takes a look at a pod that is there. True where that is news.
    pub fn see(&mut self, sight: Sight) -> bool {
        let known = self.by_label.entry(sight.label).or_default();
        match sight.pod {
            Some(mut pod) => {
                // Its node takes it out with no time left, once it has ended.
                pod.ending |= known.running.get(&sight.uid).is_some_and(|before| before.ending);
                known.running.insert(sight.uid, pod.clone()) != Some(pod)
            }
            None => known.running.remove(&sight.uid).is_some() | known.vanished.remove(&sight.uid).is_some(),
        }
    }

    /// A pod is not there any more.
    pub fn gone(&mut self, label: &str, uid: &str, way: Way) {
        let Some(known) = self.by_label.get_mut(label) else { return };
        let Some(pod) = known.running.remove(uid) else { return };
        if way == Way::Vanished && known.vanished.len() < MAX_VANISHED {
            known.vanished.insert(uid.to_owned(), pod);
        }
    }

    /// Whether a pod was seen being deleted with time to end.
    #[must_use]
    pub fn is_ending(&self, label: &str, uid: &str) -> bool {
        self.by_label.get(label).and_then(|known| known.running.get(uid)).is_some_and(|pod| pod.ending)
    }

    /// The pods that were there and are not among `listed`, with their labels and UIDs.
    #[must_use]
    pub fn missing(&self, listed: &[Sight]) -> Vec<(String, String, Pod)> {
        let there: BTreeSet<&str> = listed.iter().map(|sight| sight.uid.as_str()).collect();
        let mut missing = Vec::new();
        for (label, known) in &self.by_label {
            for (uid, pod) in &known.running {
                if !there.contains(uid.as_str()) {
                    missing.push((label.clone(), uid.clone(), pod.clone()));
                }
            }
        }
        missing
    }

    /// Everything that is there was seen, and is followed from here on. `unready` are nodes that were not Ready when this
    /// process began to look.
    pub fn following(&mut self, unready: BTreeSet<String>) {
        self.is_following = true;
        self.doubtful_nodes.extend(unready);
    }
}

/// Reads a pod; `None` where it is not of Exclusive work.
#[must_use]
pub fn read(object: &Value) -> Option<Sight> {
    let metadata = &object["metadata"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let label = metadata["labels"][EXCLUSIVE_LABEL].as_str()?.to_owned();
    let uid = metadata["uid"].as_str()?.to_owned();
    let has_ended =
        matches!(object["status"]["phase"].as_str(), Some("Succeeded" | "Failed")) && !is_said_to_run(object);
    let namespace = text(&metadata["namespace"]);
    let owners = metadata["ownerReferences"].as_array().into_iter().flatten();
    let mut jobs =
        owners.filter(|owner| owner["kind"] == "Job" && owner["controller"] == true).map(|owner| Job {
            namespace: namespace.clone(),
            name: text(&owner["name"]),
            uid: text(&owner["uid"]),
        });
    let pod = Pod {
        name: text(&metadata["name"]),
        node: object["spec"]["nodeName"].as_str().filter(|node| !node.is_empty()).map(str::to_owned),
        ending: !metadata["deletionTimestamp"].is_null() && metadata["deletionGracePeriodSeconds"] != 0,
        job: jobs.next(),
        namespace: namespace.clone(),
    };
    Some(Sight { label, uid, pod: (!has_ended).then_some(pod) })
}

/// Whether a container's last word from its kubelet is that it runs: a pod of a node that is gone is said to have failed by
/// the garbage collector, which has not looked at it.
#[must_use]
pub fn is_said_to_run(object: &Value) -> bool {
    let status = &object["status"];
    let containers = ["initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"];
    let mut containers = containers.iter().flat_map(|field| status[*field].as_array().into_iter().flatten());
    containers.any(|container| !container["state"]["running"].is_null())
}

/// Names pods with their nodes: `shop/cart-0 on node a, shop/cart-1 on node b and 3 more`.
#[must_use]
pub fn names<'a>(pods: impl IntoIterator<Item = &'a Pod>) -> String {
    let name = |pod: &Pod| match &pod.node {
        Some(node) => format!("{}/{} on node {node}", pod.namespace, pod.name),
        None => format!("{}/{}", pod.namespace, pod.name),
    };
    join(pods.into_iter().map(name).collect())
}

/// The first few, and how many more.
#[must_use]
pub fn join(mut names: Vec<String>) -> String {
    let more = names.len().saturating_sub(MAX_NAMED);
    names.truncate(MAX_NAMED);
    let named = names.join(", ");
    if more == 0 { named } else { format!("{named} and {more} more") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const LEDGER: &str = "0011223344556677";

    fn pod(uid: &str, phase: &str, node: Option<&str>) -> Value {
        json!({"metadata": {"name": format!("ledger-{uid}"), "namespace": "bank", "uid": uid,
                "labels": {EXCLUSIVE_LABEL: LEDGER},
                "ownerReferences": [{"kind": "Job", "controller": true, "name": "nightly", "uid": "j"}]},
            "spec": {"nodeName": node}, "status": {"phase": phase}})
    }

    fn running() -> Tracker {
        let mut tracker = Tracker::default();
        assert!(tracker.see(read(&pod("1", "Running", Some("a"))).unwrap()));
        tracker.following(BTreeSet::new());
        tracker
    }

    #[test]
    fn a_pod_that_was_seen_to_end_is_forgotten_and_one_that_vanished_is_not() {
        let mut tracker = running();
        assert!(!tracker.see(read(&pod("1", "Running", Some("a"))).unwrap()), "no news");
        assert!(tracker.see(read(&pod("1", "Succeeded", Some("a"))).unwrap()));
        assert_eq!(tracker.of(LEDGER), Known::default());
        let mut tracker = running();
        tracker.gone(LEDGER, "1", Way::Ended);
        assert_eq!(tracker.of(LEDGER), Known::default());
        let mut tracker = running();
        tracker.gone(LEDGER, "1", Way::Vanished);
        let known = tracker.of(LEDGER);
        assert_eq!(names(known.vanished.values()), "bank/ledger-1 on node a");
        let _ = tracker.granted(LEDGER, Epoch::from_number(8), true);
        assert!(tracker.of(LEDGER).vanished.is_empty(), "a new grant is made after the old one is dead");
    }

    #[test]
    fn what_went_while_nobody_looked_is_told() {
        let tracker = running();
        let again = Tracker::new(tracker.to_remember());
        assert!(again.of(LEDGER).is_complete);
        let missing = again.missing(&[]);
        assert_eq!((missing.len(), missing[0].2.node.as_deref()), (1, Some("a")));
        assert!(again.missing(&[read(&pod("1", "Failed", Some("a"))).unwrap()]).is_empty());
    }

    #[test]
    fn without_a_record_a_silent_node_is_a_doubt_until_it_is_ready() {
        let mut tracker = Tracker::default();
        tracker.following(BTreeSet::from(["a".to_owned()]));
        assert_eq!(tracker.doubtful_nodes(LEDGER), ["a"]);
        assert!(!tracker.to_remember().values().any(|known| known.is_complete));
        assert!(tracker.node_is_ready("a"));
        assert!(tracker.doubtful_nodes(LEDGER).is_empty());
        let mut granted = Tracker::default();
        granted.following(BTreeSet::from(["a".to_owned()]));
        let _ = granted.granted(LEDGER, Epoch::from_number(3), true);
        assert!(granted.doubtful_nodes(LEDGER).is_empty());
        let mut resumed = Tracker::default();
        resumed.following(BTreeSet::from(["a".to_owned()]));
        let _ = resumed.granted(LEDGER, Epoch::from_number(3), false);
        assert_eq!(resumed.doubtful_nodes(LEDGER), ["a"], "it may have run under this epoch before");
    }

    #[test]
    fn a_pod_that_only_the_garbage_collector_calls_failed_may_still_run() {
        let mut object = pod("1", "Failed", Some("a"));
        object["status"]["containerStatuses"] = json!([{"state": {"running": {"startedAt": "x"}}}]);
        assert!(read(&object).unwrap().pod.is_some());
        object["status"]["containerStatuses"] = json!([{"state": {"terminated": {"exitCode": 137}}}]);
        assert_eq!(read(&object).unwrap().pod, None);
    }

    #[test]
    fn a_pod_tells_its_job_and_others_are_of_no_concern() {
        let sight = read(&pod("1", "Pending", None)).unwrap();
        assert_eq!(sight.pod.unwrap().job.unwrap().name, "nightly");
        assert_eq!(read(&json!({"metadata": {"name": "x", "uid": "2"}})), None);
        let many: Vec<String> = (0..8).map(|number| number.to_string()).collect();
        assert_eq!(join(many), "0, 1, 2, 3, 4 and 3 more");
    }
}
