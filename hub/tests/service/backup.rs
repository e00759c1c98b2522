//! Backups of a hub that serves, hubs that are put back from them, and what becomes of their applications.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nave_common::assignment::{Assignment, Desired, Generation};
use nave_common::name::ApplicationKey;
use nave_common::runtime::tls::Credentials;
use nave_hub::backup::restore;
use nave_proto::v1;
use nave_proto::v1::release_held_request::Choice;
use nave_proto::v1::sync_request::Message as Said;
use nave_proto::v1::sync_response::Message as Heard;
use serde_json::json;
use tonic::{Code, Status};

use crate::agent::{Agent, Disk, hello};
use crate::failover::{counted, with_failover};
use crate::harness::{
    Fleet, PATIENCE, TestHub, application, apply, assert_refused, config_map, eventually, get, key,
};

/// A hub with one cluster and these applications, a backup of it, and what the cluster's agent had then.
struct Before {
    hub: TestHub,
    own: Credentials,
    archive: Vec<u8>,
    disk: Disk,
}

impl Before {
    async fn new(names: &[&str]) -> Self {
        let hub = TestHub::start_with(|_| {}).await;
        let own = hub.enroll("eu-1", &[]).await;
        let mut admin = hub.admin().await;
        let mut agent = Agent::connect(&hub, &own, "eu-1", Disk::new()).await;
        for name in names {
            apply(&mut admin, application(name, &[config_map("a", "1")])).await;
            agent.assignment().await;
        }
        agent.report(true).await;
        let archive = hub.backup().await;
        Self { hub, own, archive, disk: std::mem::take(&mut agent.disk) }
    }

    /// What the agent has after another change of one application.
    async fn changed(&mut self, name: &str) {
        let mut agent = Agent::connect(&self.hub, &self.own, "eu-1", self.disk.clone()).await;
        apply(&mut self.hub.admin().await, application(name, &[config_map("a", "2")])).await;
        agent.assignment().await;
        self.disk = std::mem::take(&mut agent.disk);
    }
}

async fn release(fleet: &mut Fleet, name: &str, choice: Choice) -> Result<Vec<String>, Status> {
    let application = if name.is_empty() { None } else { key(name) };
    let request = v1::ReleaseHeldRequest { application, choice: choice.into() };
    let released = fleet.release_held(request).await?.into_inner().released;
    Ok(released.into_iter().map(|key| key.name).collect())
}

async fn held_count(hub: &TestHub) -> u32 {
    hub.admin().await.get_hub(v1::GetHubRequest {}).await.unwrap().into_inner().held_count
}

async fn reason(hub: &TestHub, name: &str) -> String {
    get(&mut hub.admin().await, name).await.unwrap().status.unwrap().reason
}

async fn eventually_reason(hub: &TestHub, name: &str, part: &str) {
    eventually(&format!("the reason of {name} holds {part:?}"), || async {
        reason(hub, name).await.contains(part)
    })
    .await;
}

async fn events(hub: &TestHub) -> Vec<String> {
    let request = v1::ListEventsRequest { limit: 100, ..Default::default() };
    let events = hub.admin().await.list_events(request).await.unwrap().into_inner().events;
    events.into_iter().map(|event| event.reason).collect()
}

fn generation(agent: &Agent, name: &str) -> Generation {
    agent.disk[&name.parse::<ApplicationKey>().unwrap()].generation
}

#[tokio::test]
async fn what_every_agent_has_is_released_by_itself_under_the_new_term() {
    let before = Before::new(&["shop", "cart"]).await;
    before.hub.hub.shutdown().await;
    let hub = TestHub::restored(&before.archive, None).await;
    let about = hub.admin().await.get_hub(v1::GetHubRequest {}).await.unwrap().into_inner();
    assert_eq!((about.term, about.held_count, about.application_count), (2, 2, 2));
    assert!(reason(&hub, "shop").await.contains("waits for eu-1, or for nave hub release"));
    let mut agent = Agent::connect(&hub, &before.own, "eu-1", before.disk.clone()).await;
    let mut told = Vec::new();
    while told.len() < 2 {
        told.extend(agent.assignments().await.0);
    }
    for assignment in &told {
        let had = &before.disk[&assignment.application];
        assert_eq!(assignment.desired, had.desired, "the same, and only newer");
        assert!(assignment.generation > had.generation && assignment.generation.term == 2);
    }
    agent.report(true).await;
    eventually("nothing is held", || async { held_count(&hub).await == 0 }).await;
    eventually("it is told of", || async { events(&hub).await.contains(&"Released".to_owned()) }).await;
    assert!(events(&hub).await.contains(&"Restored".to_owned()));
    agent.silence().await;
    // What is applied afterwards goes its way.
    apply(&mut hub.admin().await, application("shop", &[config_map("a", "3")])).await;
    assert_eq!(agent.assignment().await.generation.term, 2);
}

#[tokio::test]
async fn what_differs_waits_for_a_person_and_goes_back_to_the_backup() {
    let mut before = Before::new(&["shop", "cart"]).await;
    before.changed("shop").await;
    before.hub.hub.shutdown().await;
    let hub = TestHub::restored(&before.archive, None).await;
    let mut agent = Agent::connect(&hub, &before.own, "eu-1", before.disk.clone()).await;
    assert_eq!(agent.assignment().await.application.to_string(), "default/cart");
    agent.report(true).await;
    eventually_reason(&hub, "shop", "eu-1 has something else than the backup says").await;
    agent.silence().await;
    let suspended = hub
        .admin()
        .await
        .suspend_application(v1::SuspendApplicationRequest {
            application: key("shop"),
            suspended: true,
            ..Default::default()
        })
        .await;
    assert_refused(suspended, Code::FailedPrecondition, "held after the restore");
    let refused = release(&mut hub.admin().await, "cart", Choice::ApplyBackup).await;
    assert_refused(refused, Code::FailedPrecondition, "is not held");
    assert_eq!(release(&mut hub.admin().await, "shop", Choice::ApplyBackup).await.unwrap(), ["shop"]);
    let back = agent.assignment().await;
    let had = &before.disk[&back.application];
    assert!(back.generation > had.generation && back.desired != had.desired);
    assert_eq!(held_count(&hub).await, 0);
    assert!(events(&hub).await.contains(&"BackupApplied".to_owned()));
}

#[tokio::test]
async fn what_is_kept_is_sent_nothing_until_it_is_applied_again_even_as_it_was_in_the_backup() {
    let mut before = Before::new(&["shop"]).await;
    before.changed("shop").await;
    before.hub.hub.shutdown().await;
    let hub = TestHub::restored(&before.archive, None).await;
    let mut agent = Agent::connect(&hub, &before.own, "eu-1", before.disk.clone()).await;
    eventually_reason(&hub, "shop", "eu-1 has something else").await;
    assert_eq!(release(&mut hub.admin().await, "", Choice::KeepRunning).await.unwrap(), ["shop"]);
    eventually_reason(&hub, "shop", "kept as it runs").await;
    assert_eq!(held_count(&hub).await, 0);
    agent.silence().await;
    // It stays kept over a restart of hub and agent.
    let hub = hub.restart().await;
    let disk = std::mem::take(&mut agent.disk);
    let mut agent = Agent::connect(&hub, &before.own, "eu-1", disk).await;
    agent.silence().await;
    assert!(reason(&hub, "shop").await.contains("kept as it runs"));
    // The backup's own manifests: nothing differs from what the hub had, and the agent has something else.
    apply(&mut hub.admin().await, application("shop", &[config_map("a", "1")])).await;
    let told = agent.assignment().await;
    assert_eq!(told.generation.term, 2);
    agent.report(true).await;
    eventually("it is synced", || async {
        let status = get(&mut hub.admin().await, "shop").await.unwrap().status.unwrap();
        status.sync() == v1::SyncState::Synced
    })
    .await;
}

#[tokio::test]
async fn what_was_deleted_after_the_backup_does_not_come_back_unasked() {
    let before = Before::new(&["shop", "cart"]).await;
    before.hub.hub.shutdown().await;
    let hub = TestHub::restored(&before.archive, None).await;
    let mut disk = before.disk.clone();
    // Of one the tombstone is there still, of the other nothing.
    disk.get_mut(&"shop".parse::<ApplicationKey>().unwrap()).unwrap().desired = Desired::Remove;
    disk.remove(&"cart".parse::<ApplicationKey>().unwrap());
    let mut agent = Agent::connect(&hub, &before.own, "eu-1", disk).await;
    eventually_reason(&hub, "shop", "eu-1 was told to remove it").await;
    eventually_reason(&hub, "cart", "eu-1 has nothing of it").await;
    agent.silence().await;
    // A delete is its own word, and needs no other.
    let delete = v1::DeleteApplicationRequest { application: key("shop"), ..Default::default() };
    hub.admin().await.delete_application(delete).await.unwrap();
    let told = agent.assignment().await;
    assert_eq!((told.desired, told.generation.term), (Desired::Remove, 2));
    agent.report(true).await;
    eventually("it is gone", || async { get(&mut hub.admin().await, "shop").await.is_none() }).await;
    agent.assignments().await;
    eventually("its hold is gone too", || async { held_count(&hub).await == 1 }).await;
    release(&mut hub.admin().await, "cart", Choice::ApplyBackup).await.unwrap();
    assert_eq!(agent.assignment().await.application.to_string(), "default/cart");
}

#[tokio::test]
async fn what_came_after_the_backup_is_unknown_and_left_alone() {
    let before = Before::new(&["shop"]).await;
    let mut agent = Agent::connect(&before.hub, &before.own, "eu-1", before.disk.clone()).await;
    apply(&mut before.hub.admin().await, application("late", &[config_map("a", "1")])).await;
    agent.assignment().await;
    before.hub.hub.shutdown().await;
    let hub = TestHub::restored(&before.archive, None).await;
    let mut back = Agent::connect(&hub, &before.own, "eu-1", agent.disk.clone()).await;
    assert_eq!(back.assignment().await.application.to_string(), "default/shop");
    back.silence().await;
    let request = v1::GetClusterRequest { name: "eu-1".into() };
    let cluster = hub.admin().await.get_cluster(request).await.unwrap().into_inner().cluster.unwrap();
    let unknown = cluster.status.unwrap().unknown_applications;
    assert_eq!(unknown.iter().map(|key| key.name.as_str()).collect::<Vec<_>>(), ["late"]);
    apply(&mut hub.admin().await, application("late", &[config_map("a", "1")])).await;
    assert_eq!(back.assignment().await.application.to_string(), "default/late");
}

#[tokio::test]
async fn an_agent_that_heard_a_higher_term_is_reported_and_told_nothing() {
    let before = Before::new(&["shop"]).await;
    before.hub.hub.shutdown().await;
    let mut disk = before.disk.clone();
    for assignment in disk.values_mut() {
        assignment.generation = Generation { term: 7, counter: 1 };
    }
    let hub = TestHub::restored(&before.archive, None).await;
    let mut agent = Agent::connect(&hub, &before.own, "eu-1", disk.clone()).await;
    eventually_reason(&hub, "shop", "eu-1 has seen a higher term or generation than this hub").await;
    agent.silence().await;
    assert!(events(&hub).await.contains(&"AgentAhead".to_owned()));
    hub.hub.shutdown().await;
    let hub = TestHub::restored(&before.archive, Some(7)).await;
    let mut agent = Agent::connect(&hub, &before.own, "eu-1", disk).await;
    assert_eq!(agent.assignment().await.generation.term, 8);
    assert_eq!(generation(&agent, "shop").term, 8);
}

/// The token of Exclusive work that an assignment says.
fn epoch(assignment: &Assignment) -> u64 {
    let Desired::Run(run) = &assignment.desired else { panic!("it runs") };
    run.exclusive.expect("it is Exclusive").epoch.number()
}

/// Whether the hub renews the lease under this token.
async fn is_renewed(agent: &mut Agent, epoch: u64) -> bool {
    let held = v1::HeldEpoch { application: key("ledger"), epoch };
    agent.say(Said::Heartbeat(v1::Heartbeat { number: 1, epochs: vec![held] })).await;
    loop {
        match agent.next().await {
            Heard::Heartbeat(ack) => return ack.renewed.iter().any(|it| it.epoch == epoch),
            // The same may be told again meanwhile.
            Heard::Assignments(_) => {}
            other => panic!("expected the answer to a heartbeat, not {other:?}"),
        }
    }
}

/// Asks until the hub renews the lease under this token.
async fn wait_renewed(agent: &mut Agent, epoch: u64) {
    let renewed = async {
        while !is_renewed(agent, epoch).await {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, renewed).await.expect("the lease is renewed in time");
}

/// A hub that has granted Exclusive work to one of two clusters: its backup, and the disks of holder and other.
async fn granted() -> (Vec<u8>, [(&'static str, Credentials, Disk); 2]) {
    let hub = TestHub::start_with(|_| {}).await;
    let failover = json!({"mode": "Exclusive", "standbyCount": 0, "prefer": [{"cluster": "eu-1"}]});
    let ledger = with_failover(counted("ledger", 1, &[config_map("a", "1")]), failover);
    let (eu, us) = (hub.enroll("eu-1", &[]).await, hub.enroll("us-1", &[]).await);
    let mut holder = Agent::connect(&hub, &eu, "eu-1", Disk::new()).await;
    let _other = Agent::connect(&hub, &us, "us-1", Disk::new()).await;
    apply(&mut hub.admin().await, ledger).await;
    let granted = epoch(&holder.assignment().await);
    wait_renewed(&mut holder, granted).await;
    let archive = hub.backup().await;
    hub.hub.shutdown().await;
    (archive, [("eu-1", eu, std::mem::take(&mut holder.disk)), ("us-1", us, Disk::new())])
}

#[tokio::test]
async fn exclusive_work_is_renewed_by_nobody_until_every_cluster_has_reported() {
    let (archive, [(name, eu, disk), (other_name, us, other_disk)]) = granted().await;
    let old = epoch(disk.values().next().unwrap());
    let hub = TestHub::restored(&archive, None).await;
    let mut holder = Agent::connect(&hub, &eu, name, disk).await;
    assert!(!is_renewed(&mut holder, old).await);
    eventually_reason(&hub, "ledger", "waits for us-1").await;
    assert!(!is_renewed(&mut holder, old).await);
    let _other = Agent::connect(&hub, &us, other_name, other_disk).await;
    // The same content under the new term, and the same grant goes on.
    assert_eq!(epoch(&holder.assignment().await), old);
    wait_renewed(&mut holder, old).await;
}

#[tokio::test]
async fn a_person_who_applies_a_backup_grants_exclusive_work_anew() {
    let (archive, [(name, eu, disk), _]) = granted().await;
    let old = epoch(disk.values().next().unwrap());
    let hub = TestHub::restored(&archive, None).await;
    let mut holder = Agent::connect(&hub, &eu, name, disk).await;
    let mut admin = hub.admin().await;
    let kept = release(&mut admin, "ledger", Choice::KeepRunning).await;
    assert_refused(kept, Code::FailedPrecondition, "is Exclusive");
    assert!(release(&mut admin, "", Choice::KeepRunning).await.unwrap().is_empty());
    assert_eq!(held_count(&hub).await, 1);
    assert_eq!(release(&mut admin, "", Choice::ApplyBackup).await.unwrap(), ["ledger"]);
    assert_eq!(held_count(&hub).await, 0);
    let mut told = holder.assignment().await;
    while epoch(&told) == old {
        // The backup's own word may go out before the new grant is planned; under it nothing is renewed.
        assert!(told.generation.term == 2);
        told = holder.assignment().await;
    }
    assert!(epoch(&told) >> 40 == 2, "the new token is of the new term");
    assert!(!is_renewed(&mut holder, old).await);
    let new = epoch(&told);
    wait_renewed(&mut holder, new).await;
}

#[tokio::test]
async fn exclusive_work_waits_for_a_cluster_that_the_backup_does_not_know() {
    let hub = TestHub::start_with(|_| {}).await;
    let own = hub.enroll("eu-1", &[]).await;
    let failover = json!({"mode": "Exclusive", "standbyCount": 0});
    let ledger = with_failover(counted("ledger", 1, &[config_map("a", "1")]), failover);
    apply(&mut hub.admin().await, ledger).await;
    let mut agent = Agent::connect(&hub, &own, "eu-1", Disk::new()).await;
    let told = tokio::time::timeout(std::time::Duration::from_secs(5), agent.assignment()).await;
    let archive = hub.backup().await;
    let late = hub.enroll("us-1", &[]).await;
    hub.hub.shutdown().await;
    let hub = TestHub::restored(&archive, None).await;
    let mut stranger = Agent::open(&hub, &late, hello("us-1", &Disk::new())).await.unwrap();
    assert_refused(stranger.try_next().await, Code::PermissionDenied, "is not in this hub's fleet");
    let mut agent = Agent::connect(&hub, &own, "eu-1", std::mem::take(&mut agent.disk)).await;
    eventually_reason(&hub, "ledger", "us-1 is not in the backup and may run it").await;
    agent.silence().await;
    release(&mut hub.admin().await, "ledger", Choice::ApplyBackup).await.unwrap();
    if told.is_ok() {
        let again = agent.assignment().await;
        assert_eq!(again.generation.term, 2, "told anew, under a new token");
    }
}

#[tokio::test]
async fn a_backup_is_true_at_one_moment_whatever_is_written_meanwhile() {
    let hub = TestHub::start_with(|_| {}).await;
    let own = hub.enroll("eu-1", &[]).await;
    let mut admin = hub.admin().await;
    for number in 0..20 {
        apply(&mut admin, application(&format!("app-{number}"), &[config_map("a", "0")])).await;
    }
    let is_over = Arc::new(AtomicBool::new(false));
    let writer = {
        let (mut admin, is_over) = (hub.admin().await, is_over.clone());
        tokio::spawn(async move {
            let mut count = 0_u32;
            while !is_over.load(Ordering::SeqCst) {
                count += 1;
                let name = format!("app-{}", count % 20);
                apply(&mut admin, application(&name, &[config_map("a", &count.to_string())])).await;
            }
        })
    };
    for _ in 0..5 {
        // Restoring checks every record, every bundle, and that none is missing.
        let restored = TestHub::restored(&hub.backup().await, None).await;
        assert_eq!(held_count(&restored).await, 20);
        let mut agent = Agent::connect(&restored, &own, "eu-1", Disk::new()).await;
        release(&mut restored.admin().await, "", Choice::ApplyBackup).await.unwrap();
        while agent.disk.len() < 20 {
            agent.assignments().await;
        }
        restored.hub.shutdown().await;
    }
    is_over.store(true, Ordering::SeqCst);
    writer.await.unwrap();
}

#[tokio::test]
async fn a_restore_that_fails_leaves_nothing_behind() {
    let before = Before::new(&["shop"]).await;
    let folder = tempfile::tempdir().unwrap();
    let (file, data_dir) = (folder.path().join("archive"), folder.path().join("hub"));
    let mut damaged = before.archive.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    std::fs::write(&file, &damaged).unwrap();
    let error = restore::restore(&file, &data_dir, None).await.unwrap_err().to_string();
    assert!(error.contains("damaged or cut short"), "{error}");
    assert!(!data_dir.exists());
    std::fs::write(&file, &before.archive).unwrap();
    std::fs::create_dir(&data_dir).unwrap();
    let error = restore::restore(&file, &data_dir, Some(u64::MAX)).await.unwrap_err().to_string();
    assert!(error.contains("too high"), "{error}");
    assert_eq!(std::fs::read_dir(&data_dir).unwrap().count(), 0);
    std::fs::write(data_dir.join("something"), "").unwrap();
    let error = restore::restore(&file, &data_dir, None).await.unwrap_err().to_string();
    assert!(error.contains("is not empty"), "{error}");
    // A restore that was killed: no hub starts on what it left.
    std::fs::remove_file(data_dir.join("something")).unwrap();
    std::fs::create_dir(data_dir.join(".restoring")).unwrap();
    let config = nave_hub::Config { init: true, ..nave_hub::Config::local(&data_dir) };
    let error = nave_hub::Hub::start(config).await.unwrap_err().to_string();
    assert!(error.contains("broken off"), "{error}");
    assert!(restore::restore(&file, &data_dir, None).await.is_err());
    assert!(before.disk.values().all(|it: &Assignment| it.generation.term == 1));
}
