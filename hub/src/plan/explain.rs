//! The words in which a placement explains itself, cluster by cluster.
//!
//! Everything here is derived from the problem and the decision; nothing is decided.

use std::fmt::Write as _;

use nave_common::name::ClusterName;
use nave_common::placement::{Decision, Placement, Taint, TaintEffect, Verdict};
use nave_common::resources::Resources;
use nave_common::selector::{Operator, Requirement, Selector};
use nave_common::status::{Liveness, PlacementReport};

use super::bits::Bits;
use super::fleet::Candidate;
use super::placement::{
    Group, KEEP_AWAY, Obstacle, Placed, Problem, Tally, Why, matching, may_stay, obstacle, untolerated,
};
use super::spread::Unmet;

/// The most clusters that one group of them names.
pub(super) const NAMED_CLUSTERS: usize = 3;

/// One line for each cluster of the fleet: the chosen first, then those that match, each by name.
#[must_use]
pub fn report(problem: &Problem<'_>, placed: &Placed) -> PlacementReport {
    let words = Words {
        problem,
        matching: matching(problem.placement, problem.fleet),
        current: problem.fleet.slots(problem.current),
        count: placed.picks.len(),
    };
    let mut chosen: Vec<Option<Why>> = Vec::new();
    for pick in &placed.picks {
        if pick.slot >= chosen.len() {
            chosen.resize(pick.slot + 1, None);
        }
        chosen[pick.slot] = Some(pick.why);
    }
    let mut decisions: Vec<Decision> = problem
        .fleet
        .iter()
        .map(|(slot, candidate)| {
            let why = chosen.get(slot).copied().flatten();
            let (verdict, reason) = words.of(slot, candidate, why);
            Decision { cluster: candidate.name.clone(), verdict, reason }
        })
        .collect();
    decisions.sort_unstable_by(|a, b| order(a).cmp(&order(b)));
    PlacementReport { decisions, unplaced_count: placed.unplaced_count, problems: placed.problems.clone() }
}

fn order(decision: &Decision) -> (Verdict, &ClusterName) {
    (decision.verdict, &decision.cluster)
}

struct Words<'a> {
    problem: &'a Problem<'a>,
    matching: Bits,
    current: Bits,
    count: usize,
}

impl Words<'_> {
    fn of(&self, slot: usize, candidate: &Candidate, why: Option<Why>) -> (Verdict, String) {
        let is_current = self.current.has(slot);
        if !self.matching.has(slot) {
            let mut text = mismatch(self.problem.placement, candidate);
            if is_current {
                text.push_str("; leaves");
            }
            return (Verdict::Excluded, text);
        }
        match why {
            Some(why) => (Verdict::Chosen, self.chosen(candidate, why)),
            None => (Verdict::NotNow, self.not_now(candidate, is_current)),
        }
    }

    fn chosen(&self, candidate: &Candidate, why: Why) -> String {
        let mut text = "matches".to_owned();
        match why {
            Why::Stays => text.push_str("; runs here already"),
            Why::Spread(rule) => {
                let by = self.problem.placement.spread.get(rule).map_or("", |spread| spread.by.as_str());
                let domain = candidate.labels.get(by).map_or("", String::as_str);
                let _ = write!(text, "; {by} {domain} needs one more");
            }
            Why::Best | Why::All => {}
        }
        let preferred =
            |preference: &&nave_common::placement::Preference| preference.clusters.matches(&candidate.labels);
        if self.problem.placement.prefer.iter().any(|preference| preferred(&preference)) && why != Why::Stays
        {
            text.push_str("; preferred");
        }
        const ANY: [TaintEffect; 2] = [TaintEffect::NoSchedule, TaintEffect::PreferNoSchedule];
        if let Some(taint) = untolerated(self.problem.placement, &candidate.taints, &ANY) {
            let what = if why == Why::Stays { "though tainted" } else { "as a last resort: tainted" };
            let _ = write!(text, "; {what} {}", taint_text(taint));
        }
        if candidate.liveness != Liveness::Alive {
            let _ = write!(text, "; {}", candidate.liveness);
        }
        match candidate.free_percent() {
            Some(percent) => {
                let _ = write!(text, "; {percent} % free");
            }
            None if self.problem.requests != Resources::default() => text.push_str("; its room is not known"),
            None => {}
        }
        text
    }

    fn not_now(&self, candidate: &Candidate, is_current: bool) -> String {
        let placement = self.problem.placement;
        if self.problem.steer.avoid.contains(&candidate.name) {
            return "matches; is left".into();
        }
        if is_current {
            if !may_stay(placement, candidate)
                && let Some(taint) = untolerated(placement, &candidate.taints, &[TaintEffect::NoExecute])
            {
                return format!("matches; tainted {}, not tolerated; leaves", taint_text(taint));
            }
            return format!("matches; enough others are chosen ({}); leaves", self.count);
        }
        match obstacle(self.problem, candidate) {
            Some(Obstacle::Tainted) => {
                let taint = untolerated(placement, &candidate.taints, &KEEP_AWAY).map(taint_text);
                format!("matches; tainted {}, not tolerated", taint.unwrap_or_default())
            }
            Some(Obstacle::Cordoned) if candidate.is_drained => "matches; is being drained".into(),
            Some(Obstacle::Cordoned) => "matches; cordoned".into(),
            Some(Obstacle::Silent) if candidate.liveness == Liveness::Unheard => {
                "matches; not heard since the hub started".into()
            }
            Some(Obstacle::Sick) => "matches; sick: its API server or most of its nodes are down".into(),
            Some(Obstacle::Silent) => format!("matches; {}", candidate.liveness),
            Some(Obstacle::Full) => {
                let free = candidate.free().unwrap_or_default();
                format!("matches; no room: {}", short_of(self.problem.requests, free))
            }
            None => format!("matches; enough others are chosen ({})", self.count),
        }
    }
}

/// Why the rules leave a cluster out.
fn mismatch(placement: &Placement, candidate: &Candidate) -> String {
    if let Some(text) = selector_mismatch(&placement.clusters, candidate) {
        return format!("labels do not match: {text}");
    }
    let region = candidate.labels.get("region");
    if !placement.regions.is_empty() && region.is_none_or(|region| !placement.regions.contains(region)) {
        let wanted = placement.regions.join(" or ");
        return format!("region {}, wanted {wanted}", is(region));
    }
    let missing = placement.spread.iter().find(|spread| !candidate.labels.contains_key(&spread.by));
    missing.map_or_else(
        || "does not match".into(),
        |spread| format!("has no label {}, over which the clusters are spread", spread.by),
    )
}

fn selector_mismatch(selector: &Selector, candidate: &Candidate) -> Option<String> {
    for (key, wanted) in &selector.match_labels {
        let found = candidate.labels.get(key);
        if found != Some(wanted) {
            return Some(format!("{key} {}, wanted {wanted}", is(found)));
        }
    }
    let fails = |requirement: &&Requirement| {
        let one =
            Selector { match_expressions: vec![Requirement::clone(requirement)], ..Selector::default() };
        !one.matches(&candidate.labels)
    };
    let failed = selector.match_expressions.iter().find(fails)?;
    let found = is(candidate.labels.get(&failed.key));
    let values = failed.values.iter().map(String::as_str).collect::<Vec<_>>().join(" or ");
    Some(match failed.operator {
        Operator::In => format!("{} {found}, wanted {values}", failed.key),
        Operator::NotIn => format!("{} {found}, wanted none of {values}", failed.key),
        Operator::Exists => format!("{} {found}, wanted any", failed.key),
        Operator::DoesNotExist => format!("{} {found}, wanted none", failed.key),
    })
}

fn is(value: Option<&String>) -> String {
    value.map_or_else(|| "is not set".into(), |value| format!("is {value}"))
}

/// `key=value:Effect`, as kubectl writes it.
#[must_use]
pub fn taint_text(taint: &Taint) -> String {
    let effect = match taint.effect {
        TaintEffect::NoSchedule => "NoSchedule",
        TaintEffect::PreferNoSchedule => "PreferNoSchedule",
        TaintEffect::NoExecute => "NoExecute",
    };
    let equals = if taint.value.is_empty() { "" } else { "=" };
    format!("{}{equals}{}:{effect}", taint.key, taint.value)
}

/// Which resources are short, such as `wants 4000m CPU, 1500m are free`.
fn short_of(wanted: Resources, free: Resources) -> String {
    let mut parts = Vec::new();
    if wanted.cpu_millicores > free.cpu_millicores {
        parts.push(format!("wants {}m CPU, {}m are free", wanted.cpu_millicores, free.cpu_millicores));
    }
    if wanted.memory_bytes > free.memory_bytes {
        let mebibytes = |bytes: u64| bytes >> 20;
        parts.push(format!(
            "wants {} MiB of memory, {} MiB are free",
            mebibytes(wanted.memory_bytes),
            mebibytes(free.memory_bytes)
        ));
    }
    if wanted.pods > free.pods {
        parts.push(format!("wants {} pods, {} are free", wanted.pods, free.pods));
    }
    parts.join("; ")
}

pub(super) fn too_few(problem: &Problem<'_>, wanted: usize, found: usize, tally: &Tally<'_>) -> String {
    let wanted = if wanted == 1 { "1 cluster is".to_owned() } else { format!("{wanted} clusters are") };
    format!("{wanted} wanted, {found} can be had: {}", standing(problem, tally))
}

pub(super) fn none(problem: &Problem<'_>, tally: &Tally<'_>) -> String {
    if tally.matching.count == 0 {
        return "no cluster matches".into();
    }
    format!("no cluster can be had: {}", standing(problem, tally))
}

pub(super) fn no_room(full: &Group<'_>) -> String {
    let (match_, have) = if full.count == 1 { ("matches", "has") } else { ("match", "have") };
    format!("{} {match_} and {have} no room", names(full))
}

pub(super) fn unmet(unmet: &Unmet<'_>) -> String {
    let Unmet { spread, covered, wanted } = unmet;
    format!("the spread by {} wants {wanted} domains, the chosen clusters are in {covered}", spread.by)
}

/// `5 match, eu-1 and eu-2 have no room, eu-3 is tainted gpu:NoSchedule, us-1 is not heard`; where nothing stands
/// against those that match, `only eu-1 and eu-2 match`.
fn standing(problem: &Problem<'_>, tally: &Tally<'_>) -> String {
    let Tally { matching, tainted, silent, full, cordoned, left, sick } = tally;
    let verb = |group: &Group<'_>, one: &'static str, many: &'static str| {
        if group.count == 1 { one } else { many }
    };
    if matching.count == 0 {
        return "none matches".into();
    }
    if full.count + tainted.count + silent.count + cordoned.count + left.count + sick.count == 0 {
        return format!("only {} {}", names(matching), verb(matching, "matches", "match"));
    }
    let mut text = format!("{} {}", matching.count, verb(matching, "matches", "match"));
    if full.count > 0 {
        let _ = write!(text, ", {} {} no room", names(full), verb(full, "has", "have"));
    }
    if tainted.count > 0 {
        let _ = write!(text, ", {} {} tainted", names(tainted), verb(tainted, "is", "are"));
        let keeps_away = |candidate: &Candidate| {
            untolerated(problem.placement, &candidate.taints, &KEEP_AWAY).map(taint_text)
        };
        if let ([Some(one), ..], 1) = (tainted.first, tainted.count)
            && let Some(taint) = keeps_away(one)
        {
            let _ = write!(text, " {taint}");
        }
    }
    if cordoned.count > 0 {
        let _ = write!(text, ", {} {} cordoned", names(cordoned), verb(cordoned, "is", "are"));
    }
    if sick.count > 0 {
        let _ = write!(text, ", {} {} sick", names(sick), verb(sick, "is", "are"));
    }
    if left.count > 0 {
        let _ = write!(text, ", {} {} left", names(left), verb(left, "is", "are"));
    }
    if silent.count > 0 {
        let _ = write!(text, ", {} {} not heard", names(silent), verb(silent, "is", "are"));
    }
    text
}

/// `eu-1, eu-2, eu-3 and 4 more`.
fn names(group: &Group<'_>) -> String {
    let named: Vec<&str> = group.first.iter().flatten().map(|candidate| candidate.name.as_str()).collect();
    match (group.count - named.len(), named.split_last()) {
        (0, Some((last, rest))) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        (0, _) => named.concat(),
        (more, _) => format!("{} and {more} more", named.join(", ")),
    }
}
