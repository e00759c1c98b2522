//! What people order: moves, approvals, the giving up of moves, and their word that an old copy is dead.
//!
//! An order is taken once. One that cannot be carried out is remembered among the moves, with why.

use nave_common::failover::state::{Cause, Fenced, MovePhase, Order, OrderKind};
use nave_common::failover::{Epoch, FailoverMode};
use nave_common::name::ClusterName;

use super::work::{Against, Work, is_running};

impl Work<'_> {
    /// Takes all orders that wait.
    pub(super) fn take_orders(&mut self) {
        for order in std::mem::take(&mut self.state.orders) {
            let Order { what, by, .. } = order;
            match what {
                OrderKind::Move { from, to } => self.ordered(from, to, &by),
                OrderKind::Approve { number } => self.approve(number, &by),
                OrderKind::Abort { number } => self.abort(number, &by),
                OrderKind::ConfirmFenced { cluster, epoch, by_webhook } => {
                    let fenced = if by_webhook { Fenced::Webhook } else { Fenced::Person(by) };
                    self.confirm_fenced(&cluster, epoch, fenced);
                }
            }
        }
    }

    fn is_exclusive(&self) -> bool {
        self.rules().mode == FailoverMode::Exclusive
    }

    fn runs_in(&self) -> Vec<ClusterName> {
        if self.is_exclusive() {
            self.state.grant.iter().map(|grant| grant.cluster.clone()).collect()
        } else {
            self.active.iter().cloned().collect()
        }
    }

    fn ordered(&mut self, from: Option<ClusterName>, to: Option<ClusterName>, by: &str) {
        let runs_in = self.runs_in();
        let from = match (from, runs_in.as_slice()) {
            (Some(from), _) => from,
            (None, [one]) => one.clone(),
            (None, several) => {
                let names: Vec<&str> = several.iter().map(ClusterName::as_str).collect();
                let reason = format!(
                    "ordered by {by}: it runs in {} clusters ({}); say which it leaves, with --from",
                    several.len(),
                    names.join(", ")
                );
                let Some(named) = several.first().or(to.as_ref()).cloned() else { return };
                return self.refuse(named, to, reason);
            }
        };
        if let Err(why) = self.carry_out(&from, &runs_in, to.as_ref(), by) {
            self.refuse(from, to, format!("ordered by {by}: {why}"));
        }
    }

    fn carry_out(
        &mut self,
        from: &ClusterName,
        runs_in: &[ClusterName],
        to: Option<&ClusterName>,
        by: &str,
    ) -> Result<(), String> {
        if !runs_in.contains(from) {
            return Err(format!("it does not run in {from}"));
        }
        if self.leaving().contains(from) {
            return Err(format!("it leaves {from} already"));
        }
        if self.is_arriving(from) {
            return Err(format!(
                "it is still on its way to {from}; wait until it is there, or give that move up"
            ));
        }
        let to = match to {
            Some(to) if runs_in.contains(to) => return Err(format!("it runs in {to} already")),
            Some(to) => match self.refusal(to) {
                Some(why) => return Err(why),
                None => to.clone(),
            },
            None => {
                let leaving = self.leaving();
                let is_kept = |cluster: &&ClusterName| **cluster != *from && !leaving.contains(cluster);
                let stays: Vec<ClusterName> = runs_in.iter().filter(is_kept).cloned().collect();
                let mut avoid = leaving.clone();
                avoid.push(from.clone());
                self.find(&stays, &avoid)?
            }
        };
        let began_at = Some(self.wall());
        let against = Against { cause: Cause::Ordered, began_at, due_at: self.now() };
        let phase = if self.is_exclusive() { MovePhase::Fencing } else { MovePhase::Applying };
        let index = self.note(from, against, phase, format!("ordered by {by}"));
        if self.is_exclusive() {
            self.state.moves[index].to = Some(to);
        } else {
            self.take_to(index, &to);
        }
        Ok(())
    }

    fn approve(&mut self, number: u64, by: &str) {
        let proposed = self.state.moves.iter().position(|it| it.number == number);
        let Some(index) = proposed.filter(|index| self.state.moves[*index].phase == MovePhase::Proposed)
        else {
            return;
        };
        let it = &mut self.state.moves[index];
        it.phase = MovePhase::Unplaced;
        it.reason = format!("approved by {by}");
        if it.cause == Cause::Failback
            && let Some(home) = it.to.clone()
        {
            self.take_to(index, &home);
        }
    }

    fn abort(&mut self, number: u64, by: &str) {
        let Some(index) = self.state.moves.iter().position(|it| it.number == number) else { return };
        let it = &self.state.moves[index];
        let (from, to, cause) = (it.from.clone(), it.to.clone(), it.cause);
        if matches!(cause, Cause::Drained | Cause::Placement) {
            // It would begin anew at once: the drain, the taint or the rules are what is to be undone.
            let why = match cause {
                Cause::Drained => format!("`nave uncordon {from}` ends the drain"),
                _ => "its placement, or a taint of the cluster, sends it away".into(),
            };
            return self.refuse(from, to, format!("{by} cannot give up move {number}: {why}"));
        }
        let is_taken_back =
            self.is_exclusive() && self.state.grant.as_ref().is_some_and(|it| it.release.is_some());
        if is_running(&self.state.moves[index]) {
            if self.active.contains(&from) && !self.is_exclusive() {
                self.turn_back(index);
                if let Some(last) = self.state.history.first_mut() {
                    last.reason = Self::given_up(by);
                }
            }
        } else if !is_taken_back {
            self.end(index, MovePhase::Aborted, Self::given_up(by));
        } else {
            return;
        }
        // A person does not want it home; an order brings it there.
        if cause == Cause::Failback
            && let Some(home) = to
        {
            self.give_up_home(&home);
        }
    }

    /// Takes somebody's word that the old copy is dead, where it is being taken back or is about to be.
    fn confirm_fenced(&mut self, cluster: &ClusterName, epoch: Epoch, fenced: Fenced) {
        let is_silent = !self.is_heard(cluster);
        let is_pending = self.pending(cluster).is_some();
        let Some(grant) = self.state.grant.as_mut() else { return };
        if grant.cluster != *cluster || epoch < grant.epoch {
            return;
        }
        match &mut grant.release {
            Some(release) => {
                release.fenced.get_or_insert(fenced);
            }
            // Its lease has to be closed first; what is said here is kept until then.
            None if is_silent && is_pending => self.confirmed = Some(fenced),
            None => {}
        }
    }
}
