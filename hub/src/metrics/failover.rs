//! What the hub counts of failover.

use std::time::Duration;

use nave_common::failover::state::{Cause, MovePhase};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

/// The counters of failover.
#[derive(Debug)]
pub struct FailoverMetrics {
    /// One while the hub moves nothing by itself.
    pub frozen: Gauge,
    /// Times that the hub froze.
    pub freezes: Counter,
    /// Exclusive leases that are granted and not being taken back.
    pub leases: Gauge,
    /// Moves that wait until an old copy is known to be dead.
    pub fencing: Gauge,
    renewals: Counter,
    refused_renewals: Counter,
    moves: Family<MoveLabels, Counter>,
    applied: Histogram,
    webhook_calls: Family<WebhookLabels, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MoveLabels {
    phase: String,
    cause: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WebhookLabels {
    fenced: &'static str,
}

impl FailoverMetrics {
    /// Counters at zero.
    pub(super) fn new() -> Self {
        Self {
            frozen: Gauge::default(),
            freezes: Counter::default(),
            leases: Gauge::default(),
            fencing: Gauge::default(),
            renewals: Counter::default(),
            refused_renewals: Counter::default(),
            moves: Family::default(),
            // From a hundredth of a second to eleven minutes.
            applied: Histogram::new(exponential_buckets(0.01, 2.0, 17)),
            webhook_calls: Family::default(),
        }
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "failover_frozen",
            "Whether nothing moves by itself, because the hub doubts itself or a person said so",
            self.frozen.clone(),
        );
        registry.register("failover_freezes", "Times that the hub froze", self.freezes.clone());
        registry.register(
            "failover_leases",
            "Exclusive leases that are granted and not being taken back",
            self.leases.clone(),
        );
        registry.register(
            "failover_fencing",
            "Moves that wait until an old copy is known to be dead",
            self.fencing.clone(),
        );
        registry.register("failover_renewals", "Exclusive leases renewed", self.renewals.clone());
        registry.register(
            "failover_refused_renewals",
            "Exclusive leases that were asked for and not renewed",
            self.refused_renewals.clone(),
        );
        registry.register("failover_moves", "Moves by the phase they reached and cause", self.moves.clone());
        registry.register_with_unit(
            "failover_applied",
            "From the moment when the hub noticed a cause until the new cluster had applied the application",
            Unit::Seconds,
            self.applied.clone(),
        );
        registry.register(
            "failover_webhook_calls",
            "Calls of the fencing webhook, by whether it said that the old copy is dead",
            self.webhook_calls.clone(),
        );
    }

    /// Counts one heartbeat's renewals: how many leases were renewed of those asked for.
    pub fn renewed(&self, renewed_count: usize, asked_count: usize) {
        self.renewals.inc_by(renewed_count as u64);
        self.refused_renewals.inc_by(asked_count.saturating_sub(renewed_count) as u64);
    }

    /// Counts a move that reached a phase.
    pub fn reached(&self, phase: MovePhase, cause: Cause) {
        let labels = MoveLabels { phase: phase.to_string(), cause: cause.to_string() };
        self.moves.get_or_create(&labels).inc();
    }

    /// Counts a move that was applied so long after its cause was noticed.
    pub fn applied_after(&self, duration: Duration) {
        self.applied.observe(duration.as_secs_f64());
    }

    /// Counts an answer of the fencing webhook.
    pub fn webhook_answered(&self, is_fenced: bool) {
        let fenced = if is_fenced { "true" } else { "false" };
        self.webhook_calls.get_or_create(&WebhookLabels { fenced }).inc();
    }
}
