//! What was seen and decided: statuses, reports, revisions, events.

use nave_common::event::{Event, Severity};
use nave_common::health::Health;
use nave_common::placement::{Decision, Verdict};
use nave_common::resources::Resources;
use nave_common::revision::Revision;
use nave_common::status::{
    ApplicationStatus, AssignmentStatus, AssignmentView, ClusterObservation, ClusterStatus, Liveness,
    ObjectStatus, PlacementReport, SyncState,
};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;

use super::parts::{application_key, cluster_name, digest, generation, object_key, some_time, text};
use super::{assignment, fence_status};

fn health() -> impl Strategy<Value = Health> {
    prop_oneof![
        Just(Health::Healthy),
        Just(Health::Suspended),
        Just(Health::Progressing),
        Just(Health::Missing),
        Just(Health::Degraded),
        Just(Health::Unknown),
    ]
}

fn sync_state() -> impl Strategy<Value = SyncState> {
    prop_oneof![
        Just(SyncState::Synced),
        Just(SyncState::Suspended),
        Just(SyncState::Syncing),
        Just(SyncState::OutOfSync),
        Just(SyncState::Failed),
        Just(SyncState::Unknown),
    ]
}

fn liveness() -> impl Strategy<Value = Liveness> {
    prop_oneof![Just(Liveness::Alive), Just(Liveness::Suspect), Just(Liveness::Lost), Just(Liveness::Unheard)]
}

fn resources() -> impl Strategy<Value = Resources> {
    any::<(u64, u64, u64)>().prop_map(|(cpu_millicores, memory_bytes, pods)| Resources {
        cpu_millicores,
        memory_bytes,
        pods,
    })
}

pub(crate) fn application_status() -> impl Strategy<Value = ApplicationStatus> {
    let counts = any::<[u32; 6]>();
    let words = (text(), text(), text(), vec(text(), 0..3));
    (any::<u64>(), counts, sync_state(), health(), words, of(some_time())).prop_map(
        |(revision, counts, sync, health, (origin, reason, failover, placement_problems), observed_at)| {
            ApplicationStatus {
                revision,
                origin,
                cluster_count: counts[0],
                synced_count: counts[1],
                healthy_count: counts[2],
                sync,
                health,
                reason,
                unplaced_count: counts[3],
                placement_problems,
                observed_at,
                removing_count: counts[4],
                parked_count: counts[5],
                failover,
            }
        },
    )
}

pub(crate) fn cluster_status() -> impl Strategy<Value = ClusterStatus> {
    let observation = (text(), text(), any::<[u32; 2]>(), resources(), of(text())).prop_map(
        |(agent_version, kubernetes_version, nodes, allocatable, problem)| ClusterObservation {
            agent_version,
            kubernetes_version,
            node_count: nodes[0],
            ready_node_count: nodes[1],
            allocatable,
            problem,
        },
    );
    let unknown = vec(application_key(), 0..3);
    (liveness(), of(some_time()), of(observation), any::<u32>(), resources(), unknown).prop_map(
        |(liveness, last_heard_at, observed, application_count, requested, unknown_applications)| {
            ClusterStatus {
                liveness,
                last_heard_at,
                observed,
                application_count,
                requested,
                unknown_applications,
            }
        },
    )
}

fn object_status() -> impl Strategy<Value = ObjectStatus> {
    (object_key(), sync_state(), health(), text(), of(some_time())).prop_map(
        |(object, sync, health, reason, since)| ObjectStatus { object, sync, health, reason, since },
    )
}

pub(crate) fn assignment_status() -> impl Strategy<Value = AssignmentStatus> {
    let about = (application_key(), generation(), of(digest()), any::<bool>());
    let counts = any::<(u32, u32, u64)>();
    let objects = (vec(object_status(), 0..4), of(fence_status()));
    (about, sync_state(), health(), text(), counts, objects, some_time()).prop_map(
        |(
            (application, generation, applied, removed),
            sync,
            health,
            reason,
            counts,
            (objects, fence),
            observed_at,
        )| {
            AssignmentStatus {
                application,
                generation,
                applied,
                removed,
                sync,
                health,
                reason,
                object_count: counts.0,
                healthy_count: counts.1,
                drift_count: counts.2,
                objects,
                fence,
                observed_at,
            }
        },
    )
}

pub(crate) fn assignment_view() -> impl Strategy<Value = AssignmentView> {
    (assignment(), of(assignment_status()), liveness())
        .prop_map(|(assignment, status, liveness)| AssignmentView { assignment, status, liveness })
}

pub(crate) fn placement_report() -> impl Strategy<Value = PlacementReport> {
    let verdict = prop_oneof![Just(Verdict::Chosen), Just(Verdict::NotNow), Just(Verdict::Excluded)];
    let decision = (cluster_name(), verdict, text()).prop_map(|(cluster, verdict, reason)| Decision {
        cluster,
        verdict,
        reason,
    });
    (vec(decision, 0..4), any::<u32>(), vec(text(), 0..3)).prop_map(
        |(decisions, unplaced_count, problems)| PlacementReport { decisions, unplaced_count, problems },
    )
}

pub(crate) fn revision() -> impl Strategy<Value = Revision> {
    (application_key(), any::<u64>(), digest(), text(), any::<u32>(), resources(), some_time(), text())
        .prop_map(|(application, number, bundle, origin, object_count, requests, created_at, created_by)| {
            Revision { application, number, bundle, origin, object_count, requests, created_at, created_by }
        })
}

pub(crate) fn event() -> impl Strategy<Value = Event> {
    let severity = prop_oneof![Just(Severity::Normal), Just(Severity::Warning)];
    (some_time(), severity, text(), text(), of(application_key()), of(cluster_name()), text()).prop_map(
        |(at, severity, reason, message, application, cluster, change_id)| Event {
            at,
            severity,
            reason,
            message,
            application,
            cluster,
            change_id,
        },
    )
}
