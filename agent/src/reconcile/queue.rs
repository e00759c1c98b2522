//! The queue of one application: what is to be started, in which order. No I/O and no knowledge of what it is.
//!
//! Ranked objects wait until every object of a lower rank was tried. Urgent ones (repairs and second tries) wait for
//! nobody. Leaving ones go in the opposite order, and each rank waits until the one before is gone.

use std::collections::VecDeque;
use std::sync::Arc;

use nave_common::manifest::ObjectKey;

use crate::apply::order::{RANK_COUNT, Rank};

/// What is to be started.
#[derive(Debug, Default)]
pub struct Queue {
    urgent: VecDeque<Arc<ObjectKey>>,
    ranked: [VecDeque<Arc<ObjectKey>>; RANK_COUNT],
    /// First tries that are under way.
    outstanding: [u32; RANK_COUNT],
    leaving: [VecDeque<Arc<ObjectKey>>; RANK_COUNT],
    /// Leaving objects that are not gone, those in `leaving` included.
    unsettled: [u32; RANK_COUNT],
}

impl Queue {
    /// Empties it, for a new pass.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Adds an object whose turn comes by its rank.
    pub fn push_ranked(&mut self, rank: Rank, key: Arc<ObjectKey>) {
        self.ranked[rank.index()].push_back(key);
    }

    /// Adds an object that waits for nobody.
    pub fn push_urgent(&mut self, key: Arc<ObjectKey>) {
        self.urgent.push_back(key);
    }

    /// Adds an object that is to go.
    pub fn push_leaving(&mut self, rank: Rank, key: Arc<ObjectKey>) {
        self.leaving[rank.index()].push_back(key);
        self.unsettled[rank.index()] += 1;
    }

    /// Adds an object that is to go and is being tried again.
    pub fn push_leaving_again(&mut self, rank: Rank, key: Arc<ObjectKey>) {
        self.leaving[rank.index()].push_back(key);
    }

    /// The first try of an object has begun.
    pub fn begin(&mut self, rank: Rank) {
        self.outstanding[rank.index()] += 1;
    }

    /// The first try of an object is over.
    pub fn end(&mut self, rank: Rank) {
        let outstanding = &mut self.outstanding[rank.index()];
        *outstanding = outstanding.saturating_sub(1);
    }

    /// An object that was to go is gone, or stays.
    pub fn settle(&mut self, rank: Rank) {
        let unsettled = &mut self.unsettled[rank.index()];
        *unsettled = unsettled.saturating_sub(1);
    }

    /// The next urgent object.
    pub fn pop_urgent(&mut self) -> Option<Arc<ObjectKey>> {
        self.urgent.pop_front()
    }

    /// The next object by rank, if its turn has come.
    pub fn pop_ranked(&mut self) -> Option<Arc<ObjectKey>> {
        for (queue, outstanding) in self.ranked.iter_mut().zip(self.outstanding) {
            if let Some(key) = queue.pop_front() {
                return Some(key);
            }
            if outstanding > 0 {
                return None;
            }
        }
        None
    }

    /// The next object that is to go, if its turn has come.
    pub fn pop_leaving(&mut self) -> Option<Arc<ObjectKey>> {
        let rank = (0..RANK_COUNT).rev().find(|rank| self.unsettled[*rank] > 0)?;
        self.leaving[rank].pop_front()
    }

    /// Whether something is to go that was not started yet.
    #[must_use]
    pub fn has_leaving(&self) -> bool {
        self.leaving.iter().any(|queue| !queue.is_empty())
    }

    /// Whether every object that waits by rank was tried.
    #[must_use]
    pub fn is_through(&self) -> bool {
        self.ranked.iter().all(VecDeque::is_empty) && self.outstanding.iter().all(|count| *count == 0)
    }

    /// Whether nothing at all is left to start.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.urgent.is_empty()
            && self.ranked.iter().all(VecDeque::is_empty)
            && self.leaving.iter().all(VecDeque::is_empty)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apply::order::{BASES, NAMESPACES, WORKLOADS};

    fn key(name: &str) -> Arc<ObjectKey> {
        Arc::new(ObjectKey { group: String::new(), kind: String::new(), namespace: None, name: name.into() })
    }

    fn name(key: Option<Arc<ObjectKey>>) -> Option<String> {
        key.map(|key| key.name.clone())
    }

    #[test]
    fn rank_waits_for_first_tries_of_lower_ranks() {
        let mut queue = Queue::default();
        queue.push_ranked(WORKLOADS, key("w"));
        queue.push_ranked(NAMESPACES, key("n"));
        assert_eq!(name(queue.pop_ranked()).as_deref(), Some("n"));
        queue.begin(NAMESPACES);
        assert_eq!(queue.pop_ranked(), None);
        queue.push_urgent(key("u"));
        assert_eq!(name(queue.pop_urgent()).as_deref(), Some("u"));
        queue.end(NAMESPACES);
        assert_eq!(name(queue.pop_ranked()).as_deref(), Some("w"));
        assert!(queue.is_through());
    }

    #[test]
    fn what_leaves_goes_in_the_opposite_order_and_waits_for_what_goes_before() {
        let mut queue = Queue::default();
        queue.push_leaving(BASES, key("b"));
        queue.push_leaving(WORKLOADS, key("w"));
        assert_eq!(name(queue.pop_leaving()).as_deref(), Some("w"));
        assert_eq!(queue.pop_leaving(), None);
        queue.push_leaving_again(WORKLOADS, key("w"));
        assert_eq!(name(queue.pop_leaving()).as_deref(), Some("w"));
        queue.settle(WORKLOADS);
        assert_eq!(name(queue.pop_leaving()).as_deref(), Some("b"));
        assert!(queue.is_empty());
    }
}
