//! The fingerprint of a set of paths, and how a set is found again from it. Pure.
//!
//! The inventory keeps one digest per object and no paths. An agent that starts anew and finds that fields were taken
//! away meanwhile must know which they were: only what was Nave's may be taken back. So the digest's first eight bytes are
//! the sum (exclusive or) of the hashes of all paths: what is missing of it must be the sum of those that were taken, and
//! only fields that another manager has now can be among them.

use nave_common::digest::Digest;

/// Among so many candidates every combination is tried; among more, only all of them.
const MAX_COMBINED: usize = 12;

/// The fingerprint of a set of hashes.
#[must_use]
pub fn of(paths: &[u64]) -> u64 {
    paths.iter().fold(0, |sum, path| sum ^ mix(*path))
}

/// Puts a fingerprint into a digest.
#[must_use]
pub fn embed(digest: [u8; 32], fingerprint: u64) -> Digest {
    let mut bytes = digest;
    bytes[..8].copy_from_slice(&fingerprint.to_be_bytes());
    Digest::from_bytes(bytes)
}

/// The fingerprint in a digest.
#[must_use]
pub fn extract(digest: &Digest) -> u64 {
    let bytes = digest.as_bytes();
    bytes[..8].iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

/// The set whose fingerprint is `wanted`: `present` and some of `candidates`. `None` where there is no such set, or too
/// much would have to be tried.
#[must_use]
pub fn restore(wanted: u64, present: &[u64], candidates: &[u64]) -> Option<Box<[u64]>> {
    let missing = wanted ^ of(present);
    let mut candidates = candidates.to_vec();
    candidates.sort_unstable();
    candidates.dedup();
    let chosen = if missing == 0 {
        Vec::new()
    } else if missing == of(&candidates) {
        candidates
    } else {
        combination(missing, &candidates)?
    };
    let mut paths: Vec<u64> = present.iter().chain(&chosen).copied().collect();
    paths.sort_unstable();
    paths.dedup();
    Some(paths.into_boxed_slice())
}

fn combination(missing: u64, candidates: &[u64]) -> Option<Vec<u64>> {
    if candidates.len() > MAX_COMBINED {
        return None;
    }
    (1_u32..1 << candidates.len())
        .map(|chosen| {
            let is_chosen = |(place, _): &(usize, &u64)| chosen & (1 << *place) != 0;
            candidates.iter().enumerate().filter(is_chosen).map(|(_, path)| *path).collect::<Vec<_>>()
        })
        .find(|chosen| of(chosen) == missing)
}

/// Spreads every bit of a hash over all (the end of MurmurHash3), so that sums of similar paths differ.
fn mix(hash: u64) -> u64 {
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ownership::hash;

    fn sorted(mut paths: Vec<u64>) -> Box<[u64]> {
        paths.sort_unstable();
        paths.into_boxed_slice()
    }

    #[test]
    fn fields_that_nave_never_had_are_not_found() {
        let own = [hash(".data.a"), hash(".data.b")];
        let foreign = [hash(".data.c"), hash(".data.d")];
        assert_eq!(restore(of(&own), &own[..1], &foreign), None);
        assert_eq!(restore(of(&own), &own, &foreign), Some(sorted(own.to_vec())));
    }

    proptest! {
        #[test]
        fn what_was_taken_is_found_among_what_others_have(present in 0_usize..40, taken in 0_usize..6, others in 0_usize..6) {
            let path = |kind: &str, number: usize| hash(&format!(".spec.{kind}[{number}]"));
            let present: Vec<_> = (0..present).map(|number| path("present", number)).collect();
            let taken: Vec<_> = (0..taken).map(|number| path("taken", number)).collect();
            let others: Vec<_> = (0..others).map(|number| path("others", number)).collect();
            let all: Vec<_> = present.iter().chain(&taken).copied().collect();
            let candidates: Vec<_> = others.iter().chain(&taken).copied().collect();
            let digest = embed([7; 32], of(&all));
            prop_assert_eq!(restore(extract(&digest), &present, &candidates), Some(sorted(all)));
        }
    }
}
