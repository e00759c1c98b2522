//! The people of a world: they apply applications, edit one, approve what is proposed, and say that an old copy is dead
//! once they have looked.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use nave_common::failover::state::{MovePhase, Order, OrderKind};
use nave_common::name::ApplicationKey;
use nave_common::time::Timestamp;
use tokio::sync::mpsc;

use super::faults::Wish;
use super::hosts::Errand;
use super::{SPOKES, World, cluster_name};
use crate::deep::invariants::Happened;

/// How long a person thinks about a proposed move.
const APPROVAL_MS: u64 = 4000;
/// How long an old copy may be in doubt before somebody looks.
const DOUBT_MS: u64 = 45_000;
/// After how long somebody orders again what had no effect: the hub was dead then, or could not write it down.
const AGAIN_MS: u64 = 30_000;
/// The region that an edit takes an application out of.
const LEFT_REGION: usize = 2;

/// People, and what they have in mind.
#[derive(Debug)]
pub(super) struct People {
    errands: mpsc::UnboundedSender<Errand>,
    /// Errands that are not done yet.
    open: Arc<AtomicUsize>,
    /// The moves that they know of, and when they act on each of them next.
    known: BTreeMap<(ApplicationKey, u64, MovePhase), u64>,
    /// Whether the application that runs everywhere was told to leave a region.
    pub(super) has_edited: bool,
}

impl People {
    pub(super) fn new(errands: mpsc::UnboundedSender<Errand>, open: Arc<AtomicUsize>) -> Self {
        Self { errands, open, known: BTreeMap::new(), has_edited: false }
    }

    fn send(&self, errand: Errand) {
        self.open.fetch_add(1, Ordering::Relaxed);
        // A person whose host is gone has no errands.
        let _ = self.errands.send(errand);
    }
}

impl World<'_> {
    /// Applies every application.
    pub(super) fn apply_all(&mut self) {
        for work in &self.work {
            self.happened.push(Happened::Ordered(work.key()));
            self.people.send(Errand::Apply(Box::new((&work.application(&[])).into())));
        }
    }

    /// Takes the application that runs everywhere out of one region.
    pub(super) fn edit(&mut self) {
        let Some(work) = self.work.iter().find(|work| work.count.is_none()) else { return };
        let (key, stays) = (work.key(), work.application(&[SPOKES[0].1, SPOKES[1].1]));
        self.people.send(Errand::Apply(Box::new((&stays).into())));
        self.happened.push(Happened::Ordered(key.clone()));
        self.happened.push(Happened::AskedAway(key.clone(), cluster_name(LEFT_REGION)));
        self.people.has_edited = true;
        self.note(&format!("a person takes {key} out of {}", SPOKES[LEFT_REGION].0));
    }

    /// Does what a person wishes.
    pub(super) fn wish(&mut self, wish: Wish) {
        match wish {
            Wish::Move(work, spoke) => {
                let Some(work) = self.work.get(work) else { return };
                let (key, to) = (work.key(), cluster_name(spoke));
                self.order(key, OrderKind::Move { from: None, to: Some(to) });
            }
            Wish::Drain(spoke, is_drained) => {
                let name = SPOKES[spoke].0;
                self.note(&format!("a person {} {name}", if is_drained { "drains" } else { "undrains" }));
                self.happened.push(Happened::Disturbed(cluster_name(spoke)));
                self.people.send(Errand::Drain(name, is_drained));
            }
        }
    }

    /// While an errand is not done, what comes of it may come at any time.
    pub(super) fn look_at_people(&mut self) {
        if self.people.open.load(Ordering::Relaxed) > 0 {
            self.happened.extend(self.work.iter().map(|work| Happened::Ordered(work.key())));
        }
    }

    fn order(&mut self, key: ApplicationKey, what: OrderKind) {
        self.note(&format!("a person orders of {key}: {what:?}"));
        self.happened.push(Happened::Ordered(key.clone()));
        let order = Order { what, by: String::new(), at: Timestamp::EPOCH, change_id: String::new() };
        self.people.send(Errand::Order(key, Box::new(order)));
    }

    /// Looks at what is under way, and orders what a person would.
    pub(super) fn attend(&mut self) {
        let now = self.time.millis();
        let mut orders = Vec::new();
        for (key, one) in self.durable.moves() {
            let wait = match one.phase {
                MovePhase::Proposed => APPROVAL_MS,
                MovePhase::Fencing => DOUBT_MS,
                _ => continue,
            };
            let due_ms = self.people.known.entry((key.clone(), one.number, one.phase)).or_insert(now + wait);
            if now < *due_ms {
                continue;
            }
            let what = match one.phase {
                MovePhase::Proposed => OrderKind::Approve { number: one.number },
                _ => {
                    let spoke = SPOKES.iter().position(|(name, _)| *name == one.from.as_str());
                    let is_running = spoke.is_none_or(|spoke| {
                        self.contents[spoke].pods.iter().any(|pod| pod.application == key.name.as_str())
                    });
                    let grant = self.durable.failovers.get(key).and_then(|state| state.grant.as_ref());
                    match grant.filter(|grant| grant.cluster == one.from && !is_running) {
                        Some(grant) => OrderKind::ConfirmFenced {
                            cluster: one.from.clone(),
                            epoch: grant.epoch,
                            by_webhook: false,
                        },
                        None => continue,
                    }
                }
            };
            *due_ms = now + AGAIN_MS;
            orders.push((key.clone(), what));
        }
        for (key, what) in orders {
            self.order(key, what);
        }
    }
}
