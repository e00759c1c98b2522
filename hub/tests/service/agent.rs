//! A fake agent: it speaks Sync, keeps what it is told as digests, and does with a cluster nothing at all.

use std::collections::BTreeMap;
use std::time::Duration;

use nave_common::assignment::{Assignment, Desired, Generation};
use nave_common::health::Health;
use nave_common::name::ApplicationKey;
use nave_common::runtime::tls::Credentials;
use nave_common::status::{AssignmentStatus, SyncState};
use nave_common::time::Timestamp;
use nave_proto::v1;
use nave_proto::v1::agent_service_client::AgentServiceClient;
use nave_proto::v1::sync_request::Message as Said;
use nave_proto::v1::sync_response::Message as Heard;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use crate::harness::{PATIENCE, TestHub};

/// How long silence has to last to be believed.
const SILENCE: Duration = Duration::from_millis(300);

/// What an agent has on its disk.
pub(crate) type Disk = BTreeMap<ApplicationKey, Assignment>;

/// A connected agent.
pub(crate) struct Agent {
    pub(crate) disk: Disk,
    said: mpsc::Sender<v1::SyncRequest>,
    heard: Streaming<v1::SyncResponse>,
}

/// What a Hello says of a disk.
pub(crate) fn hello(name: &str, disk: &Disk) -> v1::Hello {
    let held = |assignment: &Assignment| v1::Held {
        application: Some((&assignment.application).into()),
        generation: Some(assignment.generation.into()),
        desired_digest: assignment.desired.digest().as_bytes().to_vec().into(),
    };
    v1::Hello {
        cluster_uid: format!("uid-{name}"),
        agent_version: "test".into(),
        generation: Some(disk.values().map(|it| it.generation).max().unwrap_or_default().into()),
        applications: disk.values().map(held).collect(),
        ..Default::default()
    }
}

impl Agent {
    /// Connects and says what is on the disk.
    pub(crate) async fn connect(hub: &TestHub, own: &Credentials, name: &str, disk: Disk) -> Self {
        let hello = hello(name, &disk);
        let mut agent = Self::open(hub, own, hello).await.unwrap();
        agent.disk = disk;
        let welcome = agent.next().await;
        assert!(matches!(welcome, Heard::Welcome(_)), "{welcome:?}");
        agent
    }

    /// Connects with this Hello.
    pub(crate) async fn open(hub: &TestHub, own: &Credentials, hello: v1::Hello) -> Result<Self, Status> {
        let channel = hub.channel(Some(own)).await;
        let (said, messages) = mpsc::channel(16);
        said.send(v1::SyncRequest { message: Some(Said::Hello(hello)) }).await.unwrap();
        let heard = AgentServiceClient::new(channel).sync(ReceiverStream::new(messages)).await?.into_inner();
        Ok(Self { disk: Disk::new(), said, heard })
    }

    pub(crate) async fn say(&self, message: Said) {
        self.said.send(v1::SyncRequest { message: Some(message) }).await.unwrap();
    }

    /// The next message.
    pub(crate) async fn next(&mut self) -> Heard {
        self.try_next().await.unwrap().expect("the stream goes on")
    }

    /// The next message, or how the stream ended.
    pub(crate) async fn try_next(&mut self) -> Result<Option<Heard>, Status> {
        let message =
            tokio::time::timeout(PATIENCE, self.heard.message()).await.expect("a message in time")?;
        Ok(message.and_then(|message| message.message))
    }

    /// The next assignments, put on the disk; and what may be forgotten.
    pub(crate) async fn assignments(&mut self) -> (Vec<Assignment>, Vec<ApplicationKey>) {
        let heard = self.next().await;
        let Heard::Assignments(batch) = heard else { panic!("expected assignments, not {heard:?}") };
        let told: Vec<Assignment> = batch.assignments.into_iter().map(|it| it.try_into().unwrap()).collect();
        let forgotten: Vec<ApplicationKey> =
            batch.forgotten.into_iter().map(|it| it.try_into().unwrap()).collect();
        for assignment in &told {
            self.disk.insert(assignment.application.clone(), assignment.clone());
        }
        for key in &forgotten {
            self.disk.remove(key);
        }
        (told, forgotten)
    }

    /// The next assignment, which must come alone.
    pub(crate) async fn assignment(&mut self) -> Assignment {
        let (told, forgotten) = self.assignments().await;
        assert!(forgotten.is_empty());
        let [one] = told.as_slice() else { panic!("expected one assignment, not {told:?}") };
        one.clone()
    }

    /// Expects that nothing comes.
    pub(crate) async fn silence(&mut self) {
        if let Ok(heard) = tokio::time::timeout(SILENCE, self.heard.message()).await {
            panic!("expected silence, not {heard:?}");
        }
    }

    /// Says that what is on the disk runs well, or is removed.
    pub(crate) async fn report(&self, full: bool) {
        let assignments = self.disk.values().map(|assignment| (&status(assignment)).into()).collect();
        self.say(Said::Status(v1::Status { assignments, cluster: None, full })).await;
    }
}

/// What a faultless agent says of an assignment.
pub(crate) fn status(assignment: &Assignment) -> AssignmentStatus {
    let applied = match &assignment.desired {
        Desired::Run(run) => Some(run.rendering),
        Desired::Remove => None,
    };
    AssignmentStatus {
        application: assignment.application.clone(),
        generation: assignment.generation,
        applied,
        removed: applied.is_none(),
        sync: SyncState::Synced,
        health: Health::Healthy,
        reason: String::new(),
        object_count: 1,
        healthy_count: 1,
        drift_count: 0,
        objects: Vec::new(),
        fence: None,
        observed_at: Timestamp::now(),
    }
}

/// A generation far past any that a test's hub reaches.
pub(crate) fn far_ahead() -> Generation {
    Generation { term: 1, counter: 1_000_000 }
}
