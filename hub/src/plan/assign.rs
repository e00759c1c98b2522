//! From an application and its placement to what each cluster is told.

use nave_common::application::Application;
use nave_common::assignment::{Run, SyncPolicy};
use nave_common::bundle::Bundle;
use nave_common::cluster::Cluster;
use nave_common::digest::Digest;
use nave_common::overrides::Override;
use nave_common::render::{self, Inputs, Rendering};

/// What one cluster would be told to run of an application, and the manifests that come of it.
///
/// # Errors
/// Where the bundle cannot be rendered with the cluster's changes.
pub fn run_for(
    application: &Application,
    revision: u64,
    digest: Digest,
    bundle: &Bundle,
    cluster: &Cluster,
) -> Result<(Run, Rendering), render::Error> {
    let spec = &application.spec;
    let override_ = Override::for_cluster(&spec.overrides, &cluster.metadata.labels);
    let inputs = Inputs {
        override_: &override_,
        namespace: spec.namespace.as_ref(),
        create_namespace: spec.create_namespace,
    };
    let rendering = render::render(bundle, inputs)?;
    let run = Run {
        revision,
        bundle: digest,
        rendering: rendering.digest,
        namespace: spec.namespace.clone(),
        create_namespace: spec.create_namespace,
        sync: SyncPolicy {
            prune: spec.sync.prune,
            adopt: spec.sync.adopt,
            prune_adopted: spec.sync.prune_adopted,
            ignore_fields: spec.sync.ignore_fields.clone(),
            suspended: spec.sync.is_suspended_on(&cluster.metadata.name),
        },
        override_,
    };
    Ok((run, rendering))
}
