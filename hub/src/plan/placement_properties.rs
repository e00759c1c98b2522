//! What holds of every placement, tried on random fleets and rules. A failing case is shrunk and printed by proptest.

use std::collections::BTreeSet;
use std::sync::Arc;

use nave_common::metadata::Labels;
use nave_common::name::{ApplicationKey, ClusterName};
use nave_common::placement::{
    Placement, Preference, Spread, Taint, TaintEffect, Toleration, TolerationOperator, Verdict,
};
use nave_common::resources::Resources;
use nave_common::selector::Selector;
use nave_common::status::{Liveness, PlacementReport};
use proptest::prelude::*;

use super::{Problem, Steer, decide, place, untolerated};
use crate::plan::fleet::{Candidate, Fleet};

/// A problem that owns what it is about.
#[derive(Debug, Clone)]
struct Case {
    clusters: Vec<Candidate>,
    placement: Placement,
    requests: Resources,
    current: Vec<ClusterName>,
}

fn shop() -> ApplicationKey {
    "shop".parse().unwrap()
}

impl Case {
    fn with<R>(&self, work: impl FnOnce(&Problem<'_>) -> R) -> R {
        let fleet: Fleet = self.clusters.iter().cloned().collect();
        let application = shop();
        work(&Problem {
            application: &application,
            placement: &self.placement,
            requests: self.requests,
            current: &self.current,
            fleet: &fleet,
            steer: Steer::default(),
        })
    }

    fn place(&self) -> PlacementReport {
        self.with(place)
    }

    fn chosen(&self) -> BTreeSet<ClusterName> {
        self.place().chosen().cloned().collect()
    }

    fn placed(&self) -> Self {
        Self { current: self.chosen().into_iter().collect(), ..self.clone() }
    }

    fn find(&self, name: &ClusterName) -> &Candidate {
        self.clusters.iter().find(|candidate| candidate.name == *name).unwrap()
    }

    /// Where new work may come, by the rules as the documentation has them, one cluster at a time.
    fn may_come(&self, candidate: &Candidate) -> bool {
        self.matches(candidate)
            && candidate.is_heard()
            && candidate.free().is_none_or(|free| free.covers(&self.requests))
            && untolerated(
                &self.placement,
                &candidate.taints,
                &[TaintEffect::NoSchedule, TaintEffect::NoExecute],
            )
            .is_none()
    }

    fn may_stay(&self, candidate: &Candidate) -> bool {
        self.matches(candidate)
            && self.current.contains(&candidate.name)
            && untolerated(&self.placement, &candidate.taints, &[TaintEffect::NoExecute]).is_none()
    }

    fn matches(&self, candidate: &Candidate) -> bool {
        let Placement { clusters, regions, spread, .. } = &self.placement;
        let labels = &candidate.labels;
        clusters.matches(labels)
            && (regions.is_empty() || labels.get("region").is_some_and(|region| regions.contains(region)))
            && spread.iter().all(|spread| labels.contains_key(&spread.by))
    }

    fn domains<'a>(&'a self, by: &str, names: impl IntoIterator<Item = &'a ClusterName>) -> usize {
        let values: BTreeSet<_> =
            names.into_iter().filter_map(|name| self.find(name).labels.get(by)).collect();
        values.len()
    }
}

fn taints() -> impl Strategy<Value = Vec<Taint>> {
    let effect = prop_oneof![
        Just(TaintEffect::NoSchedule),
        Just(TaintEffect::PreferNoSchedule),
        Just(TaintEffect::NoExecute)
    ];
    let taint = ("[xy]", effect).prop_map(|(key, effect)| Taint { key, value: String::new(), effect });
    prop_oneof![4 => Just(Vec::new()), 1 => prop::collection::vec(taint, 1..3)]
}

fn labels() -> impl Strategy<Value = Labels> {
    let maybe = |values: &'static str| prop::option::weighted(0.9, values);
    (maybe("[abc]"), maybe("[pq]"), maybe("[dt]")).prop_map(|(region, provider, env)| {
        let pairs = [("region", region), ("provider", provider), ("env", env)];
        pairs.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
    })
}

fn candidate(name: String) -> impl Strategy<Value = Candidate> {
    let liveness = prop_oneof![
        6 => Just(Liveness::Alive),
        1 => Just(Liveness::Suspect),
        1 => Just(Liveness::Lost),
        1 => Just(Liveness::Unheard),
    ];
    let amounts = prop::option::of((0_u64..4, 0_u64..4));
    (labels(), taints(), 90_u32..110, liveness, amounts).prop_map(
        move |(labels, taints, weight, liveness, amounts)| {
            let cpu = |cores| Resources { cpu_millicores: cores, ..Resources::default() };
            Candidate {
                labels: Arc::new(labels),
                taints: taints.into(),
                weight,
                liveness,
                allocatable: amounts.map(|(has, _)| cpu(has)),
                requested: cpu(amounts.map_or(0, |(_, given)| given)),
                ..Candidate::new(name.parse().unwrap())
            }
        },
    )
}

fn placement() -> impl Strategy<Value = Placement> {
    let selector = prop::option::of("[dt]").prop_map(|env| Selector {
        match_labels: env.into_iter().map(|value| ("env".to_owned(), value)).collect(),
        ..Selector::default()
    });
    let spread = |by: &'static str| {
        prop::option::of(prop::option::of(1_u32..4))
            .prop_map(move |spread| spread.map(|min_domains| Spread { by: by.to_owned(), min_domains }))
    };
    let toleration = prop::option::weighted(0.3, "[xy]").prop_map(|key| Toleration {
        key,
        operator: TolerationOperator::Exists,
        ..Toleration::default()
    });
    (
        selector.clone(),
        prop::option::of(1_u32..8),
        (spread("region"), spread("provider")),
        prop::option::of((selector, 1_u32..100)),
        prop::collection::vec(toleration, 0..2),
        prop_oneof![3 => Just(Vec::new()), 1 => Just(vec!["a".to_owned(), "b".to_owned()])],
    )
        .prop_map(|(clusters, count, spread, prefer, tolerations, regions)| Placement {
            clusters,
            regions,
            count,
            spread: [spread.0, spread.1].into_iter().flatten().collect(),
            prefer: prefer.into_iter().map(|(clusters, weight)| Preference { clusters, weight }).collect(),
            tolerations,
        })
}

fn case() -> impl Strategy<Value = Case> {
    let clusters = (0_usize..14)
        .prop_flat_map(|count| (0..count).map(|n| candidate(format!("c{n}"))).collect::<Vec<_>>());
    (clusters, placement(), 0_u64..3, prop::collection::vec(any::<bool>(), 14)).prop_map(
        |(clusters, placement, cores, runs)| {
            let current =
                clusters.iter().zip(runs).filter(|(_, runs)| *runs).map(|(c, _)| c.name.clone()).collect();
            let requests = Resources { cpu_millicores: cores, ..Resources::default() };
            Case { clusters, placement, requests, current }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn placing_again_changes_nothing(case in case()) {
        let placed = case.placed();
        prop_assert_eq!(placed.chosen(), case.chosen());
        prop_assert_eq!(placed.place().unplaced_count, case.place().unplaced_count);
        prop_assert_eq!(placed.place().problems, case.place().problems);
    }

    #[test]
    fn the_order_of_clusters_changes_nothing(case in case()) {
        let mut turned = case.clone();
        turned.clusters.reverse();
        turned.current.reverse();
        prop_assert_eq!(turned.place(), case.place());
    }

    #[test]
    fn rules_are_never_violated(case in case()) {
        for name in case.chosen() {
            let candidate = case.find(&name);
            prop_assert!(case.may_come(candidate) || case.may_stay(candidate), "{}", name);
        }
    }

    #[test]
    fn the_count_is_met_where_it_can_be(case in case()) {
        let possible =
            case.clusters.iter().filter(|candidate| case.may_come(candidate) || case.may_stay(candidate)).count();
        let report = case.place();
        let chosen = report.chosen().count();
        match case.placement.count {
            None => prop_assert_eq!(chosen, possible),
            Some(count) => {
                prop_assert_eq!(chosen, possible.min(count as usize));
                prop_assert_eq!(report.unplaced_count as usize, count as usize - chosen);
            }
        }
    }

    #[test]
    fn one_spread_is_met_where_it_can_be(mut case in case()) {
        case.placement.spread.truncate(1);
        let Some((Some(wanted), by)) = case.placement.spread.first().map(|s| (s.min_domains, s.by.clone())) else {
            return Ok(());
        };
        let chosen = case.chosen();
        // What a lost cluster has is not given up for a spread.
        let stuck = chosen.iter().any(|name| !case.find(name).is_heard());
        let count = case.placement.count.map_or(usize::MAX, |count| count as usize);
        if stuck || count < wanted as usize {
            return Ok(());
        }
        let possible: Vec<&ClusterName> = case
            .clusters
            .iter()
            .filter(|candidate| case.may_come(candidate) || case.may_stay(candidate))
            .map(|candidate| &candidate.name)
            .collect();
        let best = case.domains(&by, possible).min(wanted as usize);
        prop_assert!(case.domains(&by, &chosen) >= best, "{} of {best}", case.domains(&by, &chosen));
    }

    #[test]
    fn what_may_stay_stays_where_the_placement_is_met(case in case()) {
        let placed = case.placed();
        if !placed.place().problems.is_empty() || placed.placement.count.is_none() {
            return Ok(());
        }
        // A new cluster, however good, and another's death move nothing.
        let mut grown = placed.clone();
        grown.clusters.push(Candidate {
            labels: Arc::new(
                [("region", "z"), ("provider", "z"), ("env", "d")].map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
            ),
            weight: 1000,
            ..Candidate::new("new".parse().unwrap())
        });
        prop_assert_eq!(grown.chosen(), placed.chosen());
        let mut mourning = placed.clone();
        for candidate in &mut mourning.clusters {
            candidate.liveness = Liveness::Lost;
        }
        prop_assert_eq!(mourning.chosen(), placed.chosen());
    }

    #[test]
    fn every_cluster_is_explained_once(case in case()) {
        let report = case.place();
        let named: BTreeSet<&ClusterName> = report.decisions.iter().map(|decision| &decision.cluster).collect();
        prop_assert_eq!(named.len(), case.clusters.len());
        prop_assert_eq!(report.decisions.len(), case.clusters.len());
        prop_assert!(report.decisions.is_sorted_by_key(|decision| decision.verdict));
        for decision in &report.decisions {
            prop_assert!(!decision.reason.is_empty());
            let matches = case.matches(case.find(&decision.cluster));
            prop_assert_eq!(decision.verdict == Verdict::Excluded, !matches);
        }
        prop_assert_eq!(report.chosen().count(), case.with(|problem| decide(problem).picks.len()));
    }
}
