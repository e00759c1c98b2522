//! Applications: looking at them, stopping their writes, deleting them.

use std::collections::BTreeSet;
use std::ops::Bound;

use nave_common::application::Sync;
use nave_common::assignment::Desired;
use nave_common::name::{ApplicationKey, ClusterName};
use nave_proto::v1;

use super::call::Call;
use super::change::{self, Attempts, Change};
use super::page::{self, Page};
use super::{read, view};
use crate::control;
use crate::error::Error;
use crate::parts::Parts;

/// One application.
///
/// # Errors
/// Where there is none of that name.
pub(super) fn get(
    parts: &Parts,
    request: v1::GetApplicationRequest,
) -> Result<v1::GetApplicationResponse, Error> {
    let key = read::key(request.application)?;
    let now = parts.now();
    let application = parts.world.read(|state| view::application_of(state, &key, now))?;
    Ok(v1::GetApplicationResponse { application: Some(application) })
}

/// A page of applications, ordered by project and name.
///
/// # Errors
/// Where the request is not valid.
pub(super) fn list(
    parts: &Parts,
    request: v1::ListApplicationsRequest,
) -> Result<v1::ListApplicationsResponse, Error> {
    let project = read::project_or_none(&request.project)?;
    let selector = read::selector(request.selector)?;
    let after: Option<ApplicationKey> = page::read_token(&request.page_token)?;
    let start = after.map_or(Bound::Unbounded, Bound::Excluded);
    let mut page = Page::new(request.page_size);
    let keys: Vec<ApplicationKey> = parts.world.read(|state| {
        let all = state.applications().range((start, Bound::Unbounded));
        let wanted = all.filter(|(key, stored)| {
            project.as_ref().is_none_or(|project| *project == key.project)
                && selector.matches(&stored.value.metadata.labels)
        });
        wanted.map(|(key, _)| key.clone()).take(page.limit() + 1).collect()
    });
    let now = parts.now();
    // One at a time, so that nobody waits for a whole page of them.
    let next = page
        .fill(&keys, |key| parts.world.read(|state| state.application_view(key, now)).map(view::application));
    Ok(v1::ListApplicationsResponse {
        applications: page.into_items(),
        next_page_token: next.map(|key| page::token(&key.to_string())).unwrap_or_default(),
    })
}

/// Marks an application for deletion. Asking again changes nothing.
///
/// # Errors
/// Where there is none of that name, or it was written since.
pub(super) async fn delete(
    parts: &Parts,
    call: &Call,
    request: v1::DeleteApplicationRequest,
) -> Result<v1::DeleteApplicationResponse, Error> {
    let key = read::key(request.application)?;
    let mut attempts = Attempts::of(parts, format!("application {key}"));
    loop {
        match try_delete(parts, call, &key, request.sequence, request.dry_run).await {
            Err(error) => attempts.after(error).await?,
            deleted => return deleted,
        }
    }
}

async fn try_delete(
    parts: &Parts,
    call: &Call,
    key: &ApplicationKey,
    based_on: u64,
    dry_run: bool,
) -> Result<v1::DeleteApplicationResponse, Error> {
    let current = change::current(parts, key).await?.ok_or_else(|| view::no_application(key))?;
    change::check_sequence(key, based_on, Some(&current))?;
    let clusters = running_on(parts, key);
    let mut application = current.application.clone();
    let is_new = application.metadata.deleted_at.is_none();
    if is_new {
        application.metadata.deleted_at = Some(parts.now());
    }
    if is_new && !dry_run {
        let change = Change {
            base: Some(&current),
            application: application.clone(),
            revision: None,
            planned: None,
            reason: "Deleted",
            message: format!(
                "deletion asked for by {}; it is removed from {} clusters",
                call.user,
                clusters.len()
            ),
        };
        let sequence = change::write(parts, call, change).await?;
        application.metadata.sequence = sequence.0;
    }
    Ok(v1::DeleteApplicationResponse {
        application: Some(view::application(application)),
        change_id: call.change_id.clone(),
        clusters: clusters.iter().map(ToString::to_string).collect(),
    })
}

fn running_on(parts: &Parts, key: &ApplicationKey) -> Vec<ClusterName> {
    parts.world.read(|state| {
        let told = state.assignments_of(key).into_iter().flat_map(|told| told.iter());
        let running = told.filter(|(_, assignment)| matches!(assignment.desired, Desired::Run(_)));
        running.map(|(cluster, _)| cluster.clone()).collect()
    })
}

/// Stops or lets go on the writes of an application.
///
/// # Errors
/// Where there is no such application or cluster.
pub(super) async fn suspend(
    parts: &Parts,
    call: &Call,
    request: v1::SuspendApplicationRequest,
) -> Result<v1::SuspendApplicationResponse, Error> {
    let key = read::key(request.application)?;
    let clusters = read::clusters("clusters", &request.clusters)?;
    if request.suspended {
        // Going on must work even for a cluster that is gone.
        let missing = parts
            .world
            .read(|state| clusters.iter().find(|name| !state.clusters().contains_key(*name)).cloned());
        if let Some(name) = missing {
            return Err(view::no_cluster(&name));
        }
    }
    let mut attempts = Attempts::of(parts, format!("application {key}"));
    loop {
        match try_suspend(parts, call, &key, request.suspended, &clusters).await {
            Err(error) => attempts.after(error).await?,
            suspended => return suspended,
        }
    }
}

async fn try_suspend(
    parts: &Parts,
    call: &Call,
    key: &ApplicationKey,
    suspended: bool,
    clusters: &[ClusterName],
) -> Result<v1::SuspendApplicationResponse, Error> {
    let current = change::current(parts, key).await?.ok_or_else(|| view::no_application(key))?;
    change::check_alive(&current.application)?;
    if let Some(holding) = parts.world.read(|state| state.holding(key)) {
        // Written down, it would count as a change that a person wants, and take the backup's manifests along.
        return Err(Error::Refused(format!(
            "application {key} cannot be suspended now: {}",
            holding.reason()
        )));
    }
    let mut application = current.application.clone();
    set_suspended(&mut application.spec.sync, suspended, clusters)?;
    if application.spec != current.application.spec {
        let names: Vec<&str> = clusters.iter().map(ClusterName::as_str).collect();
        let place =
            if names.is_empty() { "everywhere".to_owned() } else { format!("in {}", names.join(", ")) };
        let (reason, verb) = if suspended { ("Suspended", "stopped") } else { ("Resumed", "go on") };
        let change = Change {
            base: Some(&current),
            application: application.clone(),
            revision: None,
            planned: None,
            reason,
            message: format!("writes {verb} {place}, by {}", call.user),
        };
        change::write(parts, call, change).await?;
    }
    let now = parts.now();
    let shown = parts.world.read(|state| state.application_view(key, now)).unwrap_or(application);
    Ok(v1::SuspendApplicationResponse {
        application: Some(view::application(shown)),
        change_id: call.change_id.clone(),
    })
}

fn set_suspended(sync: &mut Sync, suspended: bool, clusters: &[ClusterName]) -> Result<(), Error> {
    if clusters.is_empty() {
        sync.suspended = suspended;
        if !suspended {
            sync.suspended_clusters.clear();
        }
        return Ok(());
    }
    if !suspended && sync.suspended {
        return Err(Error::Refused(
            "writes are suspended everywhere: let them go on everywhere, then suspend them in single clusters".into(),
        ));
    }
    let mut all: BTreeSet<ClusterName> = sync.suspended_clusters.drain(..).collect();
    for cluster in clusters {
        if suspended {
            all.insert(cluster.clone());
        } else {
            all.remove(cluster);
        }
    }
    sync.suspended_clusters = all.into_iter().collect();
    Ok(())
}

/// Why each cluster was or was not chosen, as things are now.
///
/// # Errors
/// Where there is no such application.
pub(super) fn explain(
    parts: &Parts,
    request: v1::ExplainPlacementRequest,
) -> Result<v1::ExplainPlacementResponse, Error> {
    let key = read::key(request.application)?;
    let placement =
        parts.world.read(|state| control::explain(state, &key)).ok_or_else(|| view::no_application(&key))?;
    Ok(v1::ExplainPlacementResponse { placement: Some(placement.into()) })
}
