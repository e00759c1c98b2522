//! Nave tests.
