//! Filling places so that they are spread over domains.
//!
//! Clusters that lie in the same domains form a group; of a group only its best is ever looked at. Taking a cluster can
//! only make other groups less attractive, so a heap whose entries are judged again when they come up gives exactly
//! what judging all groups each time would give.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use nave_common::placement::Spread;

use super::fleet::{Domains, Fleet};
use super::placement::{Pick, Why};
use super::rank::Rank;

/// The most groups on each side that are looked at for one swap.
const MAX_SWAP_GROUPS: usize = 256;

/// The chosen clusters so far, those on offer, and how the chosen are spread.
#[derive(Debug)]
pub(super) struct Board<'a> {
    rules: Vec<Rule<'a>>,
    groups: Vec<Group>,
    by_domains: BTreeMap<Vec<u32>, usize>,
    taken_count: usize,
}

#[derive(Debug)]
struct Rule<'a> {
    spread: &'a Spread,
    domains: Domains,
    /// Chosen clusters by domain.
    counts: Vec<u32>,
    /// Domains with a chosen cluster.
    covered: u32,
}

/// Clusters in the same domain of every rule.
#[derive(Debug, Default)]
struct Group {
    domains: Vec<u32>,
    offers: BinaryHeap<Reverse<Rank>>,
    taken: Vec<(Rank, Why)>,
}

/// A spread that wants more domains than the chosen clusters are in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unmet<'a> {
    pub(super) spread: &'a Spread,
    pub(super) covered: u32,
    pub(super) wanted: u32,
}

/// How attractive a group's best offer is: less is better.
type Score = (Reverse<usize>, u8, u32, Rank);

impl<'a> Board<'a> {
    pub(super) fn new(fleet: &'a Fleet, spreads: &'a [Spread]) -> Self {
        let rules = spreads.iter().map(|spread| {
            let domains = fleet.domains(&spread.by);
            Rule { spread, counts: vec![0; domains.len()], covered: 0, domains }
        });
        Self { rules: rules.collect(), groups: Vec::new(), by_domains: BTreeMap::new(), taken_count: 0 }
    }

    pub(super) fn taken_count(&self) -> usize {
        self.taken_count
    }

    /// Puts a cluster on offer.
    pub(super) fn offer(&mut self, rank: Rank) {
        let group = self.group_of(rank);
        self.groups[group].offers.push(Reverse(rank));
    }

    pub(super) fn forget_offers(&mut self) {
        for group in &mut self.groups {
            group.offers.clear();
        }
    }

    /// Takes a cluster, whatever else is on offer.
    pub(super) fn take(&mut self, rank: Rank, why: Why) {
        let group = self.group_of(rank);
        self.take_into(group, rank, why);
    }

    /// Takes the best offers until `wanted` clusters are taken or none is on offer. `why` is told which rule wanted the
    /// domain, if one did.
    pub(super) fn fill(&mut self, wanted: usize, why: impl Fn(Option<usize>) -> Why) {
        let mut heap: BinaryHeap<Reverse<(Score, usize)>> =
            (0..self.groups.len()).filter_map(|group| Some(Reverse((self.score(group)?, group)))).collect();
        while self.taken_count < wanted
            && let Some(Reverse((score, group))) = heap.pop()
        {
            let Some(now) = self.score(group) else { continue };
            if now == score
                && let Some(Reverse(rank)) = self.groups[group].offers.pop()
            {
                let reason = why(self.wanting_rule(group));
                self.take_into(group, rank, reason);
                heap.extend(self.score(group).map(|next| Reverse((next, group))));
            } else {
                heap.push(Reverse((now, group)));
            }
        }
    }

    /// Swaps taken clusters for others on offer while that covers more of the wanted domains. `as_new` says whether and
    /// how a cluster that is given up is on offer again.
    pub(super) fn repair(&mut self, as_new: impl Fn(usize) -> Option<Rank>) {
        // Each swap lowers what is missing, so this ends.
        while let Some((from, to)) = self.best_swap() {
            let Some((given_up, _)) = self.give_up(from) else { break };
            let gained = self.wanting_rule(to).map_or(Why::Best, Why::Spread);
            if let Some(Reverse(rank)) = self.groups[to].offers.pop() {
                self.take_into(to, rank, gained);
            }
            if let Some(rank) = as_new(given_up.slot()) {
                self.groups[from].offers.push(Reverse(rank));
            }
        }
    }

    /// The spreads that are not met.
    pub(super) fn unmet(&self) -> impl Iterator<Item = Unmet<'a>> {
        self.rules.iter().filter(|rule| rule.missing() > 0).map(|rule| Unmet {
            spread: rule.spread,
            covered: rule.covered,
            wanted: rule.wanted(),
        })
    }

    pub(super) fn into_picks(self) -> Vec<Pick> {
        let taken = self.groups.into_iter().flat_map(|group| group.taken);
        taken.map(|(rank, why)| Pick { slot: rank.slot(), why }).collect()
    }

    fn group_of(&mut self, rank: Rank) -> usize {
        let domains: Vec<u32> = self.rules.iter().map(|rule| rule.domains.of(rank.slot())).collect();
        if let Some(group) = self.by_domains.get(&domains) {
            return *group;
        }
        let group = self.groups.len();
        self.groups.push(Group { domains: domains.clone(), ..Group::default() });
        self.by_domains.insert(domains, group);
        group
    }

    fn take_into(&mut self, group: usize, rank: Rank, why: Why) {
        for (rule, domain) in self.rules.iter_mut().zip(&self.groups[group].domains) {
            rule.add(*domain);
        }
        self.groups[group].taken.push((rank, why));
        self.taken_count += 1;
    }

    /// Gives up the one of a group that matters least: a new one before one that is there already, then the worst.
    fn give_up(&mut self, group: usize) -> Option<(Rank, Why)> {
        let least = least_of(&self.groups[group].taken)?;
        for (rule, domain) in self.rules.iter_mut().zip(&self.groups[group].domains) {
            rule.remove(*domain);
        }
        self.taken_count -= 1;
        Some(self.groups[group].taken.swap_remove(least))
    }

    fn score(&self, group: usize) -> Option<Score> {
        let Reverse(rank) = *self.groups[group].offers.peek()?;
        let domains = || self.rules.iter().zip(&self.groups[group].domains);
        let gain = domains().filter(|(rule, domain)| rule.wants(**domain)).count();
        let crowding = domains().map(|(rule, domain)| rule.counts[*domain as usize]).sum();
        Some((Reverse(gain), rank.reservations(), crowding, rank))
    }

    /// The first rule that wants a domain of this group.
    fn wanting_rule(&self, group: usize) -> Option<usize> {
        let domains = &self.groups[group].domains;
        self.rules.iter().zip(domains).position(|(rule, domain)| rule.wants(*domain))
    }

    /// The swap, from group to group, after which least is missing; `None` where none helps.
    fn best_swap(&self) -> Option<(usize, usize)> {
        if self.rules.iter().all(|rule| rule.missing() == 0) {
            return None;
        }
        let uncovered = |group: &Group| {
            self.rules.iter().zip(&group.domains).any(|(rule, domain)| rule.counts[*domain as usize] == 0)
        };
        let mut to: Vec<(Rank, usize)> = self
            .groups
            .iter()
            .enumerate()
            .filter(|(_, group)| uncovered(group))
            .filter_map(|(index, group)| Some((group.offers.peek()?.0, index)))
            .collect();
        to.sort_unstable();
        to.truncate(MAX_SWAP_GROUPS);
        let mut from: Vec<(bool, Reverse<Rank>, usize)> = self
            .groups
            .iter()
            .enumerate()
            .filter_map(|(index, group)| {
                let (rank, why) = group.taken[least_of(&group.taken)?];
                Some((why == Why::Stays, Reverse(rank), index))
            })
            .collect();
        from.sort_unstable();
        from.truncate(MAX_SWAP_GROUPS);
        let pairs = from.iter().enumerate().flat_map(|(cost, (.., from))| {
            to.iter().enumerate().map(move |(order, (_, to))| (cost, order, *from, *to))
        });
        let best = pairs
            .map(|(cost, order, from, to)| (self.missing_after(from, to), cost, order, from, to))
            .min()?;
        let missing: u32 = self.rules.iter().map(Rule::missing).sum();
        (best.0 < missing).then_some((best.3, best.4))
    }

    fn missing_after(&self, from: usize, to: usize) -> u32 {
        let (from, to) = (&self.groups[from].domains, &self.groups[to].domains);
        let missing = |(index, rule): (usize, &Rule<'_>)| {
            let (leaves, comes) = (from[index], to[index]);
            let mut covered = rule.covered;
            if leaves != comes {
                covered -= u32::from(rule.counts[leaves as usize] == 1);
                covered += u32::from(rule.counts[comes as usize] == 0);
            }
            rule.wanted().saturating_sub(covered)
        };
        self.rules.iter().enumerate().map(missing).sum()
    }
}

/// The place of the one that is given up first: new before old, then the worst. One in a cluster that is not heard is
/// not given up: whether its work is still wanted there is failover's to say.
fn least_of(taken: &[(Rank, Why)]) -> Option<usize> {
    let may_go = |(_, (rank, _)): &(usize, &(Rank, Why))| !rank.is_silent();
    let order = |(_, (rank, why)): &(usize, &(Rank, Why))| (*why == Why::Stays, Reverse(*rank));
    taken.iter().enumerate().filter(may_go).min_by_key(order).map(|(index, _)| index)
}

impl Rule<'_> {
    fn wanted(&self) -> u32 {
        self.spread.min_domains.unwrap_or(0)
    }

    fn missing(&self) -> u32 {
        self.wanted().saturating_sub(self.covered)
    }

    fn wants(&self, domain: u32) -> bool {
        self.missing() > 0 && self.counts[domain as usize] == 0
    }

    fn add(&mut self, domain: u32) {
        let count = &mut self.counts[domain as usize];
        *count += 1;
        self.covered += u32::from(*count == 1);
    }

    fn remove(&mut self, domain: u32) {
        let count = &mut self.counts[domain as usize];
        *count -= 1;
        self.covered -= u32::from(*count == 0);
    }
}
