//! Domain to wire to bytes and back changes nothing, and no message, however broken, makes a conversion panic.

#![allow(clippy::expect_used, reason = "a test that cannot go on has failed")]

mod strategies;

use std::fmt::Debug;

use nave_common::application::Application;
use nave_common::assignment::Assignment;
use nave_common::cluster::Cluster;
use nave_common::event::Event;
use nave_common::failover::state::Order;
use nave_common::failover::{FailoverPlan, FailoverView, HubFailover};
use nave_common::field::FieldError;
use nave_common::revision::Revision;
use nave_common::selector::Selector;
use nave_common::status::{AssignmentStatus, AssignmentView, PlacementReport};
use nave_proto::v1;
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use prost::Message;

/// What the domain value is after a journey over the wire.
fn over_the_wire<Domain, Wire>(value: &Domain) -> Result<Domain, FieldError>
where
    Domain: TryFrom<Wire, Error = FieldError>,
    Wire: for<'a> From<&'a Domain> + Message + Default,
{
    let bytes = Wire::from(value).encode_to_vec();
    Domain::try_from(Wire::decode(bytes.as_slice()).expect("what was encoded can be decoded"))
}

/// Reads broken bytes. Nothing may panic, and what is accepted must be stable: over the wire again, it is the same.
fn survives<Domain, Wire>(bytes: &[u8])
where
    Domain: TryFrom<Wire, Error = FieldError> + PartialEq + Debug,
    Wire: for<'a> From<&'a Domain> + Message + Default,
{
    let Ok(wire) = Wire::decode(bytes) else { return };
    if let Ok(value) = Domain::try_from(wire) {
        let again = over_the_wire::<Domain, Wire>(&value).expect("what was accepted once is accepted again");
        assert_eq!(again, value);
    }
}

/// Bytes with some of them replaced, and perhaps cut short.
fn broken(
    mut bytes: Vec<u8>,
    changes: &[(prop::sample::Index, u8)],
    cut: Option<prop::sample::Index>,
) -> Vec<u8> {
    if bytes.is_empty() {
        return bytes;
    }
    for (index, byte) in changes {
        let at = index.index(bytes.len());
        bytes[at] = *byte;
    }
    if let Some(cut) = cut {
        bytes.truncate(cut.index(bytes.len()));
    }
    bytes
}

fn changes() -> impl Strategy<Value = (Vec<(prop::sample::Index, u8)>, Option<prop::sample::Index>)> {
    (
        prop::collection::vec(any::<(prop::sample::Index, u8)>(), 0..4),
        prop::option::weighted(0.2, any::<prop::sample::Index>()),
    )
}

macro_rules! journeys {
    ($($name:ident: $domain:ty, $wire:ty, $strategy:expr;)+) => {
        mod keeps {
            use super::*;
            proptest! {
                #![proptest_config(config())]
                $(#[test]
                fn $name(value in $strategy) {
                    prop_assert_eq!(over_the_wire::<$domain, $wire>(&value).expect("a domain value is accepted"), value);
                })+
            }
        }

        mod survives_broken {
            use super::*;
            proptest! {
                #![proptest_config(config())]
                $(#[test]
                fn $name(value in $strategy, (changes, cut) in changes()) {
                    let bytes = <$wire>::from(&value).encode_to_vec();
                    survives::<$domain, $wire>(&broken(bytes, &changes, cut));
                })+
            }
        }
    };
}

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 128,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct("tests/round_trip.regressions"))),
        ..ProptestConfig::default()
    }
}

journeys! {
    selectors: Selector, v1::Selector, strategies::selector();
    applications: Application, v1::Application, strategies::application();
    clusters: Cluster, v1::Cluster, strategies::cluster();
    assignments: Assignment, v1::Assignment, strategies::assignment();
    assignment_statuses: AssignmentStatus, v1::AssignmentStatus, strategies::assignment_status();
    assignment_views: AssignmentView, v1::AssignmentView, strategies::assignment_view();
    revisions: Revision, v1::Revision, strategies::revision();
    placement_reports: PlacementReport, v1::PlacementReport, strategies::placement_report();
    events: Event, v1::Event, strategies::event();
    failover_views: FailoverView, v1::FailoverView, strategies::failover_view();
    failover_plans: FailoverPlan, v1::FailoverPlan, strategies::failover_plan();
    hub_failovers: HubFailover, v1::HubFailover, strategies::hub_failover();
    orders: Order, v1::Order, strategies::order();
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_bytes_at_all_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        survives::<Application, v1::Application>(&bytes);
        survives::<Cluster, v1::Cluster>(&bytes);
        survives::<Assignment, v1::Assignment>(&bytes);
        survives::<AssignmentStatus, v1::AssignmentStatus>(&bytes);
        survives::<Event, v1::Event>(&bytes);
    }
}
