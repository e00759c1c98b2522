//! The part of a page that is about failover.

use nave_common::failover::FailoverView;
use nave_common::name::ClusterName;
use nave_common::time::Timestamp;

use super::super::failover::status::{details, facts_of};
use super::heading;
use crate::exit::Outcome;
use crate::output::{Cell, Printer, Table, age, application_name, lease_text, way};

/// Of one application.
pub(super) fn describe(view: &FailoverView, now: Timestamp, printer: &mut Printer) -> Outcome<()> {
    heading(printer, "Failover")?;
    let mut facts = Table::without_header(2).indented(2);
    // The page has named the application already.
    for (name, value, tone) in facts_of(view, now).into_iter().skip(1) {
        facts.push(vec![Cell::new(format!("{name}:")), Cell::toned(value, tone)]);
    }
    facts.print(printer)?;
    details(view, now, 2, printer)
}

/// Of one cluster: which exclusive leases it holds, and what leaves it or comes to it. Nothing, where there is nothing.
pub(super) fn of_cluster(
    name: &ClusterName,
    failovers: &[FailoverView],
    now: Timestamp,
    printer: &mut Printer,
) -> Outcome<()> {
    let mut table = Table::new(vec!["APPLICATION", "WHAT", "PHASE", "SINCE", "REASON"]).indented(2);
    let mut is_empty = true;
    for view in failovers {
        let state = &view.state;
        let application = || Cell::new(application_name(&state.application));
        if let Some(grant) = state.grant.as_ref().filter(|grant| grant.cluster == *name) {
            let (lease, tone) = lease_text(view.lease_ends_at, now);
            let phase = if grant.release.is_some() { "Released" } else { "Held" };
            is_empty = false;
            table.push(vec![
                application(),
                Cell::new(format!("lease, epoch {}", grant.epoch)),
                Cell::new(phase),
                Cell::new(age(Some(grant.granted_at), now)),
                Cell::toned(
                    if lease == "over" { "is over".to_owned() } else { format!("ends in {lease}") },
                    tone,
                ),
            ]);
        }
        for it in state.moves.iter().filter(|it| it.from == *name || it.to.as_ref() == Some(name)) {
            is_empty = false;
            table.push(vec![
                application(),
                Cell::new(way(it)),
                Cell::state(it.phase),
                Cell::new(age(it.times.detected_at.or(it.times.decided_at), now)),
                Cell::new(it.reason.as_str()),
            ]);
        }
    }
    if !is_empty {
        heading(printer, "Failover")?;
        table.print(printer)?;
    }
    Ok(())
}
