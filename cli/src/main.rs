//! The `nave` command line.
fn main() {}
