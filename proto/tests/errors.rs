//! What is refused is refused with the path of what is wrong, and what may be left out gets its default.

#![allow(clippy::expect_used, reason = "a test that cannot go on has failed")]

use nave_common::application::{Adopt, Application};
use nave_common::assignment::Assignment;
use nave_common::cluster::Cluster;
use nave_common::digest::Digest;
use nave_common::placement::TolerationOperator;
use nave_common::source::{BundleSource, Source};
use nave_common::status::AssignmentStatus;
use nave_common::time::Timestamp;
use nave_common::token::JoinToken;
use nave_proto::v1;

/// The least that is an application.
fn least() -> v1::Application {
    v1::Application {
        metadata: Some(v1::ApplicationMetadata { name: "shop".into(), ..Default::default() }),
        spec: Some(v1::ApplicationSpec {
            source: Some(v1::Source { kind: Some(v1::source::Kind::Bundle(v1::BundleSource::default())) }),
            ..Default::default()
        }),
        status: None,
    }
}

fn with_spec(change: impl FnOnce(&mut v1::ApplicationSpec)) -> v1::Application {
    let mut application = least();
    change(application.spec.as_mut().expect("the least has a spec"));
    application
}

fn refusal(application: v1::Application) -> String {
    Application::try_from(application).expect_err("it is refused").to_string()
}

#[test]
fn what_is_left_out_gets_its_default() {
    let application = Application::try_from(least()).expect("it is accepted");
    assert_eq!(application.metadata.project.as_str(), "default");
    assert_eq!(application.metadata.created_at, None);
    assert_eq!(application.spec.source, Source::Bundle(BundleSource { path: None, digest: None }));
    assert_eq!(application.spec.revision_history_limit, 10);
    assert!(application.spec.sync.prune);
    assert_eq!(application.spec.sync.adopt, Adopt::IfNoDiff);
    assert!(application.spec.placement.clusters.is_empty());
}

#[test]
fn an_unspecified_toleration_looks_at_the_value_and_at_every_effect() {
    let application = Application::try_from(with_spec(|spec| {
        spec.placement = Some(v1::Placement {
            tolerations: vec![v1::Toleration { key: Some("spot".into()), ..Default::default() }],
            ..Default::default()
        });
    }))
    .expect("it is accepted");
    let toleration = &application.spec.placement.tolerations[0];
    assert_eq!((toleration.operator, toleration.effect), (TolerationOperator::Equal, None));
}

#[test]
fn missing_parts_are_named() {
    assert_eq!(refusal(v1::Application { metadata: None, ..least() }), "metadata: is missing");
    assert_eq!(refusal(v1::Application { spec: None, ..least() }), "spec: is missing");
    assert_eq!(refusal(with_spec(|spec| spec.source = None)), "spec.source: is missing");
    assert_eq!(
        refusal(with_spec(|spec| spec.source = Some(v1::Source::default()))),
        "spec.source: is empty; expected one of inline, bundle"
    );
}

#[test]
fn paths_lead_from_the_root_to_what_is_wrong() {
    let patch = |patch| {
        with_spec(|spec| {
            let changes = Some(v1::Override { patches: vec![patch], ..Default::default() });
            spec.overrides =
                vec![v1::OverrideRule::default(), v1::OverrideRule { changes, ..Default::default() }];
        })
    };
    let target = Some(v1::Target { kind: "Deployment".into(), ..Default::default() });
    assert_eq!(
        refusal(patch(v1::Patch { target: target.clone(), kind: None })),
        "spec.overrides[1].patches[0]: needs exactly one of json and merge"
    );
    let kind = Some(v1::patch::Kind::Merge(b"{\"a\":".as_slice().into()));
    let problem = refusal(patch(v1::Patch { target, kind }));
    assert!(problem.starts_with("spec.overrides[1].patches[0].merge: is no JSON: EOF"), "{problem}");
    assert_eq!(refusal(patch(v1::Patch::default())), "spec.overrides[1].patches[0].target: is missing");
    let bad = refusal(with_spec(|spec| {
        spec.sync =
            Some(v1::Sync { suspended_clusters: vec!["eu-1".into(), "EU".into()], ..Default::default() });
    }));
    assert!(bad.starts_with("spec.sync.suspendedClusters[1]: cluster name \"EU\" is not valid"), "{bad}");
}

#[test]
fn enums_without_a_default_must_be_specified_and_known() {
    let requirement = |operator| {
        let requirement = v1::Requirement { key: "env".into(), operator, values: vec!["prod".into()] };
        let clusters = v1::Selector { match_expressions: vec![requirement], ..Default::default() };
        with_spec(|spec| {
            spec.placement = Some(v1::Placement { clusters: Some(clusters), ..Default::default() })
        })
    };
    let path = "spec.placement.clusters.matchExpressions[0].operator";
    assert_eq!(
        refusal(requirement(0)),
        format!("{path}: is not specified; expected one of In, NotIn, Exists, DoesNotExist")
    );
    assert_eq!(refusal(requirement(9)), format!("{path}: is 9, which this version does not know"));
    let taint = v1::Taint { key: "spot".into(), ..Default::default() };
    let cluster = v1::Cluster {
        metadata: Some(v1::ClusterMetadata { name: "eu-1".into(), ..Default::default() }),
        spec: Some(v1::ClusterSpec { taints: vec![taint], ..Default::default() }),
        status: None,
    };
    assert!(Cluster::try_from(cluster).is_err_and(|error| error.path == "spec.taints[0].effect"));
}

#[test]
fn times_that_cannot_be_written_are_refused() {
    let mut application = least();
    application.metadata.as_mut().expect("it has metadata").created_at_ms = i64::MAX;
    assert!(refusal(application).starts_with("metadata.createdAt: time"));
}

#[test]
fn an_assignment_says_what_is_wanted() {
    let error = Assignment::try_from(v1::Assignment::default()).expect_err("it is refused");
    assert_eq!(error.path, "desired");
    let run = v1::assignment::Desired::Run(v1::Run { bundle: "sha256:x".into(), ..Default::default() });
    let error = Assignment::try_from(v1::Assignment { desired: Some(run), ..Default::default() });
    assert_eq!(error.expect_err("it is refused").path, "run.bundle");
}

#[test]
fn a_status_names_a_bounded_number_of_objects() {
    let status =
        v1::AssignmentStatus { objects: vec![v1::ObjectStatus::default(); 51], ..Default::default() };
    let error = AssignmentStatus::try_from(status).expect_err("it is refused");
    assert_eq!(error.to_string(), "objects: has 51 items; at most 50 are allowed");
}

#[test]
fn neither_a_tokens_secret_nor_its_hash_goes_to_the_wire() {
    let at = Timestamp::from_millis(1).expect("a time");
    let token = JoinToken {
        id: "k7".into(),
        secret_hash: Digest::of(b"secret"),
        expires_at: at,
        uses_left: 1,
        cluster: None,
        labels: [("region".to_owned(), "eu".to_owned())].into(),
        created_at: at,
        created_by: "ada".into(),
    };
    let wire = v1::JoinToken::from(&token);
    assert_eq!((wire.id.as_str(), wire.uses_left, wire.cluster.as_str()), ("k7", 1, ""));
    assert!(!format!("{wire:?}").contains(&token.secret_hash.hex()));
}
