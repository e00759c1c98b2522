//! What the agent's cluster side must do, written once: on the sim, and on a real API server.
//!
//! Each case takes a cluster that others use, too, and so has names of its own. A case waits on conditions, never for a
//! time, but where it shows that something does not happen.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "a suite of tests fails by panicking"
)]

pub mod adoption;
pub mod agent;
pub mod applying;
pub mod cluster;
pub mod drift;
pub mod faults;
pub mod fence;
pub mod fenced;
pub mod health;
pub mod inventory;
pub mod pruning;

pub use self::agent::TestAgent;
pub use self::cluster::TestCluster;

/// Runs every case, one after the other, and says which is running. With `NAVE_CASE` set, only those whose name contains
/// it.
///
/// # Panics
/// Where a case fails.
pub async fn run_all(cluster: &TestCluster) {
    let only = std::env::var("NAVE_CASE").unwrap_or_default();
    macro_rules! cases {
        ($($module:ident: $($case:ident),* $(,)?;)*) => {
            $($(
                let name = concat!(stringify!($module), "::", stringify!($case));
                if name.contains(&only) {
                    eprintln!("agent_suite: {name}");
                    Box::pin($module::$case(cluster)).await;
                }
            )*)*
        };
    }
    cases! {
        applying: everything_is_applied_and_labelled, custom_resources_come_with_their_definition,
            a_pass_in_which_nothing_changed_writes_nothing, one_change_is_one_write, end_of_a_pass_is_told_at_once,
            one_failing_object_stops_no_other, unknown_kind_is_reported_and_applied_once_it_is_known,
            older_generation_is_refused, absence_changes_nothing, suspended_work_is_not_written;
        drift: changed_values_are_put_back, taken_fields_are_taken_back, deleted_objects_are_made_again,
            removed_labels_come_back, foreign_fields_are_left_alone, fields_of_others_are_reported,
            contested_field_is_reported_and_left_alone, replicas_are_left_to_an_autoscaler,
            ignored_fields_are_left_alone, suspended_object_is_left_alone, cleared_ownership_is_taken_back,
            deleted_namespace_comes_back, deleted_definition_comes_back, replaced_object_is_not_overwritten;
        pruning: what_is_no_longer_wanted_is_deleted, protected_objects_stay, pruning_can_be_turned_off,
            nothing_wanted_deletes_nothing, namespace_that_holds_others_stays,
            namespace_goes_soon_after_what_it_held,
            removal_takes_everything_and_nothing_else, object_moves_between_applications,
            two_claims_are_refused_with_both_names, shared_namespace_is_no_conflict,
            failing_application_prunes_nothing;
        adoption: foreign_object_is_refused_by_never, equal_object_is_adopted_and_released,
            different_object_is_refused_unless_always, adopted_object_is_pruned_where_that_is_asked,
            fields_of_tools_are_taken_over;
        inventory: restart_writes_nothing_and_reads_no_single_object, restart_repairs_what_happened_meanwhile,
            lost_inventory_is_found_again, lost_inventory_can_still_be_removed, inventory_names_every_object;
        health: reason_names_what_is_wrong, health_follows_the_cluster, cluster_is_observed;
        faults: secret_values_stay_out_of_status;
        fence: parking_keeps_everything_and_confirms, work_stops_when_its_lease_is_over,
            what_is_parked_stays_so_whoever_scales, replicas_of_an_autoscaler_come_back_after_parking,
            pod_that_is_removed_by_force_is_unconfirmed, work_that_does_not_end_in_time_is_named,
            restart_goes_on_with_a_proven_lease_and_stops_without, suspended_work_stops_all_the_same,
            jobs_of_cron_jobs_are_stopped;
    }
}
