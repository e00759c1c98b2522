//! How many durable writes the store takes, beside what the disk itself can do.
//!
//! `cargo bench -p nave-tests --bench store [seconds per measurement] [folder]`. Both sides write values of 2 KiB to
//! the same disk in turn, so that a busy machine slows both; medians are printed, and the ratio that the budget is for.

#![allow(clippy::unwrap_used, clippy::expect_used)] // A benchmark has nobody to hand an error to.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use nave_hub::store::sled::{Options, SledStore};
use nave_hub::store::{Key, Sequence, Store, Transaction};

const VALUE_BYTES: usize = 2048;
const WRITERS: u64 = 64;
const KEYS_PER_WRITER: u64 = 200;
const ROUNDS: usize = 5;
/// From the design: at 64 writers, against a bare group commit of the same bytes.
const BUDGET: f64 = 0.6;

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let seconds: f64 = arguments.next().map_or(2.0, |seconds| seconds.parse().expect("seconds are a number"));
    let length = Duration::from_secs_f64(seconds);
    let folder = tempfile::tempdir_in(arguments.next().unwrap_or_else(|| ".".to_owned())).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (mut bare, mut bare_single, mut grouped, mut single, mut watched) =
        (vec![], vec![], vec![], vec![], vec![]);
    for round in 0..ROUNDS {
        let path = folder.path().join(round.to_string());
        bare.push(append_and_sync(&path.with_extension("bare"), WRITERS, length));
        bare_single.push(append_and_sync(&path.with_extension("bare"), 1, length));
        grouped.push(runtime.block_on(store_writes(&path.with_extension("grouped"), WRITERS, 0, length)));
        single.push(runtime.block_on(store_writes(&path.with_extension("single"), 1, 0, length)));
        watched.push(runtime.block_on(store_writes(&path.with_extension("watched"), WRITERS, 8, length)));
    }
    let (bare, bare_single) = (median(bare), median(bare_single));
    let ratio = median(grouped.clone()) / bare;
    print("bare append + fdatasync, groups of 64", bare, 1.0);
    print("store, 64 writers", median(grouped), bare);
    print("store, 64 writers, 8 watchers", median(watched), bare);
    print("bare append + fdatasync, one by one", bare_single, 1.0);
    print("store, 1 writer", median(single), bare_single);
    let verdict = if ratio >= BUDGET { "within" } else { "PAST" };
    println!(
        "64 writers reach {:.0} % of bare, {verdict} the budget of {:.0} %",
        ratio * 100.0,
        BUDGET * 100.0
    );
}

fn print(what: &str, per_second: f64, reference: f64) {
    let ratio =
        if reference > 1.0 { format!("  {:3.0} %", 100.0 * per_second / reference) } else { String::new() };
    println!("{what:40} {per_second:9.0} writes/s{ratio}");
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

/// Bytes that neither the disk nor a file system can shrink.
fn value(seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let word = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    std::iter::repeat_with(word).take(VALUE_BYTES / 8).flatten().collect()
}

/// What the disk can do: whole groups, each appended and synced at once.
fn append_and_sync(path: &Path, group: u64, length: Duration) -> f64 {
    let mut file: File = OpenOptions::new().create(true).append(true).open(path).unwrap();
    let (start, mut written) = (Instant::now(), 0);
    while start.elapsed() < length {
        let bytes: Vec<u8> = (0..group).flat_map(|n| value(written + n)).collect();
        file.write_all(&bytes).unwrap();
        file.sync_data().unwrap();
        written += group;
    }
    let per_second = written as f64 / start.elapsed().as_secs_f64();
    std::fs::remove_file(path).unwrap();
    per_second
}

/// Acknowledged commits per second, each of one value, from so many tasks; watchers read everything meanwhile.
async fn store_writes(folder: &Path, writers: u64, watchers: usize, length: Duration) -> f64 {
    let store = Arc::new(SledStore::open(Options::new(folder)).await.unwrap());
    let (stop, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    for _ in 0..watchers {
        let mut watch = store.watch(Sequence::ZERO).await.unwrap();
        tokio::spawn(async move { while watch.next().await.is_ok() {} });
    }
    let start = Instant::now();
    let write = |writer: u64| {
        let (store, stop, written) = (store.clone(), stop.clone(), written.clone());
        tokio::spawn(async move {
            let mut n = 0;
            while !stop.load(Ordering::Relaxed) {
                let key = Key::new(format!("application/p{writer}/a{}", n % KEYS_PER_WRITER)).unwrap();
                let value = Bytes::from(value(writer << 32 | n));
                store.commit(Transaction::new().put(key, value)).await.unwrap();
                written.fetch_add(1, Ordering::Relaxed);
                n += 1;
            }
        })
    };
    let tasks: Vec<_> = (0..writers).map(write).collect();
    tokio::time::sleep(length).await;
    let per_second = written.load(Ordering::Relaxed) as f64 / start.elapsed().as_secs_f64();
    stop.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await.unwrap();
    }
    store.close().await.unwrap();
    std::fs::remove_dir_all(folder).unwrap();
    per_second
}
