//! No lost write: what was acknowledged survives kill -9, and no transaction is found in halves.
//!
//! The test starts itself again as a child that writes from several writers and says each acknowledgement on its
//! standard output; it kills the child at a random moment, opens the store, and compares. `NAVE_CRASH_ROUNDS` sets how
//! often, `NAVE_SEED` repeats a run's random choices.

#![allow(clippy::unwrap_used, clippy::expect_used)] // A failed expectation is how a test fails.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use nave_hub::store::sled::{Options, SledStore};
use nave_hub::store::{Commit, Sequence, Store, Transaction};
use nave_tests::store_conformance::{PATIENCE, key, next};
use rand::{RngExt, SeedableRng};

const CHILD_FOLDER: &str = "NAVE_CRASH_CHILD_FOLDER";
const WRITERS: u64 = 12;

/// Small segments and a short log, so that crashes hit the making and the deleting of segments too.
fn options(folder: &Path) -> Options {
    Options {
        segment_bytes: 128 << 10,
        kept_commit_count: 1500,
        cache_bytes: 8 << 20,
        ..Options::new(folder.join("store"))
    }
}

/// One acknowledged commit of a writer.
#[derive(Debug, Clone, Copy)]
struct Acknowledged {
    writer: u64,
    number: u64,
    sequence: u64,
}

#[test]
fn an_acknowledged_write_survives_kill() {
    let seed: u64 = std::env::var("NAVE_SEED").ok().map_or_else(rand::random, |seed| seed.parse().unwrap());
    let rounds: u64 = std::env::var("NAVE_CRASH_ROUNDS").map_or(50, |rounds| rounds.parse().unwrap());
    println!("NAVE_SEED={seed} NAVE_CRASH_ROUNDS={rounds}");
    let mut random = rand::rngs::StdRng::seed_from_u64(seed);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    // The last acknowledged number of each writer, over all rounds.
    let mut last = HashMap::new();
    let mut acknowledged_count = 0;
    for round in 0..rounds {
        let acknowledged = run_and_kill(folder.path(), &mut random);
        acknowledged_count += acknowledged.len();
        for one in &acknowledged {
            let before = last.insert(one.writer, one.number);
            assert!(
                before.is_none_or(|before| before < one.number),
                "round {round}: {one:?} after {before:?}"
            );
        }
        runtime.block_on(check(folder.path(), &acknowledged, &last, round));
    }
    println!("{acknowledged_count} acknowledged writes in {rounds} rounds, none lost");
    assert!(acknowledged_count as u64 > rounds);
}

/// Starts the child, kills it after a random number of acknowledgements and a random moment more.
fn run_and_kill(folder: &Path, random: &mut rand::rngs::StdRng) -> Vec<Acknowledged> {
    let mut child = start_child(folder);
    let (sender, lines) = std::sync::mpsc::sync_channel(1024);
    let output = BufReader::new(child.stdout.take().unwrap());
    let reader = std::thread::spawn(move || {
        output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
    });
    let kill_after = if random.random_ratio(1, 10) { 0 } else { random.random_range(1..800) };
    let more = Duration::from_micros(random.random_range(0..20_000));
    let mut acknowledged = Vec::new();
    while acknowledged.len() < kill_after {
        let line = lines.recv_timeout(PATIENCE).expect("the child goes on acknowledging");
        acknowledged.extend(parse(&line));
    }
    let deadline = std::time::Instant::now() + more;
    while let Some(left) = deadline.checked_duration_since(std::time::Instant::now())
        && let Ok(line) = lines.recv_timeout(left)
    {
        acknowledged.extend(parse(&line));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    // What the child said before it died still stands in the pipe.
    acknowledged.extend(lines.iter().filter_map(|line| parse(&line)));
    reader.join().unwrap().ok();
    acknowledged
}

fn start_child(folder: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "child_writes_until_killed", "--nocapture"]).env(CHILD_FOLDER, folder);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap()
}

/// Reads `ack <writer> <number> <sequence> .`; anything else, or a line cut by the kill, is no acknowledgement.
fn parse(line: &str) -> Option<Acknowledged> {
    let numbers = line.strip_prefix("ack ")?.strip_suffix(" .")?;
    let mut numbers = numbers.split(' ').map(|number| number.parse().ok());
    Some(Acknowledged { writer: numbers.next()??, number: numbers.next()??, sequence: numbers.next()?? })
}

async fn check(folder: &Path, acknowledged: &[Acknowledged], last: &HashMap<u64, u64>, round: u64) {
    let store = SledStore::open(options(folder)).await.unwrap();
    for (writer, number) in last {
        let mut found = Vec::new();
        for part in ["a", "b", "c"] {
            let entry =
                store.get(&key(&format!("w/{writer}/{part}"))).await.unwrap().expect("the write is there");
            found.push((number_in(&entry.value), entry.sequence));
        }
        assert!(found.iter().all(|part| *part == found[0]), "round {round}: half a transaction: {found:?}");
        assert!(
            found[0].0 >= *number,
            "round {round}: writer {writer}: {number} acknowledged, {} found",
            found[0].0
        );
    }
    let tail = store.last_sequence().await.unwrap();
    let page = store.list("", None, 1000).await.unwrap();
    assert!(page.at == tail && page.next.is_none());
    let log = read_log(&store, tail).await;
    for one in acknowledged {
        let Some(commit) = log.get(&one.sequence) else {
            assert!(one.sequence + 1500 <= tail.0, "round {round}: {one:?} is not in the log up to {tail}");
            continue;
        };
        let change = commit.changes.iter().find(|change| change.key == key(&format!("w/{}/a", one.writer)));
        assert_eq!(
            change.and_then(|change| change.value.as_deref()).map(number_in),
            Some(one.number),
            "round {round}"
        );
        assert_eq!(commit.changes.iter().filter(|change| change.key.as_str().starts_with("w/")).count(), 3);
    }
    store.close().await.unwrap();
}

/// Every commit that the log still has, which must be without gaps.
async fn read_log(store: &dyn Store, tail: Sequence) -> HashMap<u64, Arc<Commit>> {
    let mut log = HashMap::new();
    let mut watch = match store.watch(Sequence::ZERO).await {
        Err(nave_hub::store::Error::Compacted { oldest, .. }) => store.watch(oldest).await.unwrap(),
        watch => watch.unwrap(),
    };
    while watch.position() < tail {
        let expected = watch.position().next();
        let commit = next(&mut watch).await.unwrap();
        assert_eq!(commit.sequence, expected);
        log.insert(commit.sequence.0, commit);
    }
    log
}

fn number_in(value: &[u8]) -> u64 {
    u64::from_le_bytes(value[..8].try_into().unwrap())
}

/// Not a test by itself: what the child runs.
#[test]
fn child_writes_until_killed() {
    let Some(folder) = std::env::var_os(CHILD_FOLDER) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let store = Arc::new(SledStore::open(options(Path::new(&folder))).await.unwrap());
        let writers = (0..WRITERS).map(|writer| tokio::spawn(write_for_ever(store.clone(), writer)));
        futures::future::join_all(writers).await;
    });
}

async fn write_for_ever(store: Arc<SledStore>, writer: u64) {
    let found = store.get(&key(&format!("w/{writer}/a"))).await.unwrap();
    let mut number = found.map_or(0, |entry| number_in(&entry.value));
    loop {
        number += 1;
        let mut value = number.to_le_bytes().to_vec();
        value.resize(8 + (number * 131 % 3000) as usize, writer as u8);
        let mut transaction = Transaction::new();
        for part in ["a", "b", "c"] {
            transaction = transaction.put(key(&format!("w/{writer}/{part}")), value.clone());
        }
        // Keys that come and go, so that deletions are among what is replayed.
        let passing = key(&format!("passing/{writer}/{}", number / 2 % 20));
        transaction = if number.is_multiple_of(2) {
            transaction.put(passing, "here")
        } else {
            transaction.delete(passing)
        };
        let sequence = store.commit(transaction).await.unwrap();
        let mut output = std::io::stdout().lock();
        output.write_all(format!("ack {writer} {number} {sequence} .\n").as_bytes()).unwrap();
        output.flush().unwrap();
    }
}
