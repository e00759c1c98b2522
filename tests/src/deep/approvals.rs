//! People who decide on moves: they approve what is proposed to them, or give moves up, also such as are under way.

use nave_common::failover::FailoverMode;
use nave_common::failover::state::{MovePhase, OrderKind};

use super::world::{Event, Process, World, note};

/// Has some applications wait for a person before they move, and people look at moves from now on.
pub(super) fn begin(world: &mut World) {
    for work in 0..world.works.len() {
        let is_overlap = world.works[work].application.spec.failover.mode == FailoverMode::Overlap;
        if is_overlap && world.dice.chance(80) {
            world.works[work].application.spec.failover.mode = FailoverMode::Manual;
            world.count("applications that wait for people");
        }
    }
    let first = world.dice.range(20_000, 60_000);
    world.at(first, Event::Approver);
}

impl World {
    /// A person looks at the moves of every application. In calm everything that is proposed is approved.
    pub(super) fn approver(&mut self) {
        let pause = self.dice.range(5000, 30_000);
        self.after(pause, Event::Approver);
        let hub = self.address;
        if self.hubs[hub].process != Process::Running {
            return;
        }
        for work in 0..self.works.len() {
            let states = &self.hubs[hub].store.states;
            let Some(state) = states.get(&self.works[work].key) else { continue };
            let open: Vec<(u64, MovePhase)> =
                state.moves.iter().filter(|it| !it.phase.is_over()).map(|it| (it.number, it.phase)).collect();
            for (number, phase) in open {
                self.decides_on(work, number, phase);
            }
        }
    }

    fn decides_on(&mut self, work: usize, number: u64, phase: MovePhase) {
        let is_proposed = phase == MovePhase::Proposed;
        let is_approved = is_proposed && (!self.is_stormy || self.dice.chance(60));
        // What is under way is seldom given up; it is when that may come too late that it matters.
        let is_given_up =
            !is_approved && self.is_stormy && self.dice.chance(if is_proposed { 50 } else { 15 });
        let (what, counted) = if is_approved {
            (OrderKind::Approve { number }, "moves approved")
        } else if is_given_up {
            (OrderKind::Abort { number }, "moves given up by people")
        } else {
            return;
        };
        if self.orders(work, what) {
            note!(self, "person decided on move {number}, which was {phase}");
            self.count(counted);
            self.ordered();
        }
    }
}
