//! What goes with time: old Revisions, and an application that everyone has let go of.

use std::collections::BTreeSet;

use super::assign::{Inputs, Plan, running};

/// The most Revisions that go in one plan, so that they fit one transaction.
const MAX_TRIMMED: usize = 50;

/// Decides which Revisions go, and whether the application itself does. The newest goes only with the application, and
/// one that a cluster is still told to run stays.
pub(super) fn trim(plan: &mut Plan, inputs: &Inputs<'_>) {
    if inputs.application.metadata.deleted_at.is_some() {
        // One step later than the last tombstone, so that nothing refers to what is deleted.
        if inputs.told.is_empty() {
            plan.trimmed = inputs.revisions.iter().copied().take(MAX_TRIMMED).collect();
            plan.is_gone = inputs.revisions.len() <= MAX_TRIMMED;
        }
        return;
    }
    let limit = usize::try_from(inputs.application.spec.revision_history_limit).unwrap_or(usize::MAX).max(1);
    let excess = inputs.revisions.len().saturating_sub(limit);
    if excess > 0 {
        let in_use: BTreeSet<u64> = running(inputs.told).map(|(_, run)| run.revision).collect();
        let oldest = inputs.revisions.iter().copied().take(excess);
        plan.trimmed = oldest.filter(|number| !in_use.contains(number)).take(MAX_TRIMMED).collect();
    }
}
