//! The clusters as the planner sees them: a table with an index by label.
//!
//! The world keeps one and changes it record by record; planners read it, and while they plan note in their own copy
//! what they have given away. Cloning is cheap: the index is shared until a cluster joins or changes its labels.

use std::collections::BTreeMap;
use std::sync::Arc;

use nave_common::failover::FailoverTarget;
use nave_common::metadata::Labels;
use nave_common::name::ClusterName;
use nave_common::placement::Taint;
use nave_common::resources::Resources;
use nave_common::selector::{Operator, Requirement, Selector};
use nave_common::status::Liveness;

use super::bits::Bits;
use super::rank;

/// The weight of a cluster that sets none.
pub const DEFAULT_WEIGHT: u32 = 100;

/// One cluster as the planner sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its name.
    pub name: ClusterName,
    /// What selectors match.
    pub labels: Arc<Labels>,
    /// What keeps applications away.
    pub taints: Arc<[Taint]>,
    /// How readily it is chosen.
    pub weight: u32,
    /// Whether it is heard.
    pub liveness: Liveness,
    /// What it has to give; `None` where its agent has not said.
    pub allocatable: Option<Resources>,
    /// What is given away already.
    pub requested: Resources,
    /// Whether nothing new comes here.
    pub is_cordoned: bool,
    /// Whether what is here leaves; nothing new comes either.
    pub is_drained: bool,
    /// Whether its agent says that it cannot run work now: nothing new comes.
    pub is_sick: bool,
}

impl Candidate {
    /// A cluster without labels, taints and load, that is alive and has not said what it has.
    #[must_use]
    pub fn new(name: ClusterName) -> Self {
        Self {
            name,
            labels: Arc::default(),
            taints: Arc::default(),
            weight: DEFAULT_WEIGHT,
            liveness: Liveness::Alive,
            allocatable: None,
            requested: Resources::default(),
            is_cordoned: false,
            is_drained: false,
            is_sick: false,
        }
    }

    /// What is left of it; `None` where its agent has not said what it has.
    #[must_use]
    pub fn free(&self) -> Option<Resources> {
        self.allocatable.map(|has| has.minus(self.requested))
    }

    /// How much of its scarcest resource is left, in percent.
    #[must_use]
    pub fn free_percent(&self) -> Option<u32> {
        let (has, left) = (self.allocatable?, self.free()?);
        // Saturates past 180 PB of memory.
        let percent = |left: u64, has: u64| left.saturating_mul(100).checked_div(has);
        let scarcest = [
            percent(left.cpu_millicores, has.cpu_millicores),
            percent(left.memory_bytes, has.memory_bytes),
            percent(left.pods, has.pods),
        ];
        scarcest.into_iter().flatten().min().and_then(|least| u32::try_from(least).ok())
    }

    /// Whether new work may come: what is not heard cannot start anything.
    #[must_use]
    pub fn is_heard(&self) -> bool {
        matches!(self.liveness, Liveness::Alive | Liveness::Suspect)
    }
}

/// All clusters. A cluster keeps its slot number as long as it is there.
#[derive(Debug, Clone, Default)]
pub struct Fleet {
    slots: Vec<Option<Candidate>>,
    index: Arc<Index>,
}

/// What is found by name and by label.
#[derive(Debug, Clone, Default)]
struct Index {
    by_name: BTreeMap<ClusterName, usize>,
    /// By slot; see [`super::rank`].
    name_hashes: Vec<u64>,
    free_slots: Vec<usize>,
    /// The slots with each value of each label key, in no order that anything depends on.
    by_label: BTreeMap<Arc<str>, BTreeMap<Arc<str>, Vec<usize>>>,
    present: Bits,
}

impl Fleet {
    /// How many clusters there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.index.by_name.len()
    }

    /// Whether there is no cluster.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The cluster in a slot.
    #[must_use]
    pub fn get(&self, slot: usize) -> Option<&Candidate> {
        self.slots.get(slot)?.as_ref()
    }

    /// The slot of a cluster.
    #[must_use]
    pub fn slot(&self, name: &ClusterName) -> Option<usize> {
        self.index.by_name.get(name).copied()
    }

    /// The cluster of that name.
    #[must_use]
    pub fn find(&self, name: &ClusterName) -> Option<&Candidate> {
        self.get(self.slot(name)?)
    }

    pub(super) fn name_hash(&self, slot: usize) -> u64 {
        self.index.name_hashes.get(slot).copied().unwrap_or_default()
    }

    /// Every cluster with its slot.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &Candidate)> {
        self.slots.iter().enumerate().filter_map(|(slot, found)| Some((slot, found.as_ref()?)))
    }

    /// Puts a cluster in, in place of the one of its name.
    pub fn put(&mut self, candidate: Candidate) {
        match self.slot(&candidate.name) {
            Some(slot) => {
                let before = self.slots[slot].replace(candidate.clone());
                let same = before.as_ref().is_some_and(|before| before.labels == candidate.labels);
                if !same {
                    let index = Arc::make_mut(&mut self.index);
                    if let Some(before) = before {
                        index.forget(slot, &before.labels);
                    }
                    index.note(slot, &candidate);
                }
            }
            None => {
                let index = Arc::make_mut(&mut self.index);
                let slot = index.free_slots.pop().unwrap_or(self.slots.len());
                if slot == self.slots.len() {
                    self.slots.push(None);
                }
                index.by_name.insert(candidate.name.clone(), slot);
                index.name_hashes.resize(self.slots.len(), 0);
                index.name_hashes[slot] = rank::hash(candidate.name.as_str());
                index.note(slot, &candidate);
                self.slots[slot] = Some(candidate);
            }
        }
    }

    /// Takes a cluster out.
    pub fn remove(&mut self, name: &ClusterName) {
        let Some(slot) = self.slot(name) else { return };
        let index = Arc::make_mut(&mut self.index);
        index.by_name.remove(name);
        index.free_slots.push(slot);
        index.present.remove(slot);
        if let Some(before) = self.slots[slot].take() {
            index.forget(slot, &before.labels);
        }
    }

    /// Changes what is not indexed: liveness, what the cluster has, what is given away.
    pub fn update(&mut self, name: &ClusterName, change: impl FnOnce(&mut Observed<'_>)) {
        if let Some(slot) = self.slot(name)
            && let Some(candidate) = self.slots[slot].as_mut()
        {
            change(&mut Observed {
                liveness: &mut candidate.liveness,
                allocatable: &mut candidate.allocatable,
                requested: &mut candidate.requested,
                is_sick: &mut candidate.is_sick,
            });
        }
    }

    /// The clusters that a selector matches.
    #[must_use]
    pub fn matching(&self, selector: &Selector) -> Bits {
        let mut matching = self.index.present.clone();
        for (key, value) in &selector.match_labels {
            matching.intersect(&self.index.with_value(key, [value.as_str()]));
        }
        for requirement in &selector.match_expressions {
            self.index.narrow(&mut matching, requirement);
        }
        matching
    }

    /// The clusters whose label `key` has one of `values`.
    #[must_use]
    pub fn having_one_of(&self, key: &str, values: &[String]) -> Bits {
        self.index.with_value(key, values.iter().map(String::as_str))
    }

    /// The clusters of a region, or one cluster.
    #[must_use]
    pub fn at_target(&self, target: &FailoverTarget) -> Bits {
        match target {
            FailoverTarget::Region(region) => self.index.with_value("region", [region.as_str()]),
            FailoverTarget::Cluster(cluster) => self.slot(cluster).into_iter().collect(),
        }
    }

    /// The slots of clusters; those that are not there have none.
    #[must_use]
    pub fn slots<'a>(&self, clusters: impl IntoIterator<Item = &'a ClusterName>) -> Bits {
        clusters.into_iter().filter_map(|name| self.slot(name)).collect()
    }

    /// The clusters that have a label `key`.
    #[must_use]
    pub fn having(&self, key: &str) -> Bits {
        self.index.with_key(key)
    }

    /// The domains that the values of a label make, numbered in the order of the values.
    #[must_use]
    pub(super) fn domains(&self, key: &str) -> Domains {
        let values = self.index.by_label.get(key);
        let mut domains = Domains { by_slot: vec![u32::MAX; self.slots.len()], count: 0 };
        for slots in values.into_iter().flat_map(BTreeMap::values) {
            for slot in slots {
                domains.by_slot[*slot] = domains.count;
            }
            domains.count += 1;
        }
        domains
    }
}

/// Which domain each cluster lies in.
#[derive(Debug, Clone)]
pub(super) struct Domains {
    by_slot: Vec<u32>,
    count: u32,
}

impl Domains {
    /// How many domains there are.
    pub(super) fn len(&self) -> usize {
        self.count as usize
    }

    /// The domain of a cluster, which must have the label.
    pub(super) fn of(&self, slot: usize) -> u32 {
        self.by_slot[slot]
    }
}

impl FromIterator<Candidate> for Fleet {
    fn from_iter<T: IntoIterator<Item = Candidate>>(candidates: T) -> Self {
        let mut fleet = Self::default();
        for candidate in candidates {
            fleet.put(candidate);
        }
        fleet
    }
}

/// What of a cluster changes without touching an index.
#[derive(Debug)]
pub struct Observed<'a> {
    /// Whether it is heard.
    pub liveness: &'a mut Liveness,
    /// What it has to give.
    pub allocatable: &'a mut Option<Resources>,
    /// What is given away already.
    pub requested: &'a mut Resources,
    /// Whether it cannot run work now.
    pub is_sick: &'a mut bool,
}

impl Index {
    fn note(&mut self, slot: usize, candidate: &Candidate) {
        self.present.insert(slot);
        for (key, value) in candidate.labels.iter() {
            let values = self.by_label.entry(key.as_str().into()).or_default();
            values.entry(value.as_str().into()).or_default().push(slot);
        }
    }

    fn forget(&mut self, slot: usize, labels: &Labels) {
        for (key, value) in labels {
            let Some(values) = self.by_label.get_mut(key.as_str()) else { continue };
            let Some(slots) = values.get_mut(value.as_str()) else { continue };
            slots.retain(|other| *other != slot);
            if slots.is_empty() {
                values.remove(value.as_str());
            }
            if values.is_empty() {
                self.by_label.remove(key.as_str());
            }
        }
    }

    fn with_key(&self, key: &str) -> Bits {
        self.by_label.get(key).into_iter().flat_map(BTreeMap::values).flatten().copied().collect()
    }

    fn with_value<'a>(&self, key: &str, wanted: impl IntoIterator<Item = &'a str>) -> Bits {
        let Some(values) = self.by_label.get(key) else { return Bits::default() };
        wanted.into_iter().filter_map(|value| values.get(value)).flatten().copied().collect()
    }

    fn narrow(&self, matching: &mut Bits, requirement: &Requirement) {
        let listed = || self.with_value(&requirement.key, requirement.values.iter().map(String::as_str));
        match requirement.operator {
            Operator::In => matching.intersect(&listed()),
            Operator::NotIn => matching.subtract(&listed()),
            Operator::Exists => matching.intersect(&self.with_key(&requirement.key)),
            Operator::DoesNotExist => matching.subtract(&self.with_key(&requirement.key)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(name: &str, labels: &[(&str, &str)]) -> Candidate {
        let labels: Labels = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Candidate { labels: Arc::new(labels), ..Candidate::new(name.parse().unwrap()) }
    }

    fn names(fleet: &Fleet, selector: &str) -> Vec<String> {
        let matching = fleet.matching(&selector.parse().unwrap());
        let mut names: Vec<String> =
            matching.iter().filter_map(|slot| Some(fleet.get(slot)?.name.to_string())).collect();
        names.sort();
        names
    }

    #[test]
    fn the_index_answers_as_the_selector_does() {
        let mut fleet: Fleet = [
            cluster("a", &[("env", "prod"), ("zone", "1")]),
            cluster("b", &[("env", "dev")]),
            cluster("c", &[("env", "prod"), ("zone", "2")]),
        ]
        .into_iter()
        .collect();
        fleet.put(cluster("b", &[("env", "stage"), ("zone", "2")]));
        fleet.remove(&"a".parse().unwrap());
        fleet.put(cluster("d", &[]));
        for text in
            ["", "env=prod", "env!=prod", "zone", "!zone", "env in (stage,dev),zone=2", "zone notin (2)"]
        {
            let selector: Selector = text.parse().unwrap();
            let mut expected: Vec<String> = fleet
                .iter()
                .filter(|(_, candidate)| selector.matches(&candidate.labels))
                .map(|(_, candidate)| candidate.name.to_string())
                .collect();
            expected.sort();
            assert_eq!(names(&fleet, text), expected, "{text}");
        }
    }

    #[test]
    fn the_scarcest_resource_says_how_much_is_free() {
        let mut candidate = cluster("a", &[]);
        assert_eq!(candidate.free_percent(), None);
        candidate.allocatable = Some(Resources { cpu_millicores: 1000, memory_bytes: 1000, pods: 0 });
        candidate.requested = Resources { cpu_millicores: 590, memory_bytes: 10, pods: 5 };
        assert_eq!(candidate.free_percent(), Some(41));
    }
}
