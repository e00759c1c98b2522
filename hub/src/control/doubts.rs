//! What keeps the hub from moving anything by itself, kept up to date: its doubts of itself, and the maintenance hold.
//!
//! The doubts are decided by [`crate::plan::failover::doubt`]; this gathers what they depend on, tells people when they
//! begin and end, and shows them in the world.

use std::time::Duration;

use nave_common::event::Severity;
use nave_common::failover::{Frozen, HubFailover};
use nave_common::status::Liveness;
use nave_common::time::{BootTime, Timestamp};

use super::news::News;
use crate::plan::failover::Now;
use crate::plan::failover::doubt::{self, Doubt, Heard};
use crate::world::{ClusterEntry, State, World};

/// What keeps the hub from moving anything by itself now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    any: Option<Frozen>,
    exclusive: Option<Frozen>,
}

impl Verdict {
    /// Why nothing moves that nobody ordered, of what is Exclusive or of what is not.
    pub(super) fn frozen(&self, is_exclusive: bool) -> Option<&Frozen> {
        if is_exclusive { self.exclusive.as_ref() } else { self.any.as_ref() }
    }
}

/// What keeps the hub, and when that ends.
#[derive(Debug)]
pub(super) struct Doubts {
    verdict: Verdict,
    paused_at: Option<Now>,
    hold_until: Option<BootTime>,
    /// When the next of it ends by time alone.
    due_at: Option<BootTime>,
    /// Which silence was looked at.
    silence_version: Option<u64>,
    /// The longest lease that was promised when this hub started: an earlier one may have promised it until then.
    longest_promise: Duration,
}

/// What changed by a look.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Judged {
    /// Something that was kept may move now.
    pub(super) is_thawed: bool,
    /// The hub has begun to doubt itself.
    pub(super) is_frozen_anew: bool,
    /// A maintenance hold is over.
    pub(super) is_hold_over: bool,
}

impl Doubts {
    pub(super) fn new(world: &World) -> Self {
        let grants = |state: &State| {
            let grants = state.failovers().values().filter_map(|stored| stored.value.grant.as_ref());
            grants.map(nave_common::failover::state::Grant::promised).max().unwrap_or_default()
        };
        Self {
            verdict: Verdict::default(),
            paused_at: None,
            hold_until: None,
            due_at: None,
            silence_version: None,
            longest_promise: world.read(grants),
        }
    }

    pub(super) fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    /// When it is to be looked at again though nothing changes.
    pub(super) fn due_at(&self) -> Option<BootTime> {
        self.due_at
    }

    /// Whether it was looked at since clusters fell silent or came back, and since the hub was found to have been away.
    pub(super) fn is_current(&self, state: &State, late_at: Option<BootTime>) -> bool {
        self.silence_version == Some(state.silence_version()) && self.paused_at.map(|at| at.boot) == late_at
    }

    /// Looks at everything anew.
    pub(super) fn judge(
        &mut self,
        world: &World,
        late_at: Option<BootTime>,
        now: Now,
        news: &mut News,
    ) -> Judged {
        if self.paused_at.map(|at| at.boot) != late_at {
            // A pause is found when it is over.
            self.paused_at = late_at.map(|boot| Now { boot, wall: now.wall });
        }
        let options = world.options();
        let freeze = options.failover.startup_freeze(options.liveness_lease);
        let percent = options.failover.freeze_above_percent;
        let ((any, exclusive), version, hold_until, shown_until) = world.read(|state| {
            let doubt = |freeze| self.doubt(state, freeze, percent, now);
            let doubts = (doubt(freeze), doubt(freeze.max(self.longest_promise)));
            let shown_until = state.hub_failover().value.maintenance_until;
            (doubts, state.silence_version(), state.hold_until(now.boot), shown_until)
        });
        self.silence_version = Some(version);
        let before =
            std::mem::replace(&mut self.verdict, Verdict { any: any.frozen, exclusive: exclusive.frozen });
        let was_held = std::mem::replace(&mut self.hold_until, hold_until).is_some();
        self.due_at = [any.look_at, exclusive.look_at, hold_until].into_iter().flatten().min();
        let judged = Judged {
            is_thawed: before.any.is_some() && self.verdict.any.is_none()
                || before.exclusive.is_some() && self.verdict.exclusive.is_none(),
            is_frozen_anew: before.exclusive.is_none() && self.verdict.exclusive.is_some(),
            is_hold_over: was_held && hold_until.is_none(),
        };
        self.tell(&before, now, news);
        world.set_hub_failover_view(HubFailover {
            frozen: self.shown().cloned(),
            // For people: it is counted on the boot clock.
            maintenance_until: shown_until.filter(|_| hold_until.is_some()),
        });
        judged
    }

    fn doubt(&self, state: &State, freeze: Duration, freeze_above_percent: u8, now: Now) -> Doubt {
        let started_at = state.started();
        let clusters: Vec<Heard<'_>> = state
            .clusters()
            .iter()
            .filter(|(_, entry)| was_expected(entry, started_at))
            .map(|(cluster, entry)| Heard {
                cluster,
                region: entry.record.value.metadata.labels.get("region").map(String::as_str),
                silent_since: silent_since(entry, state),
            })
            .collect();
        let said = &state.hub_failover().value;
        // Whoever thawed this process knew that it was restored; of an earlier one only the wall times tell.
        let is_thawed = |at: Timestamp| {
            state.thawed_at().is_some() || said.thawed_at.is_some_and(|thawed_at| thawed_at >= at)
        };
        let restored = state.restored().filter(|it| state.waiting_count() > 0 && !is_thawed(it.value.at));
        let doubts = doubt::Doubts {
            started_at,
            freeze,
            paused_at: self.paused_at.map(|at| Now { wall: state.steady(at.boot), ..at }),
            frozen_by: said.frozen.as_ref().map(|frozen| (frozen.by.as_str(), frozen.since)),
            thawed_at: state.thawed_at().map(|at| state.steady(at)),
            restored_at: restored.map(|restored| restored.value.at),
            clusters: &clusters,
            freeze_above_percent,
        };
        doubt::doubt(&doubts, now)
    }

    /// What people are shown: what lasts longest.
    fn shown(&self) -> Option<&Frozen> {
        self.verdict.exclusive.as_ref().or(self.verdict.any.as_ref())
    }

    pub(super) fn is_frozen(&self) -> bool {
        self.shown().is_some()
    }

    fn tell(&self, before: &Verdict, now: Now, news: &mut News) {
        let was = before.exclusive.as_ref().or(before.any.as_ref());
        match (was, self.shown()) {
            (None, Some(frozen)) => {
                tracing::warn!(reason = frozen.reason, "failover is frozen");
                let message = format!("nothing moves by itself: {}", frozen.reason);
                news.note_hub(now.wall, Severity::Warning, "FailoverFrozen", message);
            }
            (Some(was), Some(frozen)) if was.reason != frozen.reason => {
                tracing::warn!(reason = frozen.reason, "failover stays frozen");
            }
            (Some(was), None) => {
                tracing::info!(reason = was.reason, "failover is no longer frozen");
                let message = "what has reason to moves by itself again".to_owned();
                news.note_hub(now.wall, Severity::Normal, "FailoverThawed", message);
            }
            _ => {}
        }
    }
}

/// Whether a cluster should be heard: one that joined since the hub started, and whose agent never came, says nothing.
fn was_expected(entry: &ClusterEntry, started_at: Now) -> bool {
    let joined_at = entry.record.value.metadata.created_at;
    entry.observed.liveness != Liveness::Unheard || joined_at.is_none_or(|at| at < started_at.wall)
}

/// Since when a cluster is not heard, by the time that does not jump; `None` while it is.
fn silent_since(entry: &ClusterEntry, state: &State) -> Option<Timestamp> {
    let started_at = state.started().wall;
    match entry.observed.liveness {
        Liveness::Alive | Liveness::Suspect => None,
        Liveness::Lost => {
            entry.observed.facts.lost_since.map(|since| state.steady(since.boot)).or(Some(started_at))
        }
        Liveness::Unheard => Some(started_at),
    }
}
