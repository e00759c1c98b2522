//! Exclusive leases as their holder counts them: pure, no I/O, no clock.
//!
//! A lease runs from the moment at which the heartbeat was *sent* that the hub answered with a renewal, and ends a drift
//! margin before the hub would take it for over. So whatever is delayed, lost, doubled or reordered, the holder gives up
//! first. What is not known is not permitted: a grant that no answer has named yet, and after a start every lease that
//! cannot be proven to run.

use std::collections::BTreeMap;
use std::time::Duration;

use nave_common::assignment::ExclusiveTerms;
use nave_common::failover::{Epoch, Fence, holder_lease};
use nave_common::name::ApplicationKey;
use nave_common::time::BootTime;

/// Heartbeats that wait for their answer at most; answers to older ones renew nothing.
pub const MAX_UNANSWERED: usize = 64;

/// What may be done with Exclusive work now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permit {
    /// It may run.
    Run,
    /// Nothing of it may run.
    Stop,
}

/// What the hub told of one application, as the fence needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// It runs here under these terms.
    Active(ExclusiveTerms),
    /// It runs elsewhere, or nowhere.
    Parked(ExclusiveTerms),
}

/// A lease that a machine kept over the restart of its process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The application.
    pub application: ApplicationKey,
    /// The token.
    pub epoch: Epoch,
    /// When the lease is over.
    pub ends_at: BootTime,
}

/// One answered renewal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renewed {
    /// The application.
    pub application: ApplicationKey,
    /// The token.
    pub epoch: Epoch,
    /// How long it is good for, from when the heartbeat was sent.
    pub duration: Duration,
}

/// The Exclusive work of one cluster.
#[derive(Debug, Clone, Default)]
pub struct Machine {
    told: BTreeMap<ApplicationKey, Told>,
    leases: BTreeMap<ApplicationKey, Lease>,
    /// When each unanswered heartbeat was sent, by its number within the stream.
    sent: BTreeMap<u64, BootTime>,
    /// The highest epoch that was ever told, of any application.
    highest: Epoch,
    /// The highest term that was ever told or answered with.
    term: u64,
}

#[derive(Debug, Clone, Copy)]
struct Lease {
    epoch: Epoch,
    ends_at: BootTime,
}

impl Machine {
    /// A machine that takes over leases that were kept on this boot of this machine. Of another boot nothing can be
    /// proven, and `kept` must be empty.
    #[must_use]
    pub fn new(kept: Vec<Kept>, highest: Epoch, term: u64) -> Self {
        let lease = |it: Kept| (it.application, Lease { epoch: it.epoch, ends_at: it.ends_at });
        Self { leases: kept.into_iter().map(lease).collect(), highest, term, ..Self::default() }
    }

    /// Takes what the hub told of one application; `None` where it is not Exclusive, or of no concern any more.
    /// True where a heartbeat should ask for its lease at once.
    pub fn tell(&mut self, application: &ApplicationKey, told: Option<Told>) -> bool {
        let Some(told) = told else {
            self.told.remove(application);
            self.leases.remove(application);
            return false;
        };
        let (Told::Active(terms) | Told::Parked(terms)) = told;
        self.highest = self.highest.max(terms.epoch);
        let is_news = self.told.insert(application.clone(), told) != Some(told);
        let keeps = matches!(told, Told::Active(terms) if self.lease(application, terms.epoch).is_some());
        if !keeps {
            // Whoever is told to run under another epoch, or not to run, has no lease any more.
            self.leases.remove(application);
        }
        is_news && matches!(told, Told::Active(_)) && !keeps
    }

    /// A new stream: what was sent on the last one is answered no more.
    pub fn reconnected(&mut self) {
        self.sent.clear();
    }

    /// Notes that a heartbeat is about to be sent, and says what it asks to be renewed.
    pub fn beat(&mut self, number: u64, now: BootTime) -> Vec<(ApplicationKey, Epoch)> {
        self.sent.insert(number, now);
        while self.sent.len() > MAX_UNANSWERED {
            self.sent.pop_first();
        }
        let active = |(key, told): (&ApplicationKey, &Told)| match told {
            Told::Active(terms) => Some((key.clone(), terms.epoch)),
            Told::Parked(_) => None,
        };
        self.told.iter().filter_map(active).collect()
    }

    /// Takes the hub's answer to a heartbeat. An answer of a lower term than one seen before is an old hub's.
    pub fn acknowledged(&mut self, number: u64, term: u64, renewed: &[Renewed]) {
        // Heartbeats are answered in order; what is older is answered no more.
        let sent_at = self.sent.remove(&number);
        self.sent.retain(|sent, _| *sent > number);
        let Some(sent_at) = sent_at.filter(|_| term >= self.term) else { return };
        self.term = term;
        for one in renewed {
            let Some(Told::Active(terms)) = self.told.get(&one.application) else { continue };
            if terms.epoch != one.epoch {
                continue;
            }
            let ends_at = sent_at.plus(holder_lease(one.duration));
            let lease =
                self.leases.entry(one.application.clone()).or_insert(Lease { epoch: one.epoch, ends_at });
            if lease.epoch != one.epoch {
                *lease = Lease { epoch: one.epoch, ends_at };
            }
            lease.ends_at = lease.ends_at.max(ends_at);
        }
    }

    /// Whether an application may run now. What is not Exclusive may.
    #[must_use]
    pub fn permit(&self, application: &ApplicationKey, now: BootTime) -> Permit {
        match self.told.get(application) {
            None => Permit::Run,
            Some(Told::Parked(_)) => Permit::Stop,
            // The storage or a person sees to the old copy: this one runs as long as it is told to.
            Some(Told::Active(terms)) if terms.fence != Fence::Agent => Permit::Run,
            Some(Told::Active(terms)) => match self.lease(application, terms.epoch) {
                Some(lease) if now < lease.ends_at => Permit::Run,
                _ => Permit::Stop,
            },
        }
    }

    /// When the next permit ends if nothing is renewed.
    #[must_use]
    pub fn wake_at(&self, now: BootTime) -> Option<BootTime> {
        let ends = self.leases.values().map(|lease| lease.ends_at);
        ends.filter(|ends_at| *ends_at > now).min()
    }

    /// What can be kept for the next start of this process on this boot of the machine.
    #[must_use]
    pub fn kept(&self) -> Vec<Kept> {
        let kept = |(key, lease): (&ApplicationKey, &Lease)| Kept {
            application: key.clone(),
            epoch: lease.epoch,
            ends_at: lease.ends_at,
        };
        self.leases.iter().map(kept).collect()
    }

    /// The highest epoch that was ever told.
    #[must_use]
    pub fn highest(&self) -> Epoch {
        self.highest
    }

    /// The highest term that was ever answered with.
    #[must_use]
    pub fn term(&self) -> u64 {
        self.term
    }

    fn lease(&self, application: &ApplicationKey, epoch: Epoch) -> Option<&Lease> {
        self.leases.get(application).filter(|lease| lease.epoch == epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn at(seconds: u64) -> BootTime {
        BootTime::from_duration(Duration::from_secs(seconds))
    }

    fn ledger() -> ApplicationKey {
        "ledger".parse().unwrap()
    }

    fn terms(epoch: u64, fence: Fence) -> ExclusiveTerms {
        ExclusiveTerms { epoch: Epoch::from_number(epoch), fence, fence_timeout_ms: 1000 }
    }

    fn active(machine: &mut Machine, epoch: u64) -> bool {
        machine.tell(&ledger(), Some(Told::Active(terms(epoch, Fence::Agent))))
    }

    fn renewed(epoch: u64) -> [Renewed; 1] {
        [Renewed { application: ledger(), epoch: Epoch::from_number(epoch), duration: MINUTE }]
    }

    #[test]
    fn a_lease_counts_from_when_the_heartbeat_was_sent_and_ends_before_the_hubs() {
        let mut machine = Machine::default();
        assert!(active(&mut machine, 7));
        assert_eq!(machine.permit(&ledger(), at(1)), Permit::Stop);
        assert_eq!(machine.beat(1, at(10)), [(ledger(), Epoch::from_number(7))]);
        machine.acknowledged(1, 1, &renewed(7));
        let ends_at = at(10).plus(holder_lease(MINUTE));
        assert_eq!(machine.wake_at(at(20)), Some(ends_at));
        assert_eq!(machine.permit(&ledger(), ends_at.minus(Duration::from_millis(1))), Permit::Run);
        assert_eq!(machine.permit(&ledger(), ends_at), Permit::Stop);
    }

    #[test]
    fn nothing_but_a_fresh_answer_for_this_epoch_renews() {
        let mut machine = Machine::default();
        let _ = active(&mut machine, 7);
        machine.acknowledged(1, 1, &renewed(7));
        assert_eq!(machine.permit(&ledger(), at(1)), Permit::Stop, "no heartbeat of that number was sent");
        machine.beat(1, at(1));
        machine.acknowledged(1, 1, &renewed(6));
        assert_eq!(machine.permit(&ledger(), at(2)), Permit::Stop, "another epoch");
        machine.beat(2, at(2));
        machine.reconnected();
        machine.acknowledged(2, 1, &renewed(7));
        assert_eq!(machine.permit(&ledger(), at(3)), Permit::Stop, "an answer from another stream");
        machine.beat(1, at(3));
        machine.acknowledged(1, 5, &renewed(7));
        assert_eq!(machine.permit(&ledger(), at(4)), Permit::Run);
        machine.beat(2, at(50));
        machine.acknowledged(2, 4, &renewed(7));
        assert_eq!(machine.permit(&ledger(), at(70)), Permit::Stop, "a hub of an older term");
    }

    #[test]
    fn another_epoch_or_being_parked_ends_the_lease_at_once() {
        let mut machine = Machine::default();
        let _ = active(&mut machine, 7);
        machine.beat(1, at(1));
        machine.acknowledged(1, 1, &renewed(7));
        let _ = active(&mut machine, 7);
        assert_eq!(machine.permit(&ledger(), at(2)), Permit::Run, "told the same again");
        let _ = active(&mut machine, 8);
        assert_eq!(machine.permit(&ledger(), at(2)), Permit::Stop);
        machine.beat(2, at(2));
        machine.acknowledged(2, 1, &renewed(8));
        assert_eq!(machine.permit(&ledger(), at(3)), Permit::Run);
        let _ = machine.tell(&ledger(), Some(Told::Parked(terms(8, Fence::Agent))));
        assert_eq!(machine.permit(&ledger(), at(3)), Permit::Stop);
        assert_eq!(machine.beat(3, at(3)), []);
    }

    #[test]
    fn a_restart_keeps_what_can_be_proven_and_nothing_else() {
        let mut machine = Machine::default();
        let _ = active(&mut machine, 7);
        machine.beat(1, at(1));
        machine.acknowledged(1, 1, &renewed(7));
        let mut again = Machine::new(machine.kept(), machine.highest(), machine.term());
        assert!(!active(&mut again, 7));
        assert_eq!(again.permit(&ledger(), at(10)), Permit::Run);
        let mut elsewhere = Machine::new(machine.kept(), machine.highest(), machine.term());
        let _ = active(&mut elsewhere, 9);
        assert_eq!(elsewhere.permit(&ledger(), at(10)), Permit::Stop);
        let mut rebooted = Machine::new(Vec::new(), machine.highest(), machine.term());
        let _ = active(&mut rebooted, 7);
        assert_eq!(rebooted.permit(&ledger(), at(10)), Permit::Stop);
    }

    #[test]
    fn under_other_fences_the_agent_stops_nothing_by_itself() {
        let mut machine = Machine::default();
        let _ = machine.tell(&ledger(), Some(Told::Active(terms(7, Fence::Storage))));
        assert_eq!(machine.permit(&ledger(), at(1000)), Permit::Run);
        let _ = machine.tell(&ledger(), Some(Told::Parked(terms(7, Fence::Storage))));
        assert_eq!(machine.permit(&ledger(), at(1000)), Permit::Stop);
    }
}
