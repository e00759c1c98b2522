//! The outbox: what waits is a name, the newest is what goes, and no message grows past its bound.

use std::collections::BTreeMap;

use nave_common::assignment::{Assignment, Desired, Generation};

use super::super::machine::Hello;
use super::*;

#[derive(Default)]
struct Wanted(BTreeMap<ApplicationKey, (u64, usize)>);

impl Wanted {
    fn put(&mut self, name: &str, counter: u64, size_bytes: usize) {
        self.0.insert(name.parse().unwrap(), (counter, size_bytes));
    }
}

impl View for Wanted {
    fn wanted(&self, key: &ApplicationKey) -> Option<Arc<Assignment>> {
        let (counter, size_bytes) = *self.0.get(key)?;
        Some(Arc::new(Assignment {
            application: key.clone(),
            cluster: "eu-1".parse().unwrap(),
            generation: Generation { term: 1, counter },
            change_id: "x".repeat(size_bytes),
            desired: Desired::Remove,
        }))
    }
}

fn opened(wanted: &Wanted) -> Outbox {
    let mut outbox = Outbox::default();
    let all: Vec<_> = wanted.0.keys().map(|key| (key, wanted.wanted(key).unwrap())).collect();
    let all = all.iter().map(|(key, assignment)| (*key, (&**assignment).into()));
    let (machine, opening) = Machine::open(Hello::default(), Generation { term: 1, counter: 9 }, all);
    outbox.open(machine, v1::Welcome::default(), opening.pending);
    outbox
}

fn message(outbox: &mut Outbox, wanted: &Wanted) -> Option<Message> {
    outbox.next(wanted).map(|next| next.unwrap().message.unwrap())
}

fn renewal(name: &str) -> Vec<v1::Renewal> {
    let application = Some(v1::ApplicationKey { name: name.into(), ..Default::default() });
    vec![v1::Renewal { application, epoch: 7, duration_ms: 1000 }]
}

fn names(message: Option<Message>) -> Vec<(String, u64)> {
    let Some(Message::Assignments(batch)) = message else { panic!("expected assignments, not {message:?}") };
    let name = |it: v1::Assignment| (it.application.unwrap().name, it.generation.unwrap().counter);
    batch.assignments.into_iter().map(name).collect()
}

#[test]
fn nothing_goes_before_the_welcome_and_heartbeats_go_before_assignments() {
    let mut wanted = Wanted::default();
    assert!(message(&mut Outbox::default(), &wanted).is_none());
    wanted.put("a", 1, 1);
    let mut outbox = opened(&wanted);
    outbox.acknowledge(1, 1, renewal("a"));
    outbox.acknowledge(2, 1, renewal("b"));
    assert!(matches!(message(&mut outbox, &wanted), Some(Message::Welcome(_))));
    assert_eq!(
        message(&mut outbox, &wanted),
        Some(Message::Heartbeat(v1::HeartbeatAck { number: 2, term: 1, renewed: renewal("b") }))
    );
    assert_eq!(names(message(&mut outbox, &wanted)), [("a".to_owned(), 1)]);
    assert!(message(&mut outbox, &wanted).is_none());
}

#[test]
fn many_changes_of_one_application_are_one_message_with_the_newest() {
    let mut wanted = Wanted::default();
    wanted.put("a", 1, 1);
    let mut outbox = opened(&wanted);
    message(&mut outbox, &wanted);
    message(&mut outbox, &wanted);
    for counter in 2..50 {
        wanted.put("a", counter, 1);
        outbox.pend(["a".parse().unwrap()]);
    }
    assert_eq!(outbox.depth(), 1);
    assert_eq!(names(message(&mut outbox, &wanted)), [("a".to_owned(), 49)]);
    outbox.pend(["a".parse().unwrap()]);
    assert!(message(&mut outbox, &wanted).is_none());
}

#[test]
fn a_batch_is_bounded_by_bytes_and_nothing_is_lost() {
    let mut wanted = Wanted::default();
    for index in 0..10 {
        wanted.put(&format!("a{index}"), 1, MAX_BATCH_BYTES / 4);
    }
    wanted.put("b", 1, MAX_BATCH_BYTES * 2);
    let mut outbox = opened(&wanted);
    message(&mut outbox, &wanted);
    let mut sizes = Vec::new();
    while let Some(next) = message(&mut outbox, &wanted) {
        sizes.push(names(Some(next)).len());
    }
    assert_eq!(sizes, [3, 3, 3, 1, 1]);
}

#[test]
fn the_end_comes_once() {
    let wanted = Wanted::default();
    let mut outbox = opened(&wanted);
    outbox.end(Status::unavailable("first"));
    outbox.end(Status::unavailable("second"));
    assert_eq!(outbox.next(&wanted).unwrap().unwrap_err().message(), "first");
    outbox.end(Status::unavailable("third"));
    assert!(outbox.end.is_none());
}
