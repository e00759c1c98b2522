//! One Kubernetes cluster, as far as failover sees it: an API server, nodes, workloads, and pods that live whether or
//! not the API server does.

use std::collections::BTreeMap;

use nave_common::failover::Epoch;

use super::world::{Event, World, note};

/// How long an agent's write takes at most, in milliseconds.
pub(super) const WRITE_MS: u64 = 20;
/// How many nodes a cluster has.
pub(super) const NODE_COUNT: usize = 3;

/// What an agent wants of one application in its cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// Workloads run, under this token.
    Active(Epoch),
    /// Workloads stand at zero.
    Parked,
    /// Nothing is there.
    Gone,
}

/// One pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pod {
    /// The token that it was started with.
    pub(super) epoch: Epoch,
    /// Its node.
    pub(super) node: usize,
    /// When it ends, where it was told to; `None` where it was not, or its node does not hear.
    pub(super) ends_at: Option<u64>,
    /// Whether it was told to end.
    pub(super) is_ending: bool,
    /// Whether its machine has power.
    pub(super) is_powered: bool,
}

/// One cluster.
#[derive(Debug, Clone, Default)]
pub(super) struct Cluster {
    /// Whether its machines have power.
    pub(super) has_power: bool,
    /// Whether its API server answers.
    pub(super) has_api: bool,
    /// Nodes that the API server does not reach; pods on them run on.
    pub(super) is_node_cut: [bool; NODE_COUNT],
    /// What stands in etcd, by application.
    pub(super) shapes: BTreeMap<usize, Shape>,
    /// Every pod, by application.
    pub(super) pods: BTreeMap<usize, Vec<Pod>>,
    /// Applications that do not get well here.
    pub(super) is_sore: BTreeMap<usize, bool>,
    /// When the next look at the pods is due.
    pub(super) look_at: Option<u64>,
}

impl Cluster {
    /// A cluster in which all is well and nothing runs.
    #[must_use]
    pub(super) fn new() -> Self {
        Self { has_power: true, has_api: true, ..Self::default() }
    }

    /// The tokens of the pods that run, those that are ending among them.
    pub(super) fn running_epochs(&self, work: usize) -> impl Iterator<Item = Epoch> {
        self.pods.get(&work).into_iter().flatten().filter(|pod| pod.is_powered).map(|pod| pod.epoch)
    }

    /// Whether any pod of an application is there, as the API server sees it.
    #[must_use]
    pub(super) fn has_pods(&self, work: usize) -> bool {
        self.pods.get(&work).is_some_and(|pods| !pods.is_empty())
    }

    /// What stands in etcd.
    #[must_use]
    pub(super) fn shape(&self, work: usize) -> Shape {
        self.shapes.get(&work).copied().unwrap_or(Shape::Gone)
    }

    /// Whether a pod with this token runs and is to stay.
    #[must_use]
    pub(super) fn is_well(&self, work: usize, epoch: Epoch) -> bool {
        let is_sore = self.is_sore.get(&work).copied().unwrap_or(false);
        let mut pods = self.pods.get(&work).into_iter().flatten();
        !is_sore && pods.any(|pod| pod.epoch == epoch && pod.is_powered && !pod.is_ending)
    }
}

impl World {
    /// Has controllers and kubelets look at the pods of a cluster at `at` at the latest.
    pub(super) fn look_at_pods(&mut self, spoke: usize, at: u64) {
        let cluster = &mut self.spokes[spoke].cluster;
        if cluster.look_at.is_none_or(|planned| planned > at) {
            cluster.look_at = Some(at);
            self.at(at, Event::Pods(spoke));
        }
    }

    /// Controllers make and end pods as the workloads say; kubelets end those that are due.
    pub(super) fn pods(&mut self, spoke: usize) {
        if self.spokes[spoke].cluster.look_at != Some(self.now) {
            return;
        }
        self.spokes[spoke].cluster.look_at = None;
        if !self.spokes[spoke].cluster.has_power {
            return;
        }
        let mut next: Option<u64> = None;
        let mut is_changed = false;
        for work in 0..self.works.len() {
            is_changed |= self.end_pods(spoke, work, &mut next);
            if self.spokes[spoke].cluster.has_api {
                is_changed |= self.control_pods(spoke, work, &mut next);
            }
        }
        if let Some(at) = next {
            self.look_at_pods(spoke, at);
        }
        if is_changed {
            self.is_changed = true;
            self.agent_looks(spoke);
        }
    }

    /// Kubelets end pods that are due. True where one did.
    fn end_pods(&mut self, spoke: usize, work: usize, next: &mut Option<u64>) -> bool {
        let now = self.now;
        let cluster = &mut self.spokes[spoke].cluster;
        let Some(pods) = cluster.pods.get_mut(&work) else { return false };
        let before = pods.len();
        let is_cut = cluster.is_node_cut;
        // A node that does not hear does not say that a pod has ended either.
        pods.retain(|pod| is_cut[pod.node] || pod.ends_at.is_none_or(|at| at > now));
        for at in pods.iter().filter(|pod| !is_cut[pod.node]).filter_map(|pod| pod.ends_at) {
            *next = Some(next.map_or(at, |other| other.min(at)));
        }
        let ended = before != pods.len();
        if ended {
            note!(self, "{} a pod of {} ended", self.spokes[spoke].name, self.works[work].key);
        }
        ended
    }

    /// Controllers compare pods with the workload. True where something changed.
    fn control_pods(&mut self, spoke: usize, work: usize, next: &mut Option<u64>) -> bool {
        let wanted = match self.spokes[spoke].cluster.shape(work) {
            Shape::Active(epoch) => Some(epoch),
            Shape::Parked | Shape::Gone => None,
        };
        let grace = self.works[work].grace_ms;
        let (now, mut is_changed) = (self.now, false);
        let count = self.spokes[spoke].cluster.pods.get(&work).map_or(0, Vec::len);
        for index in 0..count {
            // Half of all pods take as long as they may.
            let takes = if self.dice.chance(50) { grace } else { self.dice.range(0, grace) };
            let cluster = &mut self.spokes[spoke].cluster;
            let is_cut = cluster.is_node_cut;
            let Some(pod) = cluster.pods.get_mut(&work).and_then(|pods| pods.get_mut(index)) else {
                continue;
            };
            if Some(pod.epoch) == wanted && !pod.is_ending {
                continue;
            }
            pod.is_ending = true;
            if !is_cut[pod.node] && pod.ends_at.is_none() {
                pod.ends_at = Some(now + takes);
                is_changed = true;
                *next = Some(next.map_or(now + takes, |other| other.min(now + takes)));
            }
        }
        let Some(epoch) = wanted else { return is_changed };
        let nodes: Vec<usize> =
            (0..NODE_COUNT).filter(|node| !self.spokes[spoke].cluster.is_node_cut[*node]).collect();
        let stays =
            self.spokes[spoke].cluster.pods.get(&work).into_iter().flatten().any(|pod| !pod.is_ending);
        if stays || nodes.is_empty() {
            return is_changed;
        }
        let node = nodes[self.dice.index(nodes.len())];
        let pod = Pod { epoch, node, ends_at: None, is_ending: false, is_powered: true };
        self.spokes[spoke].cluster.pods.entry(work).or_default().push(pod);
        note!(
            self,
            "{} a pod of {} starts under {epoch} on node {node}",
            self.spokes[spoke].name,
            self.works[work].key
        );
        true
    }
}
