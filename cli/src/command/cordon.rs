//! `nave cordon` and `nave uncordon`, and the marks that `nave drain` sets.

use std::collections::BTreeMap;

use nave_common::cluster::{Cluster, ClusterSpec};
use nave_common::name::ClusterName;
use nave_common::selector::Selector;
use serde_json::json;

use super::changes::Changes;
use crate::args::{Clusters, Global};
use crate::client::Hub;
use crate::exit::{Exit, Failure, Outcome};
use crate::output::Printer;

/// How often a mark is set when others change the cluster at the same time.
const MAX_ATTEMPTS: usize = 5;

/// What is done with a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    Cordon,
    Uncordon,
    Drain,
}

impl Mark {
    fn set(self, spec: &mut ClusterSpec) {
        match self {
            Self::Cordon => spec.cordoned = true,
            Self::Uncordon => (spec.cordoned, spec.drained) = (false, false),
            Self::Drain => (spec.cordoned, spec.drained) = (true, true),
        }
    }

    fn done(self) -> &'static str {
        match self {
            Self::Cordon => "cordoned",
            Self::Uncordon => "uncordoned",
            Self::Drain => "draining",
        }
    }

    fn already(self) -> &'static str {
        match self {
            Self::Cordon => "cordoned already",
            Self::Uncordon => "not cordoned",
            Self::Drain => "draining already",
        }
    }
}

pub(super) async fn run(global: &Global, clusters: &Clusters, mark: Mark, printer: &mut Printer) -> Outcome {
    let hub = Hub::connect(global).await?;
    let names = named(&hub, clusters).await?;
    let mut changes = Changes::new(clusters.output, false);
    let done = set_all(&hub, &names, mark, printer, &mut changes).await;
    changes.finish(printer)?;
    done.map(|()| Exit::Done)
}

/// The clusters that are meant.
pub(super) async fn named(hub: &Hub, clusters: &Clusters) -> Outcome<Vec<ClusterName>> {
    if !clusters.names.is_empty() {
        return Ok(clusters.names.clone());
    }
    let selector = match &clusters.region {
        Some(region) => Some(Selector {
            match_labels: BTreeMap::from([("region".to_owned(), region.clone())]),
            ..Selector::default()
        }),
        None => clusters.selector.clone(),
    };
    let found = hub.clusters(selector.as_ref()).await?;
    if found.is_empty() {
        return Err(Failure::failed("no cluster matches").hint("see `nave get clusters`"));
    }
    Ok(found.into_iter().map(|cluster| cluster.metadata.name).collect())
}

/// Sets the mark on each of them and tells of each.
pub(super) async fn set_all(
    hub: &Hub,
    names: &[ClusterName],
    mark: Mark,
    printer: &mut Printer,
    changes: &mut Changes,
) -> Outcome<()> {
    // One that is not there is said before anything is changed.
    let mut found = Vec::new();
    for name in names {
        found.push(hub.cluster(name).await?);
    }
    for cluster in found {
        let name = format!("cluster/{}", cluster.metadata.name);
        match set(hub, cluster, mark).await.map_err(|failure| failure.about(&name))? {
            Some(change_id) => {
                changes.tell(printer, &name, mark.done(), json!({"changeId": change_id}))?;
            }
            None => changes.tell(printer, &name, mark.already(), json!({}))?,
        }
    }
    Ok(())
}

/// Returns the change's identifier; `None` where the mark was set already.
async fn set(hub: &Hub, mut cluster: Cluster, mark: Mark) -> Outcome<Option<String>> {
    let mut attempt = 1;
    loop {
        let before = cluster.spec.clone();
        mark.set(&mut cluster.spec);
        if cluster.spec == before {
            return Ok(None);
        }
        // It names the sequence that was read, so that nobody else's change is undone.
        match hub.apply_cluster(&cluster, false).await {
            Ok(applied) => return Ok(Some(applied.change_id)),
            Err(failure) if failure.is_conflict() && attempt < MAX_ATTEMPTS => attempt += 1,
            Err(failure) => return Err(failure),
        }
        cluster = hub.cluster(&cluster.metadata.name).await?;
    }
}
