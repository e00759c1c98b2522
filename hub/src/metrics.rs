//! What the hub counts of itself, for Prometheus. No label names an object or a person, so that the number of series is
//! fixed, and nothing here is secret.

mod failover;

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

pub use failover::FailoverMetrics;

/// The counters of one hub.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Live streams of agents.
    pub sessions: Gauge,
    /// Streams that a newer one of the same cluster replaced.
    pub replaced_sessions: Counter,
    /// Open connections, with TLS done.
    pub connections: Gauge,
    /// TLS handshakes that failed or took too long.
    pub failed_handshakes: Counter,
    /// Connections refused because there were too many.
    pub refused_connections: Counter,
    /// Applications that wait to be looked at for their agents.
    pub outbox_depth: Gauge,
    /// Parts of status reports that could not be read.
    pub dropped_statuses: Counter,
    /// Watching clients.
    pub watches: Gauge,
    /// Times that a watching client was too slow and started over.
    pub resyncs: Counter,
    /// Bytes of bundles sent to agents.
    pub bundle_sent_bytes: Counter,
    /// Bytes of bundles taken in.
    pub bundle_received_bytes: Counter,
    /// Lines of the audit log that the disk refused.
    pub refused_audit_lines: Counter,
    /// Failover.
    pub failover: FailoverMetrics,
    applies: Family<ApplyLabels, Counter>,
    commit: Histogram,
    clusters: Family<LivenessLabels, Gauge>,
    applications: Gauge,
    held_applications: Gauge,
    store_sequence: Gauge<u64, AtomicU64>,
}

/// What an apply came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Applied {
    /// It was new.
    Created,
    /// It was changed.
    Configured,
    /// It was there as it was sent.
    Unchanged,
    /// It was only tried.
    DryRun,
    /// It was refused.
    Refused,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ApplyLabels {
    outcome: Applied,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LivenessLabels {
    liveness: &'static str,
}

/// What is read from elsewhere at the moment of a scrape.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scrape {
    /// Clusters by liveness.
    pub clusters: Vec<(&'static str, u64)>,
    /// Applications.
    pub application_count: u64,
    /// Applications that wait after a restore.
    pub held_count: u64,
    /// The store's last sequence.
    pub store_sequence: u64,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Counters at zero.
    #[must_use]
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("nave_hub"),
            sessions: Gauge::default(),
            replaced_sessions: Counter::default(),
            connections: Gauge::default(),
            failed_handshakes: Counter::default(),
            refused_connections: Counter::default(),
            outbox_depth: Gauge::default(),
            dropped_statuses: Counter::default(),
            watches: Gauge::default(),
            resyncs: Counter::default(),
            bundle_sent_bytes: Counter::default(),
            bundle_received_bytes: Counter::default(),
            refused_audit_lines: Counter::default(),
            failover: FailoverMetrics::new(),
            applies: Family::default(),
            // From a quarter of a millisecond to four seconds.
            commit: Histogram::new(exponential_buckets(0.000_25, 2.0, 15)),
            clusters: Family::default(),
            applications: Gauge::default(),
            held_applications: Gauge::default(),
            store_sequence: Gauge::default(),
        };
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        self.failover.register(registry);
        registry.register("sessions", "Live streams of agents", self.sessions.clone());
        registry.register(
            "replaced_sessions",
            "Streams replaced by a newer one of the same cluster",
            self.replaced_sessions.clone(),
        );
        registry.register("connections", "Open connections", self.connections.clone());
        registry.register(
            "failed_handshakes",
            "TLS handshakes that failed or took too long",
            self.failed_handshakes.clone(),
        );
        registry.register(
            "refused_connections",
            "Connections refused because there were too many",
            self.refused_connections.clone(),
        );
        registry.register("outbox_depth", "Applications waiting for their agents", self.outbox_depth.clone());
        registry.register(
            "dropped_statuses",
            "Parts of status reports that could not be read",
            self.dropped_statuses.clone(),
        );
        registry.register("watches", "Watching clients", self.watches.clone());
        registry.register(
            "resyncs",
            "Watching clients that were too slow and started over",
            self.resyncs.clone(),
        );
        registry.register_with_unit(
            "bundle_sent",
            "Bytes of bundles sent to agents",
            Unit::Bytes,
            self.bundle_sent_bytes.clone(),
        );
        registry.register_with_unit(
            "bundle_received",
            "Bytes of bundles taken in",
            Unit::Bytes,
            self.bundle_received_bytes.clone(),
        );
        registry.register(
            "refused_audit_lines",
            "Lines of the audit log that the disk refused; they are in the ordinary log",
            self.refused_audit_lines.clone(),
        );
        registry.register("applies", "Applications applied, by outcome", self.applies.clone());
        registry.register_with_unit(
            "commit",
            "How long a write took to be durable",
            Unit::Seconds,
            self.commit.clone(),
        );
        registry.register("clusters", "Clusters by liveness", self.clusters.clone());
        registry.register("applications", "Applications", self.applications.clone());
        registry.register(
            "held_applications",
            "Applications that wait after a restore, for their agents or for a person",
            self.held_applications.clone(),
        );
        registry.register("store_sequence", "The last write of the store", self.store_sequence.clone());
    }

    /// Counts an apply.
    pub fn applied(&self, outcome: Applied) {
        self.applies.get_or_create(&ApplyLabels { outcome }).inc();
    }

    /// Counts a write that took this long to be durable.
    pub fn committed(&self, duration: Duration) {
        self.commit.observe(duration.as_secs_f64());
    }

    /// Counts that one outbox went from one depth to another.
    pub fn outbox_moved(&self, before: usize, after: usize) {
        if before != after {
            let depth = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
            self.outbox_depth.inc_by(depth(after) - depth(before));
        }
    }

    /// All counters in the text format of OpenMetrics, or nothing where they cannot be written.
    #[must_use]
    pub fn text(&self, scrape: &Scrape) -> String {
        for (liveness, count) in &scrape.clusters {
            let count = i64::try_from(*count).unwrap_or(i64::MAX);
            self.clusters.get_or_create(&LivenessLabels { liveness }).set(count);
        }
        self.applications.set(i64::try_from(scrape.application_count).unwrap_or(i64::MAX));
        self.held_applications.set(i64::try_from(scrape.held_count).unwrap_or(i64::MAX));
        self.store_sequence.set(scrape.store_sequence);
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = text::encode(&mut text, &self.registry);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_written() {
        let metrics = Metrics::new();
        metrics.applied(Applied::Created);
        metrics.outbox_moved(0, 3);
        metrics.outbox_moved(3, 1);
        let text = metrics.text(&Scrape {
            clusters: vec![("Alive", 2)],
            application_count: 1,
            held_count: 3,
            store_sequence: 7,
        });
        for line in [
            "nave_hub_applies_total{outcome=\"Created\"} 1",
            "nave_hub_outbox_depth 1",
            "nave_hub_clusters{liveness=\"Alive\"} 2",
            "nave_hub_held_applications 3",
            "nave_hub_store_sequence 7",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }
}
