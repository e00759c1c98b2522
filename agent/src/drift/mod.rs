//! Drift: following the live objects, and telling a single foreign change from a contest.

pub mod contest;
pub mod follow;
