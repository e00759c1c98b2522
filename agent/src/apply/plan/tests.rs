//! Tests of the plan: what is written, pruned, kept and released, and the properties that hold of all plans.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;

fn key(name: &str) -> ObjectKey {
    ObjectKey {
        group: String::new(),
        kind: "ConfigMap".into(),
        namespace: Some("shop".into()),
        name: name.into(),
    }
}

fn wanted(names: &[&str]) -> BTreeMap<ObjectKey, Wanted> {
    let one = |name: &&str| {
        (key(name), Wanted { index: 0, digest: Digest::of(name.as_bytes()), api_version: "v1".into() })
    };
    names.iter().map(one).collect()
}

fn entry(uid: Option<&str>) -> InventoryEntry {
    InventoryEntry {
        api_version: "v1".into(),
        uid: uid.map(str::to_owned),
        applied: Digest::of(b""),
        owned: None,
        adopted: false,
    }
}

fn held(names: &[&str]) -> BTreeMap<ObjectKey, InventoryEntry> {
    names.iter().map(|name| (key(name), entry(Some(name)))).collect()
}

/// Plans for application `b` with the usual policy.
fn plan_with<'a>(
    wanted: &'a BTreeMap<ObjectKey, Wanted>,
    inventory: &'a BTreeMap<ObjectKey, InventoryEntry>,
    change: impl FnOnce(&mut Inputs<'a>),
) -> Vec<(String, Step)> {
    static APPLICATION: LazyLock<ApplicationKey> = LazyLock::new(|| "b".parse().unwrap());
    static SHARED: BTreeSet<ObjectKey> = BTreeSet::new();
    let mut inputs = Inputs {
        application: &APPLICATION,
        remove: false,
        wanted,
        unresolved: &[],
        inventory,
        prune: true,
        prune_adopted: false,
        shared: &SHARED,
        rival: &|_| None,
    };
    change(&mut inputs);
    plan(&inputs).into_iter().map(|(key, step)| (key.name, step)).collect()
}

fn named(name: &str, step: Step) -> (String, Step) {
    (name.to_owned(), step)
}

#[test]
fn new_objects_are_looked_for_known_ones_kept_and_dropped_ones_pruned() {
    assert_eq!(
        plan_with(&wanted(&["new", "old"]), &held(&["gone", "old"]), |_| {}),
        [named("gone", Step::Prune), named("new", Step::Look), named("old", Step::Keep)]
    );
}

#[test]
fn an_intent_without_an_answer_is_looked_for_again() {
    let inventory = BTreeMap::from([(key("a"), entry(None))]);
    assert_eq!(plan_with(&wanted(&["a"]), &inventory, |_| {}), [named("a", Step::Look)]);
}

#[test]
fn nothing_wanted_deletes_nothing() {
    let steps = plan_with(&wanted(&[]), &held(&["a", "b"]), |_| {});
    assert!(steps.iter().all(|(_, step)| matches!(step, Step::Retain(_))), "{steps:?}");
}

#[test]
fn removal_prunes_everything_and_releases_what_was_adopted() {
    let mut inventory = held(&["a", "b"]);
    inventory.get_mut(&key("b")).unwrap().adopted = true;
    assert_eq!(
        plan_with(&wanted(&[]), &inventory, |inputs| inputs.remove = true),
        [named("a", Step::Prune), named("b", Step::Release)]
    );
}

#[test]
fn policy_decides_over_what_is_no_longer_wanted() {
    let mut inventory = held(&["adopted", "made", "kept"]);
    inventory.get_mut(&key("adopted")).unwrap().adopted = true;
    let wanted = wanted(&["kept"]);
    let steps = plan_with(&wanted, &inventory, |inputs| inputs.prune = false);
    assert!(matches!(&steps[0].1, Step::Retain(why) if why.contains("sync.prune")), "{steps:?}");
    let steps = plan_with(&wanted, &inventory, |_| {});
    assert_eq!(steps[0], named("adopted", Step::Release));
    let steps = plan_with(&wanted, &inventory, |inputs| inputs.prune_adopted = true);
    assert_eq!(steps[0], named("adopted", Step::Prune));
}

#[test]
fn object_of_a_kind_that_is_unknown_for_now_is_not_pruned() {
    let unresolved =
        [Unresolved { index: 0, reason: String::new(), key: ObjectKey { namespace: None, ..key("a") } }];
    let steps =
        plan_with(&wanted(&["other"]), &held(&["a", "other"]), |inputs| inputs.unresolved = &unresolved);
    assert!(matches!(steps[0].1, Step::Retain(_)), "{steps:?}");
}

#[test]
fn object_that_two_groups_serve_is_not_deleted_by_its_old_name() {
    let old = ObjectKey { group: "extensions".into(), ..key("a") };
    let mut inventory = held(&["a"]);
    inventory.insert(old.clone(), entry(Some("a")));
    let application = "b".parse().unwrap();
    let shared = BTreeSet::new();
    let steps = plan(&Inputs {
        application: &application,
        remove: false,
        wanted: &wanted(&["a"]),
        unresolved: &[],
        inventory: &inventory,
        prune: true,
        prune_adopted: false,
        shared: &shared,
        rival: &|_| None,
    });
    assert_eq!(steps[&old], Step::Forget);
}

#[test]
fn object_that_moves_between_applications_is_handed_over() {
    let rival = |wants, entry: Option<InventoryEntry>| {
        move |_: &ObjectKey| Some(Rival { application: "a".parse().unwrap(), wants, entry: entry.clone() })
    };
    // Seen by the new owner, then by the old one before and after the new one has it.
    let takes = rival(false, Some(entry(Some("u"))));
    assert_eq!(
        plan_with(&wanted(&["x"]), &held(&[]), |inputs| inputs.rival = &takes),
        [named("x", Step::Take(entry(Some("u"))))]
    );
    let waits = rival(true, None);
    assert_eq!(
        plan_with(&wanted(&["y"]), &held(&["x", "y"]), |inputs| inputs.rival = &waits)[0],
        named("x", Step::HandOver("a".parse().unwrap()))
    );
    let has_it = rival(true, Some(entry(Some("x"))));
    assert_eq!(
        plan_with(&wanted(&[]), &held(&["x"]), |inputs| inputs.rival = &has_it),
        [named("x", Step::Forget)]
    );
}

#[test]
fn two_applications_that_claim_one_object_are_named() {
    let rival = |_: &ObjectKey| {
        Some(Rival { application: "a".parse().unwrap(), wants: true, entry: Some(entry(Some("u"))) })
    };
    let steps = plan_with(&wanted(&["x"]), &held(&[]), |inputs| inputs.rival = &rival);
    assert!(
        matches!(&steps[0].1, Step::Refuse(why) if why.contains("default/a") && why.contains("default/b")),
        "{steps:?}"
    );
    // Who has it and wants it keeps it, whatever the names.
    let late = |_: &ObjectKey| Some(Rival { application: "a".parse().unwrap(), wants: true, entry: None });
    assert_eq!(
        plan_with(&wanted(&["x"]), &held(&["x"]), |inputs| inputs.rival = &late),
        [named("x", Step::Keep)]
    );
}

fn names() -> impl Strategy<Value = BTreeSet<u8>> {
    proptest::collection::btree_set(0_u8..12, 0..8)
}

proptest! {
    #[test]
    fn never_prunes_what_the_inventory_does_not_hold(
        want in names(), have in names(), adopted in names(), remove: bool, prune: bool, prune_adopted: bool
    ) {
        let text = |set: &BTreeSet<u8>| set.iter().map(u8::to_string).collect::<Vec<_>>();
        let (want_names, have_names) = (text(&want), text(&have));
        let wanted = if remove { BTreeMap::new() } else { wanted(&want_names.iter().map(String::as_str).collect::<Vec<_>>()) };
        let mut inventory = held(&have_names.iter().map(String::as_str).collect::<Vec<_>>());
        for (key, entry) in &mut inventory {
            entry.adopted = adopted.contains(&key.name.parse().unwrap());
        }
        let settings = |inputs: &mut Inputs<'_>| {
            inputs.remove = remove;
            inputs.prune = prune;
            inputs.prune_adopted = prune_adopted;
        };
        let steps = plan_with(&wanted, &inventory, settings);
        for (name, step) in &steps {
            let held = inventory.get(&key(name));
            if *step == Step::Prune {
                let entry = held.expect("only what is held is pruned");
                prop_assert!(!wanted.contains_key(&key(name)));
                prop_assert!(remove || (prune && !wanted.is_empty()));
                prop_assert!(!entry.adopted || prune_adopted);
            }
            if *step == Step::Release {
                prop_assert!(held.is_some_and(|entry| entry.adopted));
            }
        }
        // Planning twice changes nothing: once everything is carried out, all that is left to do is to keep it.
        let mut after = inventory.clone();
        for (name, step) in &steps {
            match step {
                Step::Look => { after.insert(key(name), entry(Some(name))); }
                Step::Prune | Step::Release | Step::Forget => { after.remove(&key(name)); }
                _ => {}
            }
        }
        for (_, step) in plan_with(&wanted, &after, settings) {
            prop_assert!(matches!(step, Step::Keep | Step::Retain(_)), "{:?}", step);
        }
    }
}
