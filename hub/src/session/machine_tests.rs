//! The machine: given what an agent has and what the hub wants, expect what is done.

use nave_common::application::Adopt;
use nave_common::assignment::{Activity, Run, SyncPolicy};
use nave_common::overrides::Override;

use super::*;

fn key(name: &str) -> ApplicationKey {
    name.parse().unwrap()
}

fn generation(counter: u64) -> Generation {
    Generation { term: 1, counter }
}

/// What is wanted with this content; tests need contents that differ, not runs that make sense.
fn desired(content: &str) -> Desired {
    if content == "removed" {
        return Desired::Remove;
    }
    Desired::Run(Box::new(Run {
        revision: 1,
        bundle: Digest::of(content.as_bytes()),
        override_: Override::default(),
        rendering: Digest::of(content.as_bytes()),
        namespace: None,
        create_namespace: false,
        sync: SyncPolicy {
            prune: true,
            adopt: Adopt::default(),
            prune_adopted: false,
            ignore_fields: Vec::new(),
            suspended: false,
        },
        activity: Activity::Active,
        park: Vec::new(),
        exclusive: None,
    }))
}

fn at(counter: u64) -> Option<Generation> {
    Some(generation(counter))
}

fn keys(names: &[&str]) -> BTreeSet<ApplicationKey> {
    names.iter().map(|name| key(name)).collect()
}

fn open(seen: u64, held: &[(&str, u64, &str)], hub: u64, wanted: &[(&str, u64, &str)]) -> (Machine, Opening) {
    let had = |(name, counter, content): &(&str, u64, &str)| {
        (key(name), Held { generation: generation(*counter), desired: desired(content).digest() })
    };
    let hello = Hello { generation: generation(seen), held: held.iter().map(had).collect() };
    let wanted: Vec<_> = wanted
        .iter()
        .map(|(name, counter, content)| (key(name), generation(*counter), desired(content)))
        .collect();
    let wanted =
        wanted.iter().map(|(key, generation, desired)| (key, Wanted { generation: *generation, desired }));
    Machine::open(hello, generation(hub), wanted)
}

#[test]
fn only_the_difference_is_pending() {
    let (machine, opening) = open(
        5,
        &[("same", 1, "a"), ("changed", 2, "b")],
        9,
        &[("same", 1, "a"), ("changed", 7, "c"), ("fresh", 8, "d")],
    );
    assert_eq!(opening, Opening { pending: keys(&["changed", "fresh"]), ..Opening::default() });
    assert_eq!(machine.look(&key("same"), at(1)), Step::Nothing);
    assert_eq!(machine.look(&key("changed"), at(7)), Step::Send);
    assert_eq!(machine.look(&key("fresh"), at(8)), Step::Send);
}

#[test]
fn a_decision_that_came_back_to_the_same_content_is_sent() {
    // Else the agent would report on the old generation for ever, and never count as in sync.
    let (machine, opening) = open(5, &[("same", 1, "a")], 9, &[("same", 9, "a")]);
    assert_eq!(opening.pending, keys(&["same"]));
    assert_eq!(machine.look(&key("same"), at(9)), Step::Send);
}

#[test]
fn one_generation_with_two_contents_is_reported_and_left_alone() {
    let (machine, opening) = open(5, &[("shop", 5, "a")], 5, &[("shop", 5, "b")]);
    assert_eq!(opening.ahead.unwrap().applications, keys(&["shop"]));
    assert_eq!(machine.look(&key("shop"), at(5)), Step::Nothing);
}

#[test]
fn what_was_sent_is_not_sent_again_and_the_next_change_is() {
    let (mut machine, _) = open(0, &[], 9, &[("fresh", 8, "d")]);
    machine.sent(key("fresh"), Wanted { generation: generation(8), desired: &desired("d") });
    assert_eq!(machine.look(&key("fresh"), at(8)), Step::Nothing);
    assert_eq!(machine.look(&key("fresh"), at(10)), Step::Send);
}

#[test]
fn an_application_unknown_to_the_hub_is_reported_and_left_alone() {
    let (machine, opening) = open(5, &[("stray", 3, "a")], 9, &[]);
    assert_eq!(opening, Opening { unknown: keys(&["stray"]), ..Opening::default() });
    assert_eq!(machine.look(&key("stray"), None), Step::Nothing);
}

#[test]
fn a_removal_that_another_incarnation_of_the_hub_asked_for_goes_on() {
    let (before, restored) = (generation(4), Generation { term: 2, counter: 3 });
    for (asked_by, hub) in [(before, restored), (restored, before)] {
        let held = Held { generation: asked_by, desired: desired("removed").digest() };
        let hello = Hello { generation: asked_by, held: [(key("old"), held)].into() };
        let (machine, opening) = Machine::open(hello, hub, std::iter::empty());
        assert_eq!(opening.unknown, BTreeSet::new());
        assert_eq!(opening.ahead.is_some(), asked_by > hub);
        assert_eq!(machine.look(&key("old"), None), Step::Nothing);
    }
}

#[test]
fn a_tombstone_is_forgotten_once_the_hub_has_dropped_it() {
    let (mut machine, opening) = open(5, &[("old", 3, "removed")], 9, &[]);
    assert_eq!(opening, Opening { pending: keys(&["old"]), ..Opening::default() });
    assert_eq!(machine.look(&key("old"), None), Step::Forget);
    machine.forgotten(&key("old"));
    assert_eq!(machine.look(&key("old"), None), Step::Nothing);
}

#[test]
fn an_agent_ahead_of_the_hub_is_sent_nothing_it_has_seen_past() {
    let (machine, opening) =
        open(20, &[("shop", 18, "new")], 9, &[("shop", 4, "old"), ("other", 5, "x"), ("same", 6, "y")]);
    let ahead = Ahead { agent: generation(20), hub: generation(9), applications: keys(&["shop"]) };
    assert_eq!(opening.ahead, Some(ahead));
    assert_eq!(machine.look(&key("shop"), at(4)), Step::Nothing);
    assert_eq!(machine.look(&key("other"), at(5)), Step::Nothing);
    // What a person decides after the restore is above all that was seen, and goes out.
    assert_eq!(machine.look(&key("shop"), Some(Generation { term: 2, counter: 1 })), Step::Send);
}

#[test]
fn one_application_ahead_holds_back_no_other() {
    let (machine, opening) = open(8, &[("shop", 8, "new")], 9, &[("shop", 4, "old"), ("other", 5, "x")]);
    assert_eq!(opening.ahead.as_ref().unwrap().applications, keys(&["shop"]));
    assert_eq!(opening.pending, keys(&["other"]));
    assert_eq!(machine.look(&key("shop"), at(4)), Step::Nothing);
    assert_eq!(machine.look(&key("other"), at(5)), Step::Send);
}
