//! Whether an assignment that arrives is taken: a pure decision by the hub's order.

use nave_common::assignment::{Assignment, Generation};
use nave_common::name::ClusterName;

/// What is done with an assignment that arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    /// It is newer than what is held: it is taken.
    Take,
    /// It is what is held already: it is only acknowledged.
    Known,
    /// It is refused, for this reason.
    Refuse(String),
}

/// Decides about `incoming`. `held` is what the agent has of the same application, `floor` the highest term it has seen.
#[must_use]
pub fn admit(
    cluster: &ClusterName,
    held: Option<&Assignment>,
    floor: Generation,
    incoming: &Assignment,
) -> Admission {
    if incoming.cluster != *cluster {
        return Admission::Refuse(format!("it is for cluster {}, and this is {cluster}", incoming.cluster));
    }
    if incoming.generation.term < floor.term {
        return Admission::Refuse(format!(
            "its term {} is older than term {}, which this agent has seen; was the hub restored from a backup?",
            incoming.generation.term, floor.term
        ));
    }
    let Some(held) = held else { return Admission::Take };
    if incoming.generation < held.generation {
        return Admission::Refuse(format!(
            "its generation {} is older than {}, which this agent has",
            incoming.generation, held.generation
        ));
    }
    if incoming.generation == held.generation {
        if incoming.desired.digest() == held.desired.digest() {
            return Admission::Known;
        }
        return Admission::Refuse(format!(
            "generation {} came before with other content; two hubs may be using one term",
            incoming.generation
        ));
    }
    Admission::Take
}

#[cfg(test)]
mod tests {
    use super::*;
    use nave_common::assignment::Desired;

    fn at(term: u64, counter: u64) -> Assignment {
        Assignment {
            application: "shop".parse().unwrap(),
            cluster: "eu-1".parse().unwrap(),
            generation: Generation { term, counter },
            change_id: String::new(),
            desired: Desired::Remove,
        }
    }

    #[test]
    fn the_newest_wins_whatever_the_order_of_arrival() {
        let cluster: ClusterName = "eu-1".parse().unwrap();
        let floor = Generation { term: 2, counter: 7 };
        let held = at(2, 7);
        assert_eq!(admit(&cluster, None, floor, &at(2, 1)), Admission::Take);
        assert_eq!(admit(&cluster, Some(&held), floor, &at(2, 8)), Admission::Take);
        assert_eq!(admit(&cluster, Some(&held), floor, &at(3, 1)), Admission::Take);
        assert_eq!(admit(&cluster, Some(&held), floor, &held), Admission::Known);
        for older in [at(2, 6), at(1, 99)] {
            assert!(matches!(admit(&cluster, Some(&held), floor, &older), Admission::Refuse(_)));
        }
    }

    #[test]
    fn what_is_for_another_cluster_is_refused() {
        let cluster: ClusterName = "us-1".parse().unwrap();
        assert!(matches!(admit(&cluster, None, Generation::default(), &at(1, 1)), Admission::Refuse(_)));
    }
}
