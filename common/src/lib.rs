//! Nave common.
