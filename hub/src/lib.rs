//! Nave hub.
