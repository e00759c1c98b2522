//! The Epoch: the fencing token of Exclusive work.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::assignment::Generation;

/// How many bits of an epoch count within a term.
const COUNTER_BITS: u32 = 40;

/// A fencing token: (term, counter) in one number, so that storage need only compare numbers. It rises at every grant of
/// an exclusive lease that is no renewal, also to the same cluster.
///
/// It is the generation in which the grant was decided: that rises with every decision, and with every restore of the hub.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(u64);

/// A generation that no epoch can hold: its term is over 2^24, or its counter over 2^40.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("generation {0} is too high for an epoch")]
pub struct EpochOverflow(pub Generation);

impl Epoch {
    /// The epoch of a grant that was decided in `generation`.
    ///
    /// # Errors
    /// Where the generation is too high.
    pub fn of(generation: Generation) -> Result<Self, EpochOverflow> {
        if generation.term >> (u64::BITS - COUNTER_BITS) != 0 || generation.counter >> COUNTER_BITS != 0 {
            return Err(EpochOverflow(generation));
        }
        Ok(Self(generation.term << COUNTER_BITS | generation.counter))
    }

    /// From the number that a workload sees.
    #[must_use]
    pub const fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// The number that a workload sees.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }

    /// The generation in which the grant was decided.
    #[must_use]
    pub const fn generation(self) -> Generation {
        Generation { term: self.0 >> COUNTER_BITS, counter: self.0 & ((1 << COUNTER_BITS) - 1) }
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
