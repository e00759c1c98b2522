//! The words for how well something is.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How well an object, an application in a cluster, or an application is. Ordered from best to worst, so that the health
/// of many is the greatest of theirs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Health {
    /// It does what it is there for.
    Healthy,
    /// It is stopped on purpose.
    Suspended,
    /// It is on its way to healthy.
    Progressing,
    /// It is not there, though it should be.
    Missing,
    /// It does not work and will not by itself.
    Degraded,
    /// Nothing is known, or what is known is too old.
    #[default]
    Unknown,
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Healthy => "Healthy",
            Self::Suspended => "Suspended",
            Self::Progressing => "Progressing",
            Self::Missing => "Missing",
            Self::Degraded => "Degraded",
            Self::Unknown => "Unknown",
        })
    }
}

/// A health with the reason, on which a person can act.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HealthReport {
    /// How well it is.
    pub health: Health,
    /// Why, such as `0 of 3 ready: pod cart-5d…: image cart:1.9 not found`. Empty where there is nothing to say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

impl HealthReport {
    /// A health with its reason.
    pub fn new(health: Health, reason: impl Into<String>) -> Self {
        Self { health, reason: reason.into() }
    }
}
