//! A spoke that is played: it enrols and speaks the agents' protocol, and says of every assignment what a test wants.

use std::collections::BTreeMap;
use std::time::Duration;

use nave_common::HUB_TLS_NAME;
use nave_common::assignment::{Assignment, Desired};
use nave_common::health::Health;
use nave_common::manifest::ObjectKey;
use nave_common::name::ApplicationKey;
use nave_common::resources::Resources;
use nave_common::runtime::tls;
use nave_common::status::{
    AssignmentStatus, ClusterObservation, FenceState, FenceStatus, ObjectStatus, SyncState,
};
use nave_common::time::Timestamp;
use nave_common::token::TokenText;
use nave_proto::v1::agent_service_client::AgentServiceClient;
use nave_proto::v1::{self, sync_request, sync_response};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};

/// How often a spoke says that it is there.
const BEAT: Duration = Duration::from_millis(250);

/// What a spoke says of everything that is assigned to it.
#[derive(Debug, Clone)]
pub(crate) struct Says {
    pub(crate) health: Health,
    pub(crate) sync: SyncState,
    pub(crate) reason: String,
}

impl Says {
    pub(crate) fn healthy() -> Self {
        Self { health: Health::Healthy, sync: SyncState::Synced, reason: String::new() }
    }

    pub(crate) fn degraded(reason: &str) -> Self {
        Self { health: Health::Degraded, sync: SyncState::Synced, reason: reason.into() }
    }

    pub(crate) fn progressing() -> Self {
        Self { health: Health::Progressing, sync: SyncState::Synced, reason: "0 of 1 ready".into() }
    }
}

/// A spoke that is played, until it is dropped.
pub(crate) struct Spoke {
    says: watch::Sender<Says>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Spoke {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Spoke {
    /// Enrols with a token, and connects.
    pub(crate) async fn join(token: &str, name: &str, region: &str) -> Self {
        let identity = Identity::enroll(&TokenText::parse(token).expect("a token"), name, region).await;
        let (says, heard) = watch::channel(Says::healthy());
        Self { says, task: tokio::spawn(play(identity, heard)) }
    }

    /// From now on it says this.
    pub(crate) fn say(&self, says: Says) {
        self.says.send_replace(says);
    }
}

/// Who a spoke is.
struct Identity {
    uid: String,
    address: String,
    tls: ClientTlsConfig,
}

impl Identity {
    async fn enroll(token: &TokenText, name: &str, region: &str) -> Self {
        let own = tls::new_key_and_csr().expect("a key");
        let trusting = |authority: &str| {
            let authority = Certificate::from_pem(authority);
            ClientTlsConfig::new().domain_name(HUB_TLS_NAME).ca_certificate(authority)
        };
        let uid = format!("uid-{name}");
        let request = v1::EnrollRequest {
            token_id: token.id.clone(),
            token_secret: token.secret.to_string(),
            cluster: name.to_owned(),
            labels: [("region".to_owned(), region.to_owned())].into(),
            cluster_uid: uid.clone(),
            certificate_signing_request: own.csr_der.clone().into(),
        };
        let channel = dial(&token.addresses[0], trusting(&token.authority_pem())).await;
        let answer = AgentServiceClient::new(channel).enroll(request).await.expect("it enrols").into_inner();
        let certificate = tls::certificate_pem(&answer.certificate);
        let tls = trusting(&tls::certificate_pem(&answer.authority))
            .identity(tonic::transport::Identity::from_pem(certificate, own.key_pem.as_str()));
        Self { uid, address: answer.addresses[0].clone(), tls }
    }
}

async fn dial(address: &str, tls: ClientTlsConfig) -> Channel {
    let endpoint = Endpoint::from_shared(format!("https://{address}")).expect("an address");
    endpoint.tls_config(tls).expect("certificates").connect().await.expect("the hub answers")
}

async fn play(identity: Identity, mut says: watch::Receiver<Says>) {
    let channel = dial(&identity.address, identity.tls).await;
    let (outbound, messages) = mpsc::channel(16);
    let hello = v1::Hello { cluster_uid: identity.uid, agent_version: "played".into(), ..Default::default() };
    let send = async |message| {
        // Once the hub is gone, so is the test.
        let _ = outbound.send(v1::SyncRequest { message: Some(message) }).await;
    };
    send(sync_request::Message::Hello(hello)).await;
    send(status(Vec::new(), true)).await;
    let mut inbound = AgentServiceClient::new(channel)
        .sync(ReceiverStream::new(messages))
        .await
        .expect("a stream")
        .into_inner();
    let mut told: BTreeMap<ApplicationKey, Assignment> = BTreeMap::new();
    let mut beat = tokio::time::interval(BEAT);
    let mut number = 0;
    loop {
        tokio::select! {
            message = inbound.message() => {
                let Ok(Some(message)) = message else { return };
                let Some(sync_response::Message::Assignments(batch)) = message.message else { continue };
                let mut held = Vec::new();
                for wire in batch.assignments {
                    let assignment = Assignment::try_from(wire).expect("an assignment");
                    held.push(holds(&assignment));
                    told.insert(assignment.application.clone(), assignment);
                }
                for wire in batch.forgotten {
                    told.remove(&wire.try_into().expect("a key"));
                }
                send(sync_request::Message::Accepted(v1::Accepted { applications: held, refused: Vec::new() })).await;
            }
            _ = says.changed() => {}
            _ = beat.tick() => {
                number += 1;
                let epochs = told.values().filter_map(held_epoch).collect();
                send(sync_request::Message::Heartbeat(v1::Heartbeat { number, epochs })).await;
                continue;
            }
        }
        let said = says.borrow_and_update().clone();
        send(status(told.values().map(|assignment| status_of(assignment, &said)).collect(), false)).await;
    }
}

fn status(assignments: Vec<AssignmentStatus>, full: bool) -> sync_request::Message {
    let observed = ClusterObservation {
        agent_version: "played".into(),
        kubernetes_version: "v1.37.0".into(),
        node_count: 3,
        ready_node_count: 3,
        allocatable: Resources { cpu_millicores: 12_000, memory_bytes: 48 << 30, pods: 330 },
        problem: None,
    };
    sync_request::Message::Status(v1::Status {
        assignments: assignments.into_iter().map(Into::into).collect(),
        cluster: Some(observed.into()),
        full,
    })
}

fn holds(assignment: &Assignment) -> v1::Held {
    v1::Held {
        application: Some((&assignment.application).into()),
        generation: Some(assignment.generation.into()),
        desired_digest: assignment.desired.digest().as_bytes().to_vec().into(),
    }
}

/// The exclusive lease that an assignment asks for.
fn held_epoch(assignment: &Assignment) -> Option<v1::HeldEpoch> {
    let Desired::Run(run) = &assignment.desired else { return None };
    let terms = run.exclusive.filter(|_| run.activity.is_active())?;
    Some(v1::HeldEpoch { application: Some((&assignment.application).into()), epoch: terms.epoch.number() })
}

/// Of Exclusive work that is to stop: every pod of it has ended.
fn fence_of(assignment: &Assignment) -> Option<FenceStatus> {
    let Desired::Run(run) = &assignment.desired else { return None };
    let terms = run.exclusive.filter(|_| !run.activity.is_active())?;
    Some(FenceStatus {
        epoch: terms.epoch,
        state: FenceState::Confirmed,
        reason: String::new(),
        since: Timestamp::from_millis(1_790_000_000_000).expect("a time"),
    })
}

fn status_of(assignment: &Assignment, says: &Says) -> AssignmentStatus {
    let applied = match &assignment.desired {
        Desired::Run(run) => Some(run.rendering),
        Desired::Remove => None,
    };
    let is_well = says.health == Health::Healthy;
    let object = ObjectStatus {
        object: ObjectKey {
            group: "apps".into(),
            kind: "Deployment".into(),
            namespace: Some("shop".into()),
            name: "cart".into(),
        },
        sync: says.sync,
        health: says.health,
        reason: says.reason.clone(),
        since: Timestamp::from_millis(1_790_000_000_000).ok(),
    };
    AssignmentStatus {
        application: assignment.application.clone(),
        generation: assignment.generation,
        applied,
        removed: applied.is_none(),
        sync: says.sync,
        health: says.health,
        reason: says.reason.clone(),
        object_count: 1,
        healthy_count: u32::from(is_well),
        drift_count: 0,
        objects: if is_well { Vec::new() } else { vec![object] },
        fence: fence_of(assignment),
        observed_at: Timestamp::from_millis(1_790_000_000_000).expect("a time"),
    }
}
