//! Why an application is where it is.

use nave_common::field::FieldError;
use nave_common::placement::{Decision, Verdict};
use nave_common::status::PlacementReport;

use super::{by_value, enumerated, list, parsed, same_enum, wire_list};
use crate::v1;

impl TryFrom<v1::PlacementReport> for PlacementReport {
    type Error = FieldError;

    fn try_from(wire: v1::PlacementReport) -> Result<Self, FieldError> {
        Ok(Self {
            decisions: list(wire.decisions, "decisions")?,
            unplaced_count: wire.unplaced_count,
            problems: wire.problems,
        })
    }
}

impl From<&PlacementReport> for v1::PlacementReport {
    fn from(report: &PlacementReport) -> Self {
        Self {
            decisions: wire_list(&report.decisions),
            unplaced_count: report.unplaced_count,
            problems: report.problems.clone(),
        }
    }
}

impl TryFrom<v1::Decision> for Decision {
    type Error = FieldError;

    fn try_from(wire: v1::Decision) -> Result<Self, FieldError> {
        Ok(Self {
            cluster: parsed(&wire.cluster, "cluster")?,
            verdict: enumerated::<v1::Verdict, _>(wire.verdict, "verdict")?,
            reason: wire.reason,
        })
    }
}

impl From<&Decision> for v1::Decision {
    fn from(decision: &Decision) -> Self {
        Self {
            cluster: decision.cluster.to_string(),
            verdict: v1::Verdict::from(decision.verdict).into(),
            reason: decision.reason.clone(),
        }
    }
}

same_enum!(v1::Verdict, Verdict, [Chosen, NotNow, Excluded]);

by_value!(PlacementReport => v1::PlacementReport, Decision => v1::Decision);
