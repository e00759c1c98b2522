//! Nave agent.
