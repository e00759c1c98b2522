//! Amounts of what a cluster has and work needs.

use serde::{Deserialize, Serialize};

/// CPU, memory and pods: what work requests, or what a cluster has to give.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Resources {
    /// CPU in millicores.
    #[serde(default)]
    pub cpu_millicores: u64,
    /// Memory in bytes.
    #[serde(default)]
    pub memory_bytes: u64,
    /// Pods.
    #[serde(default)]
    pub pods: u64,
}

impl Resources {
    /// The sum; saturates.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            cpu_millicores: self.cpu_millicores.saturating_add(other.cpu_millicores),
            memory_bytes: self.memory_bytes.saturating_add(other.memory_bytes),
            pods: self.pods.saturating_add(other.pods),
        }
    }

    /// What is left after `other` is taken; never below zero.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self {
            cpu_millicores: self.cpu_millicores.saturating_sub(other.cpu_millicores),
            memory_bytes: self.memory_bytes.saturating_sub(other.memory_bytes),
            pods: self.pods.saturating_sub(other.pods),
        }
    }

    /// `count` times this; saturates.
    #[must_use]
    pub const fn times(self, count: u64) -> Self {
        Self {
            cpu_millicores: self.cpu_millicores.saturating_mul(count),
            memory_bytes: self.memory_bytes.saturating_mul(count),
            pods: self.pods.saturating_mul(count),
        }
    }

    /// Whether `other` fits in this, in each of the three.
    #[must_use]
    pub const fn covers(&self, other: &Self) -> bool {
        self.cpu_millicores >= other.cpu_millicores
            && self.memory_bytes >= other.memory_bytes
            && self.pods >= other.pods
    }
}
