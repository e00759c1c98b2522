//! No parser panics or runs away, whatever it is given: any bytes, any text, and legal input with parts changed.
//!
//! `NAVE_FUZZ_CASES=1000000 cargo test -p nave-common --test fuzz` looks longer; without it each has [`CASES`] cases.

#![allow(clippy::unwrap_used, reason = "a test file, and clippy knows only test functions")]

use std::time::{Duration, Instant};

use nave_common::bundle::{Bundle, load_manifests};
use nave_common::digest::Digest;
use nave_common::document::{self, Document};
use nave_common::identity::Identity;
use nave_common::inventory::Inventory;
use nave_common::manifest::{Manifest, masked};
use nave_common::name::{ApplicationKey, ClusterName, NamespaceName, ProjectName, UserName};
use nave_common::overrides::{Override, Patch, Target};
use nave_common::render::{Inputs, render};
use nave_common::selector::Selector;
use nave_common::time::{HumanDuration, Timestamp};
use nave_common::token::TokenText;
use nave_common::{quantity, suggest, yaml};
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};

/// How many cases each property has where nobody says.
const CASES: u32 = 10_000;
/// Longer than any of these small inputs may take, on a loaded machine without optimisation.
const SLOW: Duration = Duration::from_secs(10);

const DOCUMENT: &str = "\
apiVersion: nave.dev/v1alpha1
kind: Application
metadata: {name: shop, labels: &l {team: retail}, annotations: *l}
spec:
  source: {inline: {manifests: [{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {b: '${nave:R}'}}]}}
  placement: {clusters: {matchLabels: {env: prod}}, count: 1, spread: [{by: region, minDomains: 1}]}
  overrides:
  - variables: {R: eu}
    replicas: {Deployment/a: 3}
    patches: [{target: {kind: ConfigMap}, json: [{op: add, path: /data/x, value: \"y\"}]}]
  failover: {mode: Exclusive, exclusive: {leaseDuration: 30s}, prefer: [{region: eu}]}
  sync: {ignoreFields: [{target: {kind: A}, paths: [/spec/replicas]}]}
---
kind: Cluster
metadata:
  name: eu-1
spec: {taints: [{key: a, effect: NoSchedule}]}
";

const MANIFESTS: &str = "\
apiVersion: v1
kind: List
items:
- apiVersion: apps/v1
  kind: Deployment
  metadata: {name: a}
  spec: {template: {spec: {containers: [{name: c, image: 'r:5000/a/b:1@sha256:00', resources: {requests: {cpu: 1.5, memory: 64Mi}}, env: [{name: A, value: '${nave:R}'}]}]}}}
- apiVersion: v1
  kind: Secret
  metadata: {name: s}
  stringData: {password: secret}
  data: {k: YWI=}
";

fn config() -> ProptestConfig {
    let cases = std::env::var("NAVE_FUZZ_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(CASES);
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// Runs one parser on one input.
fn bounded<T>(what: &str, parse: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let parsed = parse();
    assert!(began.elapsed() < SLOW, "{what} took {:?}", began.elapsed());
    parsed
}

/// Text of all sorts: any characters, what grammars are made of, and bytes read as text.
fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[ \\n\\t:,&*!|>'\"%@`{}\\[\\]#?a-c0-2.<-]{0,80}",
        "[a-zA-Z0-9=!(), ./_:+-]{0,40}",
        prop::collection::vec(any::<u8>(), 0..100)
            .prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
    ]
}

/// A legal text with pieces of it replaced, doubled or cut out.
fn mutated(legal: &'static str) -> impl Strategy<Value = String> {
    let change = (any::<Index>(), any::<Index>(), prop_oneof![Just(None), any_text().prop_map(Some)]);
    prop::collection::vec(change, 1..4).prop_map(move |changes| {
        let mut text: Vec<char> = legal.chars().collect();
        for (from, length, put) in changes {
            let from = from.index(text.len() + 1);
            let to = (from + length.index(12)).min(text.len());
            let piece: Vec<char> = text[from..to].to_vec();
            let put =
                put.map_or_else(|| [piece.clone(), piece].concat(), |put| put.chars().take(12).collect());
            text.splice(from..to, put);
        }
        text.into_iter().collect()
    })
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "(\\$?\\$\\{nave:[AR}]{0,3}|/?[a-d~/-]{0,5}|name|add|copy)".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(
                "(spec|template|metadata|data|stringData|containers|name|image|env|value|op|path|from|[a-c]{0,2})",
                inner,
                0..5
            )
            .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn yaml_survives_any_text(text in any_text()) {
        if let Ok(documents) = bounded("yaml", || yaml::documents(&text, "f")) {
            for document in documents {
                document.error(nave_common::field::FieldError::new(text.clone(), "")).to_string();
            }
        }
    }

    #[test]
    fn documents_survive_changes(text in mutated(DOCUMENT)) {
        let read = bounded("document", || document::load(&text, "f"));
        if let Err(error) = read {
            prop_assert!(!error.to_string().is_empty());
        }
    }

    #[test]
    fn documents_survive_any_value(fields in any_json()) {
        for kind in ["Application", "Cluster"] {
            let value = json!({"apiVersion": "nave.dev/v1alpha1", "kind": kind, "metadata": {"name": "a"}, "spec": fields});
            let _ = bounded("document", || Document::from_value(value));
        }
        let _ = Document::from_value(fields);
    }

    #[test]
    fn manifests_survive_changes(text in mutated(MANIFESTS)) {
        if let Ok(bundle) = bounded("manifests", || load_manifests(&[("f", &text)])) {
            let _ = bundle.requests();
            prop_assert_eq!(Bundle::decode(&bundle.encode()).unwrap(), bundle);
        }
    }

    #[test]
    fn manifests_survive_any_value(body in any_json(), kind in "(Deployment|Secret|ConfigMap|Service|CronJob|List|Pod)") {
        let mut object = json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": "a"}});
        if let (Some(object), Value::Object(fields)) = (object.as_object_mut(), &body) {
            object.extend(fields.clone());
        }
        let _ = masked(&object);
        if let Ok(manifest) = bounded("manifest", || Manifest::new(object)) {
            let _ = manifest.requests();
            prop_assert!(manifest.images().count() < 1000);
            prop_assert_eq!(&Manifest::new(manifest.object().clone()).unwrap(), &manifest);
        }
    }

    #[test]
    fn renderings_survive_any_change(body in any_json(), patch in any_json(), value in any_text(), image in any_text()) {
        let object = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}, "spec": body});
        let Ok(manifest) = Manifest::new(object) else { return Ok(()) };
        let target = Target { kind: "Deployment".into(), ..Target::default() };
        let patches = vec![
            Patch { target: target.clone(), json: Some(patch.clone()), merge: None },
            Patch { target: target.clone(), json: Some(json!([{"op": "add", "path": value, "value": patch}])), merge: None },
            Patch { target, json: None, merge: Some(patch) },
        ];
        let bundle = Bundle::new(vec![manifest]).unwrap();
        for patch in patches {
            let override_ = Override {
                variables: [("A".to_owned(), value.clone()), ("R".to_owned(), value.clone())].into(),
                images: [(image.clone(), value.clone()), ("a".to_owned(), image.clone())].into(),
                replicas: [("Deployment/a".to_owned(), u32::MAX)].into(),
                patches: vec![patch],
            };
            let _ = bounded("render", || render(&bundle, Inputs::plain(&override_)));
        }
    }

    #[test]
    fn words_survive_any_text(text in any_text()) {
        let _ = bounded("selector", || text.parse::<Selector>());
        let _ = bounded("duration", || text.parse::<HumanDuration>());
        let _ = bounded("time", || text.parse::<Timestamp>());
        let _ = bounded("digest", || text.parse::<Digest>());
        let _ = bounded("key", || text.parse::<ApplicationKey>());
        let _ = bounded("names", || {
            (ClusterName::new(&text), ProjectName::new(&text), NamespaceName::new(&text), UserName::new(&text))
        });
        let _ = bounded("token", || (TokenText::parse(&text), TokenText::parse(&format!("nave1.{text}"))));
        let _ = bounded("identity", || Identity::try_from(text.clone()));
        bounded("quantity", || (quantity::millicores(&text), quantity::bytes(&text)));
        bounded("suggest", || suggest::did_you_mean(&text, ["placement", "überall"]));
    }

    #[test]
    fn selectors_and_words_survive_changes(
        selector in mutated("env=prod,zone in (a, b),x notin (c),!gpu,a!=b"),
        duration in mutated("1d2h3m4s5ms"),
        time in mutated("2026-01-31T12:00:00.25Z"),
        quantity in mutated("12345.678e-9"),
        token in mutated("nave1.eyJhZGRyZXNzZXMiOlsiYToxIl0sImF1dGhvcml0eSI6IkFBPT0iLCJpZCI6ImEiLCJzZWNyZXQiOiJiIn0"),
    ) {
        if let Ok(read) = bounded("selector", || selector.parse::<Selector>()) {
            prop_assert!(read.check().is_ok());
        }
        if let Ok(read) = bounded("duration", || duration.parse::<HumanDuration>()) {
            prop_assert_eq!(read.to_string().parse::<HumanDuration>().unwrap(), read);
        }
        if let Ok(read) = bounded("time", || time.parse::<Timestamp>()) {
            prop_assert_eq!(read.to_string().parse::<Timestamp>().unwrap(), read);
            let _ = read.plus(Duration::MAX);
        }
        bounded("quantity", || (quantity::millicores(&quantity), quantity::bytes(&quantity)));
        let _ = bounded("token", || TokenText::parse(&token));
    }

    #[test]
    fn stored_forms_survive_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200), value in any_json()) {
        let _ = bounded("bundle", || Bundle::decode(&bytes));
        let _ = bounded("bundle", || Bundle::decode(value.to_string().as_bytes()));
        let _ = bounded("inventory", || serde_json::from_slice::<Inventory>(&bytes));
        let _ = bounded("inventory", || yaml::from_value::<Inventory>(json!({
            "application": {"name": "a"}, "generation": value, "objects": [{"object": value, "entry": value}],
        })));
        let _ = bounded("inventory", || yaml::from_value::<Inventory>(value.clone()));
        let _ = bounded("digest", || Digest::try_from(bytes.as_slice()));
        let _ = bounded("certificate", || nave_common::identity::read_certificate(&bytes).is_ok());
    }
}
