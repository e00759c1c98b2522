//! The golden script of placements: `tests/data/placement.txt`, which says how to read it.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use nave_common::name::{ApplicationKey, ClusterName};
use nave_common::placement::{Placement, Taint, TaintEffect};
use nave_common::quantity;
use nave_common::resources::Resources;
use nave_common::status::Liveness;

use super::{Problem, Steer, place};
use crate::plan::fleet::{Candidate, Fleet};

/// Where an answer begins.
const ANSWER: &str = "=>";

#[test]
fn placements_are_as_the_script_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/placement.txt");
    let script = std::fs::read_to_string(&path).unwrap();
    let answered = answer_all(&script);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &answered).unwrap();
        return;
    }
    let differs = script.lines().zip(answered.lines()).find(|(expected, found)| expected != found);
    assert!(script == answered, "{differs:?}; if this is meant, run again with UPDATE=1");
}

fn answer_all(script: &str) -> String {
    let mut cases = script.split("\n== ");
    let mut answered = cases.next().unwrap().to_owned();
    for case in cases {
        let (given, _) = case.split_once(ANSWER).unwrap_or((case, ""));
        write!(answered, "\n== {given}{ANSWER}\n{}", answer(given)).unwrap();
    }
    answered
}

fn answer(given: &str) -> String {
    let mut fleet = Fleet::default();
    let mut placement = Placement::default();
    let mut requests = Resources::default();
    let mut current: Vec<ClusterName> = Vec::new();
    for line in given.lines().skip(1) {
        match line.split_once(' ') {
            Some(("cluster", rest)) => fleet.put(cluster(rest)),
            Some(("placement", rest)) => placement = serde_saphyr::from_str(rest).unwrap(),
            Some(("requests", cpu)) => requests.cpu_millicores = quantity::millicores(cpu).unwrap(),
            Some(("current", names)) => {
                current = names.split(' ').map(|name| name.parse().unwrap()).collect()
            }
            _ => assert!(line.is_empty(), "{line:?}"),
        }
    }
    let application: ApplicationKey = "shop".parse().unwrap();
    let report = place(&Problem {
        application: &application,
        placement: &placement,
        requests,
        current: &current,
        fleet: &fleet,
        steer: Steer::default(),
    });
    let mut text = String::new();
    for decision in &report.decisions {
        let verdict = format!("{:?}", decision.verdict);
        writeln!(text, "{:<5} {verdict:<8} {}", decision.cluster, decision.reason).unwrap();
    }
    if report.unplaced_count > 0 {
        writeln!(text, "unplaced: {}", report.unplaced_count).unwrap();
    }
    for problem in &report.problems {
        writeln!(text, "problem: {problem}").unwrap();
    }
    text
}

fn cluster(text: &str) -> Candidate {
    let mut words = text.split(' ');
    let mut candidate = Candidate::new(words.next().unwrap().parse().unwrap());
    let mut taints = Vec::new();
    for word in words {
        match word {
            "Lost" => candidate.liveness = Liveness::Lost,
            "Suspect" => candidate.liveness = Liveness::Suspect,
            "Unheard" => candidate.liveness = Liveness::Unheard,
            _ if word.starts_with('!') => taints.push(taint(&word[1..])),
            _ => {
                let (key, value) = word.split_once('=').unwrap();
                match key {
                    "weight" => candidate.weight = value.parse().unwrap(),
                    "cpu" => {
                        let (has, given) = value.split_once('/').unwrap();
                        let cpu = |text: &str| Resources {
                            cpu_millicores: text.parse().unwrap(),
                            ..Resources::default()
                        };
                        candidate.allocatable = Some(cpu(has));
                        candidate.requested = cpu(given);
                    }
                    _ => {
                        Arc::make_mut(&mut candidate.labels).insert(key.to_owned(), value.to_owned());
                    }
                }
            }
        }
    }
    candidate.taints = taints.into();
    candidate
}

fn taint(text: &str) -> Taint {
    let (rest, effect) = text.split_once(':').unwrap();
    let (key, value) = rest.split_once('=').unwrap_or((rest, ""));
    let effect = match effect {
        "NoSchedule" => TaintEffect::NoSchedule,
        "PreferNoSchedule" => TaintEffect::PreferNoSchedule,
        "NoExecute" => TaintEffect::NoExecute,
        other => panic!("{other}"),
    };
    Taint { key: key.to_owned(), value: value.to_owned(), effect }
}
