//! Nave sim.
