//! The parts of which desired state is made.

use std::collections::BTreeMap;

use nave_common::assignment::Generation;
use nave_common::digest::Digest;
use nave_common::manifest::ObjectKey;
use nave_common::metadata::Labels;
use nave_common::name::{ApplicationKey, ClusterName, NamespaceName};
use nave_common::overrides::{Override, OverrideRule, Patch, Target};
use nave_common::placement::{
    Placement, Preference, Spread, Taint, TaintEffect, Toleration, TolerationOperator,
};
use nave_common::selector::{Operator, Requirement, Selector};
use nave_common::time::Timestamp;
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option::of;
use proptest::prelude::*;
use serde_json::Value;

/// Any text, the empty one too.
pub(crate) fn text() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), "[a-z./ ]{1,8}", "\\PC{0,6}"]
}

/// A text that is not empty.
pub(crate) fn word() -> impl Strategy<Value = String> {
    "[a-zA-Z/.]{1,8}"
}

/// A DNS label.
pub(crate) fn name() -> impl Strategy<Value = String> {
    "[a-z]([a-z0-9-]{0,6}[a-z0-9])?"
}

pub(crate) fn cluster_name() -> impl Strategy<Value = ClusterName> {
    name().prop_map(|name| name.parse().expect("a DNS label"))
}

pub(crate) fn namespace() -> impl Strategy<Value = NamespaceName> {
    name().prop_map(|name| name.parse().expect("a DNS label"))
}

pub(crate) fn application_key() -> impl Strategy<Value = ApplicationKey> {
    (name(), name()).prop_map(|(project, name)| format!("{project}/{name}").parse().expect("two DNS labels"))
}

pub(crate) fn generation() -> impl Strategy<Value = Generation> {
    any::<(u64, u64)>().prop_map(|(term, counter)| Generation { term, counter })
}

pub(crate) fn digest() -> impl Strategy<Value = Digest> {
    any::<[u8; 32]>().prop_map(Digest::from_bytes)
}

/// Any time but the epoch, which stands for none on the wire.
pub(crate) fn some_time() -> impl Strategy<Value = Timestamp> {
    (1..4_000_000_000_000_i64).prop_map(|millis| Timestamp::from_millis(millis).expect("a time of this era"))
}

pub(crate) fn labels() -> impl Strategy<Value = Labels> {
    btree_map(word(), text(), 0..4)
}

pub(crate) fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Value::from),
            btree_map(word(), inner, 0..3).prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

pub(crate) fn selector() -> impl Strategy<Value = Selector> {
    let operator = prop_oneof![
        Just(Operator::In),
        Just(Operator::NotIn),
        Just(Operator::Exists),
        Just(Operator::DoesNotExist)
    ];
    let requirement = (word(), operator, btree_set(text(), 0..3))
        .prop_map(|(key, operator, values)| Requirement { key, operator, values });
    (labels(), vec(requirement, 0..3))
        .prop_map(|(match_labels, match_expressions)| Selector { match_labels, match_expressions })
}

pub(crate) fn placement() -> impl Strategy<Value = Placement> {
    let spread = (word(), of(any::<u32>())).prop_map(|(by, min_domains)| Spread { by, min_domains });
    let prefer = (selector(), any::<u32>()).prop_map(|(clusters, weight)| Preference { clusters, weight });
    (
        selector(),
        vec(text(), 0..3),
        of(any::<u32>()),
        vec(spread, 0..3),
        vec(prefer, 0..3),
        vec(toleration(), 0..3),
    )
        .prop_map(|(clusters, regions, count, spread, prefer, tolerations)| Placement {
            clusters,
            regions,
            count,
            spread,
            prefer,
            tolerations,
        })
}

fn effect() -> impl Strategy<Value = TaintEffect> {
    prop_oneof![
        Just(TaintEffect::NoSchedule),
        Just(TaintEffect::PreferNoSchedule),
        Just(TaintEffect::NoExecute)
    ]
}

fn toleration() -> impl Strategy<Value = Toleration> {
    let operator = prop_oneof![Just(TolerationOperator::Equal), Just(TolerationOperator::Exists)];
    (of(text()), operator, text(), of(effect())).prop_map(|(key, operator, value, effect)| Toleration {
        key,
        operator,
        value,
        effect,
    })
}

pub(crate) fn taint() -> impl Strategy<Value = Taint> {
    (word(), text(), effect()).prop_map(|(key, value, effect)| Taint { key, value, effect })
}

pub(crate) fn target() -> impl Strategy<Value = Target> {
    (of(text()), word(), of(text()), of(text())).prop_map(|(group, kind, name, namespace)| Target {
        group,
        kind,
        name,
        namespace,
    })
}

fn patch() -> impl Strategy<Value = Patch> {
    (target(), json(), any::<bool>()).prop_map(|(target, value, is_merge)| {
        let (json, merge) = if is_merge { (None, Some(value)) } else { (Some(value), None) };
        Patch { target, json, merge }
    })
}

type Replicas = BTreeMap<String, u32>;

pub(crate) fn changes() -> impl Strategy<Value = Override> {
    let replicas = btree_map(word(), any::<u32>(), 0..3);
    (labels(), labels(), replicas, vec(patch(), 0..3)).prop_map(
        |(variables, images, replicas, patches): (_, _, Replicas, _)| Override {
            variables,
            images,
            replicas,
            patches,
        },
    )
}

pub(crate) fn override_rule() -> impl Strategy<Value = OverrideRule> {
    (selector(), changes()).prop_map(|(clusters, changes)| OverrideRule {
        clusters,
        variables: changes.variables,
        images: changes.images,
        replicas: changes.replicas,
        patches: changes.patches,
    })
}

pub(crate) fn object_key() -> impl Strategy<Value = ObjectKey> {
    (text(), word(), of(name()), name()).prop_map(|(group, kind, namespace, name)| ObjectKey {
        group,
        kind,
        namespace,
        name,
    })
}
