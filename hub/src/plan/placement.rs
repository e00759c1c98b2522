//! Placement: which clusters an application runs on.
//!
//! It starts from where the application is and moves only what must move: a cluster that no longer matches or is
//! tainted `NoExecute` is left; more clusters than wanted are cut to the best; then what is missing is filled, first
//! where a spread wants another domain; and only a spread that wants more domains than are there swaps one for another.
//! A cluster that is lost keeps what it has: leaving it is failover's decision.
//!
//! What holds (see `placement_properties.rs`): placing again changes nothing; the rules are never violated; a change
//! that does not touch an application moves nothing of it.

use nave_common::failover::FailoverTarget;
use nave_common::name::{ApplicationKey, ClusterName};
use nave_common::placement::{Placement, Taint, TaintEffect};
use nave_common::resources::Resources;
use nave_common::status::PlacementReport;

use super::bits::Bits;
use super::explain;
use super::fleet::{Candidate, Fleet};
use super::rank::{Rank, Ranking};
use super::spread::Board;

/// All that one placement depends on.
#[derive(Debug, Clone, Copy)]
pub struct Problem<'a> {
    /// Whose placement it is.
    pub application: &'a ApplicationKey,
    /// Its rules.
    pub placement: &'a Placement,
    /// What one copy requests of a cluster.
    pub requests: Resources,
    /// Where it is, in any order.
    pub current: &'a [ClusterName],
    /// The clusters there are.
    pub fleet: &'a Fleet,
    /// What failover has to say about it.
    pub steer: Steer<'a>,
}

/// What failover has to say about a placement.
#[derive(Debug, Clone, Copy, Default)]
pub struct Steer<'a> {
    /// Regions and clusters in the order in which they are taken; what is not named comes last.
    pub prefer: &'a [FailoverTarget],
    /// Clusters that are left: the application neither stays there nor comes there.
    pub avoid: &'a [ClusterName],
    /// Clusters in which its objects stand parked: of equals they are taken first.
    pub ready: &'a [ClusterName],
}

/// The decision.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Placed {
    /// The chosen clusters, in no order.
    pub picks: Vec<Pick>,
    /// How many more clusters are wanted than could be found.
    pub unplaced_count: u32,
    /// What of the placement is not met and why.
    pub problems: Vec<String>,
    /// What could change the decision.
    pub waits: Waits,
}

/// What an application would take if it came. What is not named here needs no planning of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waits {
    /// Any other cluster that qualifies.
    pub for_clusters: bool,
    /// A cluster that matches and is not heard now.
    pub for_heard: bool,
    /// Room in a cluster that matches.
    pub for_room: bool,
}

impl Waits {
    /// What either waits for.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            for_clusters: self.for_clusters || other.for_clusters,
            for_heard: self.for_heard || other.for_heard,
            for_room: self.for_room || other.for_room,
        }
    }

    fn new(for_clusters: bool, tally: &Tally<'_>) -> Self {
        Self {
            for_clusters,
            for_heard: for_clusters && tally.silent.count + tally.sick.count > 0,
            for_room: for_clusters && tally.full.count > 0,
        }
    }
}

/// One chosen cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pick {
    /// Its slot in the fleet.
    pub slot: usize,
    /// Why it was chosen.
    pub why: Why,
}

/// Why a cluster was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The application is there already.
    Stays,
    /// The spread of this number wanted one more domain.
    Spread(usize),
    /// It was the best of those left.
    Best,
    /// All that qualify are wanted.
    All,
}

/// Decides, and explains itself for every cluster of the fleet.
#[must_use]
pub fn place(problem: &Problem<'_>) -> PlacementReport {
    explain::report(problem, &decide(problem))
}

/// Decides; [`explain::report`] makes the words, which cost more than the decision.
pub fn decide(problem: &Problem<'_>) -> Placed {
    let mut survey = Survey::of(problem);
    let Some(wanted) = problem.placement.count else {
        survey.look_around();
        return all_of(problem, &survey);
    };
    let wanted = wanted as usize;
    let mut board = Board::new(problem.fleet, &problem.placement.spread);
    if survey.kept.len() > wanted {
        for rank in &survey.kept {
            board.offer(*rank);
        }
        board.fill(wanted, |_| Why::Stays);
        board.forget_offers();
    } else {
        for rank in &survey.kept {
            board.take(*rank, Why::Stays);
        }
    }
    // Most plans end here: where nothing is missing, nobody else need be looked at.
    if board.taken_count() < wanted || board.unmet().next().is_some() {
        survey.look_around();
        for rank in &survey.open {
            board.offer(*rank);
        }
        board.fill(wanted, |spread| spread.map_or(Why::Best, Why::Spread));
        board.repair(|slot| survey.as_new(slot));
    }
    let mut problems = Vec::new();
    let unplaced = wanted - board.taken_count();
    if unplaced > 0 {
        problems.push(explain::too_few(problem, wanted, board.taken_count(), &survey.tally));
    }
    problems.extend(board.unmet().map(|unmet| explain::unmet(&unmet)));
    Placed {
        waits: Waits::new(!problems.is_empty(), &survey.tally),
        picks: board.into_picks(),
        unplaced_count: u32::try_from(unplaced).unwrap_or(u32::MAX),
        problems,
    }
}

fn all_of(problem: &Problem<'_>, survey: &Survey<'_>) -> Placed {
    let stays = survey.kept.iter().map(|rank| Pick { slot: rank.slot(), why: Why::Stays });
    let comes = survey.open.iter().map(|rank| Pick { slot: rank.slot(), why: Why::All });
    let picks: Vec<Pick> = stays.chain(comes).collect();
    let mut problems = Vec::new();
    if picks.is_empty() {
        problems.push(explain::none(problem, &survey.tally));
    } else if survey.tally.full.count > 0 {
        problems.push(explain::no_room(&survey.tally.full));
    }
    let mut board = Board::new(problem.fleet, &problem.placement.spread);
    if !problem.placement.spread.is_empty() {
        for rank in survey.kept.iter().chain(&survey.open) {
            board.take(*rank, Why::All);
        }
    }
    problems.extend(board.unmet().map(|unmet| explain::unmet(&unmet)));
    Placed { picks, unplaced_count: 0, problems, waits: Waits::new(true, &survey.tally) }
}

/// Which clusters stand where, for the words.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tally<'a> {
    pub(super) matching: Group<'a>,
    pub(super) tainted: Group<'a>,
    pub(super) silent: Group<'a>,
    pub(super) full: Group<'a>,
    pub(super) cordoned: Group<'a>,
    pub(super) left: Group<'a>,
    pub(super) sick: Group<'a>,
}

/// How many clusters, and the first of them by name.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Group<'a> {
    pub(super) count: usize,
    pub(super) first: [Option<&'a Candidate>; explain::NAMED_CLUSTERS],
}

impl<'a> Group<'a> {
    fn add(&mut self, candidate: &'a Candidate) {
        self.count += 1;
        let mut next = candidate;
        for place in &mut self.first {
            match place {
                None => {
                    *place = Some(next);
                    return;
                }
                Some(named) if next.name < named.name => std::mem::swap(named, &mut next),
                Some(_) => {}
            }
        }
    }
}

/// The taints that keep new work away.
pub(super) const KEEP_AWAY: [TaintEffect; 2] = [TaintEffect::NoSchedule, TaintEffect::NoExecute];

/// What stands against new work in a cluster that matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Obstacle {
    Tainted,
    Cordoned,
    Silent,
    Sick,
    Full,
}

/// Who comes into question.
struct Survey<'a> {
    problem: &'a Problem<'a>,
    ranking: Ranking<'a>,
    matching: Bits,
    current: Bits,
    avoid: Bits,
    /// Where the application is and may stay.
    kept: Vec<Rank>,
    /// Where it could come; known once it was looked for.
    open: Vec<Rank>,
    tally: Tally<'a>,
}

impl<'a> Survey<'a> {
    /// Looks at the clusters where the application is.
    fn of(problem: &'a Problem<'a>) -> Self {
        let fleet = problem.fleet;
        let mut survey = Self {
            problem,
            ranking: Ranking::new(problem),
            matching: matching(problem.placement, fleet),
            current: fleet.slots(problem.current),
            avoid: fleet.slots(problem.steer.avoid),
            kept: Vec::new(),
            open: Vec::new(),
            tally: Tally::default(),
        };
        for slot in survey.current.iter().filter(|slot| survey.matching.has(*slot)) {
            let Some(candidate) = fleet.get(slot) else { continue };
            survey.tally.matching.add(candidate);
            if survey.avoid.has(slot) {
                survey.tally.left.add(candidate);
            } else if may_stay(problem.placement, candidate) {
                survey.kept.push(survey.ranking.rank(slot, candidate, problem.requests));
            } else {
                survey.tally.tainted.add(candidate);
            }
        }
        survey
    }

    /// Looks at the others.
    fn look_around(&mut self) {
        let mut others = self.matching.clone();
        others.subtract(&self.current);
        for slot in others.iter() {
            let Some(candidate) = self.problem.fleet.get(slot) else { continue };
            self.tally.matching.add(candidate);
            if self.avoid.has(slot) {
                self.tally.left.add(candidate);
                continue;
            }
            match obstacle(self.problem, candidate) {
                None => self.open.push(self.ranking.rank(slot, candidate, self.problem.requests)),
                Some(Obstacle::Tainted) => self.tally.tainted.add(candidate),
                Some(Obstacle::Cordoned) => self.tally.cordoned.add(candidate),
                Some(Obstacle::Silent) => self.tally.silent.add(candidate),
                Some(Obstacle::Sick) => self.tally.sick.add(candidate),
                Some(Obstacle::Full) => self.tally.full.add(candidate),
            }
        }
    }

    /// How a cluster would rank if the application were not there, where it could come.
    fn as_new(&self, slot: usize) -> Option<Rank> {
        let candidate = self.problem.fleet.get(slot)?;
        let is_open = !self.avoid.has(slot) && obstacle(self.problem, candidate).is_none();
        is_open.then(|| self.ranking.rank(slot, candidate, self.problem.requests))
    }
}

/// The clusters that the rules let in: selector, regions, and a label for each spread.
pub(super) fn matching(placement: &Placement, fleet: &Fleet) -> Bits {
    let mut matching = fleet.matching(&placement.clusters);
    if !placement.regions.is_empty() {
        matching.intersect(&fleet.having_one_of("region", &placement.regions));
    }
    for spread in &placement.spread {
        matching.intersect(&fleet.having(&spread.by));
    }
    matching
}

/// The worst taint that is not tolerated, of those with one of `effects`.
pub(super) fn untolerated<'a>(
    placement: &Placement,
    taints: &'a [Taint],
    effects: &[TaintEffect],
) -> Option<&'a Taint> {
    let tolerated =
        |taint: &Taint| placement.tolerations.iter().any(|toleration| toleration.tolerates(taint));
    let counts = |taint: &&Taint| effects.contains(&taint.effect) && !tolerated(taint);
    // NoExecute says more than NoSchedule.
    taints.iter().filter(counts).max_by_key(|taint| taint.effect == TaintEffect::NoExecute)
}

pub(super) fn may_stay(placement: &Placement, candidate: &Candidate) -> bool {
    candidate.taints.is_empty()
        || untolerated(placement, &candidate.taints, &[TaintEffect::NoExecute]).is_none()
}

pub(super) fn obstacle(problem: &Problem<'_>, candidate: &Candidate) -> Option<Obstacle> {
    if !candidate.taints.is_empty() && untolerated(problem.placement, &candidate.taints, &KEEP_AWAY).is_some()
    {
        return Some(Obstacle::Tainted);
    }
    if candidate.is_cordoned || candidate.is_drained {
        return Some(Obstacle::Cordoned);
    }
    if !candidate.is_heard() {
        return Some(Obstacle::Silent);
    }
    if candidate.is_sick {
        return Some(Obstacle::Sick);
    }
    // A cluster that has not said what it has counts as roomy; it only ranks later.
    if candidate.free().is_some_and(|free| !free.covers(&problem.requests)) {
        return Some(Obstacle::Full);
    }
    None
}

#[cfg(test)]
#[path = "placement_properties.rs"]
mod properties;
#[cfg(test)]
#[path = "placement_tests.rs"]
mod tests;
