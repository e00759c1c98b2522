//! A map that forgets what was used longest ago, bounded by bytes.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

/// The map. Not thread-safe by itself; its owner locks it.
#[derive(Debug)]
pub struct Cache<K, V> {
    entries: HashMap<K, Slot<V>>,
    /// From the number of its last use to the key; numbers are never given twice.
    by_use: BTreeMap<u64, K>,
    next_use: u64,
    size_bytes: usize,
    limit_bytes: usize,
}

#[derive(Debug)]
struct Slot<V> {
    value: V,
    size_bytes: usize,
    last_use: u64,
}

impl<K: Clone + Eq + Hash, V: Clone> Cache<K, V> {
    /// An empty map that holds at most `limit_bytes`.
    #[must_use]
    pub fn new(limit_bytes: usize) -> Self {
        Self { entries: HashMap::new(), by_use: BTreeMap::new(), next_use: 0, size_bytes: 0, limit_bytes }
    }

    /// The value of `key`, which now is the one used last.
    pub fn get(&mut self, key: &K) -> Option<V> {
        let slot = self.entries.get_mut(key)?;
        self.by_use.remove(&slot.last_use);
        slot.last_use = self.next_use;
        self.by_use.insert(self.next_use, key.clone());
        self.next_use += 1;
        Some(slot.value.clone())
    }

    /// Keeps a value that takes `size_bytes`, and forgets others until it fits. One that can never fit is not kept.
    pub fn put(&mut self, key: K, value: V, size_bytes: usize) {
        self.forget(&key);
        if size_bytes > self.limit_bytes {
            return;
        }
        while self.size_bytes + size_bytes > self.limit_bytes {
            let Some((_, oldest)) = self.by_use.pop_first() else { break };
            self.forget(&oldest);
        }
        self.by_use.insert(self.next_use, key.clone());
        self.entries.insert(key, Slot { value, size_bytes, last_use: self.next_use });
        self.next_use += 1;
        self.size_bytes += size_bytes;
    }

    /// Forgets one value.
    pub fn forget(&mut self, key: &K) {
        if let Some(slot) = self.entries.remove(key) {
            self.by_use.remove(&slot.last_use);
            self.size_bytes -= slot.size_bytes;
        }
    }

    /// How many bytes the values take.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.size_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_longest_ago_goes_first() {
        let mut cache = Cache::new(10);
        cache.put("a", 1, 4);
        cache.put("b", 2, 4);
        assert_eq!(cache.get(&"a"), Some(1));
        cache.put("c", 3, 4);
        assert_eq!((cache.get(&"a"), cache.get(&"b"), cache.get(&"c")), (Some(1), None, Some(3)));
        assert_eq!(cache.size_bytes(), 8);
    }

    #[test]
    fn a_value_is_replaced_and_one_too_large_is_not_kept() {
        let mut cache = Cache::new(10);
        cache.put("a", 1, 4);
        cache.put("a", 2, 6);
        assert_eq!((cache.get(&"a"), cache.size_bytes()), (Some(2), 6));
        cache.put("a", 3, 11);
        assert_eq!((cache.get(&"a"), cache.size_bytes()), (None, 0));
    }
}
