//! Who has to do with which objects: finds the applications that may want or hold the same object, without looking
//! through all of them.

use std::collections::HashMap;

use nave_common::manifest::ObjectKey;

use crate::ownership::hash;

/// A short number for an application, as long as the process lives.
pub type Holder = u32;

/// The index. It knows names without namespaces, so what it finds is to be looked at more closely.
#[derive(Debug, Default)]
pub struct Claims {
    holders: HashMap<u64, Vec<Holder>>,
    claimed: HashMap<Holder, Vec<u64>>,
}

impl Claims {
    /// Replaces what an application has to do with.
    pub fn set<'a>(&mut self, holder: Holder, keys: impl Iterator<Item = &'a ObjectKey>) {
        let mut hashes: Vec<_> = keys.map(name_hash).collect();
        hashes.sort_unstable();
        hashes.dedup();
        hashes.shrink_to_fit();
        for gone in self.claimed.remove(&holder).unwrap_or_default() {
            if hashes.binary_search(&gone).is_err()
                && let Some(holders) = self.holders.get_mut(&gone)
            {
                holders.retain(|other| *other != holder);
                if holders.is_empty() {
                    self.holders.remove(&gone);
                }
            }
        }
        for hash in &hashes {
            let holders = self.holders.entry(*hash).or_default();
            if !holders.contains(&holder) {
                holders.push(holder);
            }
        }
        if !hashes.is_empty() {
            self.claimed.insert(holder, hashes);
        }
    }

    /// The other applications that may have to do with an object.
    pub fn others(&self, holder: Holder, key: &ObjectKey) -> impl Iterator<Item = Holder> {
        self.holders.get(&name_hash(key)).into_iter().flatten().copied().filter(move |other| *other != holder)
    }
}

fn name_hash(key: &ObjectKey) -> u64 {
    hash(&format!("{}/{}/{}", key.group, key.kind, key.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_are_found_until_they_let_go() {
        let key = |name: &str, namespace: Option<&str>| ObjectKey {
            group: String::new(),
            kind: "ConfigMap".into(),
            namespace: namespace.map(str::to_owned),
            name: name.into(),
        };
        let mut claims = Claims::default();
        claims.set(1, [key("a", None), key("b", None)].iter());
        claims.set(2, [key("a", Some("x"))].iter());
        let others = |claims: &Claims, name: &str| claims.others(1, &key(name, None)).collect::<Vec<_>>();
        assert_eq!(others(&claims, "a"), [2]);
        assert!(others(&claims, "b").is_empty());
        claims.set(2, std::iter::empty());
        assert!(others(&claims, "a").is_empty());
        assert_eq!(claims.others(2, &key("a", None)).collect::<Vec<_>>(), [1]);
    }
}
