//! `nave delete`: applications, everywhere; clusters, from the fleet; join tokens.

use nave_common::name::{ApplicationKey, ClusterName};
use serde_json::json;

use super::changes::Changes;
use super::target::{self, Kind};
use super::waiting::{self, Awaited};
use crate::args::{Delete, Global, WaitFor};
use crate::client::Hub;
use crate::exit::{Exit, Failure, Outcome};
use crate::load::{self, Loaded};
use crate::output::{Printer, application_name};

/// What is to be deleted.
enum Doomed {
    Applications(Vec<ApplicationKey>),
    Clusters(Vec<ClusterName>),
    Tokens(Vec<String>),
}

pub(super) async fn run(global: &Global, delete: &Delete, printer: &mut Printer) -> Outcome {
    let doomed = doomed(delete, printer)?;
    let hub = Hub::connect(global).await?;
    let mut changes = Changes::new(delete.output, delete.dry_run);
    let done = match doomed {
        Doomed::Applications(keys) => applications(&hub, &keys, delete, printer, &mut changes).await,
        Doomed::Clusters(names) => clusters(&hub, &names, delete, printer, &mut changes).await,
        Doomed::Tokens(ids) => tokens(&hub, &ids, delete, printer, &mut changes).await,
    };
    changes.finish(printer)?;
    done
}

fn doomed(delete: &Delete, printer: &Printer) -> Outcome<Doomed> {
    let project = &delete.project.project;
    if !delete.files.is_empty() {
        let mut keys = Vec::new();
        for loaded in load::load_documents(&delete.files, project)? {
            match loaded {
                Loaded::Application { application, .. } => keys.push(application.key()),
                Loaded::Cluster(cluster) => {
                    printer.warning(&format!("cluster/{} is left alone", cluster.metadata.name));
                }
            }
        }
        return Ok(Doomed::Applications(keys));
    }
    let (kind, names) = target::parse(&delete.what)?;
    if names.is_empty() {
        return Err(Failure::usage("no name is given; expected KIND NAME, such as application shop"));
    }
    if delete.force && kind != Kind::Cluster {
        return Err(Failure::usage("--force is for clusters"));
    }
    match kind {
        Kind::Application => {
            let keys = names.iter().map(|name| target::application(name, project));
            keys.collect::<Outcome<_>>().map(Doomed::Applications)
        }
        Kind::Token => Ok(Doomed::Tokens(names)),
        Kind::Cluster => {
            let names = names.iter().map(|name| name.parse().map_err(Failure::usage));
            names.collect::<Outcome<_>>().map(Doomed::Clusters)
        }
        Kind::Assignment | Kind::Event | Kind::Revision => {
            Err(Failure::usage("only applications, clusters and tokens can be deleted"))
        }
    }
}

async fn clusters(
    hub: &Hub,
    names: &[ClusterName],
    delete: &Delete,
    printer: &mut Printer,
    changes: &mut Changes,
) -> Outcome {
    for cluster in names {
        let name = format!("cluster/{cluster}");
        match hub.delete_cluster(cluster, delete.force, delete.dry_run).await {
            Ok((keys, change_id)) => {
                let keys: Vec<String> = keys.iter().map(application_name).collect();
                let more = json!({"changeId": change_id, "applications": keys});
                let place = match keys.as_slice() {
                    [] => "deleted".to_owned(),
                    keys => format!("deleted (what is left of {} stays in it)", keys.join(", ")),
                };
                changes.tell(printer, &name, &place, more)?;
            }
            Err(failure) if delete.ignore_not_found && failure.is_not_found() => {
                changes.tell(printer, &name, "not there", json!({}))?;
            }
            Err(failure) => return Err(failure),
        }
    }
    if !delete.dry_run {
        printer.hint("its agent is refused from now on: remove it from the cluster, or join it again");
    }
    Ok(Exit::Done)
}

async fn applications(
    hub: &Hub,
    keys: &[ApplicationKey],
    delete: &Delete,
    printer: &mut Printer,
    changes: &mut Changes,
) -> Outcome {
    let mut awaited = Vec::new();
    for key in keys {
        let name = format!("application/{}", application_name(key));
        match hub.delete_application(key, delete.dry_run).await {
            Ok(deletion) => {
                let more = json!({"changeId": deletion.change_id, "clusters": deletion.clusters});
                let place = match deletion.clusters.as_slice() {
                    [] => "deleted".to_owned(),
                    clusters => format!("deleted (being removed from {})", clusters.join(", ")),
                };
                changes.tell(printer, &name, &place, more)?;
                awaited.push(Awaited { key: key.clone(), sequence: 0 });
            }
            Err(failure) if delete.ignore_not_found && failure.is_not_found() => {
                changes.tell(printer, &name, "not there", json!({}))?;
            }
            Err(failure) => return Err(failure),
        }
    }
    if delete.wait && !awaited.is_empty() {
        let waiting = waiting::for_at_most(delete.timeout);
        return waiting::all(hub, &awaited, WaitFor::Deleted, &waiting, printer, changes).await;
    }
    Ok(Exit::Done)
}

async fn tokens(
    hub: &Hub,
    ids: &[String],
    delete: &Delete,
    printer: &mut Printer,
    changes: &mut Changes,
) -> Outcome {
    let known = if delete.dry_run { hub.tokens().await? } else { Vec::new() };
    for id in ids {
        let name = format!("token/{id}");
        let result = if !delete.dry_run {
            hub.delete_token(id).await
        } else if known.iter().any(|token| token.id == *id) {
            Ok(())
        } else {
            Err(Failure::failed(format!("there is no token {id}")).not_found())
        };
        match result {
            Ok(()) => changes.tell(printer, &name, "deleted", json!({}))?,
            Err(failure) if delete.ignore_not_found && failure.is_not_found() => {
                changes.tell(printer, &name, "not there", json!({}))?;
            }
            Err(failure) => return Err(failure),
        }
    }
    Ok(Exit::Done)
}
