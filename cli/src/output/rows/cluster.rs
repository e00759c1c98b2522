//! Clusters.

use nave_common::cluster::Cluster;
use nave_common::resources::Resources;
use nave_common::status::{ClusterStatus, Liveness};
use serde_json::Value;

use super::labels_text;
use crate::exit::Outcome;
use crate::output::{Cell, Row, Shape, Tone, age, as_resource};

impl Row for Cluster {
    fn columns(shape: &Shape) -> Vec<&'static str> {
        let mut columns =
            vec!["NAME", "REGION", "STATUS", "HEARD", "NODES", "VERSION", "APPS", "TAINTS", "AGE"];
        if shape.wide {
            columns.extend(["CPU", "MEMORY", "AGENT", "LABELS", "PROBLEM"]);
        }
        columns
    }

    fn cells(&self, shape: &Shape) -> Vec<Cell> {
        let status = self.status.clone().unwrap_or_default();
        let seen = status.observed.clone().unwrap_or_default();
        let label = |key: &str| self.metadata.labels.get(key).cloned().unwrap_or_default();
        let nodes = format!("{}/{}", seen.ready_node_count, seen.node_count);
        let mut cells = vec![
            Cell::new(self.metadata.name.as_str()),
            Cell::new(label("region")),
            cluster_row_state(self, &status),
            Cell::new(age(status.last_heard_at, shape.now)),
            if status.observed.is_none() {
                Cell::new("")
            } else {
                let all_are_ready = seen.ready_node_count == seen.node_count;
                Cell::toned(nodes, if all_are_ready { Tone::Plain } else { Tone::Busy })
            },
            Cell::new(seen.kubernetes_version),
            Cell::new(status.application_count.to_string()),
            Cell::new(self.taints_text()),
            Cell::new(age(self.metadata.created_at, shape.now)),
        ];
        if shape.wide {
            cells.extend([
                Cell::new(used(status.requested, seen.allocatable, |resources| resources.cpu_millicores)),
                Cell::new(used(status.requested, seen.allocatable, |resources| resources.memory_bytes)),
                Cell::new(seen.agent_version),
                Cell::new(labels_text(&self.metadata.labels)),
                Cell::toned(seen.problem.unwrap_or_default(), Tone::Bad),
            ]);
        }
        cells
    }

    fn name(&self) -> String {
        format!("cluster/{}", self.metadata.name)
    }

    fn document(&self) -> Outcome<Value> {
        as_resource("Cluster", self)
    }
}

/// Whether it is heard, and well; and whether a person keeps work away: `Alive,Cordoned`.
fn cluster_row_state(cluster: &Cluster, status: &ClusterStatus) -> Cell {
    let state = cluster_state(status);
    let word = match (cluster.spec.cordoned, cluster.spec.drained) {
        (_, true) => "Drained",
        (true, false) => "Cordoned",
        (false, false) => return state,
    };
    let tone = if state.tone == Tone::Good { Tone::Busy } else { state.tone };
    Cell::toned(format!("{},{word}", state.text), tone)
}

/// Whether it is heard, and well.
pub(crate) fn cluster_state(status: &ClusterStatus) -> Cell {
    let has_problem = status.observed.as_ref().is_some_and(|seen| seen.problem.is_some());
    // Of one that is not heard, the last that it said is no news.
    if has_problem && status.liveness == Liveness::Alive {
        Cell::toned("Sick", Tone::Bad)
    } else {
        Cell::state(status.liveness)
    }
}

/// What a cluster's row says of its taints.
trait TaintsText {
    fn taints_text(&self) -> String;
}

impl TaintsText for Cluster {
    /// `maintenance:NoSchedule,spot=yes:NoExecute`
    fn taints_text(&self) -> String {
        let taint = |taint: &nave_common::placement::Taint| {
            let value = if taint.value.is_empty() { String::new() } else { format!("={}", taint.value) };
            format!("{}{value}:{:?}", taint.key, taint.effect)
        };
        self.spec.taints.iter().map(taint).collect::<Vec<_>>().join(",")
    }
}

/// `41%` of what there is to give is requested; nothing where nothing is known to be there.
fn used(requested: Resources, allocatable: Resources, part: impl Fn(Resources) -> u64) -> String {
    match part(allocatable) {
        0 => String::new(),
        all => format!("{}%", u128::from(part(requested)) * 100 / u128::from(all)),
    }
}

#[cfg(test)]
mod tests {
    use nave_common::status::ClusterObservation;

    use super::*;

    #[test]
    fn a_cluster_that_is_heard_and_has_a_problem_is_sick() {
        let observed = ClusterObservation { problem: Some("etcd".into()), ..ClusterObservation::default() };
        let mut status =
            ClusterStatus { liveness: Liveness::Alive, observed: Some(observed), ..ClusterStatus::default() };
        assert_eq!(cluster_state(&status).text, "Sick");
        status.liveness = Liveness::Lost;
        assert_eq!(cluster_state(&status).text, "Lost");
    }
}
