//! What goes out to people: the world's picture on the wire, with the values of Secrets masked.

use nave_common::application::Application;
use nave_common::manifest::masked;
use nave_common::name::{ApplicationKey, ClusterName};
use nave_common::source::Source;
use nave_common::time::Timestamp;
use nave_proto::v1;

use crate::error::Error;
use crate::world::State;

/// An application as it may be shown.
#[must_use]
pub(super) fn application(mut application: Application) -> v1::Application {
    if let Source::Inline(inline) = &mut application.spec.source {
        for manifest in &mut inline.manifests {
            *manifest = masked(manifest);
        }
    }
    application.into()
}

/// The application of that name with its status, as it may be shown.
///
/// # Errors
/// [`Error::NotFound`] where there is none.
pub(super) fn application_of(
    state: &State,
    key: &ApplicationKey,
    now: Timestamp,
) -> Result<v1::Application, Error> {
    state.application_view(key, now).map(application).ok_or_else(|| no_application(key))
}

/// The cluster of that name with its status.
///
/// # Errors
/// [`Error::NotFound`] where there is none.
pub(super) fn cluster_of(state: &State, name: &ClusterName) -> Result<v1::Cluster, Error> {
    state.cluster_view(name).map(Into::into).ok_or_else(|| no_cluster(name))
}

/// Refuses the name of a cluster that is not there.
///
/// # Errors
/// [`Error::NotFound`] where there is none of that name.
pub(super) fn known_cluster(state: &State, name: &ClusterName) -> Result<(), Error> {
    if state.clusters().contains_key(name) { Ok(()) } else { Err(no_cluster(name)) }
}

/// There is no such application.
#[must_use]
pub(super) fn no_application(key: &ApplicationKey) -> Error {
    Error::NotFound(format!("there is no application {key}; nave get applications lists those there are"))
}

/// There is no such cluster.
#[must_use]
pub(super) fn no_cluster(name: &ClusterName) -> Error {
    Error::NotFound(format!("there is no cluster {name}; nave get clusters lists those there are"))
}
