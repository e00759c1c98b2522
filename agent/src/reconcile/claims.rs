//! Who has to do with which objects: finds the applications that may want or hold the same object, without looking
//! through all of them.

use std::collections::HashMap;

use nave_common::manifest::ObjectKey;

use crate::ownership::{HASH_START, hash_on};

/// A short number for an application, as long as the process lives.
pub type Holder = u32;

/// The index. It goes by hashes, so what it finds is to be looked at more closely.
#[derive(Debug, Default)]
pub struct Claims {
    holders: HashMap<u64, Vec<Holder>>,
    claimed: HashMap<Holder, Vec<u64>>,
}

impl Claims {
    /// Replaces what an application has to do with: objects that it holds, and manifests whose kind may have namespaces
    /// or not, where `namespace` is the one of those that name none.
    pub fn set<'a>(
        &mut self,
        holder: Holder,
        held: impl Iterator<Item = &'a ObjectKey>,
        manifests: impl Iterator<Item = &'a ObjectKey>,
        namespace: &str,
    ) {
        let mut hashes: Vec<_> = held.map(|key| key_hash(key, key.namespace.as_deref())).collect();
        for key in manifests {
            hashes.push(key_hash(key, None));
            hashes.push(key_hash(key, Some(key.namespace.as_deref().unwrap_or(namespace))));
        }
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

    /// Forgets an application.
    pub fn forget(&mut self, holder: Holder) {
        self.set(holder, std::iter::empty(), std::iter::empty(), "");
    }

    /// The other applications that may have to do with an object.
    pub fn others(&self, holder: Holder, key: &ObjectKey) -> impl Iterator<Item = Holder> {
        self.holders
            .get(&key_hash(key, key.namespace.as_deref()))
            .into_iter()
            .flatten()
            .copied()
            .filter(move |other| *other != holder)
    }
}

fn key_hash(key: &ObjectKey, namespace: Option<&str>) -> u64 {
    let parts = [&key.group, "/", &key.kind, "/", namespace.unwrap_or_default(), "/", &key.name];
    parts.into_iter().fold(HASH_START, hash_on)
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
        let none = std::iter::empty;
        let mut claims = Claims::default();
        claims.set(1, [key("a", Some("x")), key("b", Some("x"))].iter(), none(), "");
        claims.set(2, none(), [key("a", None)].iter(), "x");
        claims.set(3, none(), [key("a", None)].iter(), "y");
        let others =
            |claims: &Claims, name: &str| claims.others(1, &key(name, Some("x"))).collect::<Vec<_>>();
        assert_eq!(others(&claims, "a"), [2], "the one whose manifest is for the same namespace");
        assert!(others(&claims, "b").is_empty());
        assert_eq!(
            claims.others(1, &key("a", None)).collect::<Vec<_>>(),
            [2, 3],
            "the kind may have no namespaces"
        );
        claims.forget(2);
        assert!(others(&claims, "a").is_empty());
        assert_eq!(claims.others(2, &key("a", Some("x"))).collect::<Vec<_>>(), [1]);
    }
}
