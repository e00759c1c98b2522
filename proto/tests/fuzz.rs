//! Every message's conversion to the domain survives every message: none panics, whatever the fields hold.
//!
//! The messages are made from the compiled descriptors, so that a new field is filled without a word here. Each
//! conversion has [`CASES`] cases; `NAVE_FUZZ_CASES=1000000 cargo test -p nave-proto --test fuzz` looks longer. A test
//! names every message of which a conversion is known, and fails where the sources have one more.

#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::fmt::Debug;

use nave_common::field::FieldError;
use nave_common::{
    application, assignment, cluster, event, failover, manifest, metadata, name, overrides, placement,
    revision, selector, source, status,
};
use nave_proto::v1;
use proptest::prelude::*;
use prost::Message;

/// How many cases each conversion has where nobody says.
const CASES: u32 = 10_000;
/// How deep messages stand in each other.
const DEPTH: u32 = 5;

/// The part of a `google.protobuf.FileDescriptorSet` that says what messages hold.
#[derive(Clone, PartialEq, Message)]
struct DescriptorSet {
    #[prost(message, repeated, tag = "1")]
    files: Vec<FileDescriptor>,
}

#[derive(Clone, PartialEq, Message)]
struct FileDescriptor {
    #[prost(message, repeated, tag = "4")]
    messages: Vec<Descriptor>,
}

#[derive(Clone, PartialEq, Message)]
struct Descriptor {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, repeated, tag = "2")]
    fields: Vec<Field>,
    #[prost(message, repeated, tag = "3")]
    nested: Vec<Descriptor>,
}

#[derive(Clone, PartialEq, Message)]
struct Field {
    #[prost(uint32, tag = "3")]
    number: u32,
    #[prost(int32, tag = "4")]
    label: i32,
    #[prost(int32, tag = "5")]
    kind: i32,
    #[prost(string, tag = "6")]
    type_name: String,
}

type Schema = BTreeMap<String, Vec<Field>>;

fn schema() -> Schema {
    fn take(schema: &mut Schema, prefix: &str, messages: Vec<Descriptor>) {
        for message in messages {
            let name = format!("{prefix}.{}", message.name);
            take(schema, &name, message.nested);
            schema.insert(name, message.fields);
        }
    }
    let set = DescriptorSet::decode(v1::DESCRIPTORS).expect("the descriptors are compiled in");
    let mut schema = Schema::new();
    for file in set.files {
        take(&mut schema, ".nave.v1", file.messages);
    }
    schema
}

/// Makes messages; equal seeds make equal ones.
struct Maker<'a> {
    schema: &'a Schema,
    state: u64,
}

const TEXTS: [&str; 18] = [
    "",
    "a",
    "eu-1",
    "v1",
    "apps/v1",
    "Deployment/a",
    "-",
    "A b",
    "é\u{0}\n",
    "env=prod",
    "{}",
    "[1,{\"a\":null}]",
    "{\"apiVersion\":\"v1\",\"kind\":\"Secret\",\"metadata\":{\"name\":\"a\"}}",
    "[{\"op\":\"add\",\"path\":\"/a\",\"value\":1}]",
    "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    "spiffe://nave/cluster/a",
    "[[[[[[[[[[[[[[[[[[[[",
    "1e999",
];
const NUMBERS: [u64; 14] = [
    0,
    1,
    2,
    3,
    4,
    100,
    1 << 31,
    (1 << 31) - 1,
    1 << 32,
    1 << 63,
    (1 << 63) - 1,
    u64::MAX,
    u64::MAX - 1,
    1_769_860_800_000,
];

impl Maker<'_> {
    fn next(&mut self) -> u64 {
        // SplitMix64.
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap_or(0)
    }

    fn text(&mut self) -> &'static str {
        TEXTS[self.below(TEXTS.len())]
    }

    fn number(&mut self) -> u64 {
        match self.below(4) {
            0 => NUMBERS[self.below(NUMBERS.len())],
            1 => self.next(),
            _ => self.next() % 7,
        }
    }

    fn message(&mut self, name: &str, depth: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        let fields = self.schema.get(name).unwrap_or_else(|| panic!("there is no message {name}"));
        for field in fields {
            // Most fields are there, or little would get past the first that must be.
            let count = match (self.below(8), field.label) {
                (0, _) => 0,
                (_, 3) => self.below(3),
                _ => 1,
            };
            for _ in 0..count {
                self.field(field, depth, &mut bytes);
            }
        }
        bytes
    }

    fn field(&mut self, field: &Field, depth: u32, bytes: &mut Vec<u8>) {
        let (wire, content) = match field.kind {
            1 | 6 | 16 => (1, self.next().to_le_bytes().to_vec()),
            2 | 7 | 15 => (5, self.next().to_le_bytes()[..4].to_vec()),
            9 => (2, self.text().as_bytes().to_vec()),
            12 if self.below(2) == 0 => (2, self.next().to_be_bytes().repeat(4)),
            12 => (2, self.text().as_bytes().to_vec()),
            11 if depth == 0 => (2, Vec::new()),
            11 => (2, self.message(&field.type_name, depth - 1)),
            _ => (0, varint(self.number())),
        };
        bytes.extend(varint(u64::from(field.number) << 3 | wire));
        if wire == 2 {
            bytes.extend(varint(content.len() as u64));
        }
        bytes.extend(content);
    }
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    bytes.push(value.to_le_bytes()[0]);
    bytes
}

/// Converts one message. What it becomes can be shown, and so can why it becomes nothing.
fn convert<Wire, Domain>(bytes: &[u8]) -> Option<Domain>
where
    Wire: Message + Default,
    Domain: TryFrom<Wire, Error = FieldError> + Debug,
{
    let converted = Domain::try_from(Wire::decode(bytes).ok()?);
    match converted {
        Ok(value) => {
            let _ = format!("{value:?}");
            Some(value)
        }
        Err(error) => {
            assert!(!error.problem.is_empty(), "{error:?}");
            None
        }
    }
}

fn config() -> ProptestConfig {
    let cases = std::env::var("NAVE_FUZZ_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(CASES);
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

macro_rules! conversions {
    ($($test:ident: $wire:ident => $domain:ty;)+) => {
        const KNOWN: &[&str] = &[$(stringify!($wire)),+];

        $(#[test]
        fn $test() {
            let schema = schema();
            let name = concat!(".nave.v1.", stringify!($wire));
            proptest!(config(), |(seed: u64, changes in prop::collection::vec(any::<(prop::sample::Index, u8)>(), 0..3), raw in prop::collection::vec(any::<u8>(), 0..40))| {
                let mut bytes = Maker { schema: &schema, state: seed }.message(name, DEPTH);
                let read = <v1::$wire>::decode(bytes.as_slice());
                prop_assert!(read.is_ok(), "what is made is a message: {:?}", read.err());
                convert::<v1::$wire, $domain>(&bytes);
                for (at, byte) in changes {
                    if !bytes.is_empty() {
                        let at = at.index(bytes.len());
                        bytes[at] = byte;
                    }
                }
                convert::<v1::$wire, $domain>(&bytes);
                convert::<v1::$wire, $domain>(&raw);
            });
        })+
    };
}

conversions! {
    application_key_messages: ApplicationKey => name::ApplicationKey;
    application_messages: Application => application::Application;
    application_metadata_messages: ApplicationMetadata => metadata::ApplicationMetadata;
    application_spec_messages: ApplicationSpec => application::ApplicationSpec;
    application_status_messages: ApplicationStatus => status::ApplicationStatus;
    assignment_messages: Assignment => assignment::Assignment;
    assignment_status_messages: AssignmentStatus => status::AssignmentStatus;
    assignment_view_messages: AssignmentView => status::AssignmentView;
    bundle_source_messages: BundleSource => source::BundleSource;
    cluster_messages: Cluster => cluster::Cluster;
    cluster_metadata_messages: ClusterMetadata => metadata::ClusterMetadata;
    cluster_observation_messages: ClusterObservation => status::ClusterObservation;
    cluster_spec_messages: ClusterSpec => cluster::ClusterSpec;
    cluster_status_messages: ClusterStatus => status::ClusterStatus;
    decision_messages: Decision => placement::Decision;
    event_messages: Event => event::Event;
    exclusive_messages: Exclusive => failover::Exclusive;
    exclusive_terms_messages: ExclusiveTerms => assignment::ExclusiveTerms;
    failback_messages: Failback => failover::Failback;
    failover_messages: Failover => failover::Failover;
    failover_plan_messages: FailoverPlan => failover::FailoverPlan;
    failover_state_messages: FailoverState => failover::state::FailoverState;
    failover_target_messages: FailoverTarget => failover::FailoverTarget;
    failover_view_messages: FailoverView => failover::FailoverView;
    fence_status_messages: FenceStatus => status::FenceStatus;
    fenced_messages: Fenced => failover::state::Fenced;
    flaps_messages: Flaps => failover::state::Flaps;
    frozen_messages: Frozen => failover::Frozen;
    generation_messages: Generation => assignment::Generation;
    grant_messages: Grant => failover::state::Grant;
    hub_failover_messages: HubFailover => failover::HubFailover;
    ignore_fields_messages: IgnoreFields => application::IgnoreFields;
    inline_source_messages: InlineSource => source::InlineSource;
    move_times_messages: MoveTimes => failover::state::MoveTimes;
    moves_messages: Move => failover::state::Move;
    object_key_messages: ObjectKey => manifest::ObjectKey;
    object_status_messages: ObjectStatus => status::ObjectStatus;
    order_messages: Order => failover::state::Order;
    override_messages: Override => overrides::Override;
    override_rule_messages: OverrideRule => overrides::OverrideRule;
    park_rule_messages: ParkRule => failover::ParkRule;
    parked_messages: Parked => failover::state::Parked;
    patch_messages: Patch => overrides::Patch;
    placement_messages: Placement => placement::Placement;
    placement_report_messages: PlacementReport => status::PlacementReport;
    plan_failover_request_messages: PlanFailoverRequest => failover::PretendedLoss;
    planned_move_messages: PlannedMove => failover::PlannedMove;
    preference_messages: Preference => placement::Preference;
    release_messages: Release => failover::state::Release;
    requirement_messages: Requirement => selector::Requirement;
    revision_messages: Revision => revision::Revision;
    run_messages: Run => assignment::Run;
    selector_messages: Selector => selector::Selector;
    source_messages: Source => source::Source;
    spread_messages: Spread => placement::Spread;
    sync_messages: Sync => application::Sync;
    sync_policy_messages: SyncPolicy => assignment::SyncPolicy;
    taint_messages: Taint => placement::Taint;
    target_messages: Target => overrides::Target;
    toleration_messages: Toleration => placement::Toleration;
}

/// What goes on to be checked by the domain survives that, too.
#[test]
fn checks_survive_what_was_converted() {
    let schema = schema();
    proptest!(config(), |(seed: u64)| {
        let mut maker = Maker { schema: &schema, state: seed };
        let bytes = maker.message(".nave.v1.Application", DEPTH);
        if let Some(value) = convert::<v1::Application, application::Application>(&bytes) {
            let _ = value.check();
            let _ = v1::Application::from(&value.masked()).encode_to_vec();
        }
        let bytes = maker.message(".nave.v1.ApplicationSpec", DEPTH);
        if let Some(spec) = convert::<v1::ApplicationSpec, application::ApplicationSpec>(&bytes) {
            let metadata = metadata::ApplicationMetadata::new("a".parse().expect("a name"));
            let _ = application::Application { metadata, spec, status: None }.check();
        }
        let bytes = maker.message(".nave.v1.Cluster", DEPTH);
        if let Some(value) = convert::<v1::Cluster, cluster::Cluster>(&bytes) {
            let _ = value.check();
        }
    });
}

#[test]
fn every_conversion_is_known_here() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/convert");
    let mut missing = Vec::new();
    for entry in std::fs::read_dir(folder).expect("the sources are there") {
        let text = std::fs::read_to_string(entry.expect("an entry").path()).expect("a source");
        for found in text.split("impl TryFrom<v1::").skip(1) {
            let name = found.split('>').next().unwrap_or_default();
            if !KNOWN.contains(&name) {
                missing.push(name.to_owned());
            }
        }
    }
    assert!(missing.is_empty(), "no test here converts {missing:?}");
}
