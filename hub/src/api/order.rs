//! What people order of one application: that it moves, that a move is made or given up, that an old copy is dead.
//!
//! An order is checked against what is known now and left in the application's failover record, in one commit with the
//! event that tells of it. The planner takes it from there: it alone decides.

use nave_common::application::Application;
use nave_common::event::{Event, Severity};
use nave_common::failover::FailoverMode;
use nave_common::failover::state::{
    Cause, FailoverState, Grant, MAX_ORDERS, Move, MovePhase, Order, OrderKind,
};
use nave_common::name::{ApplicationKey, ClusterName};
use nave_common::placement::Verdict;
use nave_common::status::Liveness;
use nave_proto::v1;

use super::call::Call;
use super::change::{self, Attempts};
use super::{failover, read, view};
use crate::control;
use crate::error::Error;
use crate::events;
use crate::parts::Parts;
use crate::records::{Name, Record};
use crate::store::{Expect, Transaction};
use crate::world::State;

/// The most clusters that a refusal names.
const MAX_NAMES: usize = 5;

/// Leaves an order with the planner.
///
/// # Errors
/// Where it makes no sense as things are, with what does; then nothing is ordered.
pub(super) async fn order(
    parts: &Parts,
    call: &Call,
    request: v1::OrderFailoverRequest,
) -> Result<v1::OrderFailoverResponse, Error> {
    let key = read::key(request.application)?;
    let mut wire = request.order.ok_or_else(|| Error::field("order", "is missing"))?;
    wire.at_ms = parts.now().as_millis();
    let mut order = Order::try_from(wire).map_err(|error| Error::Field(error.under("order")))?;
    order.by = call.user.to_string();
    order.change_id.clone_from(&call.change_id);
    let mut attempts = Attempts::of(parts, format!("failover of application {key}"));
    loop {
        match try_order(parts, call, &key, &order, request.dry_run).await {
            Err(error) => attempts.after(error).await?,
            ordered => return ordered,
        }
    }
}

async fn try_order(
    parts: &Parts,
    call: &Call,
    key: &ApplicationKey,
    order: &Order,
    dry_run: bool,
) -> Result<v1::OrderFailoverResponse, Error> {
    let current = change::current(parts, key).await?.ok_or_else(|| view::no_application(key))?;
    change::check_alive(&current.application)?;
    let name = Name::Failover(key.clone()).key()?;
    let entry = parts.store.get(&name).await?;
    let mut state = FailoverState::new(key.clone());
    if let Some(entry) = &entry {
        if let Some(Record::Failover(found)) = Record::parse(&entry.key, &entry.value)? {
            state = *found;
        }
        parts.caught_up(entry.sequence).await?;
    }
    let said = parts.world.read(|world| {
        if !world.may_plan(key) {
            let why = world.holding(key).map(|holding| holding.reason()).unwrap_or_default();
            return Err(Error::Refused(format!("application {key} waits after a restore: {why}")));
        }
        let scene = Scene { world, application: &current.application, state: &state };
        scene.check(&order.what)
    })?;
    let is_waiting = state.orders.iter().any(|waiting| waiting.what == order.what);
    if !dry_run && !is_waiting {
        if state.orders.len() >= MAX_ORDERS {
            return Err(Error::Exhausted(format!(
                "application {key} has {MAX_ORDERS} orders that the hub has not taken yet; try again in a moment"
            )));
        }
        state.orders.push(order.clone());
        let event = Event {
            at: order.at,
            severity: Severity::Normal,
            reason: "FailoverOrdered".into(),
            message: format!("{} ordered: {said}", order.by),
            application: Some(key.clone()),
            cluster: None,
            change_id: call.change_id.clone(),
        };
        let mut transaction = Transaction::new()
            .expect(Name::Application(key.clone()).key()?, Expect::Sequence(current.sequence))
            .expect(name, Expect::same_as(entry.as_ref()));
        transaction.writes.push(Record::Failover(Box::new(state)).write()?);
        transaction.writes.push(events::record(event).write()?);
        let sequence = parts.commit(transaction).await?;
        tracing::info!(
            application = %key,
            change_id = call.change_id,
            user = %call.user,
            order = said,
            %sequence,
            "failover ordered"
        );
    }
    let shown = failover::of(parts, key).ok_or_else(|| view::no_application(key))?;
    Ok(v1::OrderFailoverResponse { failover: Some(shown.into()), change_id: call.change_id.clone() })
}

/// What an order is checked against.
struct Scene<'a> {
    world: &'a State,
    application: &'a Application,
    state: &'a FailoverState,
}

impl Scene<'_> {
    /// Says the order in words, for the event.
    fn check(&self, what: &OrderKind) -> Result<String, Error> {
        match what {
            OrderKind::Move { from, to } => self.check_move(from.as_ref(), to.as_ref()),
            OrderKind::Approve { number } => self.check_approve(*number),
            OrderKind::Abort { number } => self.check_abort(*number),
            OrderKind::ConfirmFenced { cluster, epoch, .. } => {
                let key = self.application.key();
                let Some(grant) = &self.state.grant else {
                    return Err(Error::Refused(format!(
                        "application {key} holds no exclusive lease anywhere: there is nothing to confirm"
                    )));
                };
                self.check_fenced(grant, cluster)?;
                if *epoch < grant.epoch {
                    return Err(Error::field(
                        "order.confirmFenced.epoch",
                        format!(
                            "is {epoch}, and {cluster} runs {key} under epoch {}: what was seen dead is an older copy; \
                             look again",
                            grant.epoch
                        ),
                    ));
                }
                Ok(format!("what ran in {cluster} under epoch {} is dead", grant.epoch))
            }
        }
    }

    fn check_move(&self, from: Option<&ClusterName>, to: Option<&ClusterName>) -> Result<String, Error> {
        let key = self.application.key();
        if self.application.spec.placement.count.is_none() {
            return Err(Error::Refused(format!(
                "application {key} runs in every cluster that its placement matches, so it has nowhere to go; \
                 set spec.placement.count, or take single clusters away with nave drain"
            )));
        }
        let active = failover::active(self.world, &key);
        let from = match (from, active.as_slice()) {
            (_, []) => {
                return Err(Error::Refused(format!(
                    "application {key} runs in no cluster now, so there is nothing to move; \
                     nave failover status {key} says what it waits for"
                )));
            }
            (Some(from), active) if !active.contains(from) => {
                return Err(Error::Refused(format!(
                    "application {key} does not run in {from}; it runs in {}",
                    named(active)
                )));
            }
            (Some(from), _) => from,
            (None, [only]) => only,
            (None, several) => {
                return Err(Error::field(
                    "order.move.from",
                    format!(
                        "is missing, and application {key} runs in {}: say which it leaves",
                        named(several)
                    ),
                ));
            }
        };
        let is_under_way = |it: &&Move| {
            it.from == *from
                && matches!(it.phase, MovePhase::Fencing | MovePhase::Applying | MovePhase::Settling)
        };
        if let Some(busy) = self.state.moves.iter().find(is_under_way) {
            return Err(Error::Refused(format!(
                "{} of application {key} is under way; wait until it is done",
                described(busy)
            )));
        }
        match to {
            None => Ok(format!("it leaves {from}")),
            Some(to) => {
                self.check_target(from, to, &active)?;
                Ok(format!("it moves from {from} to {to}"))
            }
        }
    }

    /// Refuses a cluster that cannot take the application now.
    fn check_target(
        &self,
        from: &ClusterName,
        to: &ClusterName,
        active: &[ClusterName],
    ) -> Result<(), Error> {
        let key = self.application.key();
        view::known_cluster(self.world, to)?;
        if to == from || active.contains(to) {
            return Err(Error::Refused(format!("application {key} runs in {to} already")));
        }
        let Some(entry) = self.world.clusters().get(to) else { return Err(view::no_cluster(to)) };
        let spec = &entry.record.value.spec;
        if spec.cordoned || spec.drained {
            let word = if spec.drained { "drained" } else { "cordoned" };
            return Err(Error::Refused(format!(
                "cluster {to} is {word}: nothing new comes there; nave uncordon {to} first"
            )));
        }
        let liveness = entry.observed.liveness;
        if !matches!(liveness, Liveness::Alive | Liveness::Suspect) {
            return Err(Error::Refused(format!(
                "cluster {to} is {liveness}: it cannot start anything; choose another"
            )));
        }
        // With all clusters wanted, each is chosen that qualifies.
        let mut everywhere = self.application.clone();
        everywhere.spec.placement.count = None;
        let requests = self.world.latest_revision(&key).map(|revision| revision.requests).unwrap_or_default();
        let report = control::preview(self.world, &everywhere, requests);
        match report.decisions.iter().find(|decision| decision.cluster == *to) {
            Some(decision) if decision.verdict != Verdict::Chosen => Err(Error::Refused(format!(
                "application {key} cannot run in cluster {to}: {}",
                decision.reason
            ))),
            _ => Ok(()),
        }
    }

    fn check_approve(&self, number: u64) -> Result<String, Error> {
        let it = self.find(number)?;
        if it.phase != MovePhase::Proposed {
            let key = self.application.key();
            return Err(Error::Refused(format!("{} of application {key} needs no approval", described(it))));
        }
        Ok(format!("move {number} is approved"))
    }

    fn check_abort(&self, number: u64) -> Result<String, Error> {
        let it = self.find(number)?;
        let (key, from) = (self.application.key(), &it.from);
        let what_ends_it = match it.cause {
            Cause::Drained => Some(format!("nave uncordon {from} ends the drain")),
            Cause::Placement => Some("the placement, or a taint, is what sends it away".to_owned()),
            _ => None,
        };
        if let Some(what_ends_it) = what_ends_it {
            return Err(Error::Refused(format!(
                "{} of application {key} would begin anew at once: {what_ends_it}",
                described(it)
            )));
        }
        let is_exclusive = self.application.spec.failover.mode == FailoverMode::Exclusive;
        if is_exclusive && self.state.grant.as_ref().is_some_and(|grant| grant.release.is_some()) {
            return Err(Error::Refused(format!(
                "{} of application {key} can no longer be given up: its lease is being taken back from {from}; \
                 nave failover run {key} --to {from} brings it back afterwards",
                described(it)
            )));
        }
        let can_abort = match it.phase {
            MovePhase::Proposed | MovePhase::Unplaced | MovePhase::Fencing => true,
            // Made before it breaks: the old copy still runs.
            MovePhase::Applying | MovePhase::Settling => {
                !is_exclusive && failover::active(self.world, &key).contains(from)
            }
            MovePhase::Done | MovePhase::Aborted => false,
        };
        if can_abort {
            return Ok(format!("move {number} is given up"));
        }
        let away = it.to.as_ref().map_or_else(|| "away".to_owned(), |to| format!("in {to}"));
        Err(Error::Refused(format!(
            "{} of application {key} can no longer be given up: it is {away} already; \
             nave failover run {key} --to {from} brings it back",
            described(it)
        )))
    }

    /// The move of that number that is under way.
    fn find(&self, number: u64) -> Result<&Move, Error> {
        let key = self.application.key();
        if let Some(it) = self.state.moves.iter().find(|it| it.number == number) {
            return Ok(it);
        }
        if let Some(it) = self.state.history.iter().find(|it| it.number == number) {
            return Err(Error::Refused(format!("{} of application {key} is over", described(it))));
        }
        let under_way: Vec<String> =
            self.state.moves.iter().map(|it| format!("{} ({})", it.number, it.phase)).collect();
        Err(Error::NotFound(if under_way.is_empty() {
            format!("application {key} has no move {number}: nothing of it moves")
        } else {
            format!("application {key} has no move {number}; under way: {}", under_way.join(", "))
        }))
    }

    /// Refuses a word that an old copy is dead where there is no old copy, or where its cluster can be asked.
    fn check_fenced(&self, grant: &Grant, cluster: &ClusterName) -> Result<(), Error> {
        let key = self.application.key();
        if grant.cluster != *cluster {
            return Err(Error::Refused(format!(
                "application {key} is held by {}, not by {cluster}: what ran in {cluster} is known to be dead already",
                grant.cluster
            )));
        }
        let liveness = self.world.clusters().get(cluster).map(|entry| entry.observed.liveness);
        match &grant.release {
            Some(release) if release.fenced.is_some() => Err(Error::Refused(format!(
                "what ran of application {key} in {cluster} is known to be dead already"
            ))),
            Some(_) => Ok(()),
            None => {
                let is_silent = !matches!(liveness, Some(Liveness::Alive | Liveness::Suspect));
                // The planner takes the word only with something to do about it.
                if is_silent && self.state.moves.iter().any(|it| it.from == *cluster) {
                    return Ok(());
                }
                let state = liveness.map_or_else(|| "no longer there".into(), |it| it.to_string());
                Err(Error::Refused(format!(
                    "application {key} is to run in {cluster}, which is {state}, and nothing takes it away; \
                     nave failover run {key} --from {cluster} does"
                )))
            }
        }
    }
}

fn described(it: &Move) -> String {
    let to = it.to.as_ref().map(|to| format!(" to {to}")).unwrap_or_default();
    format!("move {} (from {}{to}, {})", it.number, it.from, it.phase)
}

fn named(clusters: &[ClusterName]) -> String {
    let shown = clusters.iter().take(MAX_NAMES).map(ClusterName::as_str).collect::<Vec<_>>().join(", ");
    match clusters.len().saturating_sub(MAX_NAMES) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
