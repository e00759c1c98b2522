//! Arbitrary domain values, as they are after their checks: what an edge may have to send.

mod failover;
mod parts;
mod seen;

use nave_common::application::{Adopt, Application, ApplicationSpec, IgnoreFields, Sync};
use nave_common::assignment::{Activity, Assignment, Desired, Run, SyncPolicy};
use nave_common::cluster::{Cluster, ClusterSpec};
use nave_common::metadata::{ApplicationMetadata, ClusterMetadata};
use nave_common::source::{BundleSource, InlineSource, Source};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;

use failover::{exclusive_terms, failover, fence_status, park_rule};
pub(crate) use failover::{failover_plan, failover_view, hub_failover, order};
pub(crate) use parts::selector;
use parts::{
    application_key, changes, cluster_name, digest, generation, json, labels, name, namespace, override_rule,
    placement, some_time, taint, target, text, word,
};
use seen::{application_status, cluster_status};
pub(crate) use seen::{assignment_status, assignment_view, event, placement_report, revision};

pub(crate) fn application() -> impl Strategy<Value = Application> {
    (application_metadata(), application_spec(), of(application_status()))
        .prop_map(|(metadata, spec, status)| Application { metadata, spec, status })
}

fn application_metadata() -> impl Strategy<Value = ApplicationMetadata> {
    (application_key(), labels(), labels(), any::<u64>(), of(some_time()), of(some_time())).prop_map(
        |(key, labels, annotations, sequence, created_at, deleted_at)| ApplicationMetadata {
            labels,
            annotations,
            sequence,
            created_at,
            deleted_at,
            ..ApplicationMetadata::new(key)
        },
    )
}

fn application_spec() -> impl Strategy<Value = ApplicationSpec> {
    let rules = vec(override_rule(), 0..3);
    (source(), of(namespace()), any::<bool>(), placement(), rules, sync(), failover(), 1..1000_u32).prop_map(
        |(
            source,
            namespace,
            create_namespace,
            placement,
            overrides,
            sync,
            failover,
            revision_history_limit,
        )| {
            ApplicationSpec {
                source,
                namespace,
                create_namespace,
                placement,
                overrides,
                sync,
                failover,
                revision_history_limit,
            }
        },
    )
}

fn source() -> impl Strategy<Value = Source> {
    prop_oneof![
        vec(json(), 0..3).prop_map(|manifests| Source::Inline(InlineSource { manifests })),
        (of(word()), of(digest())).prop_map(|(path, digest)| Source::Bundle(BundleSource { path, digest })),
    ]
}

fn adopt() -> impl Strategy<Value = Adopt> {
    prop_oneof![Just(Adopt::Never), Just(Adopt::IfNoDiff), Just(Adopt::Always)]
}

fn ignore_fields() -> impl Strategy<Value = Vec<IgnoreFields>> {
    vec((target(), vec(text(), 0..3)).prop_map(|(target, paths)| IgnoreFields { target, paths }), 0..3)
}

fn sync() -> impl Strategy<Value = Sync> {
    (any::<[bool; 3]>(), adopt(), ignore_fields(), vec(cluster_name(), 0..3)).prop_map(
        |([prune, prune_adopted, suspended], adopt, ignore_fields, suspended_clusters)| Sync {
            prune,
            adopt,
            prune_adopted,
            ignore_fields,
            suspended,
            suspended_clusters,
        },
    )
}

pub(crate) fn cluster() -> impl Strategy<Value = Cluster> {
    let metadata = (cluster_name(), labels(), labels(), any::<u64>(), of(some_time())).prop_map(
        |(name, labels, annotations, sequence, created_at)| ClusterMetadata {
            name,
            labels,
            annotations,
            sequence,
            created_at,
        },
    );
    let spec = (vec(taint(), 0..3), of(any::<u32>()), any::<[bool; 2]>(), of(name())).prop_map(
        |(taints, weight, [cordoned, drained], uid)| ClusterSpec { taints, weight, cordoned, drained, uid },
    );
    (metadata, spec, of(cluster_status())).prop_map(|(metadata, spec, status)| Cluster {
        metadata,
        spec,
        status,
    })
}

pub(crate) fn assignment() -> impl Strategy<Value = Assignment> {
    let desired = prop_oneof![run().prop_map(|run| Desired::Run(Box::new(run))), Just(Desired::Remove)];
    (application_key(), cluster_name(), generation(), text(), desired).prop_map(
        |(application, cluster, generation, change_id, desired)| Assignment {
            application,
            cluster,
            generation,
            change_id,
            desired,
        },
    )
}

fn run() -> impl Strategy<Value = Run> {
    let sync = (any::<[bool; 3]>(), adopt(), ignore_fields()).prop_map(
        |([prune, prune_adopted, suspended], adopt, ignore_fields)| SyncPolicy {
            prune,
            adopt,
            prune_adopted,
            ignore_fields,
            suspended,
        },
    );
    let activity = prop_oneof![Just(Activity::Active), Just(Activity::Parked)];
    let role = (activity, vec(park_rule(), 0..3), of(exclusive_terms()));
    (any::<u64>(), digest(), changes(), digest(), of(namespace()), any::<bool>(), sync, role).prop_map(
        |(
            revision,
            bundle,
            override_,
            rendering,
            namespace,
            create_namespace,
            sync,
            (activity, park, exclusive),
        )| Run {
            revision,
            bundle,
            override_,
            rendering,
            namespace,
            create_namespace,
            sync,
            activity,
            park,
            exclusive,
        },
    )
}
