//! Whole worlds on virtual time: hub, agents and clusters with faults drawn from a seed, and every promise checked all the
//! while.
//!
//! A fixed set of seeds and fresh ones. `NAVE_FULL_SEEDS` is how many fresh ones there are, and `NAVE_SEED` runs one seed
//! and nothing else; `NAVE_FULL_TRACE=1` prints what happens as it happens.

#![expect(clippy::unwrap_used, reason = "what nobody can do anything about ends the test")]

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use nave_tests::world::{self, report::Report};

/// Seeds that every run takes.
const FIXED: [u64; 12] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
/// How many fresh ones there are where nothing else is said.
const FRESH: usize = 2;
/// Worlds at the same time: each runs on a thread of its own.
const THREADS: usize = 2;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is {text:?}; expected a number")))
}

/// Runs the worlds of these seeds and adds up what they tell. A failure tells its seed.
fn run(seeds: &[u64]) -> Report {
    let (next, total) = (AtomicUsize::new(0), Mutex::new(Report::default()));
    let failures = Mutex::new(Vec::new());
    let one = || {
        while let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) {
            match std::panic::catch_unwind(|| world::run(*seed)) {
                Ok(Ok(report)) => total.lock().unwrap().add(&report),
                Ok(Err(failure)) => failures.lock().unwrap().push(failure.to_string()),
                Err(_) => failures.lock().unwrap().push(format!("the world of seed {seed} broke off")),
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(one);
        }
    });
    let failures = failures.into_inner().unwrap();
    let total = total.into_inner().unwrap();
    assert!(
        failures.is_empty(),
        "{} of {} worlds failed:\n{}",
        failures.len(),
        seeds.len(),
        failures.join("\n")
    );
    total
}

#[test]
fn every_promise_holds_in_worlds_full_of_faults() {
    if let Ok(filter) = std::env::var("RUST_LOG") {
        let filter = tracing_subscriber::EnvFilter::new(filter);
        tracing_subscriber::fmt().with_env_filter(filter).init();
    }
    if let Some(seed) = number("NAVE_SEED") {
        println!("{}", run(&[seed]));
        return;
    }
    let fresh = number("NAVE_FULL_SEEDS").map_or(FRESH, |count| usize::try_from(count).unwrap());
    let first: u64 = rand::random_range(1_000..u64::from(u32::MAX));
    let seeds: Vec<u64> = FIXED.into_iter().chain((0..fresh as u64).map(|next| first + next)).collect();
    println!("{} fixed seeds, and {fresh} fresh ones from {first} on", FIXED.len());
    let started = Instant::now();
    let report = run(&seeds);
    println!("{report}in {:.1} s", started.elapsed().as_secs_f64());
    let idle = report.idle();
    assert!(idle.is_empty(), "too little happened to show anything: {}", idle.join(", "));
}
