//! Failover: how applications stand, and what would move.

use nave_common::failover::state::{Move, MovePhase};
use nave_common::failover::{FailoverView, PlannedMove};
use nave_common::name::ClusterName;
use nave_common::time::Timestamp;
use serde_json::Value;

use super::{application_name, key_cells, key_columns};
use crate::exit::Outcome;
use crate::output::{Cell, Row, Shape, Tone, age, as_resource};

/// How many clusters one cell names.
const MAX_NAMED: usize = 3;

impl From<MovePhase> for Tone {
    fn from(phase: MovePhase) -> Self {
        match phase {
            MovePhase::Proposed | MovePhase::Fencing | MovePhase::Applying | MovePhase::Settling => {
                Self::Busy
            }
            MovePhase::Unplaced => Self::Bad,
            MovePhase::Done => Self::Good,
            MovePhase::Aborted => Self::Dim,
        }
    }
}

/// `eu-1->us-1`; `eu-1->?` while it is not decided where it goes.
pub(crate) fn way(it: &Move) -> String {
    format!("{}->{}", it.from, it.to.as_ref().map_or("?", ClusterName::as_str))
}

/// `eu-1,eu-2,eu-3,+4`
fn named<'a>(clusters: impl IntoIterator<Item = &'a ClusterName>) -> String {
    let all: Vec<&str> = clusters.into_iter().map(ClusterName::as_str).collect();
    let mut shown: Vec<String> = all.iter().take(MAX_NAMED).map(|name| (*name).to_owned()).collect();
    if all.len() > MAX_NAMED {
        shown.push(format!("+{}", all.len() - MAX_NAMED));
    }
    shown.join(",")
}

/// How long a lease runs yet.
pub(crate) fn lease_text(ends_at: Option<Timestamp>, now: Timestamp) -> (String, Tone) {
    match ends_at {
        Some(at) if at > now => (age(Some(now), at), Tone::Plain),
        Some(_) => ("over".to_owned(), Tone::Busy),
        None => (String::new(), Tone::Plain),
    }
}

impl Row for FailoverView {
    fn columns(shape: &Shape) -> Vec<&'static str> {
        let mut columns = key_columns(shape, "NAME");
        columns.extend(["MODE", "ACTIVE", "PARKED", "EPOCH", "LEASE", "MOVE", "PHASE"]);
        if shape.wide {
            columns.extend(["FENCE", "PRIORITY", "HOME", "MOVED"]);
        }
        columns.push("REASON");
        columns
    }

    fn cells(&self, shape: &Shape) -> Vec<Cell> {
        let state = &self.state;
        let newest = state.moves.last();
        let more = match state.moves.len() {
            0 | 1 => String::new(),
            several => format!(",+{}", several - 1),
        };
        let (lease, lease_tone) = lease_text(self.lease_ends_at, shape.now);
        let mut cells = key_cells(&state.application, shape);
        cells.extend([
            Cell::new(self.failover.mode.to_string()),
            Cell::new(named(&self.active)),
            Cell::new(named(state.parked.keys())),
            Cell::new(state.grant.as_ref().map(|grant| grant.epoch.to_string()).unwrap_or_default()),
            Cell::toned(lease, lease_tone),
            Cell::new(newest.map(|it| format!("{}{more}", way(it))).unwrap_or_default()),
            newest.map_or_else(|| Cell::new(""), |it| Cell::state(it.phase)),
        ]);
        if shape.wide {
            let rules = self.failover.exclusive_rules();
            let home = state.parked.iter().filter(|(_, parked)| parked.is_home).map(|(name, _)| name);
            cells.extend([
                Cell::new(rules.map(|rules| rules.fence.to_string()).unwrap_or_default()),
                Cell::new(self.failover.priority.to_string()),
                Cell::new(named(home)),
                Cell::new(age(state.history.first().and_then(|it| it.times.ended_at), shape.now)),
            ]);
        }
        cells.push(Cell::new(reason(self)));
        cells
    }

    fn name(&self) -> String {
        format!("application/{}", application_name(&self.state.application))
    }

    fn document(&self) -> Outcome<Value> {
        as_resource("Failover", self)
    }
}

/// What there is to know of the newest move, or of what was ordered and not begun.
fn reason(view: &FailoverView) -> String {
    match (view.state.moves.last(), view.state.orders.len()) {
        (Some(it), _) => it.reason.clone(),
        (None, 0) => String::new(),
        (None, 1) => "1 order waits".to_owned(),
        (None, count) => format!("{count} orders wait"),
    }
}

impl Row for PlannedMove {
    fn columns(shape: &Shape) -> Vec<&'static str> {
        let mut columns = key_columns(shape, "APPLICATION");
        columns.extend(["MODE", "FROM", "TO", "CAUSE", "REASON"]);
        columns
    }

    fn cells(&self, shape: &Shape) -> Vec<Cell> {
        let to = match &self.to {
            Some(to) => Cell::new(to.as_str()),
            None => Cell::toned("nowhere", Tone::Bad),
        };
        let mut cells = key_cells(&self.application, shape);
        cells.extend([
            Cell::new(self.mode.to_string()),
            Cell::new(self.from.as_str()),
            to,
            Cell::new(self.cause.to_string()),
            Cell::new(self.reason.as_str()),
        ]);
        cells
    }

    fn name(&self) -> String {
        format!("application/{}", application_name(&self.application))
    }

    fn document(&self) -> Outcome<Value> {
        as_resource("PlannedMove", self)
    }
}
