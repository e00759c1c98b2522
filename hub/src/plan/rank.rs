//! The order in which clusters that qualify are taken.

use std::cmp::Reverse;

use nave_common::placement::{Placement, TaintEffect};
use nave_common::resources::Resources;
use nave_common::status::Liveness;

use super::bits::Bits;
use super::fleet::{Candidate, Fleet};
use super::placement::{Problem, untolerated};

/// How one cluster ranks for one application: less is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    /// What makes it a last resort, the gravest in the highest bit.
    reservations: u8,
    /// Its place in the application's order of failover, the first being zero.
    order: u16,
    /// Whether the application's objects are there already.
    ready: Reverse<bool>,
    preferred: Reverse<u32>,
    weight: Reverse<u32>,
    /// In tenths, so that a few percent do not outweigh an even distribution.
    free_tenths: Reverse<u8>,
    /// Spreads applications evenly over clusters that are otherwise equal, each application in an order of its own.
    tie: u64,
    slot: u32,
}

const SILENT: u8 = 1 << 4;
const TAINTED: u8 = 1 << 3;
const SOFTLY_TAINTED: u8 = 1 << 2;
const SUSPECT: u8 = 1 << 1;
const UNKNOWN_ROOM: u8 = 1;

impl Rank {
    pub(super) fn slot(self) -> usize {
        self.slot as usize
    }

    /// Whether the cluster is lost or was never heard.
    pub(super) fn is_silent(self) -> bool {
        self.reservations & SILENT != 0
    }

    pub(super) fn reservations(self) -> u8 {
        self.reservations
    }
}

/// What ranks of one application have in common.
#[derive(Debug)]
pub(super) struct Ranking<'a> {
    placement: &'a Placement,
    fleet: &'a Fleet,
    preferences: Vec<(Bits, u32)>,
    /// Each preferred region or cluster, in order.
    targets: Vec<Bits>,
    ready: Bits,
    application_hash: u64,
}

impl<'a> Ranking<'a> {
    pub(super) fn new(problem: &Problem<'a>) -> Self {
        let Problem { application, placement, fleet, steer, .. } = *problem;
        let preference = |preference: &nave_common::placement::Preference| {
            (fleet.matching(&preference.clusters), preference.weight)
        };
        Self {
            placement,
            fleet,
            preferences: placement.prefer.iter().map(preference).collect(),
            targets: steer.prefer.iter().map(|target| fleet.at_target(target)).collect(),
            ready: fleet.slots(steer.ready),
            application_hash: hash(application.project.as_str()) ^ mix(hash(application.name.as_str())),
        }
    }

    pub(super) fn rank(&self, slot: usize, candidate: &Candidate, requests: Resources) -> Rank {
        Rank {
            reservations: self.reservations(candidate, requests),
            order: self.order(slot),
            ready: Reverse(self.ready.has(slot)),
            preferred: Reverse(self.preferred(slot)),
            weight: Reverse(candidate.weight),
            free_tenths: Reverse(free_tenths(candidate)),
            tie: mix(self.application_hash ^ self.fleet.name_hash(slot)),
            slot: u32::try_from(slot).unwrap_or(u32::MAX),
        }
    }

    fn order(&self, slot: usize) -> u16 {
        let place = self.targets.iter().position(|clusters| clusters.has(slot));
        place.and_then(|place| u16::try_from(place).ok()).unwrap_or(u16::MAX)
    }

    fn preferred(&self, slot: usize) -> u32 {
        let matching = self.preferences.iter().filter(|(clusters, _)| clusters.has(slot));
        matching.map(|(_, weight)| weight).sum()
    }

    fn reservations(&self, candidate: &Candidate, requests: Resources) -> u8 {
        let mut found = match candidate.liveness {
            Liveness::Alive => 0,
            Liveness::Suspect => SUSPECT,
            Liveness::Lost | Liveness::Unheard => SILENT,
        };
        if !candidate.taints.is_empty() {
            let has = |effect| untolerated(self.placement, &candidate.taints, &[effect]).is_some();
            if has(TaintEffect::NoSchedule) {
                found |= TAINTED;
            }
            if has(TaintEffect::PreferNoSchedule) {
                found |= SOFTLY_TAINTED;
            }
        }
        if candidate.allocatable.is_none() && requests != Resources::default() {
            found |= UNKNOWN_ROOM;
        }
        found
    }
}

fn free_tenths(candidate: &Candidate) -> u8 {
    let percent = candidate.free_percent().unwrap_or(0).min(100);
    u8::try_from(percent / 10).unwrap_or(10)
}

/// FNV-1a: small, fast, and the same on every machine and in every release, which `std`'s hashers do not promise.
pub(super) fn hash(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The finalizer of `SplitMix64`: neighbouring inputs give unrelated outputs.
fn mix(input: u64) -> u64 {
    let first = (input ^ (input >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let second = (first ^ (first >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    second ^ (second >> 31)
}
