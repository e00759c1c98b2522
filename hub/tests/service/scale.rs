//! Many agents on one hub, in a process of its own: what a session costs, and how soon a change reaches all of them.
//! Run by hand, since it is about numbers: `cargo test --release -p nave-hub --test service scale -- --ignored --nocapture`
//! with `NAVE_SCALE_AGENTS` set to how many.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use nave_common::runtime::tls::Credentials;
use nave_common::token::TokenText;
use nave_proto::v1;
use nave_proto::v1::agent_service_client::AgentServiceClient;
use nave_proto::v1::fleet_service_client::FleetServiceClient;
use nave_proto::v1::sync_request::Message as Said;
use nave_proto::v1::sync_response::Message as Heard;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;

use crate::harness::{application, apply, channel_to, config_map, enroll_at};

/// Enrolments and handshakes that run at once.
const AT_ONCE: usize = 64;
/// How often each agent says that it is there.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(2);

struct HubProcess(Child);

impl HubProcess {
    fn resident_bytes(&self) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/statm", self.0.id())).unwrap();
        let pages: u64 = text.split_whitespace().nth(1).unwrap().parse().unwrap();
        pages * 4096
    }

    fn cpu_seconds(&self) -> f64 {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap();
        let fields: Vec<&str> = text.rsplit_once(')').unwrap().1.split_whitespace().collect();
        let ticks = |index: usize| fields[index].parse::<f64>().unwrap();
        (ticks(11) + ticks(12)) / 100.0
    }
}

impl Drop for HubProcess {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn start(data_dir: &Path, address: &str) -> HubProcess {
    let arguments = ["--init", "--listen", address, "--http-listen", "127.0.0.1:0", "--log", "warn"];
    let mut command = Command::new(env!("CARGO_BIN_EXE_nave-hub"));
    command.args(arguments).arg("--data-dir").arg(data_dir).stdout(Stdio::null());
    let process = HubProcess(command.spawn().unwrap());
    while !data_dir.join("admin.yaml").exists() || tokio::net::TcpStream::connect(address).await.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    process
}

/// Keeps a stream open; tells what came.
async fn agent(
    address: String,
    authority: String,
    own: Credentials,
    name: String,
    told: mpsc::UnboundedSender<Instant>,
    mut stop: watch::Receiver<bool>,
) {
    let channel = channel_to(&address, &authority, Some(&own)).await;
    let (said, messages) = mpsc::channel(4);
    let hello = v1::Hello { cluster_uid: name, ..Default::default() };
    said.send(v1::SyncRequest { message: Some(Said::Hello(hello)) }).await.unwrap();
    let mut heard =
        AgentServiceClient::new(channel).sync(ReceiverStream::new(messages)).await.unwrap().into_inner();
    let mut beat = tokio::time::interval(HEARTBEAT_INTERVAL);
    loop {
        tokio::select! {
            message = heard.message() => {
                let message = message.unwrap().and_then(|message| message.message);
                if let Some(Heard::Assignments(_) | Heard::Welcome(_)) = message {
                    let _ = told.send(Instant::now());
                }
            }
            _ = beat.tick() => {
                let _ = said.send(v1::SyncRequest { message: Some(Said::Heartbeat(v1::Heartbeat { number: 1, epochs: Vec::new() })) }).await;
            }
            _ = stop.changed() => return,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "about numbers, not about right and wrong"]
async fn one_change_reaches_all_and_a_session_is_small() {
    let count: usize = std::env::var("NAVE_SCALE_AGENTS").ok().and_then(|it| it.parse().ok()).unwrap_or(1000);
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("hub");
    let address = "127.0.0.1:17443".to_owned();
    let hub = start(&data_dir, &address).await;
    let contexts = nave_common::context::Contexts::load(&data_dir.join("admin.yaml")).unwrap();
    let context = contexts.get(None).unwrap().clone();
    let own = Credentials {
        certificate_pem: context.certificate.clone(),
        key_pem: context.key.pem().to_owned().into(),
    };
    let mut admin = FleetServiceClient::new(channel_to(&address, &context.authority, Some(&own)).await);
    let request = v1::CreateTokenRequest { uses: 10_000, ..Default::default() };
    let token = TokenText::parse(&admin.create_token(request).await.unwrap().into_inner().text).unwrap();
    let started = Instant::now();
    let nobody = channel_to(&address, &context.authority, None).await;
    let enrolled: Vec<(String, Credentials)> = futures::stream::iter(0..count)
        .map(|index| {
            let (token, channel) = (&token, nobody.clone());
            async move {
                let name = format!("c-{index}");
                let own = enroll_at(channel, token, &name, &name, &[]).await.unwrap();
                (name, own)
            }
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    println!("{count} enrolled in {:?}", started.elapsed());

    let before = hub.resident_bytes();
    let (stop, stopped) = watch::channel(false);
    let (told, mut tellings) = mpsc::unbounded_channel();
    let started = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    let places = std::sync::Arc::new(tokio::sync::Semaphore::new(AT_ONCE));
    for (name, own) in enrolled {
        let place = places.clone().acquire_owned().await.unwrap();
        let work =
            agent(address.clone(), context.authority.clone(), own, name, told.clone(), stopped.clone());
        tasks.spawn(work);
        drop(place);
    }
    for _ in 0..count {
        tellings.recv().await.unwrap();
    }
    println!("{count} connected in {:?}", started.elapsed());
    tokio::time::sleep(Duration::from_secs(3)).await;
    let each = (hub.resident_bytes() - before) / count as u64;
    println!("{each} bytes of hub memory for each, {} in all", hub.resident_bytes());
    let cpu = hub.cpu_seconds();
    tokio::time::sleep(Duration::from_secs(6)).await;
    println!("{:.1} % of a core idle", (hub.cpu_seconds() - cpu) / 6.0 * 100.0);
    for round in 0..3 {
        let cpu = hub.cpu_seconds();
        let started = Instant::now();
        apply(&mut admin, application("shop", &[config_map("a", &round.to_string())])).await;
        let answered = started.elapsed();
        let mut first = None;
        let mut last = started;
        for _ in 0..count {
            last = tellings.recv().await.unwrap();
            first.get_or_insert(last);
        }
        println!(
            "a change: answered after {answered:?}, with the first after {:?}, with all after {:?}, {:.2} s of CPU",
            first.unwrap() - started,
            last - started,
            hub.cpu_seconds() - cpu
        );
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    println!("{} bytes of hub memory in all", hub.resident_bytes());
    let _ = stop.send(true);
    while tasks.join_next().await.is_some() {}
}
