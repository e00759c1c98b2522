//! What a cluster is made from.

use std::collections::BTreeMap;
use std::time::Duration;

/// The settings of a cluster.
#[derive(Debug, Clone)]
pub struct Config {
    /// Its name, in the kubeconfig and in provider IDs.
    pub name: String,
    /// The port on loopback; zero takes a free one.
    pub port: u16,
    /// How many nodes it has.
    pub nodes: usize,
    /// The CPU of each node.
    pub node_cpu: String,
    /// The memory of each node.
    pub node_memory: String,
    /// Labels of every node, such as its region.
    pub node_labels: BTreeMap<String, String>,
    /// How long a pod takes to become ready, and to end.
    pub ready_delay: Duration,
    /// How long a custom resource definition takes to be established.
    pub established_delay: Duration,
    /// How often a watch that allows it gets a bookmark.
    pub bookmark_interval: Duration,
    /// UIDs and generated names follow from it.
    pub seed: u64,
    /// How many changes of each kind are remembered for watches.
    pub history: usize,
    /// The version that it reports.
    pub version: String,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            name: "sim".to_owned(),
            port: 0,
            nodes: 3,
            node_cpu: "4".to_owned(),
            node_memory: "16Gi".to_owned(),
            node_labels: BTreeMap::new(),
            ready_delay: Duration::from_millis(300),
            established_delay: Duration::from_millis(50),
            bookmark_interval: Duration::from_secs(10),
            seed: 1,
            history: 512,
            version: "v1.37.2".to_owned(),
        }
    }
}
