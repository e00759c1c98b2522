//! Apply: from a plan to objects in the cluster.
//!
//! Deciding and doing are apart: [`plan`], [`order`], [`body`], [`adopt`] and [`conflict`] are pure; [`patch`],
//! [`look`], [`prune`] and [`contents`] carry one step out each, and tell how it went.

pub mod adopt;
pub mod body;
pub mod conflict;
pub mod contents;
pub mod look;
pub mod order;
pub mod patch;
pub mod plan;
pub mod prune;
